"""Segments that begin at once: as a GPU begins them, tried on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import csm
from csm import Engine, Sampling, Voice
from csm.engine import batch, starts
from csm.engine.batch import Batch
from csm.engine.model import Model
from csm.engine.operands.slots import Slots
from csm.engine.script import Scribe
from csm.engine.starts import USUAL, Start, Together

SLOTS = 6
TEXTS = ["Call me Ishmael.", "Some years ago.", "No.", "It was wise.", "It was not.", "I sail."]


class Made:
    """A model, and voices of some lengths computed with it."""

    def __init__(self, folder: Path) -> None:
        checkpoint = loaded(folder)
        scribe = Scribe(checkpoint.config, checkpoint.tokenizer, Sampling())
        self.model = Model(checkpoint)
        self.prefixes: dict[int, torch.Tensor | None] = {0: None}
        for frames in (1, 30, 500):
            codes = torch.arange(frames * 32).view(frames, 32) % 2048
            prompt = scribe.voice(Voice("Noise.", codes))
            self.prefixes[frames] = starts.voice_prefix(self.model, prompt)

    def start(self, slot: int, tokens: int, voice: int) -> Start:
        draw = torch.Generator().manual_seed(1000 * tokens + voice)
        ids = torch.randint(0, 256, (tokens,), generator=draw)
        return Start(slot, ids, self.prefixes[voice], 10 + tokens, 7 * tokens + voice)

    def begun(self, *all_starts: Start) -> Slots:
        slots = Slots(self.model, SLOTS)
        # What was there before is no zeros.
        with torch.inference_mode():
            slots.cache.fill_(0.5)
        Together(self.model, slots, lambda _done, _of: None).begin(all_starts)
        return slots


def loaded(folder: Path) -> csm.Checkpoint:
    checkpoint = csm.load_checkpoint(str(folder), device="cpu", dtype=torch.float32)
    for name, weight in checkpoint.tensors.items():
        if "self_attn" in name:
            weight.mul_(8)  # So that it is heard what is said, and by whom.
    return checkpoint


@pytest.fixture(scope="module")
def made(endless: Path) -> Made:
    return Made(endless)


#: Tokens of a text: those at a step and beside it, too, and one of its own shape.
TOKENS = st.sampled_from([2, 3, 30, 63, 64, 65, 128, 129, 256, 257, 300])
ALL = st.lists(st.tuples(TOKENS, st.sampled_from([0, 1, 30, 500])), min_size=1, max_size=SLOTS)


@settings(max_examples=20, deadline=None)
@given(ALL)
def test_together_is_as_alone(made: Made, shapes: list[tuple[int, int]]) -> None:
    begun = [made.start(slot, *shape) for slot, shape in enumerate(shapes)]
    slots = made.begun(*begun)
    for start in begun:
        expected = Slots(made.model, SLOTS)
        starts.put(expected, start, starts.alone(made.model, start))
        slot, end = start.slot, start.position
        assert torch.allclose(
            slots.cache[:, slot, :, :, :end], expected.cache[:, slot, :, :, :end], atol=1e-4
        )
        assert torch.equal(slots.inputs[slot], expected.inputs[slot])
        assert torch.equal(slots.state.values[:, slot], expected.state.values[:, slot])
    # Nobody else's slot is touched.
    others = slice(len(begun), SLOTS)
    assert (slots.cache[:, others] == 0.5).all() and (slots.done[others] == 1).all()


@settings(max_examples=20, deadline=None)
@given(ALL, st.integers(0, SLOTS - 1), st.randoms(use_true_random=False))
def test_who_begins_beside_it_changes_no_bit(
    made: Made, shapes: list[tuple[int, int]], place: int, random: Any
) -> None:
    shape = shapes[place % len(shapes)]
    numbers = random.sample(range(SLOTS), len(shapes))
    others = [made.start(slot, *each) for slot, each in zip(numbers, shapes, strict=True)]
    mine = others[place % len(shapes)]
    alone = made.begun(made.start(0, *shape))
    beside = made.begun(*others)
    end = mine.position
    assert torch.equal(alone.cache[:, 0, :, :, :end], beside.cache[:, mine.slot, :, :, :end])
    assert torch.equal(alone.inputs[0], beside.inputs[mine.slot])


def test_passes_of_usual_shapes_are_captured_and_told(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []

    class Recording:
        def __init__(self, step: Any, _device: Any, on_progress: Any) -> None:
            self.step = step
            on_progress(1, 1)

        def __call__(self) -> None:
            runs.append(1)
            self.step()

    monkeypatch.setattr(starts, "Captured", Recording)
    progress: list[tuple[int, int]] = []
    together = Together(
        made.model, Slots(made.model, SLOTS), lambda done, of: progress.append((done, of))
    )
    assert progress == [(number + 1, len(USUAL)) for number in range(len(USUAL))]
    together.begin([made.start(slot, 20 + slot, 30) for slot in range(5)])
    assert len(runs) == 2  # Four at once, and one.
    together.begin([made.start(0, 300, 0), made.start(1, 200, 30)])
    assert len(runs) == 2


def test_a_start_at_the_models_last_position(made: Made) -> None:
    positions = made.model.positions
    start = Start(1, torch.arange(positions) % 256, None, 1, 0)
    slots = made.begun(start)
    expected = starts.alone(made.model, start)
    assert torch.allclose(slots.cache[:, 1, :, :, : positions - 1], expected.cache, atol=1e-4)
    assert int(slots.positions[1]) == positions - 1


@pytest.fixture
def engines(endless: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Engine]]:
    """One that begins segments beside the frames, one that begins them together."""
    made = Batch.__init__

    def as_on_a_gpu(self: Batch, *arguments: Any) -> None:
        made(self, *arguments)
        if self.count == 5:
            self.close()
            self._beside = None

    monkeypatch.setattr(batch.Batch, "__init__", as_on_a_gpu)
    varied = Sampling(temperature=0.05, cap_factor=0.5, cap_seconds=0.1)
    both = [Engine(loaded(endless), varied, slots=count) for count in (4, 5)]
    yield both
    for engine in both:
        engine.close()


def test_an_engine_that_begins_segments_together(engines: list[Engine]) -> None:
    codes = torch.randint(1, 2048, (12, 32), generator=torch.Generator().manual_seed(0))
    voice = Voice("Noise.", codes)
    beside, together = (
        {take.index: take.codes.tolist() for take in engine.speak(TEXTS, seed=5, voice=voice)}
        for engine in engines
    )
    assert beside == together
    # In company or not, exactly the same.
    other = engines[1].speak(TEXTS[::-1], seed=9, voice=Voice("Other.", codes.flip(0)))
    again = {
        take.index: take.codes.tolist()
        for take in engines[1].speak(TEXTS, seed=5, voice=voice, skip=[0, 3])
    }
    assert again == {index: codes for index, codes in together.items() if index not in (0, 3)}
    assert len(list(other)) == len(TEXTS)
