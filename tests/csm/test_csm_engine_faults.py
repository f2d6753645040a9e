"""Trouble that a GPU makes, injected: what it costs, whom it reaches, what is left of it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import csm
from csm import CsmError, Engine, OutOfMemory, Sampling, Take, Voice
from csm.engine import batch, bench, codec, device, starts
from csm.engine.batch import Batch
from csm.engine.core import Core
from csm.engine.kernels.draw import Sampler
from csm.engine.model import Model
from csm.engine.operands.slots import Slots
from csm.engine.script import Scribe
from csm.errors import ran_out_of_memory

WAIT = 60.0
TEXTS = ["Call me Ishmael.", "Some years ago.", "No.", "It was wise.", "It was not.", "I sail."]
#: Small random weights give logits that differ little; at this they count as much as the noise.
COLD = Sampling(temperature=0.05)
SHORT = 0.4
NAN = float("nan")


def load(folder: Path) -> csm.Checkpoint:
    loaded = csm.load_checkpoint(str(folder), device="cpu", dtype=torch.float32)
    for name, weight in loaded.tensors.items():
        if "self_attn" in name:
            weight.mul_(8)  # So that it is heard what is said, and by whom.
    return loaded


@pytest.fixture
def runner(endless: Path) -> Iterator[Engine]:
    """Four slots, to be broken; segments run to their caps."""
    engine = Engine(load(endless), COLD, slots=4)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def unbroken(endless: Path) -> Iterator[Engine]:
    """Four slots, for what must leave no trace in them."""
    engine = Engine(load(endless), COLD, slots=4)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def voice() -> Voice:
    codes = torch.randint(1, 2048, (12, 32), generator=torch.Generator().manual_seed(0))
    return Voice("Noise.", codes)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What is freed is freed by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def spoken(engine: Engine, voice: Voice | None, seed: int = 3, texts: list[str] = TEXTS) -> Any:
    takes = engine.speak(texts, seed=seed, voice=voice, max_seconds=SHORT)
    return {take.index: take.codes.tolist() for take in takes}


def each_frame(patch: pytest.MonkeyPatch, act: Callable[[int, Slots], object]) -> None:
    """Do something before each frame, with its number from 1."""
    count, frame = 0, batch.decode_one_frame

    def counted(model: Model, slots: Slots, sampler: Any) -> None:
        nonlocal count
        count += 1
        act(count, slots)
        frame(model, slots, sampler)

    patch.setattr(batch, "decode_one_frame", counted)


@torch.inference_mode()
def damage(slots: Slots, slot: int) -> None:
    slots.inputs[slot] = NAN


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Memory.


@pytest.mark.parametrize("where", ["frames", "prompts"])
def test_halving_frees_the_slots_before_it_makes_fewer(
    where: str,
    endless: Path,
    voice: Voice,
    monkeypatch: pytest.MonkeyPatch,
    uncollected: None,
) -> None:
    caches: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    allocate, prefill = Slots.__init__, starts.alone

    def noting(slots: Slots, model: Model, count: int) -> None:
        alive.append(sum(cache() is not None for cache in caches))
        allocate(slots, model, count)
        caches.append(weakref.ref(slots.cache))

    def fail(_number: int, slots: Slots) -> None:
        if slots.count > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def no_prompt(model: Model, start: starts.Start) -> starts.Filled:
        if engine.occupancy.slots > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return prefill(model, start)

    monkeypatch.setattr(Slots, "__init__", noting)
    if where == "frames":
        each_frame(monkeypatch, fail)
    else:
        monkeypatch.setattr(starts, "alone", no_prompt)
    engine = Engine(load(endless), COLD, slots=8)
    assert len(spoken(engine, voice)) == len(TEXTS)
    assert engine.occupancy.slots == 1
    assert alive == [0, 0, 0, 0]
    weights = weakref.ref(engine._core._model.text_embedding)  # type: ignore[union-attr]
    engine.close()
    assert caches[-1]() is None and weights() is None


MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:120] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("HIP error: hipErrorOutOfMemory"),
]


def broken_off(reason: BaseException) -> RuntimeError:
    """What the end of a capture says after that."""
    error = RuntimeError(
        "CUDA error: operation failed due to a previous error during capture "
        "(cudaErrorStreamCaptureInvalidated)"
    )
    error.__context__ = reason
    return error


@pytest.mark.parametrize("error", [*MEMORY, *map(broken_off, MEMORY)], ids=str)
def test_memory_that_is_short_is_known_in_all_words(error: Exception) -> None:
    assert ran_out_of_memory(error)


# One of each type that is raised; what their words mean is tried above.
@pytest.mark.parametrize("error", [MEMORY[1], MEMORY[3], broken_off(MEMORY[0])], ids=str)
def test_memory_that_is_short_in_other_words_halves_the_slots(
    error: Exception, runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = batch.Captured.__init__

    def capture(*arguments: Any) -> None:
        if runner.occupancy.slots > 2:
            raise error
        made(*arguments)

    monkeypatch.setattr(batch.Captured, "__init__", capture)
    assert len(spoken(runner, voice)) == len(TEXTS)
    assert runner.occupancy.slots == 2


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        ValueError("out of memory"),
        CsmError("broken"),
    ],
)
def test_what_is_no_shortage_of_memory(error: Exception) -> None:
    assert not ran_out_of_memory(error)
    circle = RuntimeError("one")
    circle.__context__ = other = RuntimeError("other")
    other.__cause__ = circle
    assert not ran_out_of_memory(circle)


def test_what_waits_for_its_audio_is_bounded(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A codec that is slower than the frames holds these up, however many books there are."""
    decode, go_on = codec.decode_batch, threading.Event()

    def slow(*arguments: Any) -> Any:
        assert go_on.wait(WAIT)
        return decode(*arguments)

    monkeypatch.setattr(codec, "decode_batch", slow)
    books = [
        runner.speak(["No."] * 8, seed=seed, voice=voice, max_seconds=0.1) for seed in range(5)
    ]
    core: Core = runner._core
    try:
        wait_until(lambda: core._decoding > 0)
        wait_until(lambda: len(core._undecoded) >= 7 and runner.occupancy.occupied == 0)
        frames = runner.occupancy.frames
        time.sleep(0.1)
        assert runner.occupancy.frames == frames
        # Twice as many as slots, and those that were in the slots then.
        assert len(core._undecoded) + core._decoding <= 8 + 3
    finally:
        go_on.set()
    assert [len(list(book)) for book in books] == [8] * 5


# Values that are no numbers.


def test_one_damaged_value_costs_nobody_a_book(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come back from the cache in each book after it: 0 times NaN is NaN."""
    sound = [spoken(runner, voice, seed) for seed in range(3)]
    with monkeypatch.context() as patch:
        clean: dict[int, bool] = {}

        def once(number: int, slots: Slots) -> None:
            clean[number] = bool(slots.cache.isfinite().all() and slots.inputs.isfinite().all())
            if number == 3:
                damage(slots, 0)

        each_frame(patch, once)
        assert spoken(runner, voice, 0) == sound[0]
    # Nothing is left of it when the next frame begins.
    assert len(clean) > 4 and all(clean.values())
    assert [spoken(runner, voice, seed) for seed in (1, 2, 0)] == [sound[1], sound[2], sound[0]]


def test_a_damaged_voice_is_computed_anew(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = spoken(runner, voice)
    runner._core._batch._prefixes.clear()  # type: ignore[union-attr]
    compute, computed = starts.voice_prefix, []

    def once(*arguments: Any) -> torch.Tensor:
        prefix = compute(*arguments)
        computed.append(prefix)
        return prefix * NAN if len(computed) == 1 else prefix

    monkeypatch.setattr(starts, "voice_prefix", once)
    assert spoken(runner, voice) == sound
    assert len(computed) >= 2


def test_damaged_audio_is_made_anew(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = spoken(runner, voice)
    decode, made = codec.decode_batch, []

    def once(*arguments: Any) -> Any:
        audio = decode(*arguments)
        made.append(audio)
        return [samples * np.float32(NAN) for samples in audio] if len(made) == 1 else audio

    monkeypatch.setattr(codec, "decode_batch", once)
    assert spoken(runner, voice) == sound
    assert len(made) == len(TEXTS) + 1


def test_damage_that_stays_fails_its_book_alone(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = spoken(runner, voice, 3, TEXTS[:1])
    start = starts.alone

    @torch.inference_mode()
    def damaged(model: Model, begun: starts.Start) -> starts.Filled:
        filled = start(model, begun)
        if begun.begins > 40:
            filled.inputs.fill_(NAN)
        return filled

    monkeypatch.setattr(starts, "alone", damaged)
    broken = runner.speak(TEXTS[1:2], seed=4, voice=voice_of(40), max_seconds=SHORT)
    assert spoken(runner, voice, 3, TEXTS[:1]) == alone
    with pytest.raises(CsmError, match="no numbers"):
        list(broken)


def voice_of(frames: int) -> Voice:
    return Voice("Doomed.", torch.ones(frames, 32, dtype=torch.int64))


DAMAGED = [
    "backbone_model.norm.weight",
    "depth_decoder.model.layers.0.mlp.down_proj.weight",
    "depth_decoder.model.layers.0.self_attn.v_proj.weight",
    "depth_decoder.model.norm.weight",
    "depth_decoder.codebooks_head.weight",
    "lm_head.weight",
]


@pytest.mark.parametrize("value", [NAN, float("inf"), float("-inf")])
@pytest.mark.parametrize("name", DAMAGED)
def test_weights_that_are_no_numbers_do_not_speak(name: str, value: float, endless: Path) -> None:
    checkpoint = load(endless)
    # One value in the middle; in the heads, of a code that is not drawn when it is impossible.
    flat = checkpoint.tensors[name].view(-1)
    flat[len(flat) // 2] = value
    engine = Engine(checkpoint, COLD, slots=2)
    with pytest.raises(CsmError, match="no numbers"):
        list(engine.speak(TEXTS[:2], seed=0, max_seconds=0.5))
    engine.close()


# Calls that cannot be.


def coded(change: Callable[[torch.Tensor], Any]) -> Voice:
    return Voice("Noise.", change(torch.ones(12, 32, dtype=torch.int64)))


BAD = {
    "no text": ({"segments": ["One.", None]}, "segment 1 must be a str"),
    "bytes": ({"segments": [b"One."]}, "segment 0 must be a str"),
    "one text": ({"segments": "One."}, "a list of texts"),
    "empty": ({"segments": [""]}, "segment 0 has no text"),
    "NaN seconds": ({"max_seconds": NAN}, "max_seconds"),
    "endless": ({"max_seconds": float("inf")}, "max_seconds"),
    "no seconds": ({"max_seconds": 0}, "max_seconds"),
    "text for seconds": ({"max_seconds": "9"}, "max_seconds"),
    "half a seed": ({"seed": 0.5}, "seed"),
    "a negative seed": ({"seed": -1}, "seed"),
    "no voice": ({"voice": "Anna"}, "voice must be"),
    "a code too high": ({"voice": coded(lambda codes: codes * 2048)}, "0 to 2047"),
    "a code too low": ({"voice": coded(lambda codes: -codes)}, "0 to 2047"),
    "31 codebooks": ({"voice": coded(lambda codes: codes[:, :31])}, r"\[frames, 32\]"),
    "no frames": ({"voice": coded(lambda codes: codes[:0])}, "a frame"),
    "flat codes": ({"voice": coded(lambda codes: codes.flatten())}, "codes must be"),
    "half codes": ({"voice": coded(lambda codes: codes * 0.5)}, "whole numbers"),
    "a list": ({"voice": coded(lambda codes: codes.tolist())}, "whole numbers"),
    "words that are none": (
        {"voice": Voice(None, torch.ones(3, 32, dtype=torch.int64))},  # type: ignore[arg-type]
        "voice's text",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_call_is_refused_at_the_door(case: str, unbroken: Engine, voice: Voice) -> None:
    change, message = BAD[case]
    call = {"segments": ["One."], "seed": 0, "voice": voice, "max_seconds": SHORT} | change
    beside = unbroken.speak(TEXTS[:2], seed=3, voice=voice, max_seconds=SHORT)
    with pytest.raises(ValueError, match=message):
        unbroken.speak(call.pop("segments"), **call)
    assert len(list(beside)) == 2
    assert unbroken.occupancy.waiting == 0


def test_a_segment_that_cannot_begin_fails_its_book_alone(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(runner.speak(["No."], seed=0, voice=voice, max_seconds=SHORT))
    used = runner._core._batch
    pieces = Scribe.pieces

    def failing(scribe: Scribe, text: str, *arguments: Any) -> Any:
        if text == "Doomed.":
            raise RuntimeError("bad input: Doomed.")
        return pieces(scribe, text, *arguments)

    monkeypatch.setattr(Scribe, "pieces", failing)
    # Without a voice its pieces are only made when it begins.
    doomed = runner.speak(["Doomed."], seed=1, max_seconds=SHORT)
    fine = runner.speak(TEXTS, seed=2, voice=voice, max_seconds=SHORT)
    with pytest.raises(CsmError, match=r"failed on cpu \(RuntimeError\)") as caught:
        list(doomed)
    assert "Doomed" not in str(caught.value)
    assert len(list(fine)) == len(TEXTS) and runner._core._batch is used


def test_a_voice_is_read_once(runner: Engine) -> None:
    mine = voice_of(12)
    before = spoken(runner, mine)
    # Whoever changes it afterwards, as by mistake to what would break a GPU, changes nothing.
    mine.codes.fill_(9999)
    assert spoken(runner, mine) == before


def test_a_tokenizer_of_another_model_is_said(endless: Path) -> None:
    checkpoint = load(endless)
    checkpoint.config.text_vocab_size = 100
    engine = Engine(checkpoint, COLD)
    with pytest.raises(CsmError, match="knows 100 words"):
        engine.speak(["Call me Ishmael."], seed=0)
    engine.close()


# Segments that do not end.


def test_a_segment_that_holds_one_frame_is_cut(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Sampler.draw

    def held(sampler: Sampler, logits: torch.Tensor, codebook: int, out: torch.Tensor) -> None:
        draw(sampler, logits, codebook, out)
        # From the fifth frame on it is the same one.
        out[sampler._frames >= 4] = 7

    monkeypatch.setattr(Sampler, "draw", held)
    (take,) = runner.speak(["Call me Ishmael. " * 9], seed=0, voice=voice)
    assert take.ran_away and not take.ended
    assert len(take.codes) == 5 + COLD.most_held
    assert (take.codes[4:] == 7).all() and not torch.equal(take.codes[3], take.codes[4])


def test_the_reference_lets_it_run(
    endless: Path, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Sampler.draw

    def same(sampler: Sampler, logits: torch.Tensor, codebook: int, out: torch.Tensor) -> None:
        draw(sampler, logits, codebook, out)
        out.fill_(7)

    monkeypatch.setattr(Sampler, "draw", same)
    engine = Engine(load(endless), Sampling.reference())
    (take,) = engine.speak(["One."], seed=0, voice=voice, max_seconds=2)
    assert len(take.codes) == 25 and not take.ran_away and not take.ended
    engine.close()


def test_frames_that_were_held_in_a_slot_before_do_not_count(
    endless: Path, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Sampler.draw

    def same(sampler: Sampler, logits: torch.Tensor, codebook: int, out: torch.Tensor) -> None:
        draw(sampler, logits, codebook, out)
        out.fill_(7)

    monkeypatch.setattr(Sampler, "draw", same)
    engine = Engine(load(endless), Sampling(temperature=0.05, most_held=5), slots=1)
    takes: list[Take] = list(engine.speak(["Call me Ishmael."] * 3, seed=0, voice=voice))
    assert [len(take.codes) for take in takes] == [6, 6, 6]
    # What reaches its cap at that frame has not run away before it.
    (capped,) = engine.speak(["One."], seed=0, voice=voice, max_seconds=0.4)
    assert len(capped.codes) == 5 and not capped.ran_away
    engine.close()


@pytest.mark.parametrize(("pace", "factor"), [(0.05, 0.77), (0.07, 1.0), (0.15, 1.91)])
def test_a_cap_follows_the_voices_pace(pace: float, factor: float, runner: Engine) -> None:
    text = "a" * 200
    reader = Voice(text, torch.ones(round(200 * pace / 0.08), 32, dtype=torch.int64))
    scribe = runner._core.scribe
    (piece,) = scribe.pieces("b" * 100, scribe.ids("b" * 100), reader, 60.0)
    assert piece.cap * 0.08 == pytest.approx(100 * 0.07 * factor * 1.6 + 1, rel=0.04)


# More than one GPU; the codec's arithmetic.


def test_each_thread_works_on_its_device(
    endless: Path, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, current = device.on, threading.local()
    wrong: list[str] = []

    class Current:
        def __enter__(self) -> None:
            current.set = True

        def __exit__(self, *_: object) -> None:
            current.set = False

    def seen(name: str) -> None:
        if not getattr(current, "set", False):
            wrong.append(name)

    monkeypatch.setattr(device, "on", lambda place: (on(place), Current())[1])
    codecs = [(codec, name) for name in ("choose_decoder", "decode_batch", "encode")]
    for owner, name in ((batch, "decode_one_frame"), *codecs):
        work = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, work=work, name=name: (seen(name), work(*a))[1])
    made = Model.__init__
    monkeypatch.setattr(Model, "__init__", lambda *a, **k: (seen("Model"), made(*a, **k))[1])
    engine = Engine(load(endless), COLD, slots=2)
    engine._core.encode(torch.zeros(24_000).numpy())
    assert len(spoken(engine, voice)) == len(TEXTS)
    engine.close()
    assert wrong == []


def test_without_kernels_there_are_none_for_the_codec(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, asked = codec.choose_decoder, []

    def noting(setting: Any, mimi: Any) -> Any:
        asked.append(setting)
        return choose(setting, mimi)

    monkeypatch.setattr(codec, "choose_decoder", noting)
    Engine(load(endless), COLD, slots=1, kernels="off").close()
    bench.measure(load(endless), [1], seconds=0.01, kernels="off")
    assert asked == ["off", "off"]


def test_a_closed_engine_holds_no_codec(endless: Path) -> None:
    checkpoint = load(endless)
    mimi = weakref.ref(checkpoint.codec)
    engine = Engine(checkpoint, COLD, slots=1)
    del checkpoint
    assert mimi() is not None
    engine.close()
    gc.collect()
    assert mimi() is None


@pytest.fixture
def tf32() -> Iterator[Callable[[], bool]]:
    """TF32 wherever it can be, as somebody may have asked for; whether it is still on."""
    backends = torch.backends
    operations: list[Any] = [backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul]
    before = [operation.fp32_precision for operation in operations], backends.fp32_precision

    def ask() -> bool:
        return any(operation.fp32_precision != "ieee" for operation in operations)

    def switch() -> bool:
        for operation in operations:
            operation.fp32_precision = "tf32"
        return ask()

    backends.fp32_precision = "tf32"
    assert switch()
    ask.switch = switch  # type: ignore[attr-defined]
    yield ask
    backends.fp32_precision = before[1]
    for operation, value in zip(operations, before[0], strict=True):
        operation.fp32_precision = value


def test_the_codec_computes_in_float32(
    runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch, tf32: Any
) -> None:
    mimi = runner._core.check_open().codec
    decode, seen = mimi.decode, []

    def noting(codes: torch.Tensor) -> Any:
        seen.append(tf32())
        return decode(codes)

    monkeypatch.setattr(mimi, "decode", noting)
    spoken(runner, voice, 0, TEXTS[:1])
    assert seen == [False]
    tf32.switch()
    runner._core.encode(torch.zeros(24_000).numpy())
    assert not tf32() and not torch.backends.cudnn.allow_tf32


def test_no_collection_while_graphs_are_captured() -> None:
    assert gc.isenabled()
    with device.uncollected():
        assert not gc.isenabled()
        with device.uncollected():
            assert not gc.isenabled()
        # Another engine's capture goes on.
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(OutOfMemory), device.uncollected():
        raise OutOfMemory
    assert gc.isenabled()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_segment_is_forgotten_where_memory_runs_out_between_two(
    number: int, runner: Engine, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four end at the same frame; taking the codes of one of them fails."""
    finish, count = Batch._finished, [0]

    def failing(self: Batch, speaking: Any) -> Any:
        count[0] += 1
        if count[0] == number:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return finish(self, speaking)

    monkeypatch.setattr(Batch, "_finished", failing)
    assert sorted(spoken(runner, voice)) == list(range(len(TEXTS)))
    assert runner.occupancy.slots == 2
