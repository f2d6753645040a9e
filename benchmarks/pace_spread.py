"""How much the time of a book varies that its length does not tell, with a voice that is real.

    python -m benchmarks.pace_spread [ENGINE [CHARACTERS]]

One daemon reads the example books and the passages that the rules for dialogue are tested with,
one after the other: 19 texts of 250 to 4,500 characters, or the beginnings of those that are longer
than CHARACTERS. What a book takes is told by the daemon's
CPU, from the end of the one before to its own, as a busy machine's clock tells of the machine. Each
is held against the pace that the daemon's own sums give of all others: the spread is the standard
deviation of the ratio. The same of the seconds of audio, which is what an engine on a GPU takes its
time for, and with words in place of characters.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import cpu_seconds, daemon_process, frontend, stream_is_live, wait_until
from benchmarks.reporting import report
from narrator_daemon.commands.demo import example_books
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.queue.forecast import Sums

_PASSAGES = Path(__file__).parent.parent / "tests" / "data" / "dialogue"
_LEAST_CHARACTERS = 240


def texts(most: int) -> dict[str, str]:
    """What is read, by name: up to so many characters of each, whole words."""
    found = {name: str(book["narrative"]) for name, book in example_books().items()}
    for path in sorted(_PASSAGES.rglob("*.txt")):
        found[path.stem] = re.sub(r"\{[^}]*\}", "", path.read_text(encoding="utf-8"))
    return {
        name: text if len(text) <= most else text[:most].rpartition(" ")[0] + "."
        for name, text in found.items()
        if len(text) >= _LEAST_CHARACTERS
    }


def read(engine: str, most: int) -> list[tuple[str, float, float]]:
    """Of each text: the text, CPU seconds of the daemon, seconds of audio."""
    rows, chosen = [], texts(most)
    with (
        LocalFirebase() as firebase,
        tempfile.TemporaryDirectory() as name,
        frontend(firebase) as node,
    ):
        folder = Path(name)
        process = daemon_process(
            firebase, folder, SPEECH__ENGINE=engine, DAEMON__BOOKS_AT_ONCE=1, FILES__FORMATS=""
        )
        try:
            wait_until(lambda: stream_is_live(folder / "state" / "state.json"), 300)
            # The first one pays for what is loaded only then.
            for book, text in [("warm-up", "A first sentence."), *chosen.items()]:
                before = cpu_seconds(process.pid)
                node(f"/books/{book}").set({"narrative": text, "narrativeAudioStatus": "requested"})
                wait_until(
                    lambda at=f"/books/{book}/narrativeAudioStatus": node(at).get() == "ready", 600
                )
                took = cpu_seconds(process.pid) - before
                audio = float(node(f"/books/{book}/narrativeAudioDuration").get())
                rows.append((text, took, audio))
        finally:
            process.terminate()
            process.wait(60)
    return rows[1:]


def spread(lengths: Sequence[int], took: Sequence[float]) -> tuple[float, float]:
    """The spread about the pace of all others, and the share of texts within 15 % of it."""
    ratios = []
    for left_out in range(len(took)):
        sums = Sums()
        for number, (length, seconds) in enumerate(zip(lengths, took, strict=True)):
            if number != left_out:
                sums += Sums.of_book(length, seconds)
        pace = sums.pace
        if pace is not None:
            ratios.append(took[left_out] / pace.takes(lengths[left_out]))
    within = sum(abs(1 - 1 / ratio) <= 0.15 for ratio in ratios) / len(ratios)
    return statistics.stdev(ratios), within


def measure(engine: str, most: int) -> list[dict[str, object]]:
    """A row for each measure of length."""
    rows = read(engine, most)
    measures: dict[str, Callable[[str], int]] = {
        "characters": len,
        "words": lambda text: len(text.split()),
        "letters and digits": lambda text: sum(map(str.isalnum, text)),
    }
    found: list[dict[str, object]] = []
    for name, measured in measures.items():
        lengths = [measured(text) for text, _, _ in rows]
        cpu, cpu_within = spread(lengths, [took for _, took, _ in rows])
        audio, audio_within = spread(lengths, [seconds for _, _, seconds in rows])
        found.append(
            {
                "by": name,
                "texts": len(rows),
                "cpu_spread": round(cpu, 3),
                "cpu_within_15": round(cpu_within, 2),
                "audio_spread": round(audio, 3),
                "audio_within_15": round(audio_within, 2),
            }
        )
    for text, took, seconds in rows:
        print(f"{len(text)} characters: {took:.2f} s of CPU, {seconds:.1f} s of audio")
    return found


if __name__ == "__main__":
    engine, most = [*sys.argv[1:], *("piper", "100000")[len(sys.argv) - 1 :]]
    report("pace_spread", measure(engine, int(most)))
