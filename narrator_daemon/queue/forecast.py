"""When books will be ready: the queue played forward at the pace that workers have had."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from narrator_daemon.catalogue import children, is_number
from narrator_daemon.queue.place import Level
from narrator_daemon.queue.waiting import MOST_OVERTAKINGS

#: The share of a book from which on its own progress says something of the rest.
_LEAST_SHARE = 0.05

#: Books from which on it is known what a book takes whatever its length.
_LEAST_BOOKS = 8

#: What is left of the weight of books when another one ends: fifty count.
_KEPT = 0.98

#: The most of the room that later requests of higher levels are taken to need; one book in eight
#: is the oldest whatever comes.
_MOST_ABOVE = 0.8


@dataclass(frozen=True)
class Sums:
    """What books have taken, as it can be added up over workers.

    Attributes:
        books: how many.
        characters: of their texts, in all.
        seconds: from claim to end, in all.
        squares: of the characters of each, in all.
        products: of characters and seconds of each, in all.
    """

    books: float = 0
    characters: float = 0
    seconds: float = 0
    squares: float = 0
    products: float = 0

    @classmethod
    def of_book(cls, characters: int, seconds: float) -> Sums:
        """Those of one book."""
        return cls(1, characters, seconds, characters * characters, characters * seconds)

    @classmethod
    def of_record(cls, record: object) -> Sums:
        """As a worker shows them, of whatever shape."""
        values = [children(record).get(name) for name in _NAMES]
        if not all(is_number(value) and value >= 0 for value in values):
            return cls()
        return cls(*(float(value) for value in values))  # type: ignore[arg-type]

    def as_record(self) -> dict[str, float]:
        """JSON values."""
        values = (self.books, self.characters, self.seconds, self.squares, self.products)
        return {name: round(value, 1) for name, value in zip(_NAMES, values, strict=True)}

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.books + other.books,
            self.characters + other.characters,
            self.seconds + other.seconds,
            self.squares + other.squares,
            self.products + other.products,
        )

    def then(self, characters: int, seconds: float) -> Sums:
        """With one book more; what was longer ago counts for less, and never for nothing."""
        values = (self.books, self.characters, self.seconds, self.squares, self.products)
        return Sums(*(_KEPT * value for value in values)) + Sums.of_book(characters, seconds)

    @property
    def pace(self) -> Pace | None:
        """What a book takes, by least squares; None where none is known."""
        if self.characters <= 0 or self.seconds <= 0:
            return None
        plain = Pace(0.0, self.seconds / self.characters)
        spread = self.books * self.squares - self.characters**2
        # Of books that are all alike it cannot be told what the length has to do with it.
        if self.books < _LEAST_BOOKS or spread < 0.01 * self.characters**2:
            return plain
        each = (self.books * self.products - self.characters * self.seconds) / spread
        besides = (self.seconds - each * self.characters) / self.books
        return Pace(besides, each) if each > 0 and besides >= 0 else plain


_NAMES = ("books", "characters", "seconds", "squares", "products")


@dataclass(frozen=True)
class Pace:
    """What a book takes, in seconds.

    Attributes:
        besides: whatever its length.
        each: for each character.
    """

    besides: float
    each: float

    def takes(self, characters: float) -> float:
        """Seconds for a text of so many characters."""
        return self.besides + self.each * characters


@dataclass(frozen=True)
class Load:
    """A waiting book.

    Attributes:
        book_id: its key.
        level: what goes first.
        order: since when it waits, epoch milliseconds.
        characters: of its text.
        not_before: seconds from now before which it is not claimed.
    """

    book_id: str
    level: Level
    order: float
    characters: int
    not_before: float = 0.0


@dataclass(frozen=True)
class Place:
    """Room for one book at a time, at one worker.

    Attributes:
        free_in: seconds from now until it is free.
        pace: what a book takes there.
    """

    free_in: float
    pace: Pace


def forecast(
    waiting: Iterable[Load],
    places: Iterable[Place],
    arriving: Mapping[Level, float] | None = None,
) -> dict[str, float]:
    """In how many seconds each book is ready.

    Books are taken as ``queue.waiting`` gives them: the highest level, the oldest within it, and
    the oldest of all once others have gone before it so many times.

    Args:
        waiting: what waits.
        places: where books are worked on.
        arriving: characters a second that are asked for meanwhile, by level: those of higher levels
            go first. None for nothing.

    Returns:
        Seconds from now, by book; empty where there is no place.
    """
    free = [(place.free_in, number, place) for number, place in enumerate(places)]
    if not free:
        return {}
    heapq.heapify(free)
    room = sum(1 / place.pace.each for _, _, place in free if place.pace.each > 0)
    waits = {level: 1.0 / (1.0 - _above(level, arriving or {}, room)) for level in Level}
    later = [(one.not_before, one.book_id, one) for one in waiting]
    heapq.heapify(later)
    line = _Line()
    ready: dict[str, float] = {}
    at = 0.0
    while later or line:
        free_at, number, place = heapq.heappop(free)
        # Where one has waited for a book that is wanted later, the others have waited too.
        at = max(at, free_at)
        if not line:
            at = max(at, later[0][0])
        while later and later[0][0] <= at:
            line.add(heapq.heappop(later)[2])
        one = line.take()
        takes = place.pace.takes(one.characters)
        begins = one.not_before + waits[one.level] * (at - one.not_before)
        ready[one.book_id] = begins + takes
        heapq.heappush(free, (at + takes, number, place))
    return ready


def _above(level: Level, arriving: Mapping[Level, float], room: float) -> float:
    """The share of the room that later requests of higher levels need."""
    above = sum(amount for other, amount in arriving.items() if other < level)
    return min(_MOST_ABOVE, above / room) if room else 0.0


class _Line:
    """The books that may be claimed, in both of their orders."""

    def __init__(self) -> None:
        self._by_level: list[tuple[Level, float, str]] = []
        self._by_age: list[tuple[float, str]] = []
        self._books: dict[str, Load] = {}
        self._overtakings = 0

    def __len__(self) -> int:
        return len(self._books)

    def add(self, one: Load) -> None:
        heapq.heappush(self._by_level, (one.level, one.order, one.book_id))
        heapq.heappush(self._by_age, (one.order, one.book_id))
        self._books[one.book_id] = one

    def take(self) -> Load:
        # What was taken by one order still stands in the other.
        while self._by_level[0][-1] not in self._books:
            heapq.heappop(self._by_level)
        while self._by_age[0][-1] not in self._books:
            heapq.heappop(self._by_age)
        first, oldest = self._by_level[0][-1], self._by_age[0][-1]
        if first == oldest:
            self._overtakings = 0
        elif self._overtakings < MOST_OVERTAKINGS:
            self._overtakings += 1
        else:
            self._overtakings, first = 0, oldest
        return self._books.pop(first)


def seconds_left(elapsed: float, share: float, expected: float | None) -> float | None:
    """How long a book in work will still take; None while nothing can be said.

    What was expected counts for less, and its own pace for more, the further it is.

    Args:
        elapsed: seconds since it was claimed.
        share: of it that is done, 0..1.
        expected: seconds that the whole was expected to take, or None.
    """
    achieved = elapsed / share if share >= _LEAST_SHARE else None
    if achieved is None or expected is None:
        whole = expected if achieved is None else achieved
    else:
        whole = share * achieved + (1 - share) * expected
    return None if whole is None else max(0.0, whole - elapsed)
