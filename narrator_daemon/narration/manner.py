"""How a book asks to be read: in which voice, its dialogue in which, its names said how.

Clients write these fields, and any JSON value may stand there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from csm.text import lexicon as lexicons
from csm.text.dialogue import Cast, speaker_key
from csm.text.lexicon import BadLexicon, Lexicon
from narrator_daemon.catalogue import CAST, LEXICON, VOICE, Record
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.errors import ConfigError
from narrator_daemon.narration.accepting import fault
from narrator_daemon.settings import Settings
from narrator_daemon.speech import HasVoices, SpeechEngine

#: Fields of a book that say how it is read.
_FIELDS = (VOICE, CAST, LEXICON)

#: Speakers that one book may have at most.
_MOST_SPEAKERS = 200


@dataclass(frozen=True)
class Manner:
    """How one book is read.

    Attributes:
        voice: what the narrator reads in; empty for the engine's own.
        dialogue: what quoted speech is read in, where its speaker has no voice; empty for the
            narrator's.
        cast: voices of speakers, by ``speaker_key`` of their names.
        lexicon: how names and rare words are said.
    """

    voice: str = ""
    dialogue: str = ""
    cast: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lexicon: Lexicon = lexicons.EMPTY

    @property
    def asked_cast(self) -> Cast | None:
        """Who reads what is said; None where one voice reads everything."""
        return Cast(self.cast, self.dialogue) if self.cast or self.dialogue else None


class Manners:
    """How books are read, by what the catalogue's settings and each book say.

    Args:
        settings: voices, and the catalogue's lexicon.
        engine: that reads; need not be loaded.

    Attributes:
        names: of all voices that a book can ask for, sorted.
        lexicon: the catalogue's.

    Raises:
        ConfigError: the catalogue's lexicon cannot be used, or there is no such voice.
    """

    def __init__(self, settings: Settings, engine: SpeechEngine) -> None:
        own = engine.voices if isinstance(engine, HasVoices) else ()
        self.names = sorted({*settings.voices.by_name, *own})
        self._dialogue = settings.voice.dialogue or ""
        self._engine = engine
        self.lexicon = catalogue_lexicon(settings.text.lexicon)
        for key, name in (("default", settings.voice.default), ("dialogue", self._dialogue)):
            if name and name not in self.names:
                raise ConfigError(
                    f"there is no voice {name}; there are: {', '.join(self.names)}",
                    where=f"[voice] {key}",
                )

    def fingerprint(self, book: Record) -> str:
        """What of a book and of the catalogue shapes its narration beside text and settings.

        Empty where nothing does: such a narration is made from what it always was.
        """
        asked = {name: book[name] for name in _FIELDS if name in book}
        named = {self._dialogue, *_strings(book.get(VOICE)), *_strings(book.get(CAST))}
        voices = {name: self._voice_print(name) for name in sorted(named) if name in self.names}
        made_from = [self.lexicon.digest, self._dialogue, asked, voices]
        if not any(made_from):
            return ""
        return " " + json.dumps(made_from, sort_keys=True)

    def of(self, book: Record) -> Manner:
        """How a book is read.

        Raises:
            Unnarratable: it asks for a voice that there is not, or its cast or lexicon cannot be
                used.
        """
        voice = book.get(VOICE)
        return Manner(
            voice="" if voice is None else self._known(voice, "the book"),
            dialogue=self._dialogue,
            cast=self._cast(book.get(CAST)),
            lexicon=lexicons.merged(self.lexicon, _of_book(book.get(LEXICON))),
        )

    def reader(self, voice: str) -> SpeechEngine:
        """What reads in a voice; the engine itself for ""."""
        if not voice:
            return self._engine
        found = self._in_voice(voice)
        if found is None:
            raise fault(
                ErrorCode.UNKNOWN_VOICE, f"The engine {self._engine.name} reads in one voice only."
            )
        return found

    def _voice_print(self, name: str) -> str:
        found = self._in_voice(name)
        return "" if found is None else found.settings_fingerprint

    def _in_voice(self, name: str) -> SpeechEngine | None:
        """What reads in a voice; None for an engine that has one voice only."""
        try:
            return self._engine.in_voice(name) if isinstance(self._engine, HasVoices) else None
        except KeyError:
            return None

    def _known(self, voice: object, who: str) -> str:
        if isinstance(voice, str) and voice in self.names:
            return voice
        asked = f'the voice "{voice[:40]}"' if isinstance(voice, str) else "a voice without a name"
        there = f"there are: {', '.join(self.names)}" if self.names else "no others are set up"
        message = f"{who[0].upper()}{who[1:]} asks for {asked}, which is not set up; {there}."
        raise fault(ErrorCode.UNKNOWN_VOICE, message)

    def _cast(self, cast: object) -> Mapping[str, str]:
        if cast is None:
            return {}
        if not isinstance(cast, dict) or not 0 < len(cast) <= _MOST_SPEAKERS:
            raise fault(
                ErrorCode.BAD_CAST,
                "The book's cast must name speakers, each with the name of a voice, "
                f"{_MOST_SPEAKERS} at most.",
            )
        found = {}
        for speaker, voice in cast.items():
            key = speaker_key(speaker)
            if not key:
                raise fault(ErrorCode.BAD_CAST, "A speaker of the book's cast has no name.")
            found[key] = self._known(voice, f'the speaker "{speaker[:40]}"')
        return found


def _strings(value: Any) -> list[str]:
    """The texts in a field that may hold anything."""
    values = list(value.values()) if isinstance(value, dict) else [value]
    return [one for one in values if isinstance(one, str)]


def catalogue_lexicon(path: Path | None) -> Lexicon:
    """The lexicon in a file.

    Raises:
        ConfigError: it cannot be used.
    """
    if path is None:
        return lexicons.EMPTY
    where = f"[text] lexicon: {path}"
    try:
        return lexicons.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=where) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text (byte {error.start})", where=where) from None
    except BadLexicon as error:
        raise ConfigError(str(error), where=where) from None


def _of_book(value: object) -> Lexicon:
    if value is None:
        return lexicons.EMPTY
    if not isinstance(value, str):
        raise fault(ErrorCode.BAD_LEXICON, "The book's lexicon is not text.")
    try:
        return lexicons.parse(value)
    except BadLexicon as error:
        raise fault(ErrorCode.BAD_LEXICON, f"The book's lexicon cannot be used: {error}.") from None
