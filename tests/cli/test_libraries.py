"""A torch that was made for another machine is told in a line by whatever needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.libraries import misfit

#: What one of a GPU's build says where there is none.
SAYS = "libcudart.so.13: cannot open shared object file: No such file or directory"


@pytest.fixture
def unfit(tmp_path: Path) -> dict[str, str]:
    """The variables that have a process find such a torch first."""
    (tmp_path / "unfit" / "torch").mkdir(parents=True)
    text = f"raise OSError({SAYS!r})\n"
    (tmp_path / "unfit" / "torch" / "__init__.py").write_text(text)
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "unfit"),
        "NARRATOR_SPEECH__ENGINE": "csm",
        "NARRATOR_SPEECH__DEVICE": "cpu",
        "NARRATOR_DAEMON__STATE_DIR": str(tmp_path / "state"),
    }


@pytest.mark.parametrize("words", [["bench", "--random"], ["run"]], ids=lambda words: words[0])
def test_it_is_told_and_never_a_traceback(
    words: list[str], unfit: dict[str, str], tmp_path: Path
) -> None:
    with LocalFirebase() as firebase:
        done = subprocess.run(
            [sys.executable, "-m", "narrator_daemon", *words],
            env=unfit | firebase.environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2), said
    assert "Traceback" not in said and "please report" not in said
    assert "a library cannot be loaded: libcudart.so.13" in " ".join(said.split())
    assert "all from one place" in " ".join(said.split())


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'torchaudio'"),
        OSError(SAYS),
        RuntimeError("operator torchaudio::forced_align does not exist"),
        OSError("/x/libtorchaudio.so: undefined symbol: _ZN3c10"),
        RuntimeError("Failed to import transformers.models.csm because of: x"),
    ],
)
def test_errors_of_libraries_are_known(error: Exception) -> None:
    assert misfit(error) is not None
    inner = ValueError("while loading")
    inner.__cause__ = error
    assert misfit(inner) is not None


def test_other_errors_are_left_alone() -> None:
    assert misfit(ValueError("a sentence of no words")) is None
