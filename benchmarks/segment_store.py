"""The store of finished segments against SQLite with write-ahead log: speed, and what damage costs.

    python -m benchmarks.segment_store

The peer is the simplest that gives the store's promises: one database a narration, a row a segment,
a checksum in each row (SQLite has none of its own), ``synchronous=NORMAL``. Both write 300 segments
of 4 to 12 s, read all of them in order, open what was left and go on; rounds are interleaved, and
medians are printed. Then each is damaged in 400 places, one at a time: one byte flipped, or the end
cut off; what can still be read is counted, and whether it is right.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from narrator_daemon import logs
from narrator_daemon.narration.segment_store import KeptSegments, SegmentFile
from narrator_daemon.settings import Kept

ROUNDS = 5
SEGMENTS = 300
DAMAGES = 400


class SqliteSegments:
    """One narration's segments in a database of their own.

    Args:
        path: of the database.
        texts: of all segments.
    """

    def __init__(self, path: Path, texts: Sequence[str]) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS segments (number INTEGER PRIMARY KEY, key BLOB, note TEXT, "
            "checksum INTEGER, sound BLOB)"
        )
        self._keys = [
            blake2b(f"{index}\n{text}".encode(), digest_size=16).digest()
            for index, text in enumerate(texts)
        ]
        rows = self._database.execute("SELECT number, key, checksum, note, sound FROM segments")
        self._there = {
            number
            for number, key, checksum, note, sound in rows
            if number < len(self._keys)
            and key == self._keys[number]
            and checksum == zlib.crc32(sound, zlib.crc32(note.encode(), zlib.crc32(key)))
        }

    @property
    def indices(self) -> frozenset[int]:
        """Places of the segments that are there."""
        return frozenset(self._there)

    def add(self, index: int, samples: NDArray[np.float32], note: dict[str, Any]) -> None:
        """Keep a segment."""
        sound = samples.tobytes()
        written = json.dumps(note)
        key = self._keys[index]
        checksum = zlib.crc32(sound, zlib.crc32(written.encode(), zlib.crc32(key)))
        self._database.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?)",
            (index, key, written, checksum, sound),
        )
        self._there.add(index)

    def samples(self, index: int) -> NDArray[np.float32]:
        """A segment's samples."""
        row = self._database.execute("SELECT sound FROM segments WHERE number = ?", (index,))
        return np.frombuffer(row.fetchone()[0], dtype="<f4")

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def main() -> None:
    """Run it."""
    logs.configure("error", "text")  # each damaged file is logged
    noise = np.random.default_rng(1)
    texts = [f"Segment {number}." for number in range(SEGMENTS)]
    sounds = [
        noise.uniform(-1, 1, int(seconds * SAMPLE_RATE)).astype(np.float32)
        for seconds in noise.uniform(4, 12, SEGMENTS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        _speed(Path(folder), texts, sounds)
    _damage()


def _openers(folder: Path) -> dict[str, Callable[[Sequence[str]], SegmentFile | SqliteSegments]]:
    folder.mkdir(parents=True, exist_ok=True)
    store = KeptSegments(Kept(folder=folder, max_gigabytes=10))
    return {
        "ours": lambda texts: store.open("tale", texts),
        "sqlite": lambda texts: SqliteSegments(folder / "tale.db", texts),
    }


def _speed(folder: Path, texts: list[str], sounds: list[NDArray[np.float32]]) -> None:
    seconds: dict[tuple[str, str], list[float]] = {}
    sizes: dict[str, int] = {}
    for number in range(ROUNDS):
        for name, opened in _openers(folder / str(number)).items():

            def timed(step: str, work: Callable[[], object], name: str = name) -> None:
                started = time.perf_counter()
                work()
                spent = time.perf_counter() - started
                seconds.setdefault((step, name), []).append(spent)

            there = opened(texts)
            timed("add", lambda to=there: [to.add(i, each, {}) for i, each in enumerate(sounds)])
            timed("read", lambda of=there: [of.samples(i).sum() for i in range(len(sounds))])
            there.close()
            timed("open what was left", lambda again=opened: again(texts).close())
        for path in sorted((folder / str(number)).rglob("tale*")):
            sizes[path.name] = path.stat().st_size
    heard = sum(map(len, sounds)) / SAMPLE_RATE
    print(f"{SEGMENTS} segments, {heard:.0f} s of sound, medians of {ROUNDS} interleaved rounds")
    for step in ("add", "read", "open what was left"):
        ours, peer = (statistics.median(seconds[step, name]) for name in ("ours", "sqlite"))
        print(f"{step:20} ours {ours:.3f} s, SQLite {peer:.3f} s, ratio {ours / peer:.2f}")
    print("bytes on disk", sizes)


def _damage() -> None:
    texts = [f"Segment {number}." for number in range(20)]
    sounds = [np.random.default_rng(i).uniform(-1, 1, 500).astype("f4") for i in range(20)]
    for name in ("ours", "sqlite"):
        chance = random.Random(2)
        kept = wrong = lost_all = 0
        for _ in range(DAMAGES):
            with tempfile.TemporaryDirectory() as folder:
                opened = _openers(Path(folder))[name]
                there = opened(texts)
                for index, each in enumerate(sounds):
                    there.add(index, each, {})
                there.close()
                (path,) = (path for path in Path(folder).rglob("tale*") if path.stat().st_size)
                whole = bytearray(path.read_bytes())
                place = chance.randrange(len(whole))
                if chance.random() < 0.5:
                    whole[place] ^= chance.randrange(1, 256)
                else:
                    del whole[place:]
                path.write_bytes(whole)
                try:
                    left = opened(texts)
                    good = [i for i in left.indices if np.array_equal(left.samples(i), sounds[i])]
                    wrong += len(left.indices) - len(good)
                    kept += len(good)
                    left.close()
                except sqlite3.Error:
                    lost_all += 1
        print(
            f"{name}: of {DAMAGES} damaged files {lost_all} could not be opened; "
            f"{kept / DAMAGES:.1f} of 20 segments are left on average, {wrong} wrong"
        )


if __name__ == "__main__":
    main()
