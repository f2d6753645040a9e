"""Short narrations by the tone engine with their credentials: are all valid, how large, how fast?

    python -m benchmarks.credentials [--count 1000]
    python -m benchmarks.credentials --hours 10

Every tenth is made into M4A and MP3, too. Validity is what the C2PA library's reader says. With
``--hours`` one long file of each format is signed (20 s of noise at 64 kbit/s, over and over), and
what is told is how far the process's memory rose while it was signed.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import c2pa
import numpy as np

from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Limits, Settings, Speech
from narrator_daemon.speech.tone import ToneSpeech

FORMS = {"m4a": ("ipod", "aac", "audio/mp4"), "mp3": ("mp3", "libmp3lame", "audio/mpeg")}


def main() -> int:
    """Make them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--hours", type=float, help="sign long files instead")
    arguments = parser.parse_args()
    if arguments.hours:
        return _long_files(arguments.hours)
    count = arguments.count
    engine = ToneSpeech()
    engine.load()
    settings = Settings(speech=Speech(engine="tone"))
    credentials = FileCredentials(signers.throwaway(), settings)
    seen: dict[str, list[tuple[int, float, bool]]] = {"wav": [], **{form: [] for form in FORMS}}
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptSegments(Kept(folder=Path(folder), max_gigabytes=0))
        for number in range(count):
            file = io.BytesIO()
            narrate(
                f"Book number {number}. " + "word " * (number % 17),
                file,
                engine=engine,
                limits=Limits(),
                seed=number,
                mark=Mark(DEMO_KEY, number + 1, 1.5, self_check=False),
                kept=kept,
            )
            samples = np.frombuffer(file.getvalue()[44:], "<i2")
            made = credentials.made(
                book_id=f"book-{number}", index=number + 1, claim=f"{number:032x}", take=1
            )
            before, started = len(file.getvalue()), time.perf_counter()
            size = credentials.add(file, made).size
            milliseconds = (time.perf_counter() - started) * 1000
            seen["wav"].append((size - before, milliseconds, _valid(file, "audio/wav")))
            if number % 10:
                continue
            for form, (container, codec, media_type) in FORMS.items():
                encoded = _encoded(samples, container, codec)
                before, started = len(encoded.getvalue()), time.perf_counter()
                size = credentials.add_to_compressed(encoded, form, made, io.BytesIO)
                milliseconds = (time.perf_counter() - started) * 1000
                seen[form].append((size - before, milliseconds, _valid(encoded, media_type)))
    print("| format | files | valid | bytes, most | ms, median | ms, most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for form, rows in seen.items():
        sizes, times, valid = zip(*rows, strict=True)
        print(
            f"| {form} | {len(rows):,} | {sum(valid):,} | {max(sizes):,} | "
            f"{statistics.median(times):.1f} | {max(times):.1f} |"
        )
    return 0 if all(each[2] for rows in seen.values() for each in rows) else 1


def _encoded(samples: np.ndarray, container: str, codec: str) -> io.BytesIO:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=24_000, layout="mono")
        stream.time_base = Fraction(1, 24_000)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 24_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file


def _long_files(hours: float) -> int:
    """Memory and seconds of signing a long file of each format."""
    samples = np.random.default_rng(1).normal(0, 3000, 20 * 24_000).astype(np.int16)
    credentials = FileCredentials(signers.throwaway(), Settings(speech=Speech(engine="tone")))
    made = credentials.made(book_id="long", index=1, claim="0" * 32)
    valid = True
    print("| format | MB | memory more, MB | s | valid |\n| --- | --- | --- | --- | --- |")
    for form, (container, codec, media_type) in FORMS.items():
        short = _encoded(samples, container, codec)
        with tempfile.TemporaryFile() as file:
            _repeat(short, file, container, round(hours * 180))
            credentials.add_to_compressed(short, form, made, io.BytesIO)
            # The peak counts anew from here.
            Path("/proc/self/clear_refs").write_text("5")
            before, started = _memory("VmRSS"), time.perf_counter()
            size = credentials.add_to_compressed(file, form, made, tempfile.TemporaryFile)
            seconds, more = time.perf_counter() - started, _memory("VmHWM") - before
            told = _valid(file, media_type)
            valid &= told
            print(f"| {form} | {size / 1e6:.0f} | {more / 1e6:.1f} | {seconds:.2f} | {told} |")
    return 0 if valid else 1


def _repeat(short: io.BytesIO, file: BinaryIO, container: str, times: int) -> None:
    """The packets of a file, over and over."""
    short.seek(0)
    with av.open(short) as source, av.open(file, "w", format=container) as out:
        packets = [(bytes(each), each.duration) for each in source.demux(audio=0) if each.size]
        stream = out.add_stream_from_template(source.streams.audio[0])
        base, at = source.streams.audio[0].time_base, 0
        for _ in range(times):
            for content, duration in packets:
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, base
                packet.pts = packet.dts = at
                packet.duration = duration
                at += duration or 0
                out.mux(packet)


def _memory(what: str) -> int:
    """Bytes of this process's memory, by Linux."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if what in line) * 1024


def _valid(file: BinaryIO, media_type: str) -> bool:
    file.seek(0)
    with c2pa.Reader(media_type, file) as reader:
        return reader.get_validation_state() == "Valid"


if __name__ == "__main__":
    raise SystemExit(main())
