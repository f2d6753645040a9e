"""Some segments read anew, all others as they were, over the claims of one book."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from csm import SAMPLE_RATE
from csm.takes.drawing import Example
from csm.takes.notes import Note
from csm.text import segment
from narrator_daemon.claims.book import Verdict, request_retake
from narrator_daemon.claims.ending import Ending
from narrator_daemon.speech import Amended, SpeechError, Spoken
from tests.desk import Desk

TEXT = "\n\n".join(
    f"The {name} of the ship came on deck before dawn, looked at the water for a long while, and "
    "went below again, as he did each day. Nobody spoke to him, until the wind had turned and all "
    "the boats that had been lowered in the night were counted, and counted once more, at last."
    for name in ("captain", "carpenter", "surgeon", "cook")
)
TEXTS = [part.text for part in segment(TEXT)]
COUNT = len(TEXTS)


class Reader:
    """An engine that finds a voice by its seed, and remembers which it read in."""

    name, device, pace, settings_fingerprint = "reader", "cpu", None, "reader 1"

    def __init__(self) -> None:
        self.read: list[tuple[int, int, str]] = []
        self.before: Callable[[int], object] = lambda index: None
        self.after: list[Spoken | Amended] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: Example | None = None,
    ) -> Generator[Spoken | Amended, None, None]:
        voice = str(example.take.codes) if example else f"voice of {seed}"
        for index, text in enumerate(segments):
            if index not in skip:
                self.before(index)
                self.read.append((index + 1, seed, voice))
                noise = np.random.default_rng([seed, index]).standard_normal(2 * SAMPLE_RATE)
                sound = (0.05 * noise).astype(np.float32)
                yield Spoken(index, sound, {"said": f"{text} by {seed}"}, voice)
        yield from self.after


class Ship(Desk):
    """A desk at which a book is asked for again and again."""

    def __init__(self, folder: Path, **kept: Any) -> None:
        super().__init__(folder, kept={"folder": folder, "days": 7, **kept})
        self.reader: Any = Reader()
        object.__setattr__(self.context, "engine", self.reader)
        self.edit(narrative=TEXT)

    def ask(self, **fields: Any) -> Ending:
        self.edit(narrativeAudioStatus="requested", **fields)
        self.endings.clear()
        self.over.clear()
        self.reader.read.clear()
        return self.run()

    @property
    def sounds(self) -> list[bytes]:
        """What is kept of the published take, by segment."""
        (path,) = self.kept_folder.glob("*.published")
        kept = self.context.kept.reading(path.stem, TEXTS)
        assert kept is not None
        with kept:
            return [kept.samples(index).tobytes() for index in range(COUNT)]


@pytest.fixture
def ship(tmp_path: Path) -> Ship:
    return Ship(tmp_path)


def test_only_these_are_read_anew_and_in_the_voice_of_the_others(ship: Ship) -> None:
    assert COUNT >= 4
    assert ship.ask().outcome == "published"
    (voice,) = {voice for _, _, voice in ship.reader.read}
    first, path = ship.sounds, ship.book["narrativeAudioPath"]

    ending = ship.ask(narrativeAudioRequestedAt=8, narrativeAudioRetake=[4, 2])
    assert ending.outcome == "published"
    assert ending.facts["segmentsKept"] == COUNT - 2
    # The first, once more by its own seed, is the example of the voice.
    (example, *anew) = ship.reader.read
    assert example[::2] == (1, voice)
    assert [(number, heard) for number, _, heard in anew] == [(2, voice), (4, voice)]
    second = ship.sounds
    assert [i + 1 for i in range(COUNT) if first[i] != second[i]] == [2, 4]
    book = ship.book
    assert "narrativeAudioRetake" not in book and book["narrativeAudioTake"] == 2
    assert book["narrativeAudioPath"] != path and ship.store.exists(book["narrativeAudioPath"])

    # And once more: other seeds, the same voice.
    ship.ask(narrativeAudioRequestedAt=9, narrativeAudioRetake={"0": 2})
    assert {heard for _, _, heard in ship.reader.read} == {voice}
    third = ship.sounds
    assert [i + 1 for i in range(COUNT) if second[i] != third[i]] == [2]
    assert ship.book["narrativeAudioTake"] == 3


def test_a_whole_new_take_is_none_of_an_old_wish(ship: Ship) -> None:
    ship.ask()
    first = ship.sounds
    ship.ask(narrativeAudioRetake=[2])
    ship.ask(narrativeAudioRequestedAt=9)
    assert [number for number, _, _ in ship.reader.read] == list(range(1, COUNT + 1))
    assert all(before != now for before, now in zip(first, ship.sounds, strict=True))


def test_one_that_is_interrupted_goes_on(ship: Ship) -> None:
    ship.ask()
    first = ship.sounds

    def fail(index: int) -> None:
        if index == 3:
            raise SpeechError("engine_error", "broken")

    ship.reader.before = fail
    assert ship.ask(narrativeAudioRetake=[2, 4]).outcome == "retried"
    assert ship.book["narrativeAudioRetake"] == [2, 4]
    ship.reader.before = lambda _index: None
    ship.book["narrativeAudioClaim"].pop("notBefore")
    ship.endings.clear()
    ship.over.clear()
    ship.reader.read.clear()
    ending = ship.run()
    assert ending.outcome == "published" and ending.facts["segmentsKept"] == COUNT - 1
    assert [number for number, _, _ in ship.reader.read] == [1, 4]
    assert [i + 1 for i in range(COUNT) if first[i] != ship.sounds[i]] == [2, 4]


def test_what_a_judge_would_rather_have_otherwise_stays(ship: Ship) -> None:
    ship.ask()
    first = ship.sounds
    sound = np.full(SAMPLE_RATE, 0.1, np.float32)
    ship.reader.after = [Spoken(0, sound, {}), Spoken(1, sound, {}), Amended(2, {"known": 1})]
    ship.ask(narrativeAudioRetake=[2])
    changed = [i + 1 for i in range(COUNT) if first[i] != ship.sounds[i]]
    assert changed == [2] and ship.sounds[1] == sound.tobytes()


def test_all_of_them_is_a_take_like_any_other(ship: Ship) -> None:
    ship.ask()
    first = ship.sounds
    assert ship.ask(narrativeAudioRetake=list(range(1, COUNT + 1))).outcome == "published"
    assert all(before != now for before, now in zip(first, ship.sounds, strict=True))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ([0], "no segment is named"),
        ([COUNT + 1, 2], f"there is no segment {COUNT + 1}"),
        ([2**60], "no segment is named"),
        ([1.5], "no segment is named"),
        (["2"], "no segment is named"),
        ([True], "no segment is named"),
        ("2", "no segment is named"),
        ({"a": {"b": 1}}, "no segment is named"),
    ],
)
def test_segments_that_there_are_not(ship: Ship, wish: Any, says: str) -> None:
    ship.ask()
    path = ship.book["narrativeAudioPath"]
    assert ship.ask(narrativeAudioRetake=wish).outcome == "failed"
    error = ship.book["narrativeAudioError"]
    assert error["code"] == "no_such_segment" and says in error["message"]
    assert "narrativeAudioRetake" not in ship.book
    # The take before plays on, and can be mended still.
    assert ship.book["narrativeAudioPath"] == path and ship.store.exists(path)
    assert ship.reader.read == []
    assert ship.ask(narrativeAudioRequestedAt=99, narrativeAudioRetake=[1]).outcome == "published"


def other_text(ship: Ship) -> None:
    ship.edit(narrative=TEXT.replace("dawn", "noon"))


def other_voice(ship: Ship) -> None:
    ship.reader.settings_fingerprint = "reader 2"


def other_machine(ship: Ship) -> None:
    for path in ship.kept_folder.iterdir():
        path.unlink()


def damaged(ship: Ship) -> None:
    (path,) = ship.kept_folder.iterdir()
    path.write_bytes(path.read_bytes()[:300_000])


def never_read(ship: Ship) -> None:
    for name in [name for name in ship.book if name.startswith("narrativeAudio")]:
        del ship.book[name]


def odd_take(ship: Ship) -> None:
    ship.edit(narrativeAudioTake="x", narrativeAudioInputHash={"a": 1})


@pytest.mark.parametrize(
    "change", [other_text, other_voice, other_machine, damaged, never_read, odd_take]
)
def test_where_the_others_are_no_more_it_says_so(
    ship: Ship, change: Callable[[Ship], None]
) -> None:
    ship.ask()
    change(ship)
    assert ship.ask(narrativeAudioRetake=[2]).outcome == "failed"
    error = ship.book["narrativeAudioError"]
    assert error["code"] == "segments_not_kept" and "anew" in error["message"]


def test_another_wish_for_a_book_in_work_takes_its_place(ship: Ship) -> None:
    ship.ask()
    ship.edit(narrativeAudioStatus="requested", narrativeAudioRetake=[2])
    work = ship.claim()
    ship.edit(narrativeAudioStatus="requested", narrativeAudioRetake=[3])
    ship.claims.look_after(work)
    assert work.stopped is Verdict.SUPERSEDED


def test_the_same_wish_is_one_wish(ship: Ship) -> None:
    ship.ask()
    ship.edit(narrativeAudioStatus="requested", narrativeAudioRetake=[2])
    work = ship.claim()
    ship.edit(narrativeAudioStatus="requested")
    ship.claims.look_after(work)
    assert work.stopped is None


def test_without_days_nothing_stays(tmp_path: Path) -> None:
    ship = Ship(tmp_path, days=0)
    ship.ask()
    assert list(ship.kept_folder.iterdir()) == []


def test_a_replaced_take_leaves_no_segments(ship: Ship) -> None:
    for _ in range(3):
        ship.ask(narrativeAudioRequestedAt=len(ship.endings))
        assert len(list(ship.kept_folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("book", "verdict"),
    [
        (None, Verdict.GONE),
        ({"narrativeAudioPath": "p", "narrativeAudioStatus": "ready"}, Verdict.APPLIED),
        ({"narrativeAudioPath": "p", "narrativeAudioStatus": "failed"}, Verdict.APPLIED),
        ({"narrativeAudioPath": "p"}, Verdict.APPLIED),
        ({"narrativeAudioPath": "p", "narrativeAudioStatus": "requested"}, Verdict.UNCHANGED),
        ({"narrativeAudioPath": "p", "narrativeAudioStatus": "processing"}, Verdict.UNCHANGED),
        ({"narrativeAudioStatus": "ready"}, Verdict.UNCHANGED),
    ],
)
def test_an_operator_asks_for_what_is_there(book: Any, verdict: Verdict) -> None:
    seen = request_retake(book, [2, 3], now_ms=5)
    assert seen.verdict is verdict
    if seen.book is not None:
        assert seen.book["narrativeAudioRetake"] == [2, 3]
        assert seen.book["narrativeAudioStatus"] == "requested"
