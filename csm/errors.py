"""What goes wrong in this package, as its callers are told."""


class CsmError(Exception):
    """Speech could not be made; the message says why and what to do, free of the spoken text."""


class OutOfMemory(CsmError):
    """The device's memory did not suffice. What the failed work held is free again."""
