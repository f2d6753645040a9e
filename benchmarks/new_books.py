"""How many new books a second several replicas enter: index, table of marks, and register.

    python -m benchmarks.new_books [REPLICAS [THREADS]]

Each replica is a process with as many threads as it has books at once, which enter new books as
fast as they can for some seconds: the index is drawn and written to the book's own node; with the
register, its entry, its fingerprint (6 KB, three minutes) and its confirmation too. Indices are
drawn one at a time, as before there were blocks, or in blocks, against the local Firebase, with
answers at once or 20 ms later. CPU is that of the local Firebase, and of the replicas together, as
a share of one core: what limits is seen there. Old and new take turns; medians of three.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import requests

from benchmarks.reporting import median, report
from narrator_daemon import config
from narrator_daemon.catalogue import MARKS
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.errors import Contended
from narrator_daemon.firebase import register
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks import allotment
from narrator_daemon.marks.allotment import Indices

_SECONDS, _ROUNDS = 4.0, 3
_ENTRY = {
    "book": "book",
    "take": 1,
    "path": "narrations/book/0123456789abcdef0123456789abcdef.wav",
    "bytes": 8_640_044,
    "seconds": 180.0,
    "fileSha256": "0" * 64,
    "samplesSha256": "0" * 64,
    "inputHash": "0" * 64,
    "textHash": "0" * 64,
    "version": "0.1.0",
    "engine": "csm",
}
_SOUND = b"\x5a" * 4_500


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _replica(
    name: str, threads: int, in_blocks: bool, with_register: bool, orders: Connection
) -> None:
    """A process of its own; it is told the environment, and tells how many books it entered."""
    os.environ.update(orders.recv())
    with Project(config.load(None)) as project:
        allot: Callable[[str], int] = Indices(project).allot
        if not in_blocks:
            allot = lambda book: allotment.allot(project, book)  # noqa: E731
        entered, gave_up = [0] * threads, [0] * threads
        orders.send("ready")
        ends_at = time.monotonic() + orders.recv()

        def work(number: int) -> None:
            for count in itertools.count():
                if time.monotonic() >= ends_at:
                    return
                book = f"{name}-{number}-{count}"
                try:
                    index = allot(book)
                    if with_register:
                        entry = {**_ENTRY, "book": book, "watermarkIndex": index}
                        register.enter(project, book, entry)
                        register.keep_fingerprint(project, book, _SOUND, 1)
                        register.confirm(project, book)
                    entered[number] += 1
                except Contended:
                    gave_up[number] += 1

        before = _cpu()
        running = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        orders.send((sum(entered), sum(gave_up), _cpu() - before))


def measure(
    replicas: int, threads: int, in_blocks: bool, with_register: bool, trip: float
) -> dict[str, float]:
    """One run."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(replicas)]
    processes = [
        context.Process(target=_replica, args=(f"r{n}", threads, in_blocks, with_register, theirs))
        for n, (_, theirs) in enumerate(pipes)
    ]
    # Before there are threads here, of the local Firebase.
    for process in processes:
        process.start()
    ours = [pipe for pipe, _ in pipes]
    with LocalFirebase() as firebase:
        firebase.load("/narrationMarksNext", 1)
        if trip:
            firebase.faults.add(Fault("slow", "database", path="narration", seconds=trip))
        for pipe in ours:
            pipe.send(firebase.environment())
        for pipe in ours:
            pipe.recv()
        firebase.traffic.reset()
        before = _cpu()
        for pipe in ours:
            pipe.send(_SECONDS)
        ended = [pipe.recv() for pipe in ours]
        used = _cpu() - before
        asked = firebase.traffic.total("requests", service="database")
        writes = firebase.traffic.total("requests", service="database", method="PUT")
        url = f"http://{firebase.endpoints['database_host']}/{MARKS}.json?ns=demo-books"
        answer = requests.get(url, headers={"Authorization": "Bearer owner"}, timeout=60)
        indices = list(answer.json().values())
        for process in processes:
            process.join()
    entered = sum(count for count, _, _ in ended)
    if len(set(indices)) != len(indices) or len(indices) < entered:
        raise AssertionError("an index was given twice, or one that was given is not there")
    return {
        "books_a_second": entered / _SECONDS,
        "gave_up": sum(count for _, count, _ in ended),
        "requests_a_book": asked / max(1, entered),
        "writes_a_book": writes / max(1, entered),
        "firebase_cpu": used / _SECONDS,
        "replicas_cpu": sum(cpu for _, _, cpu in ended) / _SECONDS,
    }


def rows(replicas: int, threads: int) -> list[dict[str, object]]:
    """All cases; old and new in turn, medians."""
    found: list[dict[str, object]] = []
    for trip, with_register in ((0.0, False), (0.02, False), (0.0, True)):
        runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
        for _ in range(_ROUNDS):
            for in_blocks, done in runs.items():
                done.append(measure(replicas, threads, in_blocks, with_register, trip))
        old = median([run["books_a_second"] for run in runs[False]])
        for in_blocks, done in runs.items():
            middle = {name: round(median([run[name] for run in done]), 2) for name in done[0]}
            found.append(
                {
                    "trip_ms": round(1000 * trip),
                    "register": with_register,
                    "drawn": "in blocks" if in_blocks else "one at a time",
                    **middle,
                    "ratio": round(middle["books_a_second"] / max(old, 0.01), 1),
                }
            )
    return found


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    report("new_books", rows(*[*given, *(8, 8)[len(given) :]]))
