"""What tables of the documentation say in words, where nothing in the program does.

``doc_tables`` sees to it that each code and each field of the program is here, and no other.
"""

from __future__ import annotations

#: What each error code means, and what to do.
CODES = {
    "no_text": ("the text field is missing or empty", "write a text, ask again"),
    "text_not_string": (
        "it holds a number, a list or fields",
        "store the text as a string, ask again",
    ),
    "text_too_long": (
        "over `limits.max_characters`, or over 24.8 hours when read",
        "shorten it, or raise the limit",
    ),
    "too_many_words": ("over `limits.max_words`", "shorten it, or raise the limit"),
    "nothing_speakable": ("no letter or digit in it", "write a text, ask again"),
    "unknown_voice": (
        "the book asks for a voice that is not configured; the message says which are",
        "ask for one of them, or add it to `[voices]`",
    ),
    "bad_cast": (
        "`narrativeAudioCast` is not a list of speakers, each with the name of a voice",
        "correct it, ask again",
    ),
    "bad_lexicon": (
        "lines of `narrativeAudioLexicon` cannot be used; the message names them",
        "correct them, ask again",
    ),
    "no_such_segment": (
        "`narrativeAudioRetake` names a segment that the text has not, or none",
        "name segments from 1 to the number that the message gives, or ask for all",
    ),
    "segments_not_kept": (
        "the segments that `narrativeAudioRetake` leaves as they are can be had no more: "
        "`kept.days` are over, the text or the voice has changed, or another machine has them",
        "ask for the whole narration; let replicas share `kept.folder`",
    ),
    "engine_error": (
        "the speech engine failed in every attempt",
        "the log says how (`speech_failed`)",
    ),
    "out_of_memory": (
        "the GPU's memory did not suffice, not even for one slot",
        "free it, set `speech.slots` lower where others need it too, or use a larger GPU",
    ),
    "stuck": (
        "no progress for `daemon.stuck_seconds`",
        "see the log of that worker; restart it",
    ),
    "worker_lost": (
        "the worker died each time it read this book",
        "see the logs of the workers that `narrator-daemon explain` names",
    ),
    "refused": (
        "the database or the storage takes everything else, and refuses what belongs to this book: "
        "a rule of your own on books, say, or a book that is too large",
        "`narrator-daemon health` and the log name the book and the answer (`book_refused`); "
        "change the rule or the book, ask again",
    ),
    "internal_error": (
        "a full disk, if the message says so, else a bug",
        "free space in `kept.folder`; the log has the trace: please report it",
    ),
}

#: The fields of a book: who writes each, and what it means.
FIELDS = {
    "narrativeAudioStatus": ("both", "absent, `requested`, `processing`, `ready` or `failed`"),
    "narrativeAudioRequestedAt": (
        "frontend",
        "the server's time of the request; optional: gives the order, and tells that it was "
        "pressed again",
    ),
    "narrativeAudioRequestedBy": (
        "frontend",
        "the uid of who asked; optional: the limit counts by it",
    ),
    "narrativeAudioNotice": (
        "frontend",
        "`true` or `false`: whether a spoken notice is wanted; optional, and only heeded where "
        "`credentials.spoken_notice_books` lets a book choose",
    ),
    "narrativeAudioProgress": ("daemon", "0 to 1 while processing"),
    "narrativeAudioUrl": (
        "daemon",
        "where the WAV plays from (PCM 16-bit, mono, 24 kHz; 2.88 MB a minute)",
    ),
    "narrativeAudioUrlExpiresAt": ("daemon", "epoch ms; absent for URLs that do not expire"),
    "narrativeAudioDuration": ("daemon", "seconds, from the samples"),
    "narrativeUpdatedAt": ("daemon", "when it became `ready` or `failed`, epoch ms"),
    "narrativeAudioError": (
        "daemon",
        "`{code, message, attempts, at}` when `failed`; `message` is fit to show",
    ),
    "narrativeAudioFiles": (
        "daemon",
        "what else there is to play, by format (`m4a`, `opus`, `mp3`): each "
        "`{url, urlExpiresAt, bytes, path}`; absent where there is nothing else. An eighth of the "
        "WAV, the same audio; see [Smaller files](files.md)",
    ),
    "narrativeAudioCaptions": (
        "daemon",
        "what says when each word is heard: `json`, `vtt` and, for a text with headings, "
        "`chapters`, each `{url, urlExpiresAt, bytes, path}`; see "
        "[Reading along](reading-along.md)",
    ),
    "narrativeAudioVoice": (
        "frontend",
        "the name of the voice to read in, of those that the operator has configured; optional: "
        "else it is the default one",
    ),
    "narrativeAudioCast": (
        "frontend",
        "voices for what is said by whom: the name of a speaker and the name of a voice each; "
        "optional; see [Voices](voices.md)",
    ),
    "narrativeAudioLexicon": (
        "frontend",
        "how names of this book are said, a line each; optional; see [Names said right](names.md)",
    ),
    "narrativeAudioPreview": (
        "daemon",
        "while a long book is in work: its first minute as M4A, "
        "`{url, urlExpiresAt, bytes, path, duration}`",
    ),
    "narrativeAudioRetake": (
        "frontend",
        "beside a request: numbers of the segments, from 1, that are to be read anew while all "
        "others stay; optional. Removed when the book is `ready` or `failed`",
    ),
    "narrativeAudioPriority": (
        "frontend",
        "beside a request: `now`, `normal` or `bulk`, what goes first; optional: else `normal`. "
        "Removed when the book is `ready` or `failed`; see [First and later](priority.md)",
    ),
    "narrativeAudioNotBefore": (
        "frontend",
        "beside a request: epoch ms before which the book is not claimed; optional. Removed when "
        "the book is `ready` or `failed`; see [First and later](priority.md)",
    ),
    "narrativeAudioReadyBy": (
        "daemon",
        "while `requested` or `processing`: when it will probably be ready, epoch ms; absent while "
        "nobody knows. See [When it will be ready](priority.md#when-it-will-be-ready)",
    ),
    "narrativeAudioTextHash": (
        "daemon",
        "SHA-256, in hex, of the text that was read: compare it to see whether the text has "
        "changed since",
    ),
    "narrativeAudioTake": (
        "daemon",
        "which take it is; asking again for a `ready` book makes the next",
    ),
    "narrativeAudioPath": ("daemon", "the audio's object in the bucket; leave it alone"),
    "narrativeAudioInputHash": ("daemon", "what the audio was made from; leave it alone"),
    "narrativeAudioClaim": ("daemon", "who works on it; leave it alone"),
}
