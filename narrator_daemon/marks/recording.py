"""Whether a file that bears a mark is the recording that the mark was made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.detect import Source, at_most_two
from watermark.marking.fingerprint import LEAST_SECONDS, Levels, Likeness, fingerprint_of, likeness

#: What a chance of error leaves open, where no recording was compared.
CHANCE_ALONE = (
    "the chance of error excludes chance, not a forger who copied the mark from another file; "
    "--original compares the recordings"
)


@dataclass(frozen=True)
class Original:
    """A narration that files are held against.

    Attributes:
        path: its file, as it was published or a good copy of that.
        fingerprint: of its sound.
    """

    path: Path
    fingerprint: bytes

    @classmethod
    def read(cls, path: Path) -> Original:
        """Read a narration's file.

        Raises:
            Unreadable: it cannot be read.
        """
        levels = _levels(path, 1.0)
        return cls(path, fingerprint_of(levels.finish()))

    def like(self, path: Path, source: Source) -> Likeness:
        """How alike a file is to it where the file bears its mark.

        Raises:
            Unreadable: the file cannot be read.
        """
        spans = source.sighting.spans
        longest = max(spans, key=lambda span: span.end - span.begin, default=None)
        pitch = longest.speed * longest.pitch if longest else 1.0
        return likeness(_levels(path, pitch).finish(), self.fingerprint, spans)

    def told(self, likeness_: Likeness) -> str:
        """What a comparison says, for people."""
        seconds = likeness_.seconds
        how = f"similarity {likeness_.similarity:.2f} over {seconds:.0f} s"
        if likeness_.same is None:
            return (
                f"too little to compare with {self.path}: {seconds:.1f} s, "
                f"at least {LEAST_SECONDS:.0f} s needed"
            )
        if likeness_.same:
            return f"same recording as {self.path}, {how}"
        return (
            f"not the recording in {self.path}, {how}: "
            "the mark is the book's, the sound is not; it may have been copied onto other speech"
        )


def _levels(path: Path, pitch: float) -> Levels:
    with open_audio(path) as audio:
        levels = Levels(audio.rate, pitch)
        for block in audio.blocks():
            levels.feed(at_most_two(block))
    return levels
