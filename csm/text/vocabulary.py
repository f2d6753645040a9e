"""Lists of words, written as text."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of ``text``, between white space."""
    return frozenset(text.split())
