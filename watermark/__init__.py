"""A keyed watermark for speech: prove which book a leaked recording came from.

    from watermark import detect, embed

    marked = embed(samples, 24_000, key, book_index=17)
    result = detect(leaked, 44_100, key, candidates=[16, 17, 18])
    print(result.book_index, result.false_positive_probability, result.spans)

It stays below what PESQ tells apart (4.5 and more of 4.64), cannot be found without the key, and
lives through MP3, resampling, noise, cuts, changed speed, tempo and pitch. It needs numpy and scipy
alone. ``benchmarks/watermark`` has the figures.

How it works, from the outside in:

- ``watermark.pattern``: the sound's spectrogram is cut into cells of 94 Hz by 85 ms between 300
  and 5,900 Hz, and each is raised or lowered by a decibel or two (``watermark.marking.embedding``).
- A third of the bands is a *pilot* that depends on key and place only; the rest carries the book's
  index, coded (``watermark.payload``), each cell turned by a random sign of its place.
- ``watermark.detection.features`` reads cells back; ``watermark.detection.acquisition``
  finds the place; ``watermark.detection.evidence`` follows it;
  ``watermark.detection.scoring`` names the book.

Against averaging: marks whose pattern repeats every few seconds can be estimated from a long file
by folding it, and a pilot shared by all books by adding books up. Here the pattern runs on for four
hours before it repeats and every book starts at a place of its own in it. A file of an hour holds
no cell twice; ten hours of one book leave 75 % of the mark to one who takes back all he learns. A
hundred books of an hour tell nothing of the data, whose signs differ from book to book, but hold
each pilot sign 25 times, so that an attacker who can also align them leaves 17 % of the pilot, too
little to find the place in most clips; a thorough search finds it by the data alone
(``watermark.detection.thorough``). The price is the search: 172,032 places for every hypothesis
instead of 48. It is paid with a matrix product per frequency (0.3 s of CPU for all hypotheses over
20 s of sound) and about two deviations of the pilot's score.

How sure a hit is, is arithmetic: see ``watermark.statistics``.
"""

from watermark.detection.detector import (
    DEFAULT_FALSE_POSITIVE,
    MIN_SECONDS,
    PERIOD_SECONDS,
    Detection,
    Detector,
    Sighting,
    detect,
)
from watermark.detection.spans import Span
from watermark.keys import MIN_KEY_BYTES, WatermarkKeyError, check_key
from watermark.marking.checking import (
    MARKED_SCORE,
    WEAK_SCORE,
    SelfCheck,
    Trace,
    Tracer,
    score_along,
    self_check,
)
from watermark.marking.embedding import (
    DEFAULT_STRENGTH_DB,
    MAX_STRENGTH_DB,
    Embedder,
    PublicEmbedder,
    embed,
    embed_public,
)
from watermark.marking.picture import picture
from watermark.marking.public import (
    DEFAULT_PUBLIC_DB,
    PublicDetection,
    PublicDetector,
    detect_public,
)
from watermark.payload import INDEX_LIMIT, PAYLOAD_VERSION
from watermark.samples import MAX_RATE, MIN_RATE

__all__ = [
    "DEFAULT_FALSE_POSITIVE",
    "DEFAULT_PUBLIC_DB",
    "DEFAULT_STRENGTH_DB",
    "INDEX_LIMIT",
    "MARKED_SCORE",
    "MAX_RATE",
    "MAX_STRENGTH_DB",
    "MIN_KEY_BYTES",
    "MIN_RATE",
    "MIN_SECONDS",
    "PAYLOAD_VERSION",
    "PERIOD_SECONDS",
    "WEAK_SCORE",
    "Detection",
    "Detector",
    "Embedder",
    "PublicDetection",
    "PublicDetector",
    "PublicEmbedder",
    "SelfCheck",
    "Sighting",
    "Span",
    "Trace",
    "Tracer",
    "WatermarkKeyError",
    "check_key",
    "detect",
    "detect_public",
    "embed",
    "embed_public",
    "picture",
    "score_along",
    "self_check",
]
