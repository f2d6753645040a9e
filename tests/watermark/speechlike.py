"""Sound with the statistics of speech that matter to the watermark, made from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE = 24_000


def speechlike(seconds: float, seed: int, rate: int = RATE) -> NDArray[np.float32]:
    """Voiced and unvoiced stretches through wandering resonances, with pauses."""
    draw = np.random.default_rng(seed)
    count = int(seconds * rate)
    sound = np.zeros(count + rate)
    at = 0
    pitch = draw.uniform(90, 220)
    while at < count:
        length = int(draw.uniform(0.06, 0.28) * rate)
        t = np.arange(length) / rate
        glide = pitch * draw.uniform(0.85, 1.2) * (1 + draw.uniform(-0.2, 0.2) * t)
        voiced = np.sign(np.sin(2 * np.pi * np.cumsum(glide) / rate)) * 0.3
        breath = draw.standard_normal(length) * draw.choice([0.05, 0.4], p=[0.7, 0.3])
        source = voiced * draw.choice([1, 0], p=[0.75, 0.25]) + breath
        for low, high in ((250, 800), (800, 2300), (2300, 3500), (3500, 5000)):
            centre, width = draw.uniform(low, high), draw.uniform(60, 250)
            radius = np.exp(-np.pi * width / rate)
            poles = [1, -2 * radius * np.cos(2 * np.pi * centre / rate), radius**2]
            source = source + lfilter([1 - radius], poles, source) * 3
        sound[at : at + length] += (source * np.hanning(length))[: len(sound) - at]
        at += int(length * draw.uniform(0.6, 0.9))
        if draw.random() < 0.08:
            at += int(draw.uniform(0.1, 0.4) * rate)
    sound = sound[:count]
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)
