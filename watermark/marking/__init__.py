"""Marks and the checks of them, and what is kept of a narration to know it again."""
