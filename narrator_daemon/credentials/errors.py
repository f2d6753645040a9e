"""What goes wrong with content credentials."""

from narrator_daemon.errors import Unavailable


class CannotSign(Unavailable):
    """A file cannot be signed now: no fault of the book's. Its text never holds a key."""

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__("credentials", what, advice=advice)
