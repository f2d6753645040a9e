"""What goes wrong with content credentials."""

from narrator_daemon.errors import NarratorError


class CannotSign(NarratorError):
    """A file cannot be signed. Its text never holds a key."""
