"""What a take may be like.

Figures are of 404 clean clips (five speakers in five languages, and the preview voice) and of
clips spoiled on purpose, half of which were kept for reporting: docs/design/judges.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """What a take may be like.

    Attributes:
        fastest: least share of the expected seconds. People vary by a quarter, and the preview
            voice stays above 0.76; below this, words are missing.
        slowest: most times the expected seconds. The preview voice stays below it; a take that
            goes on after its text is over does not.
        longest_silence_seconds: most silence between two sounds. A reader's pause at a full stop
            is half a second, the preview voice's longest 0.82.
        most_silence: most share of silence between first and last sound; the preview voice's
            largest is 0.45.
        cut_off_db: how far the last 30 ms lie below the loud parts, at least. The end of a word
            is 25 dB and more below; the preview voice's ends are 73.
        most_repeated_seconds: most sound that comes again without the text saying so; below this,
            different words that sound alike are met.
        most_held_seconds: most time of one unchanging sound; the preview voice's longest is 0.39.
        most_clipped: most share of samples on flat tops. The preview voice has none, speech that is
            6 dB too loud 0.005 and more.
        most_wrong_words: most word error rate, where a recogniser listens. The packaged one hears
            up to 0.45 of a short, old-fashioned segment wrongly.
        most_misheard: most that a stretch of words may differ in sound from what is heard, in
            consonants; of 286 clean clips three were above.
        most_lost_words: most words in a row that are not heard, where a recogniser listens. A
            mangled passage in a long segment hides in its word error rate.
        most_made_up_words: most words in a row that are heard and are not in the text, likewise.
        most_skipped_words: most words in a row that are missing between two that were heard.
        most_inserted_words: most words in a row that were heard between two of the text.
        most_doubled_words: most words that were heard twice at once and are in the text once.
        most_copied: most likeness of two stretches of 0.12 s within 1.6 s.
        most_toneless_seconds: longest loud sound without a pitch: people stay at 0.23.
        least_forwardness: how the level rises and falls; backwards it is the other way round.
        sharpest_click: how far a click stands out.
        most_gaps: breaks of the signal.
        loudest_floor_db: noise in four bands beside the voice; people stay below -37, the preview
            voice below -40.
        most_voice_change: squared distance of the voices in two parts of a take.
        most_level_change_db: between two parts of a take; people stay below 5, the preview voice
            below 9.
        most_voicing_change: of the shares of voiced sound in two parts.
        strangest_voice: how far from the narration's voice: 1 is what its takes differ by.
        most_pitch_change: from the narration's, in octaves.
        most_missing_db: of sound in 12 neighbouring bands that the narration usually has.
        most_discolouration_db: from the narration's usual sound, all bands.
        most_noise_db: by how much the floor may exceed what is usual in the narration.
        most_brink_db: likewise the last 10 ms.
        most_slower_fall_db: by how much more slowly sound may fall away than is usual.
        fastest_beside: least share of the narration's own pace, silences left out.
        slowest_beside: most times of it.
    """

    fastest: float = 0.6
    slowest: float = 1.4
    longest_silence_seconds: float = 1.2
    most_silence: float = 0.5
    cut_off_db: float = 12.0
    most_repeated_seconds: float = 0.75
    most_held_seconds: float = 0.9
    most_clipped: float = 0.002
    most_wrong_words: float = 0.65
    most_misheard: float = 4.1
    most_lost_words: int = 2
    most_made_up_words: int = 2
    most_skipped_words: int = 0
    most_inserted_words: int = 0
    most_doubled_words: int = 0
    most_copied: float = 0.992
    most_toneless_seconds: float = 0.26
    least_forwardness: float = -0.25
    sharpest_click: float = 27.0
    most_gaps: int = 0
    loudest_floor_db: float = -36.7
    most_voice_change: float = 22.0
    most_level_change_db: float = 9.5
    most_voicing_change: float = 0.36
    strangest_voice: float = 1.7
    most_pitch_change: float = 0.4
    most_missing_db: float = 11.5
    most_discolouration_db: float = 6.2
    most_noise_db: float = 11.0
    most_brink_db: float = 12.0
    most_slower_fall_db: float = 10.5
    fastest_beside: float = 0.73
    slowest_beside: float = 1.45
