"""Detection: is there a mark, whose, how sure, and where.

Sound is taken a minute at a time. Its features are read once; each stretch of twenty seconds is
looked up in the key's cycle under every hypothesis of changed speed, tempo and pitch; the likeliest
lines are followed through the minute; and the data cells along each line, along the best mosaic of
lines (sound that was cut and joined) and over all minutes together are scored, against every
candidate book and by blind decoding. A thorough search goes on where that leads to nothing; see
``watermark.detection.thorough``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watermark.chunks import Chunk, Chunks
from watermark.detection.evidence import Evidence, Trail, gather
from watermark.detection.features import Features, features_of
from watermark.detection.passes import Passes
from watermark.detection.scoring import Match, Scorer
from watermark.detection.search import SURE, Reading
from watermark.detection.spans import Run, Span, runs_of, spans_of
from watermark.detection.thorough import LookUp, search_by_data
from watermark.keys import check_key
from watermark.pattern import BLOCK_CELLS, CELL_SECONDS, CYCLE_CELLS, Pattern, pattern_of
from watermark.payload import CODED_BITS, INDEX_LIMIT
from watermark.samples import as_float

#: The time in which a mark says all it has to say once, seconds. See ``MIN_SECONDS``.
PERIOD_SECONDS = BLOCK_CELLS * CELL_SECONDS
#: Shorter sound cannot be told. From 5 s on a clean copy is found as a rule, from 10 s on a
#: recompressed one.
MIN_SECONDS = PERIOD_SECONDS
#: The probability of a false hit that a search may have at most.
DEFAULT_FALSE_POSITIVE = 1e-9

#: Sound is searched in chunks of this many seconds; the last may be up to 20 s longer.
_CHUNK_SECONDS = 60
_LAST_SECONDS = 80
#: Pilot scores below this are not added up over chunks.
_WORTH_ADDING = 4.5
#: Samples below this everywhere are silence.
_SILENCE = 1e-5


@dataclass(frozen=True)
class Sighting:
    """A book whose mark is in a file.

    Attributes:
        book_index: which.
        key_index: whose key of those given.
        score: of its best match, in standard deviations.
        false_positive_probability: as in ``Detection``.
        method: ``"candidate"`` or ``"blind"``.
        spans: where in the file the mark is, by time.
        hypotheses: for how many tests the search counts in that probability.
    """

    book_index: int
    key_index: int
    score: float
    false_positive_probability: float
    method: str
    spans: tuple[Span, ...]
    hypotheses: float


@dataclass(frozen=True)
class Detection:
    """What a search found.

    Attributes:
        found: whether a book was identified with a probability of error within the limit.
        book_index: which book; ``None`` if none was found.
        key_index: whose key of those given; ``None`` if none was found.
        score: of the best match, in standard deviations; 0 if nothing could be scored.
        false_positive_probability: at most this often would a search like this one (all keys,
            candidates, lines and minutes counted) give such a score on sound without the mark.
        method: ``"candidate"`` or ``"blind"``; ``None`` if none was found.
        offset_seconds: which second of the narration the file's first marked second is.
        speed: how much faster it plays, pitch and all; 1.0 if unchanged.
        tempo: how much faster it runs at the same pitch.
        pitch: how much higher it sounds at the same tempo.
        seconds: of sound examined.
        spans: where in the file the mark is, by time.
        sightings: of every book that was identified, the surest first; several where the file was
            made from several.
        note: what a person should know: too short, silent, a mark too weak to read; else empty.
    """

    found: bool
    book_index: int | None
    key_index: int | None
    score: float
    false_positive_probability: float
    method: str | None
    offset_seconds: float | None
    speed: float
    tempo: float
    pitch: float
    seconds: float
    spans: tuple[Span, ...]
    sightings: tuple[Sighting, ...]
    note: str


@dataclass(frozen=True)
class _Hit:
    """A match, where it was, and whether its place was found by the data instead of the pilot."""

    match: Match
    runs: list[Run]
    by_data: bool


@dataclass(frozen=True)
class _Tries:
    """How many readings were scored where the pilot said, and how many places tried by the data.

    A search that may go both ways allows each half of its false positives.
    """

    by_pilot: int
    by_data: int
    ways: int

    def bound(self, hit: _Hit, candidates: int) -> float:
        """The false-positive bound of a hit."""
        return hit.match.false_positive(self._of(hit), candidates)

    def hypotheses(self, hit: _Hit, candidates: int) -> float:
        """For how many tests the search counts in that bound."""
        return hit.match.hypotheses(self._of(hit), candidates)

    def _of(self, hit: _Hit) -> int:
        return (self.by_data if hit.by_data else self.by_pilot) * self.ways


#: For telling which of two hits is the likelier before all tries are known.
_FEW = _Tries(1, CYCLE_CELLS, 1)
#: For telling whether a hit is enough, whatever else will have been tried in the end: an hour's.
_MANY = _Tries(1000, 1000 * CYCLE_CELLS, 2)


class _KeySearch:
    """What is remembered of one key's search from chunk to chunk.

    Attributes:
        best: the likeliest hit.
        hits: that of each book that chance alone hardly gives.
        told: whether one of them is enough, whatever else will be tried.
    """

    def __init__(self, pattern: Pattern, scorer: Scorer, limit: float, *, thorough: bool) -> None:
        self._limit = limit
        self._passes = Passes(pattern, thorough=thorough)
        self.pattern = pattern
        self.scorer = scorer
        self.readings = self.places = 0
        self.best: _Hit | None = None
        self.hits: dict[int, _Hit] = {}
        self.told = False
        self.pilot = 0.0
        self.runs: list[Run] = []
        self._total = np.zeros(CODED_BITS, np.float32)
        self._energy = 0.0
        self._added = 0
        self._seen = np.zeros(CYCLE_CELLS, np.bool_)

    def take(
        self, features: Features, samples: NDArray[np.float32], rate: int, begin: float
    ) -> None:
        """Search a chunk until a mark is found; ``begin`` is its first second in the file."""
        for readings in self._passes.over(features, samples, rate, begin):
            if readings and self._take(readings, begin):
                self._passes.remember(readings[0].trails[0].line.change)
                return
        if self._passes.together.full:
            self._take_together()

    def _take(self, readings: list[Reading], begin: float) -> bool:
        """Score readings, and say whether they tell a book."""
        evidence = [gather(self.pattern, reading.trails) for reading in readings]
        self.readings += len(readings)
        told = self._consider(evidence, [reading.trails for reading in readings], begin)
        best = readings[0]
        self.pilot = max(
            [self.pilot, *(t.line.score for reading in readings for t in reading.trails)]
        )
        if best.pilot < _WORTH_ADDING:
            return told
        for trail in best.trails:
            self.runs += runs_of(self.pattern, trail, begin)
        # A place that was heard before is left out: its signs are no longer independent.
        fresh = [trail.part(~self._seen[trail.places]) for trail in best.trails]
        for trail in fresh:
            self._seen[trail.places] = True
        added = gather(self.pattern, fresh)
        self._total += added.bits
        self._energy += added.energy
        self._added += 1
        return told

    def take_by_data(self, lookups: Iterable[LookUp], begin: float) -> None:
        """Score what is found in a chunk without the pilot, until that is a mark."""
        for lookup in lookups:
            self.places += lookup.places
            evidence = [gather(self.pattern, [trail]) for trail in lookup.trails]
            if self._consider(evidence, [(trail,) for trail in lookup.trails], begin, by_data=True):
                return

    def _take_together(self) -> None:
        """Score what the last chunks say as one, if none of the file says anything by itself."""
        readings = [] if self.told else self._passes.together.readings()
        if readings:
            self._take(readings, 0.0)
        self._passes.together.clear()

    def finish(self) -> None:
        """Score all chunks together, if there was more than one."""
        self._take_together()
        if self._added > 1:
            self.readings += 1
            self._consider([Evidence(self._total, self._energy)], [()], 0.0)

    def spans(self, book_index: int) -> tuple[Span, ...]:
        """Where a book's mark is; at the least where it was told by."""
        found = spans_of(self.pattern, book_index, self.runs)
        return found or spans_of(self.pattern, book_index, self.hits[book_index].runs)

    def probability(self, hit: _Hit, tries: _Tries) -> float:
        """The false-positive bound of a hit among all tries, those with other keys too."""
        return tries.bound(hit, len(self.scorer.candidates))

    def _consider(
        self,
        evidence: list[Evidence],
        trails: list[tuple[Trail, ...]],
        begin: float,
        *,
        by_data: bool = False,
    ) -> bool:
        told = False
        for match in self.scorer.matches(evidence):
            hit = _Hit(match, [], by_data)
            if self.best is None or self._rank(hit) < self._rank(self.best):
                self.best = hit
            if self.probability(hit, _FEW) > self._limit:
                continue
            told = told or self.probability(hit, _MANY) <= self._limit
            known = self.hits.get(match.book_index)
            if known is not None and self._rank(known) <= self._rank(hit):
                continue
            for trail in trails[match.reading]:
                hit.runs.extend(runs_of(self.pattern, trail, begin))
            self.hits[match.book_index] = hit
        self.told = self.told or told
        return told

    def _rank(self, hit: _Hit) -> tuple[float, float]:
        return self.probability(hit, _FEW), -hit.match.score


class Detector:
    """Detects in a stream: feed blocks of any size, then ``finish``.

    Memory does not grow but for a kilobyte or two for each marked minute.

    Args:
        rate: samples a second, 8,000 to 192,000.
        keys: a key, or several to try.
        candidates: the book indices there are, if they are known. They are found with less sound
            than a blind search needs.
        false_positive: the probability of a false hit allowed to the whole search.
        thorough: where the pilot leads to nothing, look for the place by the data, in case that
            the pilot was attacked. It takes a quarter of the sound's length.

    Raises:
        WatermarkKeyError: a key cannot serve.
        ValueError: another argument is out of range.
    """

    def __init__(
        self,
        rate: int,
        keys: bytes | Sequence[bytes],
        candidates: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        *,
        false_positive: float = DEFAULT_FALSE_POSITIVE,
        thorough: bool = False,
    ) -> None:
        if not 0 < false_positive < 1:
            raise ValueError(f"false_positive is {false_positive}; it must be between 0 and 1")
        self._limit = false_positive
        self._thorough = thorough
        each = [keys] if isinstance(keys, bytes) else list(keys)
        if not each:
            raise ValueError("no key was given; a mark can only be found with its key")
        books = _indices(() if candidates is None else candidates)
        patterns = [pattern_of(check_key(key)) for key in each]
        self._known = [(pattern, Scorer(pattern, books)) for pattern in patterns]
        self._begin(rate)

    def _begin(self, rate: int) -> None:
        self._chunks = Chunks(rate, _CHUNK_SECONDS, _LAST_SECONDS)
        self._rate = rate
        self._searches = [
            _KeySearch(pattern, scorer, self._limit, thorough=self._thorough)
            for pattern, scorer in self._known
        ]
        self._seconds = 0.0
        self._silent = True

    def renewed(self, rate: int) -> Detector:
        """A detector for another file, with the same keys, candidates and limits.

        What was worked out for the candidates is shared: for a million, three seconds.

        Args:
            rate: samples a second of that file, 8,000 to 192,000.

        Raises:
            ValueError: the rate is out of range.
        """
        new = copy(self)
        new._begin(rate)
        return new

    def feed(self, block: ArrayLike) -> None:
        """Take samples in.

        Args:
            block: ``[n]`` or ``[n, channels]``, float or integer PCM of any level. What is not
                finite is taken as silence.

        Raises:
            ValueError: the shape or type is no sound's.
        """
        for chunk in self._chunks.feed(block):
            self._search(chunk)

    def finish(self) -> Detection:
        """What was found. The detector is spent then, but for ``renewed``."""
        for chunk in self._chunks.finish():
            self._search(chunk)
        for search_ in self._searches:
            search_.finish()
        return self._verdict()

    def _search(self, chunk: Chunk) -> None:
        begin, length = self._seconds, len(chunk.samples) / self._rate
        self._seconds += length
        peak = float(np.abs(chunk.samples).max())
        if peak < _SILENCE:
            return
        self._silent = False
        if length < MIN_SECONDS:
            return
        samples = chunk.samples / np.float32(peak)
        features = features_of(samples, self._rate)
        for each in self._searches:
            each.take(features, samples, self._rate, begin)
        if self._thorough and not any(each.told for each in self._searches):
            for each in self._searches:
                each.take_by_data(search_by_data(each.pattern, features, length), begin)

    def _verdict(self) -> Detection:
        tries = _Tries(
            sum(each.readings for each in self._searches),
            sum(each.places for each in self._searches),
            2 if self._thorough else 1,
        )
        sightings = sorted(
            (
                self._sighting(key_index, hit, tries)
                for key_index, each in enumerate(self._searches)
                for hit in each.hits.values()
            ),
            key=lambda sighting: (sighting.false_positive_probability, -sighting.score),
        )
        sightings = [each for each in sightings if each.false_positive_probability <= self._limit]
        if not sightings:
            return self._nothing(tries)
        best = sightings[0]
        longest = max(best.spans, key=lambda span: span.end - span.begin, default=None)
        return Detection(
            found=True,
            book_index=best.book_index,
            key_index=best.key_index,
            score=best.score,
            false_positive_probability=best.false_positive_probability,
            method=best.method,
            offset_seconds=best.spans[0].offset_seconds if best.spans else None,
            speed=longest.speed if longest else 1.0,
            tempo=longest.tempo if longest else 1.0,
            pitch=longest.pitch if longest else 1.0,
            seconds=self._seconds,
            spans=best.spans,
            sightings=tuple(sightings),
            note="",
        )

    def _sighting(self, key_index: int, hit: _Hit, tries: _Tries) -> Sighting:
        search_, match = self._searches[key_index], hit.match
        return Sighting(
            book_index=match.book_index,
            key_index=key_index,
            score=match.score,
            false_positive_probability=search_.probability(hit, tries),
            method="blind" if match.blind else "candidate",
            spans=search_.spans(match.book_index),
            hypotheses=tries.hypotheses(hit, len(search_.scorer.candidates)),
        )

    def _nothing(self, tries: _Tries) -> Detection:
        probability, score = min(
            (
                (each.probability(each.best, tries), each.best.match.score)
                for each in self._searches
                if each.best is not None
            ),
            default=(1.0, 0.0),
        )
        pilot = max(each.pilot for each in self._searches)
        if self._seconds < MIN_SECONDS:
            note = f"too short to tell: {self._seconds:.1f} s, at least {MIN_SECONDS:.1f} s needed"
        elif self._silent:
            note = "silent"
        elif pilot > SURE:
            note = "a mark of this key is there, but too weak to tell which book's"
        else:
            note = ""
        return Detection(
            found=False,
            book_index=None,
            key_index=None,
            score=score,
            false_positive_probability=probability,
            method=None,
            offset_seconds=None,
            speed=1.0,
            tempo=1.0,
            pitch=1.0,
            seconds=self._seconds,
            spans=(),
            sightings=(),
            note=note,
        )


def _indices(candidates: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    if len(candidates) == 0:
        return np.empty(0, np.uint32)
    books = np.asarray(candidates)
    if books.ndim != 1 or not np.issubdtype(books.dtype, np.integer):
        raise ValueError("candidates must be whole numbers, the indices of books")
    if books.min() < 0 or books.max() >= INDEX_LIMIT:
        raise ValueError(f"a candidate is no book index, which is within 0..{INDEX_LIMIT - 1}")
    return np.unique(books).astype(np.uint32)


def detect(
    samples: ArrayLike,
    rate: int,
    keys: bytes | Sequence[bytes],
    candidates: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    *,
    false_positive: float = DEFAULT_FALSE_POSITIVE,
    thorough: bool = False,
) -> Detection:
    """Say whether sound bears a mark, and which book's.

    Args:
        samples: ``[n]`` or ``[n, channels]``, float or integer PCM, of any level and length. What
            is not finite is taken as silence.
        rate: samples a second, 8,000 to 192,000.
        keys: a key, or several to try.
        candidates: the book indices there are, if they are known; without them the index is
            decoded from the sound alone, which needs a little more of it.
        false_positive: the probability of a false hit allowed to the whole search.
        thorough: as in ``Detector``.

    Raises:
        WatermarkKeyError: a key cannot serve.
        ValueError: another argument is out of range.
    """
    detector = Detector(rate, keys, candidates, false_positive=false_positive, thorough=thorough)
    samples = np.asarray(samples)
    if samples.ndim == 0:
        samples = as_float(samples)
    block = 10 * rate
    for first in range(0, len(samples), block):
        detector.feed(samples[first : first + block])
    return detector.finish()
