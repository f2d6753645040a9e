"""What is said of memory, against what tensors really take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import csm
from csm.checkpoint.random_weights import random_checkpoint, released_config
from csm.engine import sizing
from csm.engine.model import Model, Slots
from csm.engine.sizing import bytes_a_frame, choose_slots, free_memory, sizes

CPU = torch.device("cpu")
GIB = 2**30


def held(thing: object, seen: set[int]) -> int:
    """Bytes of all tensors that an object holds, each storage once."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        storage = thing.untyped_storage()
        if storage.data_ptr() in seen:
            return 0
        seen.add(storage.data_ptr())
        return storage.nbytes()
    if isinstance(thing, dict):
        return sum(held(value, seen) for value in thing.values())
    if isinstance(thing, list | tuple):
        return sum(held(value, seen) for value in thing)
    return held(vars(thing), seen) if type(thing).__module__.startswith("csm.") else 0


def test_weights_and_slots_take_what_is_said(tiny: Path) -> None:
    checkpoint = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32)
    said = sizes(checkpoint.config, torch.float32, CPU)
    model = Model(checkpoint)
    weights = held(model, set())
    assert said.weights - sizing.CODEC_PARAMETERS * 4 == pytest.approx(weights, rel=0.05)
    seen: set[int] = set()
    held(model, seen)
    one, three = (held(Slots(model, count), set(seen)) for count in (1, 3))
    assert said.slot == pytest.approx((three - one) / 2, rel=0.05)


def test_the_released_sizes() -> None:
    config = released_config()
    said = sizes(config, torch.bfloat16, torch.device("cuda"))
    assert said.weights / GIB == pytest.approx(3.6, abs=0.05)
    # 32 KiB a position.
    assert said.slot / 2**20 == pytest.approx(64, abs=1)
    assert said.total(8) - said.total(7) == said.slot
    assert said.slots_within(said.total(5)) == 5
    assert said.slots_within(said.total(5) - 1) == 4
    assert said.slots_within(said.weights) == 0
    # Twice the values of a float32 checkpoint in the same memory.
    wide = sizes(config, torch.float32, torch.device("cuda"))
    assert wide.slot == pytest.approx(2 * said.slot, rel=0.01)
    # A frame reads the depth decoder's layers again for each codebook.
    read = bytes_a_frame(config, torch.bfloat16, slots=1, context=768)
    assert read / 1e9 == pytest.approx(9.0, abs=0.15)
    more = bytes_a_frame(config, torch.bfloat16, slots=9, context=768)
    assert more - read == 8 * 768 * 32 * 1024


def test_free_memory_heeds_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = free_memory(CPU)
    assert 0 < machine < 2**50
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("2500\n")
    (tmp_path / "memory.stat").write_text("anon 2000\ninactive_file 400\n")
    monkeypatch.setattr(sizing, "CONTROL_GROUP", tmp_path)
    assert free_memory(CPU) == 900
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(CPU) > 2**20


def test_random_weights_are_drawn_from_their_seed(tiny: Path) -> None:
    config = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32).config
    one, again, other = (
        random_checkpoint(config, device=CPU, dtype=torch.bfloat16, seed=seed) for seed in (1, 1, 2)
    )
    name = "lm_head.weight"
    assert one.tensors[name].dtype == torch.bfloat16
    assert torch.equal(one.tensors[name], again.tensors[name])
    assert not torch.equal(one.tensors[name], other.tensors[name])
    mine, theirs = one.codec.state_dict(), again.codec.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert one.tokenizer.encode("ab", add_special_tokens=False) != []


def test_slots_are_chosen_by_free_memory() -> None:
    config, dtype, gpu = released_config(), torch.bfloat16, torch.device("cuda")
    need = sizes(config, dtype, gpu)

    def chosen(free: int) -> int:
        return choose_slots(config, dtype, gpu, free)

    assert chosen(80 * GIB) == 128
    # With 24 GB, as an L4 has.
    assert chosen(22 * GIB) == 128
    assert chosen(0) == 1
    counts = [chosen(free * GIB) for free in range(4, 24)]
    assert counts == sorted(counts) and set(counts) <= {1, 2, 4, 8, 16, 32, 64, 128}
    # What is chosen fits with room to spare.
    assert all(need.total(count) < free * GIB for free, count in enumerate(counts, 4) if count > 1)
    assert choose_slots(config, torch.float32, CPU, 64 * GIB) == 8
