"""Names that are said by IPA in one narration, and what is kept of its segments."""

from __future__ import annotations

import io
from collections.abc import Collection, Generator, Sequence
from pathlib import Path

from csm.takes.drawing import Example
from csm.text import Lexicon
from csm.text.lexicon import EMPTY, parse
from csm.text.pronounced import pronounced, said
from narrator_daemon.narration.narrate import Mark, Narration, kept_name, narrate
from narrator_daemon.narration.retake import Retake
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Limits
from narrator_daemon.speech import SpeechEngine, Spoken
from narrator_daemon.speech.tone import ToneSpeech

TEXT = "\n\n".join(
    f"{name} of the ship came on deck before dawn, looked at the water for a long while, and then "
    "went below again, as he had done on each day of the voyage, without a word to anybody."
    for name in ("Bingley", "Wickham", "The surgeon")
)


class Speech(ToneSpeech):
    """Remembers what it was given, with what it says by IPA."""

    def __init__(self, heard: list[str], lexicon: Lexicon = EMPTY) -> None:
        super().__init__()
        self.heard = heard
        self.lexicon = lexicon

    def saying(self, lexicon: Lexicon) -> SpeechEngine:
        return Speech(self.heard, pronounced(lexicon))

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        for one in super().speak(segments, seed=seed, skip=skip):
            text = segments[one.index]
            ipa = "".join(f" {given.ipa}" for given in said(text, self.lexicon))
            self.heard.append(text.split()[0] + ipa)
            yield one


def read(
    folder: Path,
    engine: SpeechEngine,
    lexicon: Lexicon,
    retake: Retake | None = None,
    seed: int = 1,
) -> Narration:
    kept = KeptSegments(Kept(folder=folder))
    narration = narrate(
        TEXT,
        io.BytesIO(),
        engine=engine,
        limits=Limits(),
        seed=seed,
        mark=Mark(bytes(range(16)), 1, 1.5, False),
        kept=kept,
        lexicon=lexicon,
        retake=retake,
    )
    kept.publish(kept_name(engine, seed))
    return narration


def test_an_engine_that_takes_phonemes_says_them_and_the_text_stays(tmp_path: Path) -> None:
    engine = Speech([])
    narration = read(tmp_path, engine, parse("Bingley\tBing lee\tˈbɪŋli\nWickham\tWick ham"))
    assert engine.heard == ["Bingley ˈbɪŋli", "Wick", "The"]
    assert narration.parts[0].text.startswith("Bingley of the ship")


def test_one_that_takes_none_reads_the_spelling(tmp_path: Path) -> None:
    narration = read(tmp_path, ToneSpeech(), parse("Bingley\tBing lee\tˈbɪŋli"))
    assert narration.parts[0].text.startswith("Bing lee of the ship")


def test_a_name_that_is_said_otherwise_is_read_anew_and_nothing_else(tmp_path: Path) -> None:
    engine = Speech([])
    read(tmp_path, engine, parse("Bingley\t\tˈbɪŋli"))
    engine.heard.clear()
    retake = Retake(frozenset([2]), kept_name(engine, 1), 1)
    later = parse("Bingley\t\tˈbɪŋli\nWickham\t\tˈwɪkəm")
    assert read(tmp_path, engine, later, retake, seed=2).facts["segmentsKept"] == 2
    # The first is spoken once more to hear its voice, and is not what is kept of it.
    assert engine.heard == ["Bingley ˈbɪŋli", "Wickham ˈwɪkəm"]


def test_what_was_kept_is_not_heard_once_its_name_is_said_otherwise(tmp_path: Path) -> None:
    engine = Speech([])
    for ipa, spoken in (("ˈbɪŋli", 3), ("ˈbɪŋli", 0), ("ˈbaɪŋli", 1)):
        engine.heard.clear()
        kept = KeptSegments(Kept(folder=tmp_path))
        lexicon = parse(f"Bingley\t\t{ipa}")
        narrate(
            TEXT,
            io.BytesIO(),
            engine=engine,
            limits=Limits(),
            seed=1,
            mark=Mark(bytes(range(16)), 1, 1.5, False),
            kept=kept,
            lexicon=lexicon,
        )
        assert len(engine.heard) == spoken
