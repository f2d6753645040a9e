"""A voice: a reference recording and its transcript, ready to go before every segment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor

from csm.audio import CODE_FRAME_SECONDS, SAMPLE_RATE, ratio
from csm.errors import CsmError
from csm.mastering.loudness import integrated_loudness, true_peak_decibels
from csm.takes.measures import pauses
from csm.takes.sound import hear

#: Seconds. Shorter holds too little of a voice; 10 to 20 are best.
SHORTEST_CLIP = 1.0
#: Seconds. Longer leaves too little of the model's 2,048 positions (163 s) to the segments. The
#: longest of the model's own voices have 30.
LONGEST_CLIP = 31.0
#: Seconds, with the silence that is trimmed.
LONGEST_FILE = 120.0
#: Samples a second that a recording may have: a telephone's and more, a studio's and less.
LOWEST_RATE, HIGHEST_RATE = 6_000, 768_000
#: Seconds of silence that are left at each end.
MARGIN_SECONDS = 0.1
#: Seconds a character that a person takes at the fastest and at the slowest, pauses included.
PACES = (0.03, 0.25)
#: Integrated loudness of a clip by BS.1770: that of a narration.
LOUDNESS_LUFS = -20.0
#: SciPy's own window lets images through at -60 dB; this one keeps them below -100 dB.
RESAMPLING_WINDOW = ("kaiser", 10.0)


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
        return len(self.codes) * CODE_FRAME_SECONDS / max(1, len(self.text))


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

    Silence at its ends is trimmed, and it is brought to the loudness that narrations have, so that
    a voice recorded softly does not make soft, noisy takes.

    Args:
        reference: the recording: 1 to 31 seconds of one voice, without the silence at its ends.
        transcript: the words said in it. Of a length that can be said in this time.

    Returns:
        float32 mono at ``csm.SAMPLE_RATE`` within -1..1, shape ``[n]``.

    Raises:
        CsmError: no transcript, or one far from the clip's length; no such file; not audio; too
            short, too long or silent.
    """
    if not transcript.strip():
        raise CsmError(
            f"the voice {reference} has no transcript: write down the words said in the recording, "
            "all of them and no others, as the model learns the voice from both"
        )
    mono, rate = _read(reference)
    level = pauses(hear(mono, rate))
    if not level.sound_seconds:
        raise CsmError(
            f"the voice recording {reference} is silent: check that the right file was exported"
        )
    mono = mono[
        max(0, round((level.start_seconds - MARGIN_SECONDS) * rate)) : round(
            (level.start_seconds + level.sound_seconds + MARGIN_SECONDS) * rate
        )
    ]
    seconds = len(mono) / rate
    if seconds < SHORTEST_CLIP:
        raise CsmError(
            f"the voice recording {reference} holds {seconds:.1f} s of sound; at least "
            f"{SHORTEST_CLIP:.0f} s are needed, 10 to 20 are best"
        )
    if seconds > LONGEST_CLIP:
        raise _too_long(reference, seconds)
    _check_transcript(reference, transcript.strip(), seconds)
    return _levelled(_resampled(mono, rate))


def _read(reference: Path) -> tuple[NDArray[np.float32], int]:
    """A recording mixed to mono, and its rate."""
    if not reference.is_file():
        raise CsmError(
            f"there is no voice recording at {reference}: give the path of an audio file"
        )
    try:
        with soundfile.SoundFile(os.fsencode(reference)) as recording:
            seconds = recording.frames / recording.samplerate
            # Judged from the header, so that a film put in by mistake does not fill the memory.
            if seconds > LONGEST_FILE:
                raise _too_long(reference, seconds)
            audio = recording.read(dtype="float32", always_2d=True)
            rate = recording.samplerate
    except (OSError, soundfile.SoundFileError) as error:
        raise CsmError(_unreadable(reference, str(error))) from error
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise CsmError(_unreadable(reference, f"it has {rate} samples a second"))
    if not np.isfinite(audio).all():
        raise CsmError(_unreadable(reference, "it holds samples that are no numbers"))
    return np.asarray(audio.mean(axis=1), dtype=np.float32), rate


def _too_long(reference: Path, seconds: float) -> CsmError:
    return CsmError(
        f"the voice recording {reference} is {seconds:.1f} s long; at most {LONGEST_CLIP:.0f} s "
        "fit, 10 to 20 are best: cut it, and its transcript too"
    )


def _check_transcript(reference: Path, transcript: str, seconds: float) -> None:
    fastest, slowest = PACES
    if fastest <= seconds / len(transcript) <= slowest:
        return
    least, most = seconds / slowest, seconds / fastest
    raise CsmError(
        f"the transcript of the voice {reference} has {len(transcript)} characters for "
        f"{seconds:.1f} s of sound, where {least:.0f} to {most:.0f} can be said: write down all "
        "the words of the recording and no others, or cut the recording to the words of the "
        "transcript"
    )


def _resampled(mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    # A rate that shares no large divisor with ours needs a filter for each of its samples, of
    # gigabytes in all. The nearest ratio of small numbers is less than 0.01 % off: nobody hears it.
    ratio = Fraction(SAMPLE_RATE, rate).limit_denominator(640)
    sound = resample_poly(mono, ratio.numerator, ratio.denominator, window=RESAMPLING_WINDOW)
    return np.asarray(sound, dtype=np.float32)


def _levelled(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    gain = LOUDNESS_LUFS - integrated_loudness(clip, SAMPLE_RATE)
    # Turned up by a plain factor: a limiter would be heard in every take.
    room = -true_peak_decibels(clip)
    levelled = np.clip(clip * np.float32(ratio(min(gain, room))), -1, 1)
    return np.asarray(levelled, dtype=np.float32)


def _unreadable(reference: Path, why: str) -> str:
    return (
        f"the voice recording {reference} cannot be read ({why}): "
        "give a WAV, FLAC, OGG or MP3 file that this user may read"
    )
