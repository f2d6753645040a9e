"""The name of the database, as clients give it in ``?ns=``."""

from __future__ import annotations


def names(namespace: str, given: str | None) -> bool:
    """Whether a request that gives this name, or none, means this database.

    An SDK that is told the project alone, and no URL, asks for ``{project}-default-rtdb``.
    """
    return given in (None, namespace, f"{namespace}-default-rtdb")


def wrong_namespace(namespace: str) -> str:
    """What to tell whoever asks for another."""
    return (
        "Firebase error. Please ensure that you have the URL of your Firebase Realtime "
        f"Database instance configured correctly: ?ns={namespace}"
    )
