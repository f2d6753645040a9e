"""Asks npm's targaryen, an engine of its own for the same rules language."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def ask(questions: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Its answers, in order; see ``evaluate.js``."""
    lines = "\n".join(json.dumps(question) for question in questions) + "\n"
    done = subprocess.run(
        ["node", "evaluate.js"],
        input=lines,
        capture_output=True,
        check=True,
        text=True,
        cwd=_FOLDER,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
