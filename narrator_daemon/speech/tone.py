"""Speech-shaped noise at once: the signal for drills and load tests. No words, no torch."""

from __future__ import annotations

import functools
from collections.abc import Collection, Generator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from csm.takes.drawing import Example
from narrator_daemon.speech import Spoken

#: The shortest segment and the length of longer ones, in seconds.
LEAST_SECONDS = 2.0
SECONDS_PER_CHARACTER = 0.065

#: Samples of noise that every segment is cut from: 21.8 s.
_BANK = 1 << 19
#: Centre (Hz), width (Hz) and strength of the bands. They cover 300..6000 Hz without a gap, so
#: that a watermark has something to hide in everywhere.
_FORMANTS = (
    (550, 250, 1.0),
    (1500, 450, 0.7),
    (2500, 500, 0.55),
    (3600, 700, 0.4),
    (5200, 900, 0.3),
)
#: Syllables a second.
_SYLLABLES = 4.0
#: Root mean square of the finished signal; its peaks stay below 0.7.
_LEVEL = 0.1


class ToneSpeech:
    """The ``tone`` engine: instant, and the same samples for the same text, seed and voice.

    Args:
        voice: another name gives other samples; empty for the default.
        voices: names of voices that can be asked for.
        tempo: how fast it goes; 1 is its own.
    """

    name = "tone"
    device = "cpu"
    pace = None

    def __init__(self, voice: str = "", voices: Collection[str] = (), tempo: float = 1.0) -> None:
        self._voice = voice
        self._voices = voices
        self._tempo = tempo

    @property
    def settings_fingerprint(self) -> str:
        """Its version, and voice and tempo where they are not the default."""
        tempo = f" tempo {self._tempo:g}" if self._tempo != 1 else ""
        return f"tone 1 {self._voice}".rstrip() + tempo

    @property
    def voices(self) -> tuple[str, ...]:
        """The names of its voices (``HasVoices``)."""
        return tuple(sorted(self._voices))

    def in_voice(self, name: str) -> ToneSpeech:
        """The same in another voice (``HasVoices``)."""
        if name not in self._voices:
            raise KeyError(name)
        return ToneSpeech(name, tempo=self._tempo)

    def load(self) -> None:
        """Compute the noise that all segments of all voices are cut from (some 50 ms, once)."""
        _speech_shaped_noise()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        """Give noise for each segment, in order.

        At tempo 1 it has ``max(2.0, 0.065 * characters)`` seconds.
        """
        noise = _speech_shaped_noise()
        for index, text in enumerate(segments):
            if index not in skip:
                yield Spoken(index, _cut(noise, text, seed, self._voice, self._tempo))

    def close(self) -> None:
        """Nothing to free: the 2 MB of noise are the process's."""


def _cut(
    noise: NDArray[np.float32], text: str, seed: int, voice: str, tempo: float
) -> NDArray[np.float32]:
    seconds = max(LEAST_SECONDS, SECONDS_PER_CHARACTER * len(text)) / tempo
    length = round(seconds * SAMPLE_RATE)
    spoken = f"{seed}\n{text}\n{voice}" if voice else f"{seed}\n{text}"
    key = spoken.encode("utf-8", "surrogatepass")
    start = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") % _BANK
    first = noise[start : start + length]
    if len(first) == length:
        return first.copy()
    again = np.resize(noise, length - len(first))
    return np.concatenate((first, again))


@functools.cache
def _speech_shaped_noise() -> NDArray[np.float32]:
    """A seamless loop of noise in formant bands that swells with the syllables; ``[_BANK]``."""
    random = np.random.default_rng(24_000)
    frequency = np.fft.rfftfreq(_BANK, 1 / SAMPLE_RATE)
    gain = sum(
        strength * np.exp(-0.5 * ((frequency - centre) / width) ** 2)
        for centre, width, strength in _FORMANTS
    )
    spectrum = np.fft.rfft(random.standard_normal(_BANK)) * gain
    # A whole number of syllables in the loop keeps it seamless.
    turns = round(_SYLLABLES * _BANK / SAMPLE_RATE)
    phase = np.arange(_BANK) * (2 * np.pi * turns / _BANK)
    noise = np.fft.irfft(spectrum, _BANK) * (0.6 - 0.4 * np.cos(phase))
    noise *= _LEVEL / np.sqrt(np.mean(noise**2))
    samples: NDArray[np.float32] = np.clip(noise, -0.7, 0.7).astype(np.float32)
    samples.flags.writeable = False
    return samples
