from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_it_does_not_run_as_root_and_installs_from_the_lock() -> None:
    text = (ROOT / "Dockerfile").read_text()
    user = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert user[-1:] not in ([], ["root"], ["0"])
    assert "--constraint requirements.lock" in text


def test_the_lock_holds_versions_and_nothing_else() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.!]+|#.*|", line), line
    assert "nvidia" not in (ROOT / "requirements.lock").read_text()
