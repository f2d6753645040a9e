"""Where the daemon keeps its state, found with nothing but Python's own library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default(environment: Mapping[str, str] = os.environ) -> Path:
    """Where it is unless ``daemon.state_dir`` says otherwise."""
    # systemd sets the first, a login session the second.
    if runtime := environment.get("RUNTIME_DIRECTORY"):
        return Path(runtime.split(":")[0])
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "narrator-daemon"
    return Path(environment.get("TMPDIR", "/tmp")) / f"narrator-daemon-{os.getuid()}"  # noqa: S108


def find(config_file: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """``daemon.state_dir`` as ``config.load`` finds it, whatever the rest of the settings.

    Args:
        config_file: None for ``config.toml`` in the working directory, if there is one.
        environment: variables, those of a ``.env`` file among them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no TOML, or has something else in the place of a path.
    """
    for name, value in environment.items():
        if name.startswith("NARRATOR_") and name.lower() == "narrator_daemon__state_dir":
            return Path(value)
    if config_file is None:
        config_file = Path("config.toml")
        # Not by Path, which raises where this user may not look into the working directory.
        if not os.path.isfile(config_file):  # noqa: PTH113
            return default(environment)
    import tomllib

    daemon = tomllib.loads(config_file.read_text(encoding="utf-8")).get("daemon", {})
    chosen = daemon.get("state_dir", "") if isinstance(daemon, dict) else None
    if not isinstance(chosen, str):
        raise ValueError("[daemon] state_dir: must be a path, in quotes")
    return Path(chosen) if "state_dir" in daemon else default(environment)
