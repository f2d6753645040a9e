"""How long a reader pauses, by what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from csm.text.segments import Break


@dataclass(frozen=True)
class Pauses:
    """Seconds of silence from one sound to the next.

    Attributes:
        clause: inside a sentence that was too long to be spoken at once.
        sentence: between sentences of a paragraph.
        turn: between paragraphs of dialogue, however long they are.
        list_item: before an item of a list or a row of a table.
        paragraph: between paragraphs.
        heading: before and after a heading.
        scene: where a line of signs parts scenes.
        chapter: before the heading of a chapter or part.
    """

    clause: float = 0.25
    sentence: float = 0.45
    turn: float = 0.5
    list_item: float = 0.6
    paragraph: float = 0.9
    heading: float = 1.2
    scene: float = 1.75
    chapter: float = 2.75

    def before(self, follows: Break) -> float:
        """The pause of a break; 0 at the end of the text."""
        return {
            Break.CLAUSE: self.clause,
            Break.SENTENCE: self.sentence,
            Break.TURN: self.turn,
            Break.ITEM: self.list_item,
            Break.PARAGRAPH: self.paragraph,
            Break.HEADING: self.heading,
            Break.SCENE: self.scene,
            Break.CHAPTER: self.chapter,
            Break.END: 0.0,
        }[follows]
