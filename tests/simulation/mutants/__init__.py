"""The program with one rule taken out at a time."""

from tests.simulation.mutants import fleet, protocol, work
from tests.simulation.mutants.registry import ALL, said

__all__ = ["ALL", "fleet", "protocol", "said", "work"]
