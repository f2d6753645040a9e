"""How far what was heard is from what should have been said, in words."""

from __future__ import annotations

import re

from csm.text.normalise import normalise

_WORD = re.compile(r"[^\W_]+")


def divergence(text: str, heard: str) -> tuple[float, int]:
    """Align two texts by words, both read as ``csm.text.normalise`` reads them.

    Args:
        text: what should have been said.
        heard: what a recogniser wrote down; it may write numbers in digits.

    Returns:
        The word error rate (substitutions, deletions and insertions a word of ``text``), and the
        longest run of words, of either text, that have no equal in the other. A whole-segment rate
        hides a mangled passage; the run shows it.
    """
    said, written = _words(text), _words(heard)
    errors, steps = _align(said, written)
    longest = run = 0
    for equal in steps:
        run = 0 if equal else run + 1
        longest = max(longest, run)
    return errors / max(1, len(said)), longest


def _words(text: str) -> list[str]:
    """Lower case, no apostrophes, hyphens as spaces."""
    return _WORD.findall(normalise(text).casefold().replace("'", ""))


def _align(said: list[str], written: list[str]) -> tuple[int, list[bool]]:
    """The fewest edits between two lists, and from their end which steps change nothing."""
    table = [list(range(len(written) + 1))]
    for row, word in enumerate(said, 1):
        above, line = table[-1], [row]
        for column, other in enumerate(written, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (word != other)))
        table.append(line)
    steps: list[bool] = []
    row, column = len(said), len(written)
    while row or column:
        cost = table[row][column]
        if (
            row
            and column
            and cost == table[row - 1][column - 1] + (said[row - 1] != written[column - 1])
        ):
            row, column = row - 1, column - 1
            steps.append(said[row] == written[column])
        elif row and cost == table[row - 1][column] + 1:
            row -= 1
            steps.append(False)
        else:
            column -= 1
            steps.append(False)
    return table[-1][-1], steps
