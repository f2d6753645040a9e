"""The model's frames against transformers' own, on tiny checkpoints with the released RoPE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import CsmForConditionalGeneration, CsmProcessor
from transformers.cache_utils import DynamicCache
from transformers.models.csm.modeling_csm import CsmRotaryEmbedding

import csm
from csm import Sampling, Voice
from csm.engine import codec
from csm.engine.kernels.draw import Sampler
from csm.engine.model import Model, decode_one_frame, prefill
from csm.engine.operands.linear import linear
from csm.engine.operands.slots import Slots
from csm.engine.prompt import Prompt, build_prompt
from csm.engine.rope import frequencies

TEXTS = ["Call me Ishmael.", "Some years ago, never mind how long.", "No.", "It was wise. " * 6]
GREEDY = Sampling(temperature=0, guard_end=False, first_end=1)


@dataclass
class Spoken:
    """A model with what it needs to speak."""

    model: Model
    tokenizer: Any
    codec: Any

    def prompt(self, text: str, voice: Voice | None = None) -> Prompt:
        return build_prompt(self.tokenizer, text, voice, codebooks=self.model.codebooks)

    def begin(self, slots: Slots, slot: int, prompt: Prompt, cap: int, seed: int) -> None:
        rows = self.model.embed(prompt)
        last = rows[-1].clone()
        prefill(self.model, rows[:-1].clone(), slots.cache[:, slot], 0)
        slots.begin(slot, last, len(prompt) - 1, cap, seed)

    def speak(
        self, prompts: dict[int, Prompt], count: int, sampling: Sampling, frames: int
    ) -> dict[int, Tensor]:
        """Codes by slot, each seeded by its prompt's length."""
        slots = Slots(self.model, count)
        for slot, prompt in prompts.items():
            self.begin(slots, slot, prompt, frames, len(prompt))
        sampler = self.model.sampler(sampling)
        for _ in range(frames):
            decode_one_frame(self.model, slots, sampler)
        made = slots.frames.tolist()
        return {slot: slots.history[slot, : made[slot]].long() for slot in prompts}


def strengthen(weights: Iterable[tuple[str, Tensor]]) -> None:
    """Small random weights attend to all alike and hear little of it; make it matter."""
    for name, weight in weights:
        if "self_attn" in name and "codec" not in name:
            weight.data.mul_(8)


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Spoken:
    checkpoint = csm.load_checkpoint(str(folder), device="cpu", dtype=dtype)
    strengthen(checkpoint.tensors.items())
    return Spoken(Model(checkpoint), checkpoint.tokenizer, checkpoint.codec)


@pytest.fixture(scope="module")
def ours(endless: Path) -> Spoken:
    return load(endless)


@pytest.fixture(scope="module")
def theirs(endless: Path) -> Any:
    network = CsmForConditionalGeneration.from_pretrained(endless, dtype=torch.float32)
    strengthen(network.named_parameters())
    with torch.no_grad():
        # transformers would draw reserved codes; with these weights it never does.
        network.lm_head.weight[2048:] = 0
        network.depth_decoder.codebooks_head.weight[:, :, 2048:] = 0
    return network


@pytest.fixture(scope="module")
def clip() -> np.ndarray[Any, np.dtype[np.float32]]:
    return (np.random.default_rng(0).normal(size=31_000) * 0.1).astype(np.float32)


def processed(folder: Path, texts: list[str], clip: Any) -> Any:
    conversations = [
        [
            {
                "role": "0",
                "content": [{"type": "text", "text": "Noise."}, {"type": "audio", "path": clip}],
            },
            {"role": "0", "content": [{"type": "text", "text": text}]},
        ]
        for text in texts
    ]
    return CsmProcessor.from_pretrained(folder).apply_chat_template(
        conversations,
        tokenize=True,
        return_dict=True,
        processor_kwargs={"padding": True, "padding_side": "left"},
    )


def generated(network: Any, inputs: Any, frames: int) -> Tensor:
    codes: Tensor = network.generate(
        **inputs, max_new_tokens=frames, do_sample=False, depth_decoder_do_sample=False
    )
    return codes


def test_greedy_codes_of_one_segment(ours: Spoken, theirs: Any) -> None:
    frames = 40
    prompt = ours.prompt(TEXTS[0])
    expected = generated(theirs, {"input_ids": prompt.ids[None, :, -1]}, frames)
    assert torch.equal(ours.speak({0: prompt}, 1, GREEDY, frames)[0], expected[0])


def test_greedy_codes_of_a_ragged_batch_with_a_voice(
    ours: Spoken, theirs: Any, endless: Path, clip: Any
) -> None:
    frames = 32
    expected = generated(theirs, processed(endless, TEXTS, clip), frames)
    voice = Voice("Noise.", codec.encode(ours.codec, clip))
    prompts = {slot: ours.prompt(text, voice) for slot, text in enumerate(TEXTS)}
    assert len({len(prompt) for prompt in prompts.values()}) == len(TEXTS)
    made = ours.speak(prompts, len(TEXTS), GREEDY, frames)
    assert expected.shape[1] == frames
    # It is heard what is said, and by whom, from the first frame on.
    voiceless = ours.speak({0: ours.prompt(TEXTS[0])}, len(TEXTS), GREEDY, 1)[0]
    assert len({tuple(codes[0].tolist()) for codes in (*made.values(), voiceless)}) == 5
    assert all(torch.equal(made[slot], expected[slot]) for slot in prompts)


class Ending(Sampler):
    """Wants each slot's end at a frame of its own."""

    at: Tensor

    def draw(self, logits: Tensor, codebook: int, out: Tensor) -> None:
        if codebook == 0:
            logits[:, 0] = torch.where(self._frames == self.at, 100.0, -100.0)
        super().draw(logits, codebook, out)


def test_endings_in_a_batch(tiny: Path, clip: Any) -> None:
    """transformers goes on with a row that has ended; only up to its end is it right."""
    ends, frames = [2, 9, 12, 5], 10
    ours = load(tiny)
    network = CsmForConditionalGeneration.from_pretrained(tiny, dtype=torch.float32)
    strengthen(network.named_parameters())
    calls = iter(range(frames))

    def want_the_end(_module: object, _arguments: object, logits: Tensor) -> None:
        now = next(calls)
        logits[:, -1, 0] = torch.tensor([100.0 if end == now else -100.0 for end in ends])

    with torch.no_grad():
        network.lm_head.weight[2048:] = 0
        network.depth_decoder.codebooks_head.weight[:, :, 2048:] = 0
    network.lm_head.register_forward_hook(want_the_end)
    expected = generated(network, processed(tiny, TEXTS, clip), frames)

    voice = Voice("Noise.", codec.encode(ours.codec, clip))
    slots = Slots(ours.model, 4)
    for slot, text in enumerate(TEXTS):
        ours.begin(slots, slot, ours.prompt(text, voice), frames, 0)
    sampler = Ending(GREEDY, codebooks=32, codes=2048, device=torch.device("cpu"))
    sampler.at = torch.tensor(ends)
    for _ in range(frames):
        decode_one_frame(ours.model, slots, sampler)
    assert slots.frames.tolist() == [2, 9, 10, 5]
    assert slots.ended.tolist() == [1, 1, 0, 1]
    for slot, end in enumerate(slots.frames.tolist()):
        assert torch.equal(slots.history[slot, :end].long(), expected[slot, :end])
    assert expected[0, 3:].any()


class Forced(Sampler):
    """Draws given codes and keeps the logits."""

    codes: Tensor
    logits: list[Tensor]

    def draw(self, logits: Tensor, codebook: int, out: Tensor) -> None:
        self.logits.append(logits.clone())
        super().draw(logits, codebook, out)
        out.copy_(self.codes[:, codebook])


@torch.no_grad()
def their_logits(network: Any, ids: Tensor, frames: Tensor) -> Tensor:
    """Of each frame and codebook, ``[frames, codebooks, vocabulary]``, with the codes given."""
    logits = []
    cache = DynamicCache(config=network.config)
    embeddings = network.embed_text_tokens(ids[None])
    for frame in frames:
        state = network.backbone_model(inputs_embeds=embeddings, past_key_values=cache)
        hidden = state.last_hidden_state[:, -1]
        rest = network.depth_decoder(
            input_ids=torch.cat([torch.zeros(1, dtype=torch.int64), frame[:-1]])[None],
            backbone_last_hidden_state=hidden.clone(),
        ).logits[0]
        logits.append(torch.cat([network.lm_head(hidden), rest]))
        embeddings = network.backbone_model.embed_tokens(frame[None, None])
    return torch.stack(logits)


def test_logits_of_every_step(ours: Spoken, theirs: Any) -> None:
    frames = torch.randint(1, 2048, (6, 32), generator=torch.Generator().manual_seed(0))
    prompt = ours.prompt(TEXTS[1])
    expected = their_logits(theirs, prompt.ids[:, -1], frames)[..., :2048]
    slots = Slots(ours.model, 2)
    ours.begin(slots, 1, prompt, 100, 0)
    sampler = Forced(GREEDY, codebooks=32, codes=2048, device=torch.device("cpu"))
    for frame, logits in zip(frames, expected, strict=True):
        sampler.codes, sampler.logits = frame.expand(2, -1), []
        decode_one_frame(ours.model, slots, sampler)
        made = torch.stack(sampler.logits)[:, 1]
        first = slice(1, None)  # Too early an end is struck out.
        assert torch.allclose(made[0, first], logits[0, first], atol=1e-3, rtol=0)
        assert torch.allclose(made[1:], logits[1:], atol=1e-3, rtol=0)
        assert logits.std() > 0.01


def test_frequencies_are_transformers(theirs: Any) -> None:
    for config in (theirs.config, theirs.depth_decoder.config):
        assert config.rope_parameters["rope_type"] == "llama3"
        expected = CsmRotaryEmbedding(config).inv_freq
        made = frequencies(config.rope_parameters, config.head_dim)
        assert torch.allclose(made, expected, rtol=1e-6, atol=0)
        plain = frequencies({"rope_theta": 500_000.0}, config.head_dim)
        assert not torch.allclose(made, plain)
    with pytest.raises(csm.CsmError, match="yarn position embeddings"):
        frequencies({"rope_type": "yarn", "rope_theta": 1.0}, 16)


def test_a_prompt_in_two_parts_is_the_same(ours: Spoken) -> None:
    prompt = ours.prompt(TEXTS[3])
    whole = Slots(ours.model, 1).cache[:, 0]
    parts = whole.clone()
    rows = ours.model.embed(prompt)
    prefill(ours.model, rows.clone(), whole, 0)
    prefill(ours.model, rows[:20].clone(), parts, 0)
    prefill(ours.model, rows[20:].clone(), parts, 20)
    assert whole.any() and torch.allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_slot_knows_nothing_of_the_others(endless: Path, dtype: torch.dtype) -> None:
    """Exact in both types on a CPU: with as many slots, a row is computed the same everywhere."""
    ours, frames = load(endless, dtype), 6
    prompts = [ours.prompt(text) for text in TEXTS]
    sampling = Sampling()
    together = ours.speak(dict(enumerate(prompts)), 4, sampling, frames)
    for slot, prompt in enumerate(prompts):
        alone = ours.speak({3 - slot: prompt}, 4, sampling, frames)[3 - slot]
        assert torch.equal(alone, together[slot])
    assert len({tuple(codes.flatten().tolist()) for codes in together.values()}) == 4


def test_bfloat16_is_close(endless: Path, theirs: Any) -> None:
    ours = load(endless, torch.bfloat16)
    frames = torch.randint(1, 2048, (2, 32), generator=torch.Generator().manual_seed(1))
    prompt = ours.prompt(TEXTS[1])
    expected = their_logits(theirs, prompt.ids[:, -1], frames)[..., :2048]
    slots = Slots(ours.model, 1)
    ours.begin(slots, 0, prompt, 100, 0)
    sampler = Forced(GREEDY, codebooks=32, codes=2048, device=torch.device("cpu"))
    for frame, logits in zip(frames, expected, strict=True):
        sampler.codes, sampler.logits = frame[None], []
        decode_one_frame(ours.model, slots, sampler)
        made = torch.cat(sampler.logits).float()
        assert (made - logits)[:, 1:].abs().mean() < 0.03 * logits.std()


def test_a_slot_stops_at_its_cap(ours: Spoken) -> None:
    slots, sampler = Slots(ours.model, 3), ours.model.sampler(Sampling())
    for slot, cap in ((0, 2), (2, 4)):
        ours.begin(slots, slot, ours.prompt(TEXTS[slot]), cap, 1)
    for _ in range(6):
        decode_one_frame(ours.model, slots, sampler)
    assert slots.report.tolist() == [[2, 0, 4], [1, 1, 1], [0, 0, 0], [1, 0, 1]]
    # A slot that is done is taken up again as if it were new.
    made = slots.history[0, :2].clone()
    ours.begin(slots, 0, ours.prompt(TEXTS[0]), 2, 1)
    for _ in range(2):
        decode_one_frame(ours.model, slots, sampler)
    assert torch.equal(slots.history[0, :2], made)


@pytest.mark.parametrize("shape", [(300, 64), (4000, 200), (7, 600_000)])
@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_products_with_bfloat16_weights(shape: tuple[int, int], rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = (torch.randn(shape, generator=generator) / shape[1] ** 0.5).bfloat16()
    given = torch.randn(rows, shape[1], generator=generator).bfloat16()
    expected = given.float() @ weight.float().t()
    out = torch.empty(rows, shape[0], dtype=torch.bfloat16)
    linear(weight)(given, out)
    assert torch.equal(linear(weight)(given), out)
    assert torch.allclose(out.float(), expected, atol=0.02, rtol=0.02)
    total = torch.ones(rows, shape[0], dtype=torch.bfloat16)
    linear(weight).add_to(total, given)
    assert torch.allclose(total.float(), expected + 1, atol=0.04, rtol=0.02)
