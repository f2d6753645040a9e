"""``narrator-daemon health`` for exec probes: answered before the rest of the program is imported.

Whatever is not a plain question (``--help``, a mistake, a configuration that cannot be read) is
left to the command line proper, which says what is wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from narrator_daemon import paths
from narrator_daemon.health.ask import Probe, ask


def answer(words: Sequence[str]) -> int | None:
    """Answer ``health [--ready | --live] [--config FILE]`` on standard output.

    Args:
        words: the command line after the program's name.

    Returns:
        The exit status, or None where this is something else.
    """
    asked = _parse(words)
    if asked is None:
        return None
    probe, config_file = asked
    try:
        folder = paths.find(config_file, _environment())
    except (OSError, ValueError):
        return None
    seen = ask(folder, probe)
    print(json.dumps(seen.report))
    return seen.exit_code


def _parse(words: Sequence[str]) -> tuple[Probe, Path | None] | None:
    if list(words[:1]) != ["health"]:
        return None
    probe: Probe = "healthy"
    config_file: Path | None = None
    rest = iter(words[1:])
    for word in rest:
        if word in ("--ready", "--live") and probe == "healthy":
            probe = "ready" if word == "--ready" else "live"
        elif word == "--config":
            config_file = Path(next(rest, ""))
        elif word.startswith("--config="):
            config_file = Path(word.partition("=")[2])
        else:
            return None
    return probe, config_file


def _environment() -> dict[str, str]:
    """The process's variables, and those of a ``.env`` file that are not set."""
    # Not by Path, which raises where this user may not look into the working directory.
    if not os.path.exists(".env"):  # noqa: PTH110
        return dict(os.environ)
    from dotenv import dotenv_values

    kept = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**kept, **os.environ}
