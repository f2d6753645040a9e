"""How fast a copy plays, told by the public mark, which comes again every three seconds.

Where sound was cut every second or two and sped up, no stretch is long enough to guess its pace by
the key's pilot, which must be looked up in four hours. The public mark has 32 places instead: each
two seconds can be held against all of them at every tempo, and what the windows say of a tempo is
added up, whatever was cut between them. The pilot is looked up at the likeliest tempos only.

The tempo is chosen by signs that everybody knows, which tell nothing of the key's; so it adds to
the hypotheses only the readings it leads to. A mark without the public one beside it is left to the
guesses of ``watermark.detection.scales``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import Change
from watermark.detection.features import Features, between_frames, features_of
from watermark.detection.scales import busiest, ladder
from watermark.pattern import BANDS, CELL_SECONDS
from watermark.public_pattern import PERIOD, public_pattern

#: From one tempo to the next: windows hardly stay in step half way between.
_STEP = 1.03
#: Tempos that share one reading of the sound, and the pace that it is read at. Between them short
#: stretches were looked up at the pace of the original.
_GROUPS = ((0.49, 0.8, 0.65), (0.8, 0.985, 1.0), (1.015, 1.25, 1.0), (1.25, 2.04, 1.55))
#: Around the likeliest tempo it is looked again, by these factors.
_FINER = 1 + np.linspace(-0.015, 0.015, 7)
#: Seconds of the copy that are looked at.
_SECONDS = 12.0
#: Cells of a window, and from one to the next.
_WINDOW, _APART = 24, 12
#: Offsets within a cell at which cells are read.
_PHASES = 2
#: What a window of the mark is held to score, in deviations.
_TELLS = 4.0
#: Players change the tempo in steps of this.
_PLAYERS_STEP = 0.05
#: Tempos this close are one.
_SAME = 0.004
#: What windows must say together, in nepers, for a tempo to be tried: chance does not reach it.
_WORTH_A_TRY = 8.0


def told_tempo(
    features: Features, samples: NDArray[np.float32], rate: int, *, least: float = _WORTH_A_TRY
) -> float | None:
    """The likeliest tempo of a copy by its public mark.

    Args:
        features: of the sound, read as if nothing had been changed.
        samples: the sound, ``[n]``, within −1..1.
        rate: samples a second.
        least: what windows must say together, in nepers.

    Returns:
        How much faster it runs, right to a per cent or two, ``None`` where chance explains what
        was found. Cuts within windows let it seem up to 3 % faster than it is.
    """
    length = min(_SECONDS, len(samples) / rate)
    (begin,) = busiest(features, length, 1)
    first = int(begin * rate)
    stretch = samples[first : first + int(length * rate)]
    reads = {pace: features_of(stretch, rate, pace=pace) for pace in {g[2] for g in _GROUPS}}
    best, tempo = -np.inf, 1.0
    for low, high, pace in _GROUPS:
        read = reads[pace]
        tempos = ladder(low, high, _STEP)
        said = _said(read, length, tempos)
        if said.max() > best:
            best, tempo, likeliest = float(said.max()), float(tempos[said.argmax()]), read
    if best < least:
        return None
    finer = tempo * _FINER
    return float(finer[_said(likeliest, length, finer).argmax()])


def likely_changes(tempo: float) -> list[Change]:
    """What a copy that seems to run at a tempo may have been put through.

    Args:
        tempo: as ``told_tempo`` gives it.

    Returns:
        Changes at unchanged pitch: the speed of players that is nearest, what it seems to be, and
        the speed on the other side.
    """
    steps = np.floor(tempo / _PLAYERS_STEP) + np.arange(2)
    near, far = sorted(steps * _PLAYERS_STEP, key=lambda each: abs(float(each) - tempo))
    between = [tempo] if abs(tempo - near) > _SAME else []
    return [Change(float(each), 1.0) for each in (near, *between, far)]


def _said(read: Features, seconds: float, tempos: NDArray[np.float64]) -> NDArray[np.float64]:
    """The likelihood of the mark at each tempo against that of chance, in nepers."""
    readings = read.bands(1.0, np.arange(BANDS))
    return np.array([_nepers(readings, read.frames_a_second, seconds, t) for t in tempos])


def _nepers(
    readings: NDArray[np.float32], frames_a_second: float, seconds: float, tempo: float
) -> float:
    """The same of one tempo, from readings of all bands."""
    cell = CELL_SECONDS / tempo
    count = int(seconds / cell) - 1
    if count < _WINDOW:
        return 0.0
    at = (np.arange(count * _PHASES) / _PHASES + 0.5 / _PHASES) * cell
    cells = between_frames(readings, np.asarray(at * frames_a_second, np.float64))
    energy = np.einsum("nb,nb->n", cells, cells).reshape(count, _PHASES)
    products = (cells @ public_pattern().T.astype(np.float32)).reshape(count, _PHASES, PERIOD)
    # Cell n is held against place n + o of the pattern, for every offset o.
    turned = (np.arange(count)[:, None] + np.arange(PERIOD)) % PERIOD
    along = np.take_along_axis(products, turned[:, None, :], axis=2)
    scores = _windows(along) / np.sqrt(_windows(energy) + 1e-6)[..., None]
    # Of all offsets one is right, if any.
    nepers = np.logaddexp.reduce(_TELLS * scores - _TELLS**2 / 2, axis=(1, 2))
    nepers -= np.log(PERIOD * _PHASES)
    # A window may be cut, or silent: it says nothing then, and not the opposite.
    return float(np.logaddexp(nepers, -1.0).sum()) * _APART / _WINDOW


def _windows(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums over windows of the first axis."""
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), values.cumsum(axis=0, dtype=float)])
    starts = np.arange(0, len(values) - _WINDOW + 1, _APART)
    return np.asarray(sums[starts + _WINDOW] - sums[starts])
