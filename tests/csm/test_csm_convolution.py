"""The kernel of the codec's convolutions against its plain twin, in Triton's interpreter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from csm.engine.kernels import language
from csm.engine.kernels.convolution import (
    EITHER_WAY,
    Convolution,
    FusedConvolve,
    Shape,
    convolve,
    tile,
)
from csm.engine.kernels.language import Target

GPU = Target(processors=8, dependent=False)

pytestmark = pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")


@pytest.mark.parametrize("shapes", [(None, None), ("elu", "elu"), (None, "gelu")], ids=str)
@pytest.mark.parametrize("extras", [False, True], ids=["bare", "bias and sum"])
@pytest.mark.parametrize(
    ("count", "positions", "channels", "outputs", "taps"),
    [
        (2, 150, 32, 16, 3),  # two blocks of positions, the second not full
        (2, 40, 16, 48, 2),  # outputs that are no power of two, sequences beside each other
        (2, 33, 40, 1, 3),  # channels that are no multiple of a step, one output
        (2, 70, 64, 64, 1),  # nothing looks back: sequences are joined
        (1, 9, 20, 130, 7),  # looks back further than a step
        (3, 1, 16, 16, 3),
    ],
)
def test_the_kernel_equals_its_twin(
    count: int,
    positions: int,
    channels: int,
    outputs: int,
    taps: int,
    extras: bool,
    shapes: tuple[Shape | None, Shape | None],
) -> None:
    assert language.INTERPRETED
    first, then = shapes
    generator = torch.Generator().manual_seed(positions)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    rows = random(count, positions, channels)
    by = Convolution(random(taps, outputs, channels) / 8, random(outputs) if extras else None)
    total = random(count, positions, outputs) if extras else None
    twin = convolve(rows, by, first=first, total=total, then=then)
    made = FusedConvolve(GPU)(rows, by, first=first, total=total, then=then)
    assert made.shape == twin.shape == (count, positions, outputs)
    torch.testing.assert_close(made, twin, rtol=1e-5, atol=1e-5)


def test_what_is_behind_a_sequence_is_not_heard_in_it() -> None:
    by = Convolution(torch.ones(3, 16, 16))
    rows = torch.zeros(2, 40, 16)
    rows[0, -1] = rows[1, 20] = 1e6
    made = FusedConvolve(GPU)(rows, by)
    assert made[0, :-1].abs().max() == 0 and made[1, :20].abs().max() == 0
    assert (made[1, 20:23] > 0).all() and made[1, 23:].abs().max() == 0


def test_tiles_keep_processors_busy_and_fit() -> None:
    h100 = Target(132, dependent=True)
    few, many = tile(256, 512, 512, h100), tile(2_000_000, 64, 128, h100)
    assert (few.positions, many.positions) == (64, 128)
    for cut in (few, many, tile(100, 1, 64, h100), tile(100, 32, 16, h100)):
        held = 4 * cut.stages * cut.channels * (cut.positions + cut.outputs)
        # What an L4 gives a program, the least of all that are named.
        assert held <= 99 * 1024 - 8192
        assert cut.outputs >= 16 and cut.channels >= 16


@pytest.mark.parametrize("processors", [40, 132])
@pytest.mark.parametrize("outputs", [1, 32, 64, 1536])
def test_a_trial_goes_through_all_tiles(processors: int, outputs: int) -> None:
    target = Target(processors, dependent=False)
    tried = {tile(564, outputs, 64, replace(target, processors=each)) for each in EITHER_WAY}
    assert {tile(positions, outputs, 64, target) for positions in (1, 200, 5_000, 10**7)} <= tried
