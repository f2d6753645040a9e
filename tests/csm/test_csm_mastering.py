import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from csm.mastering import mastering
from csm.mastering.levels import level_gains
from csm.mastering.limiter import limited
from csm.mastering.loudness import (
    gated_loudness,
    integrated_loudness,
    k_weighting,
    step_energies,
    step_samples,
    true_peak_decibels,
    true_peaks,
)
from csm.mastering.mastering import InnerPause, Mastering, Part, pcm16
from csm.mastering.sounds import sentence_gaps

Samples = NDArray[np.float32]
HEAD, TAIL, PAD = 0.5, 1.0, 0.06


def speech(seconds: float, seed: int = 0, level: float = 0.1) -> Samples:
    """Noise in syllables, which has the crest and the gaps of speech."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.convolve(random.standard_normal(len(time) + 9), np.hanning(9), mode="valid")[1:]
    swell = np.abs(np.sin(2 * np.pi * 2 * time)) ** 1.5
    return (level * noise * swell / 2).astype(np.float32)


def parts_of(takes: list[tuple[Samples, float]]) -> list[Part]:
    return [Part(samples, pause) for samples, pause in takes]


def master(takes: list[tuple[Samples, float]], **more: float) -> Samples:
    return np.concatenate(list(Mastering(parts_of(takes), **more).blocks()))


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32)


def sine(hertz: float, seconds: float, level: float = 0.3, phase: float = 0.0) -> Samples:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * hertz * time + phase)).astype(np.float32)


def decibels(samples: Samples) -> float:
    return 10 * math.log10(float(np.mean(samples.astype(np.float64) ** 2)) + 1e-30)


def sounding(samples: Samples) -> list[tuple[float, float]]:
    """Start and end in seconds of each stretch of sound, where 200 ms of quiet part them."""
    frame = SAMPLE_RATE // 200
    level = np.array(
        [decibels(part) for part in samples[: len(samples) // frame * frame].reshape(-1, frame)]
    )
    loud = np.flatnonzero(level > -55)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 40) + 1)
    return [(group[0] / 200, (group[-1] + 1) / 200) for group in groups if len(group)]


# Measuring


def test_a_full_sine_has_the_loudness_of_the_standard() -> None:
    assert integrated_loudness(sine(997, 5, 1.0), SAMPLE_RATE) == pytest.approx(-3.01, abs=0.05)
    assert integrated_loudness(sine(997, 5, 0.1), SAMPLE_RATE) == pytest.approx(-23.01, abs=0.05)


def test_the_filters_are_the_standards_at_48_khz() -> None:
    shelf, high_pass = k_weighting(48_000)
    assert shelf == pytest.approx(
        [
            1.53512485958697,
            -2.69169618940638,
            1.19839281085285,
            1,
            -1.69065929318241,
            0.73248077421585,
        ],
        abs=1e-9,
    )
    assert high_pass == pytest.approx([1, -2, 1, 1, -1.99004745483398, 0.99007225036621], abs=1e-9)


def test_silence_and_what_is_far_quieter_do_not_count() -> None:
    loud = sine(997, 8, 0.2)
    alone = integrated_loudness(loud, SAMPLE_RATE)
    with_silence = integrated_loudness(np.concatenate((loud, silence(8))), SAMPLE_RATE)
    with_murmur = integrated_loudness(np.concatenate((loud, sine(997, 8, 0.005))), SAMPLE_RATE)
    assert with_silence == pytest.approx(alone, abs=0.15)
    assert with_murmur == pytest.approx(alone, abs=0.15)
    assert integrated_loudness(silence(3), SAMPLE_RATE) == -math.inf


def test_the_true_peak_lies_between_the_samples() -> None:
    tone = sine(SAMPLE_RATE / 4, 1, 1.0, phase=math.pi / 4)
    assert 20 * math.log10(np.abs(tone).max()) == pytest.approx(-3.01, abs=0.01)
    assert true_peak_decibels(tone[1000:-1000]) == pytest.approx(0, abs=0.35)


def test_the_true_peak_of_a_long_sound_does_not_depend_on_where_its_peak_lies() -> None:
    # Longer than the stretch that is worked on at once; the peak stands at and around its edges.
    burst = sine(SAMPLE_RATE / 4, 0.01, 0.9, phase=math.pi / 4)
    expected = true_peak_decibels(np.concatenate((silence(1), burst, silence(1))))
    for position in ((1 << 18) - 240, (1 << 18) - 120, 1 << 18):
        long = silence(25)
        long[position : position + len(burst)] = burst
        assert true_peak_decibels(long) == pytest.approx(expected, abs=1e-3)


# The finished narration


@pytest.fixture(scope="module")
def narration() -> Samples:
    parts = [
        (np.concatenate((silence(0.3), speech(3, 1), silence(0.5))), 0.35),
        (speech(2, 2, level=0.15), 0.9),
        (np.concatenate((speech(1, 3), silence(0.7), speech(1, 4), silence(1))), 0.35),
        (speech(4, 5), 0.0),
    ]
    return master(parts)


def test_loudness_peak_and_level_hold(narration: Samples) -> None:
    assert narration.dtype == np.float32
    assert abs(integrated_loudness(narration, SAMPLE_RATE) + 20) <= 0.5
    assert true_peak_decibels(narration) <= -3
    assert -23 <= decibels(narration) <= -18


def test_pauses_are_as_long_as_asked_and_inner_silence_is_kept(narration: Samples) -> None:
    stretches = sounding(narration)
    assert len(stretches) == 5
    gaps = [second[0] - first[1] for first, second in itertools.pairwise(stretches)]
    assert gaps == pytest.approx([0.35, 0.9, 0.7, 0.35], abs=0.06)


def test_head_and_tail_are_there(narration: Samples) -> None:
    stretches = sounding(narration)
    assert stretches[0][0] == pytest.approx(HEAD + PAD, abs=0.04)
    assert len(narration) / SAMPLE_RATE - stretches[-1][1] == pytest.approx(TAIL + PAD, abs=0.04)


def test_pauses_hold_quiet_room_tone_and_never_digital_zero(narration: Samples) -> None:
    stretches = sounding(narration)
    edges = [(0.0, stretches[0][0])] + [
        (first[1], second[0]) for first, second in itertools.pairwise(stretches)
    ]
    for start, end in [*edges, (stretches[-1][1], len(narration) / SAMPLE_RATE)]:
        quiet = narration[round((start + 0.08) * SAMPLE_RATE) : round((end - 0.08) * SAMPLE_RATE)]
        assert -75 < decibels(quiet) < -60
    assert np.mean(pcm16(narration[: SAMPLE_RATE // 3]) == 0) < 0.3


def test_joins_do_not_click() -> None:
    # Segments that start and end in mid-swing: cut straight, each join would be a jump of 0.3.
    tone = sine(200, 1, 0.3, phase=math.pi / 2)
    finished = master([(tone, 0.35)] * 4)
    smooth = 2 * np.pi * 200 / SAMPLE_RATE * np.abs(finished).max()
    assert np.abs(np.diff(finished)).max() < 1.3 * smooth


def test_peaky_sound_is_limited_and_not_clipped() -> None:
    peaky = speech(6, 7, level=0.02)
    for position in range(SAMPLE_RATE // 2, len(peaky) - 100, SAMPLE_RATE // 3):
        peaky[position : position + 48] += sine(SAMPLE_RATE / 4, 0.002, 0.9, phase=math.pi / 4)
    finished = master([(peaky, 0.0)])
    assert true_peak_decibels(finished) <= -3
    assert abs(integrated_loudness(finished, SAMPLE_RATE) + 20) <= 0.5
    top = np.abs(finished) > 0.999 * np.abs(finished).max()
    assert np.count_nonzero(top) < 40


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 30_000), min_size=1, max_size=4),
    level=st.floats(0.01, 3),  # what 30 dB of gain bring to any target
    pause=st.floats(0, 2),
    target=st.floats(-26, -18),
    seed=st.integers(0, 99),
)
def test_any_speech_keeps_the_promises(
    lengths: list[int], level: float, pause: float, target: float, seed: int
) -> None:
    parts = [(speech(n / SAMPLE_RATE, seed + k, level), pause) for k, n in enumerate(lengths)]
    finished = master(parts, target_lufs=target)
    assert np.isfinite(finished).all()
    assert len(finished) >= (HEAD + TAIL) * SAMPLE_RATE
    assert true_peak_decibels(finished) <= -3
    if max(lengths) >= SAMPLE_RATE:
        assert abs(integrated_loudness(finished, SAMPLE_RATE) - target) <= 0.5


# Pauses inside a take


def sentences(lengths: list[float], gaps: list[float], seed: int = 0) -> Samples:
    """Sounds with silences between them, and short gaps inside each as words have."""
    parts = [speech(length, seed + n) for n, length in enumerate(lengths)]
    between = [silence(gap) for gap in gaps] + [silence(0)]
    return np.concatenate([one for pair in zip(parts, between, strict=True) for one in pair])


def inner(lengths: list[float], seconds: float) -> tuple[InnerPause, ...]:
    total = sum(lengths)
    return tuple(
        InnerPause(sum(lengths[: n + 1]) / total, seconds) for n in range(len(lengths) - 1)
    )


@pytest.mark.parametrize("made", [0.2, 0.3, 0.6, 1.2])
def test_a_sentence_inside_a_take_pauses_as_long_as_between_takes(made: float) -> None:
    lengths = [2.0, 3.0, 1.5]
    take = sentences(lengths, [made, made])
    parts = [Part(take, 0.45, inner(lengths, 0.45)), Part(speech(2, 9), 0.0)]
    mastering = Mastering(parts)
    stretches = sounding(np.concatenate(list(mastering.blocks())))
    gaps = [second[0] - first[1] for first, second in itertools.pairwise(stretches)]
    assert gaps == pytest.approx([0.45] * 3, abs=0.06)
    starts = [start / SAMPLE_RATE for start in mastering.sentences[0]]
    assert starts == pytest.approx([one[0] for one in stretches[:3]], abs=0.08)


def test_a_pause_inside_a_sentence_is_left_as_it_was() -> None:
    # The comma's pause is nearer the middle than the full stop's, and shorter.
    take = sentences([1.0, 1.2, 2.0], [0.25, 0.5])
    parts = [Part(take, 0.0, (InnerPause(2.2 / 4.2, 0.9),))]
    stretches = sounding(np.concatenate(list(Mastering(parts).blocks())))
    gaps = [second[0] - first[1] for first, second in itertools.pairwise(stretches)]
    assert gaps == pytest.approx([0.25, 0.9], abs=0.06)


def test_a_longer_pause_far_from_the_sentences_end_is_not_taken_for_it() -> None:
    take = sentences([1.0, 3.0, 3.0], [0.6, 0.3])
    parts = [Part(take, 0.0, (InnerPause(4 / 7, 0.9),))]
    stretches = sounding(np.concatenate(list(Mastering(parts).blocks())))
    gaps = [second[0] - first[1] for first, second in itertools.pairwise(stretches)]
    assert gaps == pytest.approx([0.6, 0.9], abs=0.06)


def test_where_the_voice_made_no_pause_none_is_put() -> None:
    take = speech(4, 1)
    parts = [Part(take, 0.0, (InnerPause(0.5, 2.75),))]
    mastering = Mastering(parts)
    assert mastering.length == pytest.approx(
        len(take) + (HEAD + TAIL + 2 * PAD) * SAMPLE_RATE, abs=SAMPLE_RATE // 10
    )
    assert mastering.sentences[0][1] == pytest.approx(
        mastering.sentences[0][0] + len(take) / 2, abs=SAMPLE_RATE // 5
    )


def test_a_trace_of_a_pause_does_not_become_a_chapters() -> None:
    take = sentences([2.0, 2.0], [0.12])
    parts = [Part(take, 0.0, (InnerPause(0.5, 2.75),))]
    stretches = sounding(np.concatenate(list(Mastering(parts).blocks())))
    gaps = [second[0] - first[1] for first, second in itertools.pairwise(stretches)]
    assert max(gaps) < 0.9


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.floats(0.05, 2), min_size=1, max_size=5),
    gaps=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    shares=st.lists(st.floats(0, 1), max_size=5),
    wanted=st.floats(0.12, 3),
)
def test_whatever_the_pauses_no_sound_is_lost(
    lengths: list[float], gaps: list[float], shares: list[float], wanted: float
) -> None:
    take = sentences(lengths, gaps[: len(lengths) - 1])
    marked = tuple(InnerPause(share, wanted) for share in sorted(shares))
    plain = np.concatenate(list(Mastering([Part(take, 0.0)]).blocks()))
    shaped = Mastering([Part(take, 0.0, marked)])
    energy = float(np.sum(np.square(plain, dtype=np.float64)))
    kept = float(np.sum(np.square(np.concatenate(list(shaped.blocks())), dtype=np.float64)))
    # Levels meet the same target over another length: compare what is left of the energy loosely.
    assert kept == pytest.approx(energy, rel=0.25)
    assert len(shaped.sentences[0]) == len(marked) + 1
    assert list(shaped.sentences[0]) == sorted(shaped.sentences[0])
    found = sentence_gaps(take, SAMPLE_RATE, sorted(shares))
    places = [gap for gap in found if gap]
    assert places == sorted(set(places))


# Levels


def levels(mastering: Mastering) -> list[float]:
    whole = np.concatenate(list(mastering.blocks()))
    return [integrated_loudness(whole[start:end], SAMPLE_RATE) for start, end in mastering.spans]


def test_takes_that_are_far_apart_come_near_and_keep_their_order() -> None:
    parts = parts_of(
        [(speech(3, n, level), 0.45) for n, level in enumerate((0.1, 0.035, 0.3, 0.09, 0.1))]
    )
    found = levels(Mastering(parts))
    assert max(found) - min(found) <= 2
    # The quieter one stays the quieter one.
    assert found[1] == pytest.approx(min(found), abs=0.05)
    assert found[2] == max(found)


def test_a_whisper_and_a_shout_stay_what_they_are() -> None:
    parts = [
        Part(speech(3, 1, 0.1), 0.45),
        Part(speech(3, 2, 0.06), 0.45, (), (-4.0, 0.8)),
        Part(speech(3, 3, 0.14), 0.45, (), (-0.8, 3.0)),
        Part(speech(3, 4, 0.1), 0.45),
    ]
    plain, whisper, shout, _ = levels(Mastering(parts))
    assert -4.2 < whisper - plain < -2.5
    assert 2 < shout - plain < 3.2


@given(
    takes=st.lists(st.tuples(st.floats(-60, -5), st.floats(0.1, 30)), min_size=1, max_size=12),
    silent=st.integers(0, 12),
)
def test_levels_end_within_what_is_allowed(takes: list[tuple[float, float]], silent: int) -> None:
    loudness = [one for one, _ in takes]
    loudness.insert(silent % (len(loudness) + 1), -math.inf)
    seconds = [length for _, length in takes] + [1.0]
    gains = level_gains(loudness, seconds, [(-0.8, 0.8)] * len(loudness))
    assert all(abs(gain) <= 18 for gain in gains)
    after = [one + gain for one, gain in zip(loudness, gains, strict=True) if abs(gain) < 18]
    heard = [one for one in after if one > -math.inf]
    assert max(heard, default=0) - min(heard, default=0) <= 1.6 + 1e-6


# In a stream: a segment at a time is as good as the whole file at once


class OnDisk:
    """Segments that are made anew at each reading, as if read from a file."""

    def __init__(self, parts: list[tuple[Samples, float]]) -> None:
        self._parts = parts
        self.readings = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int, /) -> Part:
        self.readings += 1
        samples, pause = self._parts[number]
        return Part(samples.copy(), pause)


def peaky(seed: int) -> Samples:
    samples = speech(2, seed, level=0.05)
    samples[9000:9048] += sine(SAMPLE_RATE / 4, 0.002, 0.9, phase=math.pi / 4)
    return samples


def test_what_is_not_remembered_is_read_again_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = [(peaky(1), 0.35), (speech(1, 2), 0.9), (silence(1), 0.2), (peaky(3), 0.0)]
    whole = master(parts)
    monkeypatch.setattr(mastering, "_REMEMBERED", 0)
    source = OnDisk(parts)
    streamed = Mastering(source)
    blocks = list(streamed.blocks())
    assert np.array_equal(np.concatenate(blocks), whole)
    assert np.array_equal(np.concatenate(list(streamed.blocks())), whole)
    assert source.readings > 2 * len(parts)
    assert max(map(len, blocks)) < 3 * SAMPLE_RATE


def test_what_it_says_of_the_whole_is_so() -> None:
    streamed = Mastering(parts_of([(peaky(1), 0.35), (silence(1), 0.0), (speech(2, 2), 0.0)]))
    whole = np.concatenate(list(streamed.blocks()))
    assert streamed.length == len(whole)
    assert streamed.loudness == pytest.approx(integrated_loudness(whole, SAMPLE_RATE), abs=0.005)
    (first, start), (nothing, nowhere), (second, end) = streamed.spans
    assert nothing == nowhere == start
    assert first == HEAD * SAMPLE_RATE
    assert second - start == pytest.approx((0.35 - 2 * PAD) * SAMPLE_RATE, abs=1)
    assert end == len(whole) - TAIL * SAMPLE_RATE


def test_no_more_is_remembered_than_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [(speech(1, number), 0.35) for number in range(6)]
    # With their pads, two of the six fit.
    monkeypatch.setattr(mastering, "_REMEMBERED", round(2.5 * SAMPLE_RATE))
    source = OnDisk(parts)
    streamed = Mastering(source)
    measured = source.readings
    list(streamed.blocks())
    assert source.readings - measured == 4


@settings(deadline=None, max_examples=30)
@given(gaps=st.lists(st.integers(0, 20_000), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_sounds_apart_measure_as_they_do_together(gaps: list[int], seed: int) -> None:
    pad = silence(PAD)
    total = np.zeros(0)
    whole = silence(0.1)
    for number, gap in enumerate(gaps):
        sound = np.concatenate((pad, speech(0.7, seed + number), pad))
        start = len(whole) + gap
        whole = np.concatenate((whole, silence(gap / SAMPLE_RATE), sound))
        energies = step_energies(sound, SAMPLE_RATE, start)
        first = start // step_samples(SAMPLE_RATE)
        total = np.pad(total, (0, first + len(energies) - len(total)))
        total[first:] += energies
    together = integrated_loudness(whole, SAMPLE_RATE)
    assert gated_loudness(total, len(whole), SAMPLE_RATE) == pytest.approx(together, abs=1e-4)


def test_the_limiter_does_to_sounds_apart_what_it_does_to_them_together() -> None:
    sounds = [np.concatenate((silence(PAD), peaky(seed), silence(PAD))) for seed in (1, 2, 3)]
    # A peak right after the pad, where its curve reaches furthest towards the edge.
    sounds[1][round(PAD * SAMPLE_RATE)] = 0.9
    whole = np.concatenate(sounds)
    together = limited(whole, true_peaks(whole), 2.0, 0.5, SAMPLE_RATE)
    apart = [limited(sound, true_peaks(sound), 2.0, 0.5, SAMPLE_RATE) for sound in sounds]
    assert np.abs(np.concatenate(apart) - together).max() < 1e-6
    assert np.abs(together).max() <= 0.5


# Odd input


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(bad: float) -> None:
    broken = speech(1)
    broken[100] = bad
    with pytest.raises(ValueError, match="segment 1 holds NaN or infinity"):
        master([(speech(1), 0.35), (broken, 0.0)])


def test_wrong_shapes_and_pauses_are_refused() -> None:
    with pytest.raises(ValueError, match="2 dimensions"):
        master([(speech(1).reshape(1, -1), 0.0)])
    with pytest.raises(ValueError, match="pause after segment 0"):
        master([(speech(1), -0.1)])


@pytest.mark.parametrize("parts", [[], [(silence(2), 0.35)], [(silence(0), 0.0)]])
def test_without_any_sound_there_is_room_tone(parts: list[tuple[Samples, float]]) -> None:
    finished = master(parts)
    assert len(finished) == round((HEAD + TAIL) * SAMPLE_RATE)
    assert -75 < decibels(finished) < -60


def test_a_silent_segment_leaves_one_pause() -> None:
    finished = master([(speech(1, 1), 0.35), (silence(1), 0.9), (speech(1, 2), 0.0)])
    first, second = sounding(finished)
    assert second[0] - first[1] == pytest.approx(0.9, abs=0.08)


def test_one_sample_is_enough() -> None:
    finished = master([(np.array([0.5], dtype=np.float32), 0.0)])
    assert true_peak_decibels(finished) <= -3


def test_noise_alone_is_not_raised_without_end() -> None:
    faint = speech(3, 1, level=0.001)
    assert integrated_loudness(master([(faint, 0.0)]), SAMPLE_RATE) < -28


def test_quiet_final_consonants_stay() -> None:
    word = speech(1, 1)
    consonant = speech(0.05, 2, level=0.1 * 10 ** (-32 / 20))
    finished = master([(np.concatenate((word, consonant, silence(1))), 0.0)])
    spoken = len(finished) / SAMPLE_RATE - HEAD - TAIL - 2 * PAD
    assert spoken >= 1.04


def test_it_repeats_itself() -> None:
    parts = [(speech(1, 1), 0.35), (speech(1, 2), 0.0)]
    assert np.array_equal(master(parts), master(parts))


def test_the_input_is_left_as_it_was() -> None:
    part = speech(1, 1)
    before = part.copy()
    master([(part, 0.0)])
    assert np.array_equal(part, before)


def test_pcm_rounds_and_clips() -> None:
    samples = np.array([0, 1, -1, 2, -2, 0.5 / 32767, 0.4 / 32767, 1.6 / 32767], dtype=np.float32)
    assert pcm16(samples).tolist() == [0, 32767, -32767, 32767, -32768, 0, 0, 2]
    with pytest.raises(ValueError, match="NaN"):
        pcm16(np.array([np.nan], dtype=np.float32))


def test_mastering_and_text_need_no_torch() -> None:
    code = (
        "import sys, csm.mastering.mastering, csm.text;"
        "sys.exit('torch' in sys.modules or 'torchaudio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
