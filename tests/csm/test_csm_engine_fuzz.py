"""Eight callers at once, of all kinds, with memory that runs out and values that are damaged."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import csm
from csm import CsmError, Engine, Sampling, Voice
from csm.engine import batch, codec
from csm.engine.model import Model
from csm.engine.operands.slots import Slots
from tests.thoroughness import THOROUGH

WAIT = 120.0
CALLERS, BOOKS = 8, 6 if THOROUGH else 2
WORDS = ["Call", "me", "Ishmael", "some", "years", "ago", "never", "mind"]
SAMPLING = Sampling(temperature=0.05, cap_factor=0.3, cap_seconds=0.1)


@pytest.fixture
def engine(endless: Path) -> Iterator[Engine]:
    checkpoint = csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32)
    engine = Engine(checkpoint, SAMPLING, slots=8)
    yield engine
    engine.close()


def voices() -> list[Voice]:
    draw = torch.Generator().manual_seed(0)
    return [
        Voice("Noise.", torch.randint(0, 2048, (frames, 32), generator=draw))
        for frames in (3, 12, 200)
    ]


def narrate(engine: Engine, number: int, some: list[Voice]) -> list[str]:
    """Some books of one caller; what of it went wrong."""
    draw, wrong = random.Random(number), []
    for book in range(BOOKS):
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 6))) for _ in range(5)]
        skip = {index for index in range(5) if draw.random() < 0.2}
        leave = draw.randint(1, 4) if draw.random() < 0.3 else None
        voice = draw.choice([*some, None])
        takes: dict[int, csm.Take] = {}
        name = f"caller {number}, book {book}"
        try:
            speech = engine.speak(texts, seed=draw.randint(0, 99), voice=voice, skip=skip)
            for take in speech:
                if take.index in takes:
                    wrong.append(f"{name}: segment {take.index} twice")
                takes[take.index] = take
                if leave is not None and len(takes) >= leave:
                    speech.close() if draw.random() < 0.5 else None
                    break
        except CsmError as error:
            # Values may be damaged twice in the same segment; nothing else may reach a caller.
            if "no numbers" not in str(error):
                wrong.append(f"{name}: {error}")
            continue
        if leave is None and set(takes) != set(range(5)) - skip:
            wrong.append(f"{name}: {sorted(takes)} of {sorted(set(range(5)) - skip)}")
        wrong += [
            f"{name}: {len(take.codes)} frames, {len(take.samples)} samples"
            for take in takes.values()
            if not len(take.codes) * 1920 == len(take.samples) > 0
            or not np.isfinite(take.samples).all()
        ]
    return wrong


def test_eight_callers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = random.Random(7)
    frame, decode, done = batch.decode_one_frame, codec.decode_batch, {"memory": 0, "damage": 0}

    def troubled(model: Model, slots: Slots, sampler: Any) -> None:
        chance = trouble.random()
        if chance < 0.03 and slots.count > 2:
            done["memory"] += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        if chance > 0.96:
            done["damage"] += 1
            with torch.inference_mode():
                slots.inputs[trouble.randrange(slots.count)] = float("nan")
        frame(model, slots, sampler)

    def short(*arguments: Any) -> Any:
        if trouble.random() < 0.1 and engine.occupancy.slots > 1:
            done["memory"] += 1
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return decode(*arguments)

    monkeypatch.setattr(batch, "decode_one_frame", troubled)
    monkeypatch.setattr(codec, "decode_batch", short)
    some, wrong = voices(), []
    threads = [
        threading.Thread(target=lambda number=number: wrong.extend(narrate(engine, number, some)))
        for number in range(CALLERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert wrong == []
    assert done["memory"] >= 2 and done["damage"] >= 3
    gc.collect()  # What was dropped without being closed.
    monkeypatch.undo()
    # All is as if nothing had been, but for the slots.
    alone = list(engine.speak(["Call me Ishmael."] * 4, seed=0, voice=some[0]))
    assert len(alone) == 4
    now = engine.occupancy
    assert now.occupied == 0 and 1 <= now.slots < 8


def test_hundreds_of_segments_leave_nothing_behind(engine: Engine) -> None:
    some = voices()

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    counts = []
    for round_ in range(4):
        for book in range(3):
            for number, _ in enumerate(
                engine.speak(["No."] * 15, seed=book, voice=Voice("N.", some[book % 3].codes))
            ):
                assert number < 15
        if round_ >= 2:
            counts.append(tensors())
    # A few voices' keys and values are kept, and no more of them than there are.
    assert counts[1] <= counts[0]
    assert len(engine._core._batch._prefixes) <= batch.PREFIXES  # type: ignore[union-attr]
