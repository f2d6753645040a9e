"""The users of this machine, by name."""

from __future__ import annotations

import pwd


def name_of(uid: int) -> str:
    """What a user is called; ``uid 1000`` for one that this machine does not know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
