"""How sure a score is: bounds that need no model of the audio.

A score is Σ sign · evidence / ‖evidence‖ over cells. The signs come from the key by HMAC and
SHAKE-256 and the evidence does not depend on them: it is of sound marked with another key or none,
and the place it is compared at was chosen by the pilot, whose signs are other bits of the stream;
or every place that could have been chosen is counted as a hypothesis
(``watermark.detection.thorough``). So the score is a weighted sum of independent random signs
with unit norm, and

    P(score ≥ x) ≤ c · Q(x),   c = 1 / (4 Q(√2)) ≈ 3.18

for every x and whatever the weights are (V. Bentkus, D. Dzindzalieta, A tight Gaussian bound for
weighted sums of Rademacher random variables, Bernoulli 21, 2015). Q is the normal tail. The bound
times the number of hypotheses tried is what is reported.
"""

from __future__ import annotations

import math

from scipy.special import log_ndtr

_LOG_FACTOR = -math.log(4) - float(log_ndtr(-math.sqrt(2)))


def false_positive_bound(score: float, hypotheses: float) -> float:
    """The most that the probability can be of any of so many hypotheses reaching a score by chance.

    Args:
        score: in standard deviations.
        hypotheses: how many were tried, at least 1; more where each has only a share of what is
            allowed.

    Returns:
        0 to 1.
    """
    return math.exp(min(_log_bound(score, hypotheses), 0.0))


def decimal_exponent(score: float, hypotheses: float) -> float:
    """The common logarithm of ``false_positive_bound``, however small that is; 0 at most."""
    return min(_log_bound(score, hypotheses), 0.0) / math.log(10)


def _log_bound(score: float, hypotheses: float) -> float:
    return _LOG_FACTOR + float(log_ndtr(-score)) + math.log(hypotheses)


def threshold(probability: float, hypotheses: float) -> float:
    """The score at which ``false_positive_bound`` falls to a probability above 0."""
    low, high = 0.0, 40.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if false_positive_bound(middle, hypotheses) > probability:
            low = middle
        else:
            high = middle
    return high
