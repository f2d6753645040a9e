"""What goes wrong beside requests: with processes, with services, with a book."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation import faults as kinds
from tests.simulation.scheduler import current

if TYPE_CHECKING:
    from tests.simulation.world import Seat, World


class Gremlin:
    """Makes it go wrong.

    Args:
        world: the history.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> None:
        """Do that at some times."""
        world, dice = self._world, current().dice
        for number in range(world.plan.gremlin):
            world.scheduler.sleep(world.plan.seconds * dice.random() / max(1, world.plan.gremlin))
            kind = world.faults.among(kinds.PROCESS, dice.random())
            which = dice.randrange(world.plan.workers)
            seconds, book = (
                dice.choice((1.0, 5.0, 12.0)),
                f"b{dice.randrange(len(world.plan.texts))}",
            )
            lifetimes, jump = dice.choice((0.5, 1.2, 2.5)), dice.choice((-7200.0, 300.0, 90_000.0))
            if not world.faults.on:
                return
            if kind is not None and world.faults.fire(f"gremlin#{number} {kind}"):
                world.say(kind, worker=which, seconds=seconds, book=book)
                self._go_wrong(kind, world.seats[which], seconds, book, lifetimes, jump)

    def _go_wrong(
        self, kind: str, seat: Seat, seconds: float, book: str, lifetimes: float, jump: float
    ) -> None:
        world, process = self._world, seat.process
        until = world.scheduler.now + seconds
        if process.dead:
            return
        if kind == "crash":
            process.dead = True
        elif kind == "stop" and seat.worker is not None:
            world.stop(seat)
        elif kind == "pause":
            world.pause(process, lifetimes)
        elif kind == "wall clock jumps":
            process.skew += jump
        elif kind == "database cut off":
            world.cut_off.add(process.name)
            world.cut["database", process.name] = until
        elif kind == "database down":
            world.cut["database", ""] = until
        elif kind == "database closed":
            world.ever_closed = True
            world.closed["database"] = until
        elif kind == "storage down":
            world.cut["storage", ""] = until
        elif kind == "storage closed":
            world.closed["storage"] = until
        elif kind == "book refused":
            world.ever_refused.add(book)
            world.refused[book] = until
        elif kind == "engine broken":
            world.broken[process.name] = until
        elif kind == "disk filled":
            world.full[process.name] = until
