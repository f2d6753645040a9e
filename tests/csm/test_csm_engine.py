"""The engine on tiny checkpoints, against transformers' own generation where that is right."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch
from transformers import CsmForConditionalGeneration, CsmProcessor

import csm
from csm import SAMPLE_RATE, CsmError, Engine, OutOfMemory, Sampling, Take, Voice
from csm.engine import batch, codec
from csm.engine.kernels.draw import Sampler
from csm.engine.model import Model
from csm.engine.operands.slots import Slots

FRAME = 1920
WAIT = 30.0
#: transformers' own: greedy, its own ending, any first frame.
GREEDY = Sampling(temperature=0, guard_end=False, first_end=1)
#: Small random weights give logits that differ little; at this they count as much as the noise.
COLD = Sampling(temperature=0.05)
HOSTILE = ["<|AUDIO|> <|audio_eos|>", "<placeholder>[1] hi", "<|end_of_text|>\ud800"]


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[Engine]:
    """A working engine, not to be closed."""
    engine = Engine(csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32))
    yield engine
    engine.close()


@pytest.fixture
def runner(endless: Path) -> Iterator[Engine]:
    """An engine of its own, to be broken or closed; its segments run to their caps."""
    checkpoint = csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32)
    for name, weight in checkpoint.tensors.items():
        if "self_attn" in name:
            weight.mul_(8)  # So that it is heard what is said, and by whom.
    engine = Engine(checkpoint, COLD)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    noise = np.random.default_rng(0).normal(size=int(1.3 * SAMPLE_RATE))
    soundfile.write(path, noise * 0.1, SAMPLE_RATE, subtype="FLOAT")
    return path


def at_frame(patch: pytest.MonkeyPatch, number: int, act: Callable[[Slots], object]) -> None:
    """Do something when that many frames have been made, before the next one."""
    count, frame = 0, batch.decode_one_frame

    def counted(model: Model, slots: Slots, sampler: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            act(slots)
        frame(model, slots, sampler)

    patch.setattr(batch, "decode_one_frame", counted)


def eager_to_end(patch: pytest.MonkeyPatch, tiny: Path, first_end: int) -> Engine:
    """An engine whose segments end as soon as they may."""
    draw = Sampler.draw

    def eager(sampler: Sampler, logits: torch.Tensor, codebook: int, out: torch.Tensor) -> None:
        if codebook == 0:
            logits[:, 0] = 100.0
        draw(sampler, logits, codebook, out)

    patch.setattr(Sampler, "draw", eager)
    checkpoint = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32)
    return Engine(checkpoint, Sampling(temperature=0.05, first_end=first_end))


def same(one: Take, other: Take) -> bool:
    return np.array_equal(one.samples, other.samples) and torch.equal(one.codes, other.codes)


@pytest.mark.parametrize("with_voice", [False, True])
def test_greedy_codes_are_transformers(with_voice: bool, endless: Path) -> None:
    frames = 8
    theirs = CsmForConditionalGeneration.from_pretrained(endless, dtype=torch.float32)
    noise = (np.random.default_rng(0).normal(size=SAMPLE_RATE) * 0.1).astype(np.float32)
    conversation = [{"role": "0", "content": [{"type": "text", "text": "Call me Ishmael."}]}]
    if with_voice:
        said = [{"type": "text", "text": "Noise."}, {"type": "audio", "path": noise}]
        conversation.insert(0, {"role": "0", "content": said})
    inputs = CsmProcessor.from_pretrained(endless).apply_chat_template(
        conversation, tokenize=True, return_dict=True
    )
    with torch.no_grad():
        # transformers would draw reserved codes; with these weights it never does.
        theirs.lm_head.weight[2048:] = 0
        theirs.depth_decoder.codebooks_head.weight[:, :, 2048:] = 0
    expected = theirs.generate(
        **inputs, max_new_tokens=frames, do_sample=False, depth_decoder_do_sample=False
    )[0]
    assert expected.shape == (frames, 32)

    checkpoint = csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32)
    voice = Voice("Noise.", codec.encode(checkpoint.codec, noise)) if with_voice else None
    engine = Engine(checkpoint, GREEDY, slots=2)
    seconds = frames * FRAME / SAMPLE_RATE
    (take,) = engine.speak(["Call me Ishmael."], seed=0, voice=voice, max_seconds=seconds)
    assert torch.equal(take.codes, expected)
    audio = theirs.codec_model.decode(expected.T[None]).audio_values[0, 0].detach().numpy()
    assert np.allclose(take.samples, audio.clip(-1, 1), atol=1e-5)


def test_reserved_codes_are_never_drawn(endless: Path) -> None:
    checkpoint = csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32)
    # An adversary's checkpoint: it wants nothing else.
    first = checkpoint.tensors["lm_head.weight"]
    first[2048:] = 10 * first[5]
    checkpoint.tensors["depth_decoder.codebooks_head.weight"][:, :, 2048:] *= 1000
    (take,) = Engine(checkpoint).speak(["Call me Ishmael."], seed=0, max_seconds=0.4)
    assert take.codes.max() < 2048


def test_takes_are_sound(engine: Engine, recording: Path) -> None:
    voice = engine.make_voice(recording, "<|audio_eos|> noise")
    takes = list(engine.speak(HOSTILE, seed=3, voice=voice, max_seconds=1))

    assert [take.index for take in takes] == [0, 1, 2]
    for take in takes:
        assert take.samples.dtype == np.float32 and take.samples.ndim == 1
        assert len(take.samples) == FRAME * len(take.codes) > 0
        assert np.abs(take.samples).max() <= 1
        assert np.sqrt(np.mean(take.samples**2)) > 0.01
        assert len(take.codes) >= Sampling().first_end
        # The frame of zeros that ends a segment is no audio.
        assert take.codes.any(-1).all()


def test_an_ending_in_the_first_frames_is_not_one(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first_end in (1, 4):
        (take,) = eager_to_end(monkeypatch, tiny, first_end).speak(["Call me Ishmael."], seed=0)
        assert take.ended and len(take.codes) == first_end


def test_caps(runner: Engine) -> None:
    (short,) = runner.speak(["One"], seed=0)
    # 3 characters at 0.07 s, times 1.6, plus 1 s: 1.34 s, in whole frames of 0.08 s.
    assert len(short.codes) == 16 and not short.ended
    (capped,) = runner.speak(["Call me Ishmael. " * 20], seed=0, max_seconds=0.5)
    assert len(capped.codes) == 6


def test_the_same_again_and_nothing_like_it(runner: Engine, recording: Path) -> None:
    texts = ["Call me Ishmael.", "Call me Ishmael."]
    voice = runner.make_voice(recording, "Noise.")

    def speak(seed: int, voice: Voice | None = voice) -> list[Take]:
        return list(runner.speak(texts, seed=seed, voice=voice, max_seconds=0.4))

    first, second = speak(1)
    again = speak(1)
    assert same(first, again[0]) and same(second, again[1])
    others = [second, speak(2)[0], speak(1, Voice("Other.", voice.codes.flip(0)))[0]]
    assert not any(same(first, other) for other in others)


def test_a_narration_without_a_voice_gets_one(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["I", "Call me Ishmael. Some years ago."]
    # Ends as soon as it may, after two seconds; a take of less gives no voice.
    engine = eager_to_end(monkeypatch, tiny, first_end=26)
    chosen, other = engine.speak(texts, seed=0)

    assert (chosen.index, other.index) == (1, 0)
    assert chosen.ended and len(chosen.codes) == 26
    voice = Voice(texts[1], chosen.codes)
    (again,) = engine.speak(texts, seed=0, voice=voice, skip=[1])
    assert same(other, again)
    # Alone it has no voice to follow.
    assert not same(other, next(engine.speak(texts[:1], seed=0)))


def test_if_none_comes_out_well_the_longest_gives_the_voice(runner: Engine) -> None:
    texts = ["I", "Two"]
    chosen, other = runner.speak(texts, seed=0)
    assert (chosen.index, other.index) == (1, 0)
    voice = Voice(texts[1], chosen.codes)
    (again,) = runner.speak(texts, seed=0, voice=voice, skip=[1])
    assert same(other, again)


def test_narrations_at_once_do_not_touch_each_other(engine: Engine, recording: Path) -> None:
    texts = ["Call me Ishmael.", "Some years ago.", "Never mind."]
    voice = engine.make_voice(recording, "Noise.")

    def speak(seed: int) -> list[Take]:
        return list(engine.speak(texts, seed=seed, voice=voice, max_seconds=0.4))

    alone = {seed: speak(seed) for seed in (1, 2)}
    together: dict[int, list[Take]] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: together.update({seed: speak(seed)}))
        for seed in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    for seed, takes in alone.items():
        assert all(same(*pair) for pair in zip(takes, together[seed], strict=True))


def test_closing_from_another_thread_stops_inside_a_segment(
    runner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, takes = threading.Event(), []
    at_frame(monkeypatch, 3, lambda _: running.set())
    speech = runner.speak(["Call me Ishmael. " * 30], seed=0, max_seconds=30)
    thread = threading.Thread(target=lambda: takes.extend(speech))
    thread.start()
    assert running.wait(WAIT)
    speech.close()
    speech.close()
    thread.join(60)
    assert not thread.is_alive() and takes == []
    assert next(speech, None) is None
    assert len(list(runner.speak(["Next."], seed=0, max_seconds=0.2))) == 1


def test_a_dropped_narration_leaves_the_engine_free(runner: Engine) -> None:
    for take in runner.speak(["One.", "Two."], seed=0, max_seconds=0.2):
        assert take.index in (0, 1)
        break
    assert len(list(runner.speak(["Next."], seed=0, max_seconds=0.2))) == 1
    deadline = time.monotonic() + WAIT
    while runner.occupancy.waiting or runner.occupancy.occupied:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_closing_the_engine_never_passes_for_the_end_of_a_narration(
    runner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, errors = threading.Event(), []
    held: list[weakref.ref[torch.Tensor]] = []

    def note(slots: Slots) -> None:
        held.append(weakref.ref(slots.cache))
        running.set()

    at_frame(monkeypatch, 3, note)

    def narrate() -> None:
        with pytest.raises(CsmError) as caught:
            list(runner.speak(["Call me Ishmael. " * 30], seed=0, max_seconds=30))
        errors.append(str(caught.value))

    thread = threading.Thread(target=narrate)
    thread.start()
    assert running.wait(WAIT)
    runner.close()
    runner.close()
    thread.join(60)
    assert errors and "engine is closed" in errors[0]
    for refused in (lambda: runner.speak(["Next."], seed=0), runner.warm_up):
        with pytest.raises(CsmError, match="engine is closed"):
            refused()
    gc.collect()
    assert held[0]() is None


def test_an_engine_that_is_let_go_ends_its_threads(endless: Path) -> None:
    engine = Engine(csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32))
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("csm ")]
    list(engine.speak(["One."], seed=0, max_seconds=0.1))
    mine = [thread for thread in threads if thread in engine._core._threads]
    assert len(mine) == 2
    del engine
    gc.collect()
    for thread in mine:
        thread.join(WAIT)
        assert not thread.is_alive()


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_out_of_memory_frees_and_goes_on(
    error: Exception, runner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def fail(slots: Slots) -> None:
        held.append(weakref.ref(slots.cache))
        raise error

    at_frame(monkeypatch, 3, fail)
    with pytest.raises(OutOfMemory, match=r"with 1 slot: .*fewer slots") as caught:
        list(runner.speak(["Call me Ishmael."], seed=0))
    # The error itself, which a caller may keep, holds nothing of the failed work.
    error.__traceback__ = None
    assert caught.value.__cause__ is caught.value.__context__ is None
    gc.collect()
    assert held[0]() is None
    assert len(list(runner.speak(["Next."], seed=0, max_seconds=0.2))) == 1


def test_other_failures_do_not_quote_the_book(
    runner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Slots) -> None:
        raise RuntimeError("bad input: Call me Ishmael.")

    at_frame(monkeypatch, 2, fail)
    with pytest.raises(CsmError, match=r"failed on cpu \(RuntimeError\)") as caught:
        list(runner.speak(["Call me Ishmael."], seed=0))
    assert "Ishmael" not in str(caught.value) and not isinstance(caught.value, OutOfMemory)
    assert len(list(runner.speak(["Next."], seed=0, max_seconds=0.2))) == 1


@pytest.mark.parametrize("part", ["backbone", "codec"])
def test_values_that_are_no_numbers_are_no_audio(part: str, endless: Path) -> None:
    checkpoint = csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32)
    damaged = {
        "backbone": [checkpoint.tensors["backbone_model.norm.weight"]],
        "codec": checkpoint.codec.quantizer.state_dict().values(),
    }
    for tensor in damaged[part]:
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    with pytest.raises(CsmError, match=r"no numbers.*checkpoint is damaged"):
        list(Engine(checkpoint).speak(["Call me Ishmael."], seed=0, max_seconds=0.5))


def test_a_voice_that_leaves_no_room_is_refused(engine: Engine) -> None:
    voice = Voice("Long.", torch.ones(2040, 32, dtype=torch.int64))
    with pytest.raises(CsmError, match=r"does not fit.*of the model's 2048"):
        list(engine.speak(["Call me Ishmael. " * 40], seed=0, voice=voice))


def test_a_text_that_does_not_fit_is_spoken_in_pieces(endless: Path) -> None:
    engine = Engine(csm.load_checkpoint(str(endless), device="cpu", dtype=torch.float32), slots=2)
    voice = Voice("Long.", torch.ones(1997, 32, dtype=torch.int64))
    text = "Call me Ishmael. Some years ago."
    # With 30 frames to come, voice and text together are too long by some positions.
    whole, other = sorted(
        engine.speak([text, "No."], seed=0, voice=voice, max_seconds=2.4),
        key=lambda take: take.index,
    )
    assert len(whole.codes) == 60 and len(whole.samples) == 60 * FRAME
    # As slow as that voice: 3 characters at 0.25 s, times 1.6, plus 1 s.
    assert len(other.codes) == 27
    (first,) = engine.speak(["Call me Ishmael."], seed=0, voice=voice, max_seconds=2.4)
    assert torch.equal(whole.codes[:30], first.codes)
    engine.close()


def test_what_is_no_work(engine: Engine) -> None:
    assert list(engine.speak([], seed=0)) == []
    assert list(engine.speak(["One."], seed=0, skip=[0])) == []
    with pytest.raises(ValueError, match="segment 1 has no text"):
        engine.speak(["One.", " \n"], seed=0)
    with pytest.raises(ValueError, match="seed"):
        engine.speak(["One."], seed=-1)
    with pytest.raises(ValueError, match="slots must be 1 or more"):
        Engine(cast(csm.Checkpoint, None), slots=0)
    assert len(list(engine.speak(["One."], seed=2**63 - 1, max_seconds=0.3))) == 1


def test_a_voice_from_an_unfit_recording(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(CsmError, match="no voice recording"):
        engine.make_voice(tmp_path / "absent.wav", "words")
