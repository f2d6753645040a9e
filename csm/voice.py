"""A voice: a reference recording and its transcript, ready to go before every segment."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor

from csm import SAMPLE_RATE, CsmError

#: Seconds of sound in a frame of codes (Mimi).
FRAME_SECONDS = 0.08
#: Seconds. Shorter holds too little of a voice; 10 to 20 are best.
SHORTEST_CLIP = 1.0
#: Seconds. Longer leaves too little of the model's 2,048 positions (163 s) to the segments.
LONGEST_CLIP = 30.0
#: Root mean square over the clip, full scale 1, below which it holds no voice: -60 dBFS.
SILENCE = 1e-3


@dataclass(frozen=True, eq=False)
class Voice:
    """What stands before each segment, so that all sound alike.

    Attributes:
        text: what is said in the recording.
        codes: the recording, int64, shape ``[frames, codebooks]``.
    """

    text: str
    codes: Tensor

    @property
    def pace(self) -> float:
        """Seconds that a character takes in this voice, spaces and pauses included."""
        return len(self.codes) * FRAME_SECONDS / max(1, len(self.text))


def fingerprint(reference: Path, transcript: str) -> str:
    """Name a voice by what it is made from: 12 hex digits over the file's bytes and transcript.

    Raises:
        CsmError: the file cannot be read.
    """
    try:
        recording = reference.read_bytes()
    except OSError as error:
        raise CsmError(_unreadable(reference, error.strerror or str(error))) from error
    digest = hashlib.sha256(hashlib.sha256(recording).digest())
    digest.update(transcript.strip().encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:12]


def read_clip(reference: Path, transcript: str) -> NDArray[np.float32]:
    """Read a reference recording of any rate, channel count and format that libsndfile knows.

    Args:
        reference: the recording, 1 to 30 seconds of one voice.
        transcript: the words said in it. Only looked at for being there.

    Returns:
        float32 mono at ``csm.SAMPLE_RATE``, shape ``[n]``.

    Raises:
        CsmError: no transcript; no such file; not audio; too short, too long or silent.
    """
    if not transcript.strip():
        raise CsmError(
            f"the voice {reference} has no transcript: write down the words said in the recording, "
            "all of them and no others, as the model learns the voice from both"
        )
    if not reference.is_file():
        raise CsmError(
            f"there is no voice recording at {reference}: give the path of an audio file"
        )
    try:
        with soundfile.SoundFile(reference) as recording:
            seconds = recording.frames / recording.samplerate
            # Judged from the header, so that a film put in by mistake does not fill the memory.
            if seconds > LONGEST_CLIP:
                raise CsmError(
                    f"the voice recording {reference} is {seconds:.1f} s long; at most "
                    f"{LONGEST_CLIP:.0f} s fit, 10 to 20 are best: cut it, and its transcript too"
                )
            audio = recording.read(dtype="float32", always_2d=True)
            rate = recording.samplerate
    except (OSError, soundfile.SoundFileError) as error:
        raise CsmError(_unreadable(reference, str(error))) from error
    mono = audio.mean(axis=1)
    seconds = len(mono) / rate
    if seconds < SHORTEST_CLIP:
        raise CsmError(
            f"the voice recording {reference} is {seconds:.1f} s long; at least "
            f"{SHORTEST_CLIP:.0f} s are needed, 10 to 20 are best"
        )
    if not np.isfinite(mono).all():
        raise CsmError(_unreadable(reference, "it holds samples that are no numbers"))
    if np.sqrt(np.mean(np.square(mono))) < SILENCE:
        raise CsmError(
            f"the voice recording {reference} is silent: check that the right file was exported"
        )
    # scipy's, as torchaudio's kernel for a rate without a large common divisor takes gigabytes.
    common = math.gcd(rate, SAMPLE_RATE)
    clip = resample_poly(mono, SAMPLE_RATE // common, rate // common)
    return np.clip(clip, -1, 1).astype(np.float32)


def _unreadable(reference: Path, why: str) -> str:
    return (
        f"the voice recording {reference} cannot be read ({why}): "
        "give a WAV, FLAC, OGG or MP3 file that this user may read"
    )
