"""What goes wrong with content credentials."""


class CannotSign(Exception):
    """A file cannot be signed; the message says why and what to do. It never holds a key."""
