"""The files beside the WAV: bytes and CPU by format, marks found in them, and the beginning.

    python -m benchmarks.files sizes                     # a text of 1,439 characters, preview voice
    python -m benchmarks.files marks --narrations 50     # short ones, every file examined
    python -m benchmarks.files beginning --words 100000  # seconds to the first minute

``sizes`` speaks once and narrates again and again from what was kept, so that what is timed is
mastering, marking, checking and writing alone; runs with one format, with each, and with none are
interleaved, and medians are printed. CPU is that of this process and of those it started. ``marks``
looks for the mark of each narration among the indices of all of them, as ``watermark detect`` does.
``beginning`` counts from the call, with an engine that speaks at once and with the preview voice.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from narrator_daemon.commands.demo import example_books
from narrator_daemon.marks import keys, ledger
from narrator_daemon.marks.detect import Search
from narrator_daemon.narration.beginning import Beginning
from narrator_daemon.narration.companions import FORMS, About, Companion, asked_for
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import Stopped, narrate
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Files, Kept, Limits
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.speech.piper import PiperSpeech
from narrator_daemon.speech.tone import ToneSpeech

ROUNDS = 5
_LIMITS = Limits(max_characters=10**9, max_words=10**9)
_KEY = keys.DEMO_KEY


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _narrate(
    text: str,
    engine: SpeechEngine,
    kept: KeptSegments,
    formats: Sequence[str],
    folder: Path | None = None,
    index: int = 1,
) -> tuple[Narration, dict[str, int]]:
    """Narrate; the narration and the bytes of each file."""
    with ExitStack() as opened:
        names = iter(["wav", *formats])

        def scratch() -> BinaryIO:
            name = next(names)
            if folder is None:
                return opened.enter_context(kept.scratch())
            return opened.enter_context((folder / f"{index}.{name}").open("w+b"))

        wav = scratch()
        files = Files.model_validate({"formats": formats})
        companions = asked_for(files, scratch)
        narration = narrate(
            text,
            wav,
            engine=engine,
            limits=_LIMITS,
            seed=1,
            mark=Mark(_KEY, index, 1.5, True),
            kept=kept,
            companions=companions,
            about=About("A book", "Somebody"),
        )
        sizes = {companion.form.name: companion.size for companion in companions}
        return narration, {"wav": narration.size, **sizes}


def sizes() -> None:
    """Bytes and CPU a minute, by format."""
    text = example_books()["alice"]["narrative"]
    engine = PiperSpeech()
    engine.load()
    formats: list[tuple[str, ...]] = [(), *((name,) for name in FORMS)]
    used: dict[tuple[str, ...], list[float]] = {each: [] for each in formats}
    bytes_of: dict[str, int] = {}
    minutes = 0.0
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptSegments(Kept(folder=Path(folder)))
        _narrate(text, engine, kept, ())
        for _ in range(ROUNDS):
            for each in formats:
                before = _cpu()
                narration, found = _narrate(text, engine, kept, each)
                used[each].append(_cpu() - before)
                bytes_of |= found
                minutes = narration.duration_seconds / 60
    engine.close()
    alone = statistics.median(used[()])
    print(f"{minutes:.2f} minutes; without companions {alone / minutes:.3f} CPU s a minute")
    for name, size in bytes_of.items():
        line = (
            f"{name:5} {size / minutes / 1e6:.3f} MB a minute, {size / bytes_of['wav']:.4f} of WAV"
        )
        if (name,) in used:
            more = statistics.median(used[(name,)]) - alone
            line += f", {more / minutes:.3f} CPU s a minute more ({more / alone:.1%})"
        print(line)


def marks(count: int) -> None:
    """In how many files of so many narrations the mark is found."""
    sentences = [
        sentence.strip() + "."
        for book in example_books().values()
        for sentence in book["narrative"].replace("\n", " ").split(".")
        if len(sentence) > 60
    ]
    engine = PiperSpeech()
    engine.load()
    table = {index: f"book-{index}" for index in range(1, count + 1)}
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptSegments(Kept(folder=Path(folder), max_gigabytes=0))
        search = Search([keys.PUBLIC], ledger.Tables(ledger.table_of(table, "all"), ""))
        found = dict.fromkeys(["wav", *FORMS], 0)
        least = dict.fromkeys(found, float("inf"))
        seconds = []
        for index in range(1, count + 1):
            start = 2 * index % len(sentences)
            text = " ".join((sentences + sentences)[start : start + 2])
            narration, _ = _narrate(text, engine, kept, tuple(FORMS), Path(folder), index)
            seconds.append(narration.duration_seconds)
            for name in found:
                finding = search.examine(Path(folder, f"{index}.{name}"))
                found[name] += finding.book_id == f"book-{index}"
                least[name] = min(least[name], float(finding.as_record()["score"]))
                Path(folder, f"{index}.{name}").unlink()
    engine.close()
    print(f"{count} narrations, {min(seconds):.0f} to {max(seconds):.0f} s")
    for name, number in found.items():
        print(f"{name:5} found and named right in {number}, lowest score {least[name]:.1f}")


def beginning(words: int) -> None:
    """Seconds from the call to the file of the first minute."""
    source = example_books()["pride-and-prejudice"]["narrative"]
    text = source * (words // len(source.split()) + 1)
    text = " ".join(text.split(" ")[:words])
    for engine in (ToneSpeech(), PiperSpeech()):
        engine.load()
        _beginning(engine, text)
        engine.close()


def _beginning(engine: SpeechEngine, text: str) -> None:
    shown: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptSegments(Kept(folder=Path(folder)))
        with kept.scratch() as wav, kept.scratch() as file:
            started = time.monotonic()
            companion = Companion(FORMS["m4a"], 48, file)

            def show(seconds: float) -> None:
                shown.append((time.monotonic() - started, seconds))

            try:
                narrate(
                    text,
                    wav,
                    engine=engine,
                    limits=_LIMITS,
                    seed=1,
                    mark=Mark(_KEY, 1, 1.5, True),
                    kept=kept,
                    beginning=Beginning(60.0, companion, show),
                    stopped=lambda: bool(shown),
                )
            except Stopped:
                pass
            ((after, seconds),) = shown
            size = companion.size
    print(
        f"{engine.name}: {len(text.split()):,} words, {len(text):,} characters: {seconds:.1f} s of "
        f"audio, {size:,} bytes, {after:.2f} s after the call"
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sizes", "marks", "beginning"))
    parser.add_argument("--narrations", type=int, default=50)
    parser.add_argument("--words", type=int, default=100_000)
    asked = parser.parse_args()
    if asked.what == "sizes":
        sizes()
    elif asked.what == "marks":
        marks(asked.narrations)
    else:
        beginning(asked.words)


if __name__ == "__main__":
    main()
