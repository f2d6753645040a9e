"""How much is tried: what each change needs, or all, as once a night.

``HYPOTHESIS_PROFILE=thorough make test`` tries all: every value of long tables, and ten times as
many examples of properties that do not say how many they need.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import hypothesis

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"

Value = TypeVar("Value")


def some(few: Iterable[Value], *, of: Iterable[Value]) -> list[Value]:
    """The few of these that differ in kind; all of them where all is tried."""
    chosen, whole = list(few), list(of)
    assert all(value in whole for value in chosen)
    return whole if THOROUGH else chosen


def load_profile() -> None:
    """Hypothesis' settings. How long examples take says nothing on a machine with other work."""
    quick = hypothesis.settings(
        deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("ours", quick)
    hypothesis.settings.register_profile("thorough", quick, max_examples=1000)
    hypothesis.settings.load_profile("thorough" if THOROUGH else "ours")
