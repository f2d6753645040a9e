"""How near to the truth ``narrativeAudioReadyBy`` is, over simulated days.

    python -m benchmarks.ready_by [DAYS [SPREAD]]

Three workers of two books each work off a day's requests: presses of a button all day, a bulk
request of 400 books in the morning and one at noon, some put off until evening. One book in a
hundred is tried twice. A book takes what its characters take at its worker's pace, times a factor
drawn anew for each (``SPREAD`` is its standard deviation, 0.08 unless another is given), and a
second and a half besides. The forecast knows none of these: it has what workers have measured (20
books each of the day before, and what comes), and is asked every 15 s, as the daemon does, and at
each claim. Each book's first
forecast is held against when it was ready, as a share of the time that was left when it was made.
Whatever was asked for later, and whatever went wrong, is in it.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections import deque
from dataclasses import dataclass, field

from benchmarks.reporting import report
from narrator_daemon.queue.forecast import Load, Place, Sums, forecast, seconds_left
from narrator_daemon.queue.place import Level
from narrator_daemon.queue.waiting import Waiting

_DAY, _LOOK, _HOUR = 86_400.0, 15.0, 3600.0
_PACES = (0.011, 0.012, 0.015)
_AT_ONCE, _OVERHEAD = 2, 1.5
_NOW_MS = 1_750_000_000_000


@dataclass
class _Work:
    book: str
    characters: int
    began: float
    ends: float
    again: bool


@dataclass
class _Worker:
    pace: float
    jobs: list[_Work] = field(default_factory=list)
    took: Sums = field(default_factory=Sums)


def _length(draw: random.Random) -> int:
    return int(min(10_000, max(200, draw.lognormvariate(8.2, 0.6))))


def _requests(draw: random.Random) -> list[tuple[float, str, int, Level, float]]:
    """When, which book, how many characters, what level, and from when it is wanted."""
    found = []

    def ask(at: float, level: Level, wanted: float = 0.0) -> None:
        found.append((at, f"b{len(found):05}", _length(draw), level, wanted))

    for start in (8 * _HOUR, 12 * _HOUR):
        for _ in range(400):
            ask(start, Level.BULK)
    for _ in range(600):
        ask(draw.triangular(6 * _HOUR, 22 * _HOUR, 14 * _HOUR), Level.NORMAL)
    for _ in range(60):
        ask(draw.uniform(6 * _HOUR, 18 * _HOUR), Level.NORMAL, 20 * _HOUR)
    return sorted(found)


def day(seed: int, spread: float) -> list[tuple[Level, float, float, float]]:
    """Of each book its level, when it was first foretold, for when, and when it was ready."""
    draw = random.Random(seed)
    now = 0.0
    waiting = Waiting(lambda: now)
    workers = [_Worker(pace) for pace in _PACES]
    for one in workers:
        for _ in range(20):
            characters = _length(draw)
            seconds = _OVERHEAD + characters * one.pace * max(0.5, draw.gauss(1, spread))
            one.took = one.took.then(characters, seconds)
    asked = deque(_requests(draw))
    books = {book: (characters, level) for _, book, characters, level, _ in asked}
    said: dict[str, tuple[float, float]] = {}
    ready: dict[str, float] = {}
    looks = 0.0
    while now < _DAY + 6 * _HOUR and len(ready) < len(books):
        while asked and asked[0][0] <= now:
            at, book, characters, level, wanted = asked.popleft()
            record = {
                "narrativeAudioStatus": "requested",
                "narrativeAudioRequestedAt": _NOW_MS + 1000 * at,
                "narrativeAudioPriority": level.name.lower(),
                "narrative": "x" * characters,
            }
            if wanted > at:
                record["narrativeAudioNotBefore"] = _NOW_MS + int(1000 * wanted)
            waiting.offer(book, record, _NOW_MS + int(1000 * now))
        for one in workers:
            for work in [work for work in one.jobs if work.ends <= now]:
                one.jobs.remove(work)
                if work.again:
                    _begin(one, work.book, work.characters, now, spread, draw, again=False)
                    continue
                ready[work.book] = work.ends
                one.took = one.took.then(work.characters, work.ends - work.began)
            while len(one.jobs) < _AT_ONCE and (taken := waiting.take(now)) is not None:
                characters = taken.characters or 0
                _begin(one, taken.book_id, characters, now, spread, draw)
                if (pace := one.took.pace) is not None:
                    said.setdefault(taken.book_id, (now, now + pace.takes(characters)))
        if now >= looks:
            looks = now + _LOOK
            for book, seconds in _foretell(waiting, workers, now).items():
                said.setdefault(book, (now, now + seconds))
        ends = [work.ends for one in workers for work in one.jobs]
        now = min([looks, *ends, *([asked[0][0]] if asked else [])])
    return [(books[book][1], *said[book], at) for book, at in ready.items() if book in said]


def _begin(
    one: _Worker,
    book: str,
    characters: int,
    now: float,
    spread: float,
    draw: random.Random,
    again: bool | None = None,
) -> None:
    seconds = _OVERHEAD + characters * one.pace * max(0.5, draw.gauss(1, spread))
    dies = draw.random() < 0.01 if again is None else again
    one.jobs.append(_Work(book, characters, now, now + seconds * (0.5 if dies else 1), dies))


def _foretell(waiting: Waiting, workers: list[_Worker], now: float) -> dict[str, float]:
    """What the leading replica would write of the books that wait, and workers of their own."""
    usual = sum((one.took for one in workers), Sums()).pace
    if usual is None:
        return {}
    found, places = {}, []
    for one in workers:
        pace = one.took.pace or usual
        for work in one.jobs:
            elapsed = now - work.began
            share = elapsed / (work.ends - work.began)
            left = seconds_left(elapsed, share, pace.takes(work.characters))
            found[work.book] = left or 0.0
            places.append(Place(left or 0.0, pace))
        places += [Place(0.0, pace)] * (_AT_ONCE - len(one.jobs))
    loads = [
        Load(
            one.book_id,
            one.level,
            one.order,
            one.characters or 0,
            max(0.0, ((one.wanted_at or 0) - _NOW_MS) / 1000 - now),
        )
        for one in waiting.candidates
    ]
    return found | forecast(loads, places, waiting.arriving(_NOW_MS + int(1000 * now)))


def measure(days: int, spread: float) -> list[dict[str, object]]:
    """The share of books that were foretold within 15 %, by level and for all."""
    rows = [row for seed in range(days) for row in day(seed, spread)]
    found: list[dict[str, object]] = []
    for name, chosen in (
        *((level.name.lower(), [row for row in rows if row[0] is level]) for level in Level),
        ("all", rows),
    ):
        off = [abs(ready - foretold) / max(1.0, ready - at) for _, at, foretold, ready in chosen]
        if off:
            found.append(
                {
                    "books": name,
                    "count": len(off),
                    "within_15_percent": round(sum(one <= 0.15 for one in off) / len(off), 3),
                    "median_off": round(heapq.nsmallest(len(off) // 2 + 1, off)[-1], 3),
                    "worst_tenth_off": round(sorted(off)[int(0.9 * (len(off) - 1))], 3),
                }
            )
    return found


if __name__ == "__main__":
    report(
        "ready_by",
        measure(
            int(sys.argv[1]) if len(sys.argv) > 1 else 3,
            float(sys.argv[2]) if len(sys.argv) > 2 else 0.08,
        ),
    )
