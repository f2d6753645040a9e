"""From a text to a finished file, interrupted and not."""

from __future__ import annotations

import io
import itertools
import math
import wave
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import watermark
from csm import SAMPLE_RATE
from csm.mastering.loudness import integrated_loudness, true_peak_decibels
from csm.takes.drawing import Example
from csm.takes.notes import Note
from csm.text import Pauses as Lengths
from csm.text import segment
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.narration.accepting import Unnarratable
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import Stopped, fingerprint, kept_name, narrate
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.progress import Pace, Progress
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Limits, Mastering, Pauses, Settings
from narrator_daemon.speech import Amended, SpeechError, Spoken

TEXT = "\n\n".join(
    f"The {name} of the ship came on deck before dawn, looked at the water for a long while, and "
    "went below again, as he did each day. Nobody spoke to him, until the wind had turned and all "
    "the boats that had been lowered in the night were counted, and counted once more, at last."
    for name in ("captain", "carpenter", "surgeon")
)
TEXTS = [part.text for part in segment(TEXT)]
KEY = bytes(range(16))


class Voice:
    """An engine that speaks in syllables of noise, each segment at a level of its own."""

    name = "voice"
    device = "cpu"
    pace = None
    settings_fingerprint = "voice 1"

    def __init__(self, order: Sequence[int] | None = None, loss: int | None = None) -> None:
        self._order = order
        self._loss = loss
        self.asked: list[int] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        for index in self._order or range(len(segments)):
            if index not in skip and index != self._loss:
                self.asked.append(index)
                yield Spoken(index, said(segments[index], index, seed), {"draws": index + 1})


def said(text: str, index: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng([seed, index])
    length = round(0.012 * len(text) * SAMPLE_RATE)
    noise = np.convolve(random.standard_normal(length + 9), np.hanning(9), mode="valid")[1:]
    swell = np.abs(np.sin(2 * np.pi * 2 * np.arange(length) / SAMPLE_RATE)) ** 1.5
    quiet = np.zeros(SAMPLE_RATE // 5)
    level = (0.02, 0.1, 0.3)[index % 3]
    return np.concatenate((quiet, level * noise * swell / 2, quiet)).astype(np.float32)


def read(
    folder: Path,
    engine: Voice | None = None,
    strength_db: float = 1.5,
    loudness_lufs: float = -20.0,
    **more: object,
) -> tuple[Narration, bytes]:
    out = io.BytesIO()
    made = narrate(
        TEXT,
        out,
        engine=engine or Voice(),
        limits=Limits(),
        seed=7,
        mark=Mark(KEY, 5, strength_db, True),
        kept=KeptSegments(Kept(folder=folder)),
        loudness_lufs=loudness_lufs,
        **more,  # type: ignore[arg-type]
    )
    return made, out.getvalue()


def samples_of(wav: bytes) -> NDArray[np.float32]:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / 32768


def decibels(samples: NDArray[np.float32]) -> float:
    return 10 * math.log10(float(np.mean(samples.astype(np.float64) ** 2)) + 1e-30)


def test_every_turn_of_a_step_is_told_in_its_order(tmp_path: Path) -> None:
    told: list[tuple[str, float, float, bool]] = []
    made, _ = read(tmp_path, on_step=lambda *turn: told.append(turn))
    assert list(dict.fromkeys(step for step, *_ in told)) == [
        *(
            "text",
            "speech",
            "mastering",
            "watermark",
            "write",
            "fingerprint",
            "self_check",
            "words",
        ),
    ]
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(told))
    sums: dict[str, float] = {}
    assert not any(failed for *_, failed in told)
    for step, began, ended, _ in told:
        sums[step] = sums.get(step, 0.0) + ended - began
    assert made.facts["secondsByStep"] == {step: round(value, 3) for step, value in sums.items()}


def stretch(samples: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    return samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


# The finished file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Narration, bytes]:
    return read(tmp_path_factory.mktemp("kept"))


def test_the_file_is_what_is_said_of_it(finished: tuple[Narration, bytes]) -> None:
    made, wav = finished
    assert made.size == len(wav)
    assert made.duration_seconds == pytest.approx(len(samples_of(wav)) / SAMPLE_RATE, abs=1e-3)
    assert [part.text for part in made.parts] == TEXTS
    assert [part.note for part in made.parts] == [{"draws": n + 1} for n in range(len(TEXTS))]
    assert made.facts["segments"] == len(TEXTS) == 6
    assert made.facts["watermarkScore"] == pytest.approx(
        watermark.self_check(samples_of(wav), SAMPLE_RATE, KEY, 5), abs=0.01
    )


@pytest.mark.parametrize(("strength", "target"), [(1.5, -20.0), (3.0, -18.0), (0.5, -26.0)])
def test_loudness_and_peaks_hold_with_the_mark_in_it(
    tmp_path: Path, strength: float, target: float
) -> None:
    _, wav = read(tmp_path, strength_db=strength, loudness_lufs=target)
    samples = samples_of(wav)
    assert abs(integrated_loudness(samples, SAMPLE_RATE) - target) <= 0.5
    assert true_peak_decibels(samples) <= -3


def test_head_pauses_and_tail_are_quiet_and_as_long_as_asked(
    finished: tuple[Narration, bytes],
) -> None:
    made, wav = finished
    samples = samples_of(wav)
    pauses = [Lengths().before(part.follows) for part in segment(TEXT)]
    edges = [(0.0, made.parts[0].start_seconds)]
    edges += [(one.end_seconds, two.start_seconds) for one, two in itertools.pairwise(made.parts)]
    edges.append((made.parts[-1].end_seconds, made.duration_seconds))
    # The pads of a sound, 60 ms, are part of it and of the pause.
    lengths = [end - start for start, end in edges]
    wanted = [0.5, *(pause - 0.12 for pause in pauses[:-1]), 1.0]
    assert lengths == pytest.approx(wanted, abs=0.001)
    for start, end in edges:
        assert -75 < decibels(stretch(samples, start, end)) < -60
    for part in made.parts:
        assert decibels(stretch(samples, part.start_seconds, part.end_seconds)) > -45


def test_no_join_clicks(finished: tuple[Narration, bytes]) -> None:
    made, wav = finished
    jumps = np.abs(np.diff(samples_of(wav)))
    for part in made.parts:
        for edge in (part.start_seconds, part.end_seconds):
            at = round(edge * SAMPLE_RATE)
            # As in the room tone: 240 samples to each side hold the fades, 10 ms.
            assert jumps[at - 240 : at + 240].max() < 0.002


# Interrupted


@settings(max_examples=8, deadline=None)
@given(
    stops=st.lists(st.integers(0, len(TEXTS) + 30), min_size=1, max_size=3),
    order=st.permutations(range(len(TEXTS))),
)
def test_however_often_it_is_interrupted_the_file_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    finished: tuple[Narration, bytes],
    stops: list[int],
    order: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    engine = Voice(order)
    for stop in stops:
        steps = itertools.count()
        try:
            read(folder, engine, stopped=lambda: next(steps) >= stop)  # noqa: B023
        except Stopped:
            pass
    made, wav = read(folder, engine)
    assert wav == finished[1]
    assert made.parts == finished[0].parts
    # Nothing was asked for twice.
    assert sorted(engine.asked) == list(range(len(TEXTS)))


def test_progress_grows_to_the_end_and_names_its_step(tmp_path: Path) -> None:
    told: list[Progress] = []
    read(tmp_path, on_progress=told.append)
    shares = [progress.share for progress in told]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(0.98)
    steps = [step for step, _ in itertools.groupby(progress.step for progress in told)]
    assert steps == ["speech", "finishing"]


def test_the_time_left_counts_what_was_done_now_and_not_before() -> None:
    now = 0.0
    pace = Pace(100, 60, clock=lambda: now)
    assert (pace.share, pace.seconds_left) == (0.6, None)
    now = 1.0
    pace.advance(10)
    assert pace.seconds_left is None
    now = 10.0
    pace.advance(10)
    assert (pace.share, pace.seconds_left) == (0.8, pytest.approx(10))


# What goes wrong


class SecondThoughts(Voice):
    """Replaces one segment once all are there and amends another; remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[int, Note] = {}

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: Example | None = None,
    ) -> Generator[Spoken | Amended, None, None]:
        self.notes = dict(skip)
        yield from super().speak(segments, seed=seed, skip=skip)
        yield Spoken(1, said(segments[1][:60], 1, seed), {"draws": 9})
        yield Amended(2, {"draws": 8, "alone": {}, "profile": "x"})


def test_a_pause_that_the_text_asks_for_is_as_long(tmp_path: Path) -> None:
    text = f"{TEXTS[0]}\n\n[pause 4s]\n\n{TEXTS[1]} [pause 300ms] {TEXTS[2]}"
    found = {}
    for marks in (False, True):
        narration = narrate(
            text,
            io.BytesIO(),
            engine=Voice(),
            limits=Limits(),
            seed=1,
            mark=Mark(KEY, 1, 1.5, False),
            kept=KeptSegments(Kept(folder=tmp_path)),
            pause_marks=marks,
        )
        found[marks] = [
            two.start_seconds - one.end_seconds for one, two in itertools.pairwise(narration.parts)
        ]
    # The pads of both sounds are a part of the pause.
    assert found[True] == pytest.approx([4 - 0.12, 0.3 - 0.12], abs=0.001)
    assert found[False] != found[True]


def test_what_is_given_anew_replaces_what_was_spoken(tmp_path: Path) -> None:
    engine = SecondThoughts()
    seen: list[float] = []
    made, wav = read(tmp_path, engine, on_progress=lambda told: seen.append(told.share))
    plain, _ = read(tmp_path / "other")
    assert [part.note["draws"] for part in made.parts[:4]] == [1, 9, 8, 4]
    assert set(made.parts[2].note) == {"draws"}
    assert made.parts[0] == plain.parts[0]
    assert (made.parts[1].end_seconds - made.parts[1].start_seconds) != (
        plain.parts[1].end_seconds - plain.parts[1].start_seconds
    )
    assert seen == sorted(seen)
    # Where all is there, it is asked once more, and told what is known.
    again, same = read(tmp_path, engine)
    assert same == wav and again.parts == made.parts
    assert engine.notes[2]["draws"] == 8 and engine.asked.count(0) == 1


def test_a_text_without_letters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unnarratable, match="no letters or digits") as refused:
        narrate(
            "--- ... ---",
            io.BytesIO(),
            engine=Voice(),
            limits=Limits(),
            seed=1,
            mark=Mark(KEY, 1, 1.5, False),
            kept=KeptSegments(Kept(folder=tmp_path)),
        )
    assert refused.value.failure.code is ErrorCode.NOTHING_SPEAKABLE


def test_an_engine_that_leaves_a_segment_out_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match=f"voice spoke {len(TEXTS) - 1} of {len(TEXTS)} segments"):
        read(tmp_path, Voice(loss=2))


@pytest.mark.parametrize("share", [0.1, 0.99])
def test_what_no_wav_file_can_hold_is_refused(
    tmp_path: Path,
    finished: tuple[Narration, bytes],
    monkeypatch: pytest.MonkeyPatch,
    share: float,
) -> None:
    # The first while it is spoken, the second once its pauses are known.
    most = round(share * finished[0].duration_seconds * SAMPLE_RATE)
    monkeypatch.setattr("narrator_daemon.narration.accepting.MOST_SAMPLES", most)
    engine = Voice()
    with pytest.raises(Unnarratable, match="Divide it") as refused:
        read(tmp_path, engine)
    assert refused.value.failure.code is ErrorCode.TEXT_TOO_LONG
    # Nobody waits for hours of speech that cannot be kept.
    assert len(engine.asked) == (1 if share == 0.1 else len(TEXTS))


@pytest.mark.parametrize(
    "other",
    [
        Settings(pauses=Pauses(chapter=3.0)),
        Settings(pauses=Pauses(clause=0.2)),
        Settings(mastering=Mastering(loudness_lufs=-18)),
    ],
)
def test_what_shapes_the_sound_is_in_the_fingerprint(other: Settings) -> None:
    assert fingerprint(Voice(), other) != fingerprint(Voice(), Settings())


def test_another_voice_or_seed_finds_nothing_of_this_one() -> None:
    voice, other = Voice(), Voice()
    other.settings_fingerprint = "voice 2"
    names = {kept_name(voice, 1), kept_name(voice, 2)}
    assert len({*names, kept_name(other, 1)}) == 3
