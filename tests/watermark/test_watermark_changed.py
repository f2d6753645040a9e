"""Copies that play at another speed, and copies that were cut all over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly
from speechlike import RATE, speechlike

from tests.thoroughness import some
from watermark import detect, embed, score_along
from watermark.detection.acquisition import UNCHANGED, Line, acquire
from watermark.detection.evidence import gather
from watermark.detection.features import features_of
from watermark.detection.passes import Passes
from watermark.detection.public_pace import likely_changes, told_tempo
from watermark.detection.public_way import search_public_way
from watermark.detection.scales import find_changes
from watermark.detection.search import Reading
from watermark.detection.stretches import search_stretches
from watermark.detection.warps import likely_home
from watermark.pattern import CELL_SECONDS, CYCLE_CELLS, pattern_of

KEY = bytes(range(32))
BOOK = 4711
BOOKS = range(4000, 5000)
PLAIN = speechlike(30, seed=8)
MARKED = embed(PLAIN, RATE, KEY, BOOK)
Samples = NDArray[np.float32]


def stretched(samples: Samples, tempo: float) -> Samples:
    """Played faster at the same pitch: frames overlapped where they fit one another best."""
    frame, reach = 720, 240
    window = np.hanning(2 * frame).astype(np.float32)
    out = np.zeros(int(len(samples) / tempo) + 4 * frame, np.float32)
    weight = np.zeros_like(out)
    follows = samples[: 2 * frame]
    for number in range(int(len(samples) / tempo / frame) - 3):
        at = int(number * frame * tempo)
        around = samples[max(at - reach, 0) : at + reach + 2 * frame]
        if len(around) < 2 * frame or len(follows) < 2 * frame:
            break
        fit = np.correlate(around, follows, "valid")
        begin = max(at - reach, 0) + int(fit.argmax())
        part = slice(number * frame, number * frame + 2 * frame)
        out[part] += samples[begin : begin + 2 * frame] * window
        weight[part] += window
        follows = samples[begin + frame : begin + 3 * frame]
    return (out / np.maximum(weight, 0.1))[: int(len(samples) / tempo)]


@pytest.mark.parametrize("tempo", some([0.6, 1.75], of=[0.6, 0.8, 1.25, 1.75]))
def test_other_tempos_are_found_and_told(tempo: float) -> None:
    found = detect(stretched(MARKED, tempo), RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.tempo == pytest.approx(tempo, rel=0.004)
    assert (found.speed, found.pitch) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("up", "down"), some([(2, 1), (4, 5), (1, 2)], of=[(2, 1), (4, 3), (4, 5), (2, 3), (1, 2)])
)
def test_other_speeds_are_found_and_told(up: int, down: int) -> None:
    found = detect(resample_poly(MARKED, up, down).astype(np.float32), RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.speed == pytest.approx(down / up, rel=0.004)
    assert (found.tempo, found.pitch) == (1.0, 1.0)


@pytest.mark.parametrize("rate", some([26_122, 16_000], of=[22_050, 26_122, 32_000, 16_000]))
def test_a_wrong_rate_in_the_header_does_not_hide_the_mark(rate: int) -> None:
    found = detect(MARKED, rate, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.speed == pytest.approx(rate / RATE, rel=0.004)


def test_a_pitch_two_semitones_up_is_found_and_told() -> None:
    pitch = 2 ** (2 / 12)
    up = resample_poly(MARKED, 1000, round(1000 * pitch)).astype(np.float32)
    found = detect(stretched(up, 1 / pitch), RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.pitch == pytest.approx(pitch, rel=0.006)


@pytest.mark.parametrize("pitch", [0.98, 1.02])
def test_a_pitch_a_little_off_is_told_though_low_bands_fit_without(pitch: float) -> None:
    strong = embed(PLAIN, RATE, KEY, BOOK, strength_db=3.0)
    off = resample_poly(strong, 1000, round(1000 * pitch)).astype(np.float32)
    found = detect(stretched(off, 1 / pitch), RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.pitch == pytest.approx(pitch, rel=0.006)


def cut(samples: Samples, taken: float, every: float) -> Samples:
    step, rest = int(every * RATE), int((every - taken) * RATE)
    return np.concatenate([samples[i : i + rest] for i in range(0, len(samples), step)])


def shuffled(samples: Samples, seconds: float) -> Samples:
    step = int(seconds * RATE) + 37
    parts = [samples[i : i + step] for i in range(0, len(samples), step)]
    order = np.random.default_rng(4).permutation(len(parts))
    return np.concatenate([parts[i] for i in order])


@pytest.mark.parametrize(
    "copy",
    [cut(MARKED, 0.3, 2), cut(MARKED, 1, 3), shuffled(MARKED, 3), shuffled(MARKED, 2)],
    ids=["0.3 s every 2 s", "1 s every 3 s", "shuffled by 3 s", "shuffled by 2 s"],
)
def test_copies_without_a_common_pace_are_found(copy: Samples) -> None:
    assert detect(copy, RATE, KEY, BOOKS).book_index == BOOK


@pytest.mark.parametrize(
    "copy",
    [shuffled(MARKED, 1), cut(MARKED, 0.3, 1.2), cut(MARKED, 0.12, 0.9)],
    ids=["shuffled by 1 s", "0.3 s every 1.2 s", "0.12 s every 0.9 s"],
)
def test_copies_of_which_no_two_seconds_are_whole_are_found(copy: Samples) -> None:
    assert detect(copy, RATE, KEY, BOOKS).book_index == BOOK


def test_of_the_way_through_a_copy_each_cell_is_told_where_it_comes_from() -> None:
    pattern = pattern_of(KEY)
    copy = cut(MARKED, 0.4, 1.9)
    (way, *_) = search_stretches(pattern, features_of(copy, RATE), len(copy) / RATE, UNCHANGED)
    places = np.concatenate([trail.places for trail in way.trails])
    told = (places - pattern.start(BOOK)) * CELL_SECONDS
    at = np.concatenate([trail.seconds for trail in way.trails])
    true = at + 0.4 * np.floor(at / 1.5)
    assert len(told) > 100
    assert np.mean(np.abs(told - true) < 0.15) > 0.9


def test_look_ups_that_lie_anywhere_have_no_home() -> None:
    draw = np.random.default_rng(3)
    lines = [
        Line(UNCHANGED, float(at), int(draw.integers(CYCLE_CELLS)), float(draw.uniform(4.2, 5.2)))
        for at in np.repeat(np.arange(0, 58, 1.3), 4)
    ]
    assert likely_home(lines, 60.0) is None
    run = [replace(line, place=int(1000 + 1.2 * line.origin / CELL_SECONDS)) for line in lines[::9]]
    home = likely_home(lines + run, 60.0)
    assert home in run
    back = [replace(line, place=int(1000 - line.origin / CELL_SECONDS)) for line in lines[::9]]
    assert likely_home(back, 60.0) is None


def test_cut_and_sped_up_at_once_is_found() -> None:
    # What lies between two cuts must hold a look-up of two seconds more than once.
    copy = stretched(cut(MARKED, 0.4, 6.0), 1.25)
    assert detect(copy, RATE, KEY, BOOKS).book_index == BOOK


BOTH = embed(PLAIN, RATE, KEY, BOOK, public_db=1.2)


@pytest.mark.parametrize("tempo", [0.7, 1.25, 1.9])
def test_the_public_mark_tells_the_tempo_of_sound_that_was_cut(tempo: float) -> None:
    copy = stretched(cut(BOTH, 0.5, 3.0), tempo)
    told = told_tempo(features_of(copy, RATE), copy, RATE)
    assert told == pytest.approx(tempo, rel=0.03)
    assert told is not None
    assert any(abs(each.pace / tempo - 1) < 0.001 for each in likely_changes(told))


def test_where_no_public_mark_is_it_tells_no_tempo() -> None:
    for sound in (PLAIN, MARKED, stretched(MARKED, 1.25), PLAIN[: 2 * RATE]):
        assert told_tempo(features_of(sound, RATE), sound, RATE) is None


@pytest.mark.parametrize(("taken", "every"), [(0.35, 0.8), (0.4, 0.9), (0.5, 1.0)])
def test_the_public_mark_tells_where_less_than_half_a_second_comes_from(
    taken: float, every: float
) -> None:
    pattern = pattern_of(KEY)
    copy = cut(BOTH, taken, every)
    seconds = len(copy) / RATE
    (way, *_) = search_public_way(pattern, features_of(copy, RATE), seconds, UNCHANGED)
    (trail,) = way.trails
    told = (trail.places - pattern.start(BOOK)) * CELL_SECONDS
    true = trail.seconds + taken * np.floor(trail.seconds / (every - taken))
    assert len(told) > 150
    assert np.mean(np.abs(told - true) < 0.15) > 0.8
    assert detect(copy, RATE, KEY, BOOKS).book_index == BOOK
    # Without it nothing tells.
    alone = features_of(cut(MARKED, taken, every), RATE)
    assert search_public_way(pattern, alone, seconds, UNCHANGED) == []


@pytest.mark.parametrize("tempo", [1.25, 1.5])
def test_cut_all_over_and_sped_up_is_found_beside_a_public_mark(tempo: float) -> None:
    found = detect(stretched(cut(BOTH, 0.5, 3.0), tempo), RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.tempo == pytest.approx(tempo, rel=0.045)


def test_the_second_minute_at_a_known_speed_is_found_too() -> None:
    long = np.concatenate([PLAIN, PLAIN * 0.9, PLAIN[::-1], PLAIN, PLAIN[: 20 * RATE]])
    fast = resample_poly(embed(long, RATE, KEY, BOOK), 4, 5).astype(np.float32)
    found = detect(fast, RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.spans[-1].end > 105


def test_unmarked_sound_gives_no_way_and_no_speed() -> None:
    pattern = pattern_of(KEY)
    features = features_of(PLAIN, RATE)
    assert search_public_way(pattern, features, 30.0, UNCHANGED) == []
    assert search_stretches(pattern, features, 30.0, UNCHANGED) == []
    assert find_changes(pattern, features, PLAIN, RATE) == []


@pytest.mark.parametrize(("up", "down"), [(4, 3), (2, 3)])
def test_a_guess_is_made_exact_over_all_that_it_was_found_in(up: int, down: int) -> None:
    """A part of it may say nothing by itself: here its first three seconds are not marked."""
    strong = embed(PLAIN, RATE, KEY, BOOK, strength_db=3.0)
    copy = np.concatenate([PLAIN[: 3 * RATE], strong[3 * RATE : 8 * RATE]])
    played = resample_poly(copy, up, down).astype(np.float32)
    lines = find_changes(pattern_of(KEY), features_of(played, RATE), played, RATE)
    assert lines
    assert lines[0].change.pace == pytest.approx(down / up, rel=0.005)


def test_another_books_mark_at_another_speed_is_not_taken_for_a_candidate() -> None:
    other = embed(PLAIN, RATE, KEY, 9)
    found = detect(resample_poly(other, 4, 5).astype(np.float32), RATE, KEY, range(4000, 5000))
    assert found.book_index in (None, 9)


def test_a_faster_copy_can_be_drawn() -> None:
    fast = resample_poly(MARKED, 4, 5).astype(np.float32)
    trace = score_along(fast, RATE, KEY, BOOK)
    assert np.median(trace.score) > 5
    assert trace.place[-2] == pytest.approx(trace.seconds[-2] * 1.25, abs=0.3)


@pytest.mark.parametrize(("pace", "pitch"), [(1.04, 1.04), (0.96, 1.0), (1.0, 1.045)])
def test_a_stretch_a_little_changed_is_looked_up_where_it_lies(pace: float, pitch: float) -> None:
    """Not by the coarse guesses, which would find it, too: they are for what this leaves."""
    copy = resample_poly(MARKED, 1000, round(1000 * pitch)).astype(np.float32)
    copy = copy if pace == pitch else stretched(copy, pace / pitch)
    line = acquire(pattern_of(KEY), features_of(copy, RATE), 6.0, 24.0)[0]
    assert line.score > 10
    assert 6.0 <= line.origin < 6.0 + line.cell_seconds
    told = pattern_of(KEY).seconds_into(BOOK, line.place)
    assert told == pytest.approx(line.origin * pace, abs=0.3)
    assert (line.change.pace, line.change.pitch) == pytest.approx((pace, pitch), abs=0.009)


def test_a_hit_that_would_not_be_enough_in_the_end_does_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pattern = pattern_of(KEY)
    codeword = pattern.codeword(BOOK)
    over = Passes.over

    def weak_first(self: Passes, *chunk: Any) -> Iterator[list[Reading]]:
        for readings in over(self, *chunk):
            (trail,) = readings[0].trails[:1]
            for cells in range(8, 200):
                part = trail.part(np.arange(len(trail.seconds)) < cells)
                evidence = gather(pattern, [part])
                if codeword @ evidence.bits / np.sqrt(evidence.energy) > 7.3:
                    break
            yield [Reading((part,), 5.0)] * 20
            yield readings

    monkeypatch.setattr(Passes, "over", weak_first)
    assert detect(MARKED, RATE, KEY, BOOKS).score > 20
