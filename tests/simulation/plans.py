"""The plan of a seed: of which kind a history is."""

from __future__ import annotations

import random

from tests.simulation.few import OF_FEW, renewed
from tests.simulation.plan import Plan


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"plan {seed}")
    made = Plan.usual(dice)
    if dice.random() < 0.08:
        return made.as_queue(dice)
    if dice.random() < 0.12:
        return made.as_steered(dice)
    if dice.random() < 0.12:
        return made.with_batches(dice)
    if dice.random() < 0.1:
        return made.as_contested(dice)
    if dice.random() < 0.05:
        return made.as_swept(dice)
    if dice.random() < 0.05:
        return renewed(made, dice)
    if dice.random() < 0.05:
        return made.as_restarted(dice)
    return dice.choice(OF_FEW)(made, dice) if dice.random() < 0.6 else made
