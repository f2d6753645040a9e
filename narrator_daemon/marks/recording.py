"""Whether a file that bears a mark is the recording that the mark was made for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.detect import Source, at_most_two
from watermark.marking.fingerprint import LEAST_SECONDS, Fingerprinter, Levels, Likeness, likeness

#: What a chance of error leaves open, where no recording was compared.
CHANCE_ALONE = "the chance of error excludes chance, not a forger who copied the mark from a file"


@dataclass(frozen=True)
class Original:
    """A narration that files are held against.

    Attributes:
        name: what it is called before people.
        fingerprint: of its sound.
    """

    name: str
    fingerprint: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path, name: str = "") -> Original:
        """Read a narration's file.

        Args:
            path: its file, as it was published or a good copy of that.
            name: default: the path.

        Raises:
            Unreadable: it cannot be read.
        """
        with open_audio(path) as audio:
            fingerprinter = Fingerprinter(audio.rate)
            for block in audio.blocks():
                fingerprinter.feed(at_most_two(block))
        return cls(name or str(path), fingerprinter.finish())


@dataclass(frozen=True)
class Compared:
    """What holding a marked file against narrations gave.

    Attributes:
        original: the one that is most like it; None where there was none.
        likeness: how alike they are; None where there was none.
        note: why there was none, or not all that there may be; else empty.
    """

    original: Original | None = None
    likeness: Likeness | None = None
    note: str = ""

    @property
    def same(self) -> bool | None:
        """Whether they are one recording; None where that cannot be said."""
        return None if self.likeness is None else self.likeness.same

    @property
    def told(self) -> str:
        """What the comparison says, for people."""
        note = f" ({self.note})" if self.note else ""
        if self.original is None or self.likeness is None:
            return f"{CHANCE_ALONE}{note}"
        seconds, name = self.likeness.seconds, self.original.name
        how = f"similarity {self.likeness.similarity:.2f} over {seconds:.0f} s"
        if self.same is None:
            return (
                f"too little to compare with {name}: {seconds:.1f} s, "
                f"at least {LEAST_SECONDS:.0f} s needed; {CHANCE_ALONE}"
            )
        if self.same:
            return f"same mark and same recording as {name}, {how}"
        return (
            f"same mark, and not the recording of {name}, {how}: "
            f"the mark may have been copied onto other speech{note}"
        )

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        found = self.likeness
        return {
            "same": self.same,
            "with": self.original.name if self.original else None,
            "similarity": round(found.similarity, 3) if found else None,
            "seconds": found.seconds if found else None,
            "note": self.note,
        }


def compare(path: Path, source: Source, originals: Iterable[Original], note: str = "") -> Compared:
    """Hold a file, where it bears a mark, against narrations until it is one of them.

    Args:
        path: the file.
        source: the mark.
        originals: the narrations, likelier ones first; only as many are asked for as are needed.
        note: what may keep others from being there.

    Raises:
        Unreadable: the file cannot be read.
    """
    best = Compared(note=note)
    spans = source.sighting.spans
    powers = None
    for original in originals:
        if powers is None:
            longest = max(spans, key=lambda span: span.end - span.begin, default=None)
            powers = _levels(path, longest.speed * longest.pitch if longest else 1.0).finish()
        found = likeness(powers, original.fingerprint, spans)
        if best.likeness is None or _rank(found) > _rank(best.likeness):
            best = Compared(original, found, note)
        if found.same:
            break
    return best


def _rank(found: Likeness) -> tuple[bool, float]:
    return found.same is not None, found.similarity


def _levels(path: Path, pitch: float) -> Levels:
    with open_audio(path) as audio:
        levels = Levels(audio.rate, pitch)
        for block in audio.blocks():
            levels.feed(at_most_two(block))
    return levels


def told_of(sources: Iterable[Source], compared: Iterable[Compared]) -> Iterator[str]:
    """A line for each mark in a file: whether the recording is the mark's too."""
    for source, each in zip(sources, compared, strict=True):
        yield f"{source.name}: {each.told}"
