"""Kernels against their plain twins, in Triton's interpreter.

In float32 and float16: the interpreter truncates where a GPU rounds to bfloat16, and its products
of bfloat16 are garbage. Each of its operations takes as long whatever the size, so weights are
narrow here, and what is cut into programs, splits and steps is cut small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MimiConfig

import csm
from benchmarks.csm_ours import SMALL_CODEC, toy_config
from csm import Sampling
from csm.checkpoint.random_weights import random_checkpoint
from csm.engine.kernels import agreement, choice, language, product
from csm.engine.kernels.decode_attention import splits
from csm.engine.kernels.draw import FusedSampler, Sampler
from csm.engine.kernels.language import Target
from csm.engine.kernels.operations import Fused, Plain
from csm.engine.kernels.product import plan
from csm.engine.model import Model, decode_one_frame, prefill
from csm.engine.operands.heads import Heads
from csm.engine.operands.linear import linear
from csm.engine.operands.norm import Norm
from csm.engine.operands.slots import Slots
from csm.engine.rope import turns

CPU = torch.device("cpu")
TYPES = [torch.float32, torch.float16]
#: Few, so that weights are split between programs at a test's sizes.
SMALL = Target(processors=8, dependent=False)
PLAIN = Plain("the twin")
ROPE = {"rope_type": "default", "rope_theta": 500_000.0}

pytestmark = pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")


@pytest.fixture(scope="module")
def fused() -> Fused:
    assert language.AVAILABLE and language.INTERPRETED
    return Fused(SMALL, CPU)


@pytest.fixture(scope="module", params=TYPES, ids=str)
def model(request: pytest.FixtureRequest, endless: Path) -> Model:
    checkpoint = csm.load_checkpoint(str(endless), device="cpu", dtype=request.param)
    for name, weight in checkpoint.tensors.items():
        if "self_attn" in name or "norm" in name:
            # Small random weights attend to all alike, and norms are ones: make them matter.
            weight.data.mul_(8 if "self_attn" in name else 1 + torch.rand(weight.shape))
    return Model(checkpoint)


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


# Products.


@pytest.fixture
def narrow_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of few columns are split, too."""
    monkeypatch.setattr(product, "LEAST_COLUMNS", 64)


@pytest.mark.usefixtures("narrow_splits")
@pytest.mark.parametrize(
    ("count", "int8", "dtype"),
    [
        *((count, False, torch.float32) for count in (1, 2, 15, 16, 17, 64, 65, 128)),
        # How rows are cut is the same for weights of 8 bits and for float16: one row, the edge of
        # a block of rows, and more than one block.
        *((count, True, torch.float32) for count in (1, 17, 65)),
        *((count, False, torch.float16) for count in (1, 16, 65)),
        *((count, True, torch.float16) for count in (1, 16)),
    ],
)
def test_products(fused: Fused, count: int, int8: bool, dtype: torch.dtype) -> None:
    # One or two rows in three steps of the columns; others split in four, in two steps each.
    split = 2048 // dtype.itemsize
    columns, outputs = {1: 1040, 2: 1040, 15: split, 16: split}.get(count, 144), 80
    rows = random(count, columns, dtype=dtype)
    norm = Norm(torch.rand(columns).to(dtype) + 0.5, 1e-5)
    weight = linear(random(2 * outputs, columns, dtype=dtype) / columns**0.5, int8=int8)
    assert agreement.close(fused.product(rows, weight, norm), weight(norm(rows)))
    assert agreement.close(fused.product(rows, weight), weight(rows))
    given = torch.empty(count, 2 * outputs, dtype=dtype)
    assert fused.product(rows, weight, None, given) is given
    assert agreement.close(given, weight(rows))
    assert agreement.close(
        fused.gated_product(rows, weight, norm), PLAIN.gated_product(rows, weight, norm)
    )
    totals = random(count, 2 * outputs, dtype=dtype).repeat(2, 1, 1)
    for operations, total in zip((fused, PLAIN), totals, strict=True):
        operations.add_product(total, rows, weight)
    assert agreement.close(totals[0], totals[1])


@pytest.mark.usefixtures("narrow_splits")
def test_a_split_product_is_the_same_each_time_and_leaves_its_counters_as_they_were(
    fused: Fused,
) -> None:
    cut = plan(3, 80, 512, SMALL, gated=False, split=True, size=4)
    assert cut.splits == 4 and 512 // cut.splits == 2 * cut.columns
    rows, weight = random(3, 512), linear(random(80, 512))
    made = []
    for _ in range(2):
        total = torch.zeros(3, 80)
        fused.add_product(total, rows, weight)
        made.append(total)
    assert torch.equal(*made) and not fused._arrived.any()


@pytest.mark.parametrize("count", [1, 2, 16, 64, 256])
@pytest.mark.parametrize("processors", [58, 108, 132])
def test_a_product_is_cut_so_that_each_part_is_computed_once(count: int, processors: int) -> None:
    for outputs, columns, gated, split in (
        (1536, 1024, False, False),
        (8192, 1024, True, False),
        (1024, 8192, False, True),
        (2048, 2048, False, True),
        (48, 96, False, True),
    ):
        for size, shared in ((2, 227 * 1024), (4, 99 * 1024)):
            target = Target(processors, dependent=False, shared_bytes=shared)
            cut = plan(count, outputs, columns, target, gated=gated, split=split, size=size)
            assert columns % cut.splits == 0 and (split or cut.splits == 1)
            assert cut.rows >= 16 and cut.outputs >= 16 and 2 <= cut.stages <= 8
            blocks = -(-outputs // cut.outputs) * -(-count // cut.rows)
            assert cut.splits == 1 or blocks * cut.splits <= 1.2 * processors
            stage = (cut.rows + cut.outputs * (1 + gated)) * cut.columns * size
            assert cut.stages * stage < shared


# Attention.


@pytest.mark.parametrize(
    ("heads", "dtype"),
    [
        (Heads(4, 2, 32), torch.float32),
        (Heads(4, 2, 32), torch.float16),
        (Heads(2, 3, 12), torch.float32),
        (Heads(1, 1, 16), torch.float32),
    ],
    ids=str,
)
def test_depth_attention_at_every_place(fused: Fused, heads: Heads, dtype: torch.dtype) -> None:
    slots, places = 2, 16
    caches = torch.zeros(2, slots, 2, heads.key_heads, places, heads.size, dtype=dtype)
    by = turns(ROPE, heads.size, places)
    for place in range(1, places):
        projected = random((1 + (place == 1)) * slots, heads.width, dtype=dtype, seed=place)
        made = fused.depth_attention(projected.clone(), heads, by, caches[0], place)
        assert agreement.close(made, PLAIN.depth_attention(projected, heads, by, caches[1], place))
    assert agreement.close(caches[0], caches[1])


def test_the_first_two_places_together_are_as_one_after_the_other() -> None:
    """Of the twin: the first place sees itself alone, the second both."""
    heads, slots = Heads(2, 2, 16), 3
    by = turns(ROPE, 16, 4)
    both = random(2 * slots, heads.width)
    caches = torch.zeros(2, slots, 2, 2, 4, 16)
    together = PLAIN.depth_attention(both.clone(), heads, by, caches[0], 1)
    first = both[:slots].clone()
    queries, keys_values = heads.turned(first, by[0])
    caches[1][:, :, :, 0] = keys_values
    own = keys_values[:, 1].repeat(1, heads.group, 1).reshape(slots, -1)
    assert torch.allclose(together[:slots], own, atol=1e-6) and queries.any()
    alone = PLAIN.depth_attention(both[slots:].clone(), heads, by, caches[1], 1)
    assert torch.allclose(together[slots:], alone, atol=1e-6)
    assert torch.allclose(caches[0], caches[1])


@pytest.mark.parametrize("count", [1, 3, 16, 17, 128])
def test_attentions_of_many_slots(fused: Fused, count: int) -> None:
    heads, places = Heads(4, 1, 16), 300
    by = turns(ROPE, 16, places)
    positions = torch.arange(count) * 37 % places
    projected, cache = random(count, heads.width), random(count, 2, 1, places, 16)
    caches = cache, cache.clone()
    assert agreement.close(
        fused.decode_attention(projected.clone(), heads, by, caches[0], positions),
        PLAIN.decode_attention(projected.clone(), heads, by, caches[1], positions),
    )
    assert agreement.close(*caches)
    small = [one[:, :, :, :32].contiguous() for one in caches]
    assert agreement.close(
        fused.depth_attention(projected.clone(), heads, by, small[0], 5),
        PLAIN.depth_attention(projected.clone(), heads, by, small[1], 5),
    )


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_decode_attention_at_the_edges_of_what_programs_share(
    fused: Fused, dtype: torch.dtype
) -> None:
    heads, places = Heads(4, 1, 16), 400
    share, programs = splits(1, places)
    assert share < places and programs > 1
    by = turns(ROPE, 16, places)
    for position in (0, 1, 63, 64, share - 1, share, share + 1, 2 * share - 1, places - 1):
        caches = [random(1, 2, 1, places, 16, dtype=dtype) for _ in range(2)]
        projected, at = random(1, heads.width, dtype=dtype, seed=position), torch.tensor([position])
        assert agreement.close(
            fused.decode_attention(projected.clone(), heads, by, caches[0], at),
            PLAIN.decode_attention(projected.clone(), heads, by, caches[1], at),
        )
        assert agreement.close(*caches) and not fused._arrived.any()


@pytest.mark.parametrize("operations", ["fused", "plain"])
def test_a_slot_hears_its_own_length_and_nothing_of_its_neighbours(
    fused: Fused, operations: str
) -> None:
    heads, places = Heads(2, 1, 16), 200
    by = turns(ROPE, 16, places)
    kernels = fused if operations == "fused" else PLAIN
    projected, cache = random(3, heads.width), random(3, 2, 1, places, 16)
    for position in (0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 130, 198, 199):
        made = []
        for others in ([0, 199], [199, 3], [position, 131]):
            mine = cache.clone()
            # Of what lies beyond a slot's own length, nothing is read, be it what it may.
            mine[1, :, :, position + 1 :] = float("nan")
            mine[0] = mine[2] = float("inf")
            at = torch.tensor([others[0], position, others[1]])
            heard = kernels.decode_attention(projected.clone(), heads, by, mine, at)
            made.append(heard[1].clone())
        assert made[0].isfinite().all()
        assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])


# Draws and ends.


def samplers(codes: int, **fields: Any) -> tuple[Sampler, Sampler]:
    sizes = {"codebooks": 3, "codes": codes, "device": CPU}
    sampling = Sampling(**fields)
    return FusedSampler(sampling, target=SMALL, **sizes), Sampler(sampling, **sizes)


def drawn(sampler: Sampler, logits: list[Tensor], table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of a frame, the table's rows of them, and which slots are sound."""
    count = len(logits[0])
    sound = torch.ones(count, dtype=torch.int64)
    out = torch.zeros(len(logits), count, dtype=torch.int64)
    rows = torch.zeros(len(logits), count, table.shape[1], dtype=table.dtype)
    sampler.start(torch.arange(count) * 0x123456789ABCDEF, torch.arange(count) % 11, sound)
    for codebook, given in enumerate(logits[:-1]):
        sampler.draw_and_look_up(given.clone(), codebook, out[codebook], table, rows[codebook])
    sampler.draw(logits[-1].clone(), len(logits) - 1, out[-1])
    sampler.end()
    return out, rows, sound


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize(
    ("count", "codes", "fields"),
    [
        (5, 2048, {}),
        (6, 100, {"top_k": 3, "temperature": 2.0}),
        (6, 100, {"guard_end": False}),
        (5, 100, {"top_k": 1000}),
        (5, 100, {"top_k": 1}),
        (5, 100, {"temperature": 0.0}),
    ],
)
def test_codes_are_the_samplers_own(
    count: int, codes: int, fields: dict[str, Any], dtype: torch.dtype
) -> None:
    logits = [2.5 * random(count, codes, dtype=dtype, seed=seed) for seed in range(3)]
    logits[0][::2, 0] = 20.0  # Some want to end.
    logits[1][1, 7], logits[1][2, 7] = float("nan"), float("inf")
    one, other = samplers(codes, **fields)
    table = random(codes, 20, dtype=dtype)
    (made, rows, sound), (expected, same_rows, same_sound) = (
        drawn(sampler, logits, table) for sampler in (one, other)
    )
    assert (expected[0] == 0).any() and (expected[0] != 0).any()
    assert same_sound.tolist() == [1, 0, 0, *[1] * (count - 3)] and torch.equal(sound, same_sound)
    well = sound.bool()
    assert torch.equal(made[:, well], expected[:, well])
    assert torch.equal(rows[:, well], same_rows[:, well])
    assert ((made >= 0) & (made < codes)).all()


def test_codes_that_are_as_likely_as_the_last_of_the_top_are_alike_too() -> None:
    """Zeros of both signs are alike, and so are many equal logits."""
    grid = torch.randint(-2, 3, (20, 64), generator=torch.Generator().manual_seed(0)).float()
    grid[grid == 0] *= torch.where(torch.rand(int((grid == 0).sum())) < 0.5, 1.0, -1.0)
    one, other = samplers(64, top_k=32, temperature=3.0)
    assert (grid.topk(32)[0][:, -1] == 0).any()
    made = [drawn(sampler, [grid] * 3, torch.zeros(64, 1))[0] for sampler in (one, other)]
    assert torch.equal(*made)


@torch.inference_mode()
def test_the_end_of_a_frame(model: Model, fused: Fused) -> None:
    """Slots that end, run away, are cut, are done and go on, over some frames."""
    both = [Slots(model, 5) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    for slots in both:
        slots.done[:4] = 0
        slots.caps.copy_(torch.tensor([9, 9, 3, 9, 9]))
        # What lies before a slot's first frame is another's, or nobody's.
        slots.history[0, -1] = 5
    sampling = Sampling(most_held=2, end_zeros=30)
    for frame in range(5):
        codes = torch.randint(1, model.codes, (32, 5), generator=generator)
        codes[:, 1] = 5
        if frame == 3:
            codes[:, 0] = 0
            codes[4:6, 0] = 1
            codes[1:, 3] = 0  # Codebook 0 is none: no end.
        for slots, kernels in zip(both, (fused, PLAIN), strict=True):
            slots.codes.copy_(codes)
            kernels.finish(slots, model.audio_embedding, sampling)
        made, twin = both
        assert agreement.close(made.inputs, twin.inputs)
        assert torch.equal(made.report, twin.report) and torch.equal(made.history, twin.history)
        assert torch.equal(made.positions, twin.positions)
    assert made.done.tolist() == [1, 1, 1, 0, 1] and made.ended.tolist() == [1, 2, 0, 0, 0]
    assert made.frames.tolist() == [3, 3, 3, 5, 0]


# All of it.


def test_every_operation_agrees_at_a_models_sizes(model: Model, fused: Fused) -> None:
    assert agreement.disagreements(fused, model, (3,)) == []


def test_what_disagrees_is_found(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Fused):
        def add_product(self, total: Tensor, rows: Tensor, weight: Any) -> None:
            super().add_product(total, rows, weight)
            total[0, 0] += 1

        def sampler(self, *arguments: Any, **more: Any) -> Sampler:
            class Late(FusedSampler):
                def start(self, seeds: Tensor, frames: Tensor, sound: Tensor) -> None:
                    super().start(seeds + 1, frames, sound)

            return Late(*arguments, **more, target=SMALL)

    monkeypatch.setattr(
        agreement, "TRIALS", {name: agreement.TRIALS[name] for name in ("products", "draws")}
    )
    found = agreement.disagreements(Wrong(SMALL, CPU), model, (3,))
    assert found == ["products of 3 slots", "draws of 3 slots"]


def small_config() -> Any:
    """A model whose frames are few codes of few kinds, so that an interpreter gets through them."""
    config = toy_config()
    config.update({"num_hidden_layers": 2, "num_codebooks": 4, "vocab_size": 67})
    config.update({"max_position_embeddings": 300})
    config.depth_decoder_config.update({"num_hidden_layers": 2, "num_codebooks": 4})
    config.depth_decoder_config.update({"vocab_size": 67, "max_position_embeddings": 4})
    config.codec_config = MimiConfig(**SMALL_CODEC, codebook_size=64, num_quantizers=4)
    return config


@pytest.mark.parametrize("int8", [False, True])
@torch.inference_mode()
def test_frames_of_kernels_are_those_of_plain_torch(fused: Fused, int8: bool) -> None:
    made = []
    for kernels in (fused, PLAIN):
        checkpoint = random_checkpoint(small_config(), device=CPU, dtype=torch.float32)
        for weight in checkpoint.tensors.values():
            weight.mul_(6 if weight.ndim > 1 else 1)
        model = Model(checkpoint, kernels=kernels, int8_depth=int8)
        slots, sampler = Slots(model, 3), model.sampler(Sampling(first_end=1))
        for slot in range(3):
            rows = random(3 + 100 * slot, model.backbone.hidden, seed=slot)
            prefill(model, rows[:-1].clone(), slots.cache[:, slot], 0)
            slots.begin(slot, rows[-1], len(rows) - 1, 9, slot)
        for _ in range(2):
            decode_one_frame(model, slots, sampler)
        made.append((slots.history[:, :3], slots.report, slots.inputs))
    (codes, report, inputs), (expected, same_report, same_inputs) = made
    assert torch.equal(codes, expected) and len(codes.unique()) > 12
    assert torch.equal(report, same_report) and torch.allclose(inputs, same_inputs, atol=1e-4)


# Which are chosen.


class OnGpu:
    """A model as if on a GPU."""

    device = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("setting", "available", "capability", "trial", "about"),
    [
        ("auto", True, (9, 0), [], "fused kernels"),
        ("off", True, (9, 0), [], "plain torch: kernels are off"),
        ("auto", False, (9, 0), [], "plain torch: triton is not installed"),
        ("auto", True, (7, 5), [], "plain torch: kernels are for compute capability 8.0 and later"),
        ("auto", True, (8, 0), ["draws of 1 slots"], "something else: draws of 1 slots"),
        ("auto", True, (8, 0), RuntimeError("no C compiler"), "RuntimeError: no C compiler"),
    ],
)
def test_kernels_are_used_where_they_work(
    setting: choice.Setting,
    available: bool,
    capability: tuple[int, int],
    trial: Any,
    about: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tried(*_: object) -> list[str]:
        if isinstance(trial, Exception):
            raise trial
        return list(trial)

    monkeypatch.setattr(choice, "disagreements", tried)
    monkeypatch.setattr(choice, "Fused", lambda *_: Fused(SMALL, CPU))
    monkeypatch.setattr(language, "target", lambda _device: SMALL)
    monkeypatch.setattr(language, "AVAILABLE", available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    model: Any = OnGpu()
    assert choice.choose(setting, model).about.endswith(about)


def test_no_memory_to_try_kernels_is_no_fault_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> list[str]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(choice, "disagreements", full)
    monkeypatch.setattr(choice, "Fused", lambda *_: Fused(SMALL, CPU))
    monkeypatch.setattr(language, "target", lambda _device: SMALL)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    model: Any = OnGpu()
    with pytest.raises(torch.OutOfMemoryError):
        choice.choose("auto", model)


def test_a_cpu_computes_by_plain_torch(endless: Path) -> None:
    assert Model(csm.load_checkpoint(str(endless), device="cpu")).kernels.about == (
        "plain torch: on cpu"
    )
