"""What many listeners on a large catalogue cost the local Firebase.

    python -m benchmarks.emulator_load [--listeners 500] [--books 20000] [--bytes 1000]
                                       [--rate 2] [--seconds 60] [--root FOLDER]

Each listener is a WebSocket of its own, as a frontend has one, that listens to the books that are
requested, by the query that frontends use. A writer changes the status of one book after another,
so that each commit reaches every listener. ``--root`` names another checkout, to compare with; the
load is the same, so run the two in turn on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.reporting import report

_RULES = {"rules": {".read": True, ".write": True, "books": {".indexOn": ["narrativeAudioStatus"]}}}
_OWNER = {"Authorization": "Bearer owner"}
_TICKS = os.sysconf("SC_CLK_TCK")
#: How many sockets are opened at once.
_AT_ONCE = 50


def _cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


class _Listener:
    """One client; it notes when it hears of a commit."""

    def __init__(self) -> None:
        self.messages = 0
        self.seconds: list[float] = []

    async def listen(self, session: aiohttp.ClientSession, host: str, ready: asyncio.Event) -> None:
        async with session.ws_connect(f"http://{host}/.ws?v=5&ns=demo-books") as socket:
            await socket.receive_json()
            query = {"i": "narrativeAudioStatus", "sp": "requested", "ep": "requested"}
            body = {"p": "/books", "q": query, "t": 1, "h": ""}
            await socket.send_json({"t": "d", "d": {"r": 1, "a": "q", "b": body}})
            async for message in socket:
                text = message.data
                if '"s":"ok"' in text:
                    ready.set()
                elif ready.is_set():
                    self.messages += 1
                    for sent in text.split('"sent":')[1:]:
                        self.seconds.append(time.time() - float(sent.split(",")[0].rstrip("}")))


async def _write(session: aiohttp.ClientSession, url: str, rate: float, seconds: float) -> int:
    """Request books and take them up, so many commits a second; gives the number of commits."""
    began = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        if time.monotonic() - began >= seconds:
            return number
        status = "requested" if number % 2 == 0 else "processing"
        change = {"sent": time.time(), "narrativeAudioStatus": status}
        book = f"{url}/books/book{number // 2 % 100}.json?print=silent"
        async with session.patch(book, json=change, headers=_OWNER) as answer:
            answer.raise_for_status()
    raise AssertionError


async def _load(host: str, pid: int, asked: argparse.Namespace) -> dict[str, object]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"http://{host}"
        text = "x" * asked.bytes
        began = time.monotonic()
        for start in range(0, asked.books, 2000):
            books = {
                f"book{i}": {"narrative": text, "narrativeAudioStatus": "ready"}
                for i in range(start, min(asked.books, start + 2000))
            }
            where = f"{url}/books.json?print=silent"
            async with session.patch(where, json=books, headers=_OWNER) as answer:
                answer.raise_for_status()
        seeded = time.monotonic() - began
        listeners = [_Listener() for _ in range(asked.listeners)]
        tasks = []
        began = time.monotonic()
        for start in range(0, len(listeners), _AT_ONCE):
            events = [asyncio.Event() for _ in listeners[start : start + _AT_ONCE]]
            for listener, event in zip(listeners[start:], events, strict=False):
                tasks.append(asyncio.create_task(listener.listen(session, host, event)))
            for event in events:
                await asyncio.wait_for(event.wait(), 120)
        connected = time.monotonic() - began
        before, used, wall = _resident_mib(pid), _cpu_seconds(pid), time.monotonic()
        commits = await _write(session, url, asked.rate, asked.seconds)
        await asyncio.sleep(1)
        used, wall = _cpu_seconds(pid) - used, time.monotonic() - wall
        after = _resident_mib(pid)
        for task in tasks:
            task.cancel()
    seconds = sorted(itertools.chain.from_iterable(one.seconds for one in listeners))
    return {
        "listeners": asked.listeners,
        "books": asked.books,
        "bytes a book": asked.bytes,
        "commits a second": asked.rate,
        "seeding s": round(seeded, 1),
        "connecting s": round(connected, 1),
        "CPU %": round(100 * used / wall, 1),
        "messages a commit and listener": round(
            sum(one.messages for one in listeners) / max(1, commits) / asked.listeners, 3
        ),
        "median ms": round(1000 * statistics.median(seconds), 1) if seconds else None,
        "p99 ms": round(1000 * seconds[int(len(seconds) * 0.99)], 1) if seconds else None,
        "MiB before": round(before),
        "MiB after": round(after),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listeners", type=int, default=500)
    parser.add_argument("--books", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent)
    asked = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as rules:
        json.dump(_RULES, rules)
        rules.flush()
        ports = ["--database-port", "0", "--storage-port", "0"]
        serve = [sys.executable, "-m", "narrator_daemon", "emulator", "--rules", rules.name, *ports]
        emulator = subprocess.Popen(
            serve,
            stdout=subprocess.PIPE,
            text=True,
            cwd=asked.root,
            env={**os.environ, "PYTHONPATH": str(asked.root)},
        )
        try:
            assert emulator.stdout is not None
            host = json.loads(emulator.stdout.readline())["database_host"]
            row = asyncio.run(_load(host, emulator.pid, asked))
        finally:
            emulator.terminate()
            emulator.wait(20)
    report("emulator_load", [row])


if __name__ == "__main__":
    main()
