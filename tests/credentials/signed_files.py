"""Signed files for other readers than the library's Python: the JavaScript one, in Node and browsers.

    python -m tests.credentials.signed_files FOLDER

A signed file of each format, what was done to them, and what this project's own readers say of each.
"""

from __future__ import annotations

import io
import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.compressed import add_credentials_to_compressed
from narrator_daemon.credentials.labels import read_label
from narrator_daemon.credentials.reading import Trust, read_credentials
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.credentials.wav import add_credentials
from narrator_daemon.wav import WavWriter
from tests.actors import ROOT
from tests.credentials.test_credentials import MADE

MARKED = ROOT / "tests" / "data" / "public_mark" / "marked.wav"
_CODECS = {"m4a": ("ipod", "aac"), "mp3": ("mp3", "libmp3lame")}


def made(folder: Path, form: str, signer: Signer | None = None, seconds: int = 5) -> Path:
    """A file with the public mark, label and credentials.

    Args:
        folder: where it goes.
        form: ``wav``, ``m4a`` or ``mp3``.
        signer: who signs; default: a throwaway.
        seconds: the vector is said over and over for so long.
    """
    samples = soundfile.read(MARKED, dtype="int16")[0]
    samples = np.resize(samples, seconds * 24_000)
    signer = signer or signers.throwaway()
    path = folder / f"signed.{form}"
    with path.open("w+b") as file:
        if form == "wav":
            with WavWriter(file, len(samples)) as writer:
                writer.write(samples)
            add_credentials(file, MADE, signer)
        else:
            file.write(_encoded(samples, *_CODECS[form]))
            add_credentials_to_compressed(file, form, MADE, signer)
    return path


def _encoded(samples: NDArray[np.int16], container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=24_000, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 24_000, Fraction(1, 24_000)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


def main() -> None:
    """Make them, and print what is said of each as JSON."""
    folder = Path(sys.argv[1])
    signer = signers.throwaway()
    for form in ("wav", "m4a", "mp3"):
        whole = made(folder, form, signer).read_bytes()
        middle = len(whole) // 2
        changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        (folder / f"changed.{form}").write_bytes(changed)
        renamed = whole.replace(b"moby dick", b"ahab dick")
        (folder / f"renamed.{form}").write_bytes(renamed)
        (folder / f"labelled.{form}").write_bytes(whole.replace(b"AIGC", b"GCAI"))
    soundfile.write(folder / "stripped.wav", *soundfile.read(folder / "signed.wav"))
    soundfile.write(folder / "other.flac", *soundfile.read(folder / "signed.wav"))
    (folder / "text.wav").write_bytes(b"no sound")
    (folder / "root.pem").write_text("-----BEGIN" + signer.certificates.split("-----BEGIN")[2])
    said = {}
    for path in sorted(folder.glob("*.*")):
        if path.suffix == ".pem":
            continue
        found = read_credentials(path, Trust())
        said[path.name] = {
            "credentials": found and found.as_record(),
            "label": read_label(path),
        }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
