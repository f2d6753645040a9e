"""``narrator-daemon bench`` for engines on the CPU: what a second of their sound costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from csm import SAMPLE_RATE
from narrator_daemon import speech
from narrator_daemon.settings import Settings
from narrator_daemon.speech import choosing
from narrator_daemon.terminal import plain

#: What is read, again and again: 218 characters in two sentences, as long as a usual segment.
TEXT = (
    "Some years ago, never mind how long precisely, having little or no money in my purse, and "
    "nothing particular to interest me on shore, I thought I would sail about a little. "
    "It is a way I have of driving off the spleen."
)
#: Its words, and the number behind it.
WORDS = 44

_CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
        engine: its name in the settings.
        load_seconds: until it was ready.
        segments: spoken, several at once.
        audio_seconds: of their sound.
        seconds: that this took.
        cpu_seconds: of all cores, of this process and those that it started.
        peak_memory_gib: resident, likewise, at its highest.
    """

    engine: str
    load_seconds: float
    segments: int
    audio_seconds: float
    seconds: float
    cpu_seconds: float
    peak_memory_gib: float

    @property
    def audio_seconds_a_second(self) -> float:
        """How much faster than it plays."""
        return self.audio_seconds / self.seconds

    @property
    def cpu_seconds_an_audio_second(self) -> float:
        """What a second of sound costs."""
        return self.cpu_seconds / self.audio_seconds

    @property
    def seconds_for_1000_words(self) -> float:
        """Of speaking alone: mastering and marking come on top."""
        return self.seconds / (self.segments * WORDS) * 1000

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        reckoned = ("audio_seconds_a_second", "cpu_seconds_an_audio_second")
        return {
            **asdict(self),
            **{name: getattr(self, name) for name in (*reckoned, "seconds_for_1000_words")},
        }


class _Until(Sequence[str]):
    """Texts, of which none begins after a time; those that have begun are spoken to their ends."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def __iter__(self) -> Iterator[str]:
        number = 0
        while not number or time.monotonic() < self._deadline:
            yield f"{TEXT} {number}"
            number += 1

    def __len__(self) -> int:
        raise TypeError("nobody knows how many there will be")

    def __getitem__(self, place: Any) -> Any:
        raise TypeError("they are read one after the other")


def run(settings: Settings, *, seconds: float, tell: Callable[[str], object]) -> Found:
    """Load the engine and have it speak, as many segments at once as it can.

    Args:
        settings: ``speech.engine`` is what is measured; takes are not judged.
        seconds: no segment begins after these.
        tell: called with what is being done.

    Raises:
        SpeechError: it cannot be loaded, or could not speak.
    """
    engine = choosing.unjudged(settings)
    tell(f"loading {engine.name} …")
    began = time.monotonic()
    try:
        engine.load()
        loaded = time.monotonic()
        tell("measuring …")
        before = _cpu_seconds()
        segments, samples = 0, 0
        for one in engine.speak(_Until(loaded + seconds), seed=1):
            if isinstance(one, speech.Spoken):
                segments += 1
                samples += len(one.samples)
        took, cpu = time.monotonic() - loaded, _cpu_seconds() - before
        peak = _peak_bytes()
    finally:
        engine.close()
    return Found(
        engine=engine.name,
        load_seconds=loaded - began,
        segments=segments,
        audio_seconds=samples / SAMPLE_RATE,
        seconds=took,
        cpu_seconds=cpu,
        peak_memory_gib=peak / 2**30,
    )


def table(found: Found) -> Table:
    """What was found, for a terminal."""
    title = f"{found.engine} on the CPU, {found.segments} segments in {found.seconds:.0f} s"
    result = Table(title=plain(title))
    for heading in (
        "audio s/s",
        "CPU s an audio s",
        "speaking 1,000 words",
        "ready after",
        "memory, GiB",
    ):
        result.add_column(heading, justify="right")
    result.add_row(
        f"{found.audio_seconds_a_second:.3g}",
        f"{found.cpu_seconds_an_audio_second:.3g}",
        f"{found.seconds_for_1000_words:.0f} s",
        f"{found.load_seconds:.1f} s",
        f"{found.peak_memory_gib:.2f}",
    )
    return result


def _processes() -> list[Path]:
    """This process and those that it started, in /proc."""
    waiting, found = [Path("/proc/self")], []
    while waiting:
        process = waiting.pop()
        found.append(process)
        try:
            for children in process.glob("task/*/children"):
                waiting += [Path("/proc", child) for child in children.read_text().split()]
        except OSError:
            continue  # it ended meanwhile
    return found


def _cpu_seconds() -> float:
    total = 0
    for process in _processes():
        try:
            # Behind the name, which may hold spaces: user and system time are the 12th and 13th.
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _CLOCK


def _peak_bytes() -> int:
    total = 0
    for process in _processes():
        try:
            lines = (process / "status").read_text().splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total
