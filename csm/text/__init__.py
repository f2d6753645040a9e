"""Raw text to speakable segments.

from csm.text import segment
for part in segment("Chapter IV. Mr. Darcy paid £5."):
    print(part.text, part.follows)
"""

from __future__ import annotations

from csm.text.characters import latin_share
from csm.text.dialogue import Cast
from csm.text.lexicon import EMPTY, Lexicon
from csm.text.normalise import normalise, spoken_blocks
from csm.text.pause_marks import paused, taken_out
from csm.text.pauses import Pauses
from csm.text.segments import Break, Delivery, Heading, Segment, Sentence, headings, pack

__all__ = [
    "Break",
    "Cast",
    "Delivery",
    "Heading",
    "Lexicon",
    "NothingToSpeak",
    "Pauses",
    "Segment",
    "Sentence",
    "headings",
    "latin_share",
    "normalise",
    "segment",
]

#: The least that ``segment`` accepts as its limit.
LEAST_MAX_CHARACTERS = 60


class NothingToSpeak(ValueError):
    """Nothing of the text can be spoken: no letter, digit or symbol with a name."""


def segment(
    text: str,
    *,
    max_characters: int = 300,
    lexicon: Lexicon = EMPTY,
    cast: Cast | None = None,
    pause_marks: bool = False,
) -> list[Segment]:
    """Normalise ``text`` and cut it into segments for a speech engine.

    Args:
        text: anything a database may hold.
        max_characters: the longest segment, at least 60.
        lexicon: how names and rare words are said.
        cast: who reads what is said; None where one voice reads everything.
        pause_marks: whether ``[pause 2s]`` and the like are pauses, and not words.

    Returns:
        At least one segment, in reading order; every word of ``normalise(text)`` is in exactly one.

    Raises:
        NothingToSpeak: nothing in ``text`` can be spoken.
        ValueError: ``max_characters`` is below 60.
    """
    if max_characters < LEAST_MAX_CHARACTERS:
        raise ValueError(
            f"max_characters is {max_characters}; it must be at least {LEAST_MAX_CHARACTERS}"
        )
    if pause_marks:
        without, marks = taken_out(text)
        blocks = spoken_blocks(without, lexicon)
        segments = pack(blocks, max_characters, cast, lambda sentences: paused(sentences, marks))
    else:
        segments = pack(spoken_blocks(text, lexicon), max_characters, cast)
    if not segments:
        raise NothingToSpeak("the text holds no letter or digit that can be spoken")
    return segments
