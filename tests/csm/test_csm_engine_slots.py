"""Many segments at once: in any slot, beside any others, in any order, with any trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import csm
from csm import CsmError, Engine, OutOfMemory, Sampling, Take, Voice
from csm.engine import batch, codec
from csm.engine.batch import Batch
from csm.engine.model import Model
from csm.engine.operands.slots import Slots
from csm.engine.reports import Reports
from csm.engine.streams import Stream

WAIT = 60.0
TEXTS = ["Call me Ishmael.", "Some years ago.", "No.", "It was wise.", "It was not.", "I sail."]
#: Small random weights give logits that differ little; at this they count as much as the noise.
COLD = Sampling(temperature=0.05)
SHORT = 0.4


def checkpoint(folder: Path) -> csm.Checkpoint:
    loaded = csm.load_checkpoint(str(folder), device="cpu", dtype=torch.float32)
    for name, weight in loaded.tensors.items():
        if "self_attn" in name:
            weight.mul_(8)  # So that it is heard what is said, and by whom.
    return loaded


@pytest.fixture(scope="module")
def engine(endless: Path) -> Iterator[Engine]:
    """Four slots; segments are of many lengths. Not to be broken."""
    varied = Sampling(temperature=0.05, cap_factor=0.5, cap_seconds=0.1)
    engine = Engine(checkpoint(endless), varied, slots=4)
    yield engine
    engine.close()


@pytest.fixture
def runner(endless: Path) -> Iterator[Engine]:
    """Four slots, to be broken; segments run to their caps."""
    engine = Engine(checkpoint(endless), COLD, slots=4)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def voice() -> Voice:
    codes = torch.randint(1, 2048, (12, 32), generator=torch.Generator().manual_seed(0))
    return Voice("Noise.", codes)


def by_index(takes: list[Take]) -> dict[int, torch.Tensor]:
    return {take.index: take.codes for take in takes}


def same(one: dict[int, torch.Tensor], other: dict[int, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def each_frame(patch: pytest.MonkeyPatch, act: Callable[[int, Slots], object]) -> None:
    """Do something before each frame, with its number from 1."""
    count, frame = 0, batch.decode_one_frame

    def counted(model: Model, slots: Slots, sampler: Any) -> None:
        nonlocal count
        count += 1
        act(count, slots)
        frame(model, slots, sampler)

    patch.setattr(batch, "decode_one_frame", counted)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_codes_do_not_depend_on_slot_neighbours_or_order(engine: Engine, voice: Voice) -> None:
    together = by_index(list(engine.speak(TEXTS, seed=5, voice=voice)))
    assert len({tuple(codes.flatten().tolist()) for codes in together.values()}) == len(TEXTS)
    assert len({len(codes) for codes in together.values()}) > 3
    # Alone, in other slots, refilled in another order, beside another book.
    for index in range(len(TEXTS)):
        skip = set(range(len(TEXTS))) - {index}
        with_others = engine.speak(TEXTS[::-1], seed=9, voice=voice) if index % 2 else None
        alone = by_index(list(engine.speak(TEXTS, seed=5, voice=voice, skip=skip)))
        assert torch.equal(alone[index], together[index])
        if with_others is not None:
            with_others.close()


def test_a_short_book_is_done_long_before_a_long_one(runner: Engine, voice: Voice) -> None:
    long = runner.speak(["Some years ago."] * 20, seed=1, voice=voice, max_seconds=SHORT)
    wait_until(lambda: runner.occupancy.occupied == 4)
    short = list(runner.speak(["No."] * 3, seed=2, voice=voice, max_seconds=SHORT))
    assert len(short) == 3
    left = runner.occupancy
    assert left.waiting == 1 and left.occupied > 0
    assert len(list(long)) == 20
    done = runner.occupancy
    assert done.waiting == done.occupied == 0 and done.slots == 4
    # 23 segments of 5 frames in 4 slots; the last are never all busy.
    assert done.slot_frames >= 23 * 5 and done.frames >= 30
    # Not all of them always: that a slot is free is seen a look later.
    assert done.slot_frames > 0.75 * 4 * done.frames


def test_one_is_cancelled_in_the_middle_and_the_others_do_not_notice(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = by_index(list(runner.speak(TEXTS, seed=3, voice=voice, max_seconds=SHORT)))
    doomed = runner.speak(["Some years ago. " * 20] * 2, seed=4, voice=voice, max_seconds=30)
    wait_until(lambda: runner.occupancy.occupied == 2)
    each_frame(monkeypatch, lambda number, _: doomed.close() if number == 3 else None)
    beside = by_index(list(runner.speak(TEXTS, seed=3, voice=voice, max_seconds=SHORT)))
    assert same(alone, beside)
    assert list(doomed) == []
    wait_until(lambda: runner.occupancy.occupied == 0)


def test_takes_that_nobody_takes_hold_the_speaking_up(runner: Engine, voice: Voice) -> None:
    speech = runner.speak(["No."] * 30, seed=1, voice=voice, max_seconds=0.1)
    stream: Stream = speech._stream
    wait_until(lambda: len(stream.finished) == 8)
    time.sleep(0.2)
    assert len(stream.finished) == 8 and not stream.working
    assert len(list(speech)) == 30


def test_an_error_reaches_only_whom_it_concerns(runner: Engine, voice: Voice) -> None:
    too_long = Voice("Long.", torch.ones(2040, 32, dtype=torch.int64))
    fine = runner.speak(TEXTS, seed=2, voice=voice, max_seconds=SHORT)
    with pytest.raises(CsmError, match="does not fit"):
        runner.speak(["Some years ago."] * 3, seed=1, voice=too_long, max_seconds=SHORT)
    assert len(list(fine)) == len(TEXTS)


def test_out_of_memory_halves_the_slots_and_nothing_is_lost(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = by_index(list(runner.speak(TEXTS, seed=3, voice=voice, max_seconds=SHORT)))
    allocate = Slots.__init__

    def limited(slots: Slots, model: Model, count: int) -> None:
        if count > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        allocate(slots, model, count)

    def fail(number: int, _: Slots) -> None:
        if number == 3:
            monkeypatch.setattr(Slots, "__init__", limited)
            raise torch.OutOfMemoryError("CUDA out of memory")

    each_frame(monkeypatch, fail)
    halved = by_index(list(runner.speak(TEXTS, seed=3, voice=voice, max_seconds=SHORT)))
    assert runner.occupancy.slots == 1
    # Another number of slots is another arithmetic, so only the lengths are promised.
    assert {key: codes.shape for key, codes in halved.items()} == {
        key: codes.shape for key, codes in whole.items()
    }


def test_audio_that_does_not_fit_waits_until_there_are_fewer_slots(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = codec.decode_batch

    def limited(*arguments: Any) -> Any:
        if runner.occupancy.slots > 2:
            raise MemoryError
        return decode(*arguments)

    monkeypatch.setattr(codec, "decode_batch", limited)
    assert len(list(runner.speak(TEXTS, seed=3, voice=voice, max_seconds=SHORT))) == len(TEXTS)
    assert runner.occupancy.slots == 2


def test_audio_that_never_fits_fails_its_book(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(codec, "decode_batch", never)
        with pytest.raises(OutOfMemory, match="with 1 slot"):
            list(runner.speak(TEXTS, seed=3, voice=voice, max_seconds=SHORT))
    assert len(list(runner.speak(["No."], seed=3, voice=voice, max_seconds=SHORT))) == 1


def test_no_memory_for_a_single_slot_fails_everybody(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(checkpoint(endless), slots=4)

    def never(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Slots, "__init__", never)
        with pytest.raises(OutOfMemory, match="with 1 slot"):
            engine.warm_up()
        with pytest.raises(OutOfMemory, match="with 1 slot"):
            list(engine.speak(["No."], seed=3))
    # Later there may be.
    assert len(list(engine.speak(["No."], seed=3, max_seconds=SHORT))) == 1
    engine.close()


def test_no_memory_for_the_model(endless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Model, "__init__", never)
    with pytest.raises(OutOfMemory, match="memory of cpu did not suffice"):
        Engine(checkpoint(endless))


def test_warming_up_tells_how_far_it_is(runner: Engine) -> None:
    steps: list[tuple[int, int]] = []
    runner.warm_up(lambda done, total: steps.append((done, total)))
    assert steps == [(0, 1), (1, 1)]
    assert runner.occupancy.frames > 0


@pytest.mark.parametrize(("look", "behind"), [(4, 0), (1, 1), (2, 1), (3, 2)])
def test_frames_between_two_looks_are_dropped(
    look: int, behind: int, endless: Path, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the host looks every few frames, and later; what a slot did meanwhile is dropped."""
    made, takes, looks = Batch.__init__, [], []

    def looking(batch: Batch, *arguments: Any) -> None:
        made(batch, *arguments)
        if looks:
            batch._look, batch._reports = look, Reports(batch._slots.report, behind)

    monkeypatch.setattr(Batch, "__init__", looking)
    varied = Sampling(temperature=0.05, cap_factor=0.5, cap_seconds=0.1)
    for _ in range(2):
        engine = Engine(checkpoint(endless), varied, slots=2)
        takes.append(by_index(list(engine.speak(TEXTS, seed=1, voice=voice))))
        looks.append(engine.occupancy.frames)
        engine.close()
    assert same(*takes) and len({len(codes) for codes in takes[0].values()}) > 3
    assert looks[1] > looks[0]


def test_a_device_that_is_lost_fails_its_books_and_nobody_waits_for_ever(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    told: list[str] = []

    def speak() -> None:
        try:
            list(runner.speak(TEXTS[:2], seed=1, voice=voice, max_seconds=SHORT))
        except CsmError as error:
            told.append(str(error))

    list(runner.speak(TEXTS[:1], seed=1, voice=voice, max_seconds=SHORT))
    monkeypatch.setattr(runner._core, "_device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lost)
    each_frame(monkeypatch, lost)
    for _ in range(2):
        speaking = threading.Thread(target=speak, daemon=True)
        speaking.start()
        speaking.join(WAIT)
    assert len(told) == 2 and all("the model failed on cuda" in each for each in told)


def test_closing_while_all_are_busy(runner: Engine, voice: Voice) -> None:
    outcomes: list[str] = []

    def narrate(seed: int) -> None:
        try:
            list(runner.speak(["Some years ago. " * 9] * 9, seed=seed, voice=voice))
        except CsmError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=narrate, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: runner.occupancy.waiting == 3 and runner.occupancy.occupied == 4)
    runner.close()
    for thread in threads:
        thread.join(WAIT)
    assert len(outcomes) == 3 and all("engine is closed" in outcome for outcome in outcomes)
