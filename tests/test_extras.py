"""What runs without the extras: no torch where no CSM speaks, and an error that names the extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: What the extra csm brings, and what only it brings.
_OF_CSM = ("torch", "torchaudio", "transformers", "tokenizers", "safetensors", "triton")

#: A start-up hook for a process in which these cannot be imported.
_BLOCK = """
import sys
class _Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, _Blocked())
"""

_ALL_MODULES = """
import importlib, pkgutil
failed = []
for package in ("csm", "watermark", "narrator_daemon"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if module.name.endswith(("__main__", "piper_worker")):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            failed.append(module.name)
print(*failed, sep="\\n")
"""


def _blocking(folder: Path, blocked: tuple[str, ...]) -> dict[str, str]:
    """An environment whose Python processes cannot import these."""
    (folder / "sitecustomize.py").write_text(_BLOCK.format(blocked=blocked))
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{Path.cwd()}"}


def _run(
    environment: dict[str, str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def without_csm(tmp_path: Path) -> dict[str, str]:
    return _blocking(tmp_path, _OF_CSM)


def test_only_the_engine_of_csm_needs_its_libraries(
    without_csm: dict[str, str], tmp_path: Path
) -> None:
    walked = _run(without_csm, tmp_path, "-c", _ALL_MODULES)
    assert walked.returncode == 0, walked.stderr
    failed = set(walked.stdout.split())
    # That the hook blocks at all.
    assert {"csm.engine.engine", "csm.checkpoint.loading", "narrator_daemon.speech.csm"} <= failed
    beyond = {name for name in failed if not name.startswith(("csm.engine.", "csm.checkpoint."))}
    assert beyond == {
        "narrator_daemon.commands.bench",
        "narrator_daemon.speech.csm",
    }


@pytest.mark.parametrize(
    "command",
    [["bench", "--random"], ["run", "--emulated"], ["model", "fetch"]],
    ids=lambda c: c[0],
)
def test_a_command_without_its_extra_says_which(
    without_csm: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    settings = {
        "NARRATOR_FIREBASE__PROJECT_ID": "demo-books",
        "NARRATOR_FIREBASE__STORAGE_BUCKET": "demo-books.appspot.com",
        "NARRATOR_FIREBASE__DATABASE_URL": "http://127.0.0.1:9/?ns=demo-books",
        "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:9",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
        "NARRATOR_DAEMON__STATE_DIR": str(tmp_path / "state"),
    }
    told = _run({**without_csm, **settings}, tmp_path, "-m", "narrator_daemon", *command)
    assert told.returncode == 2
    assert "pip install 'narrator-daemon[csm]'" in told.stderr
    assert "Traceback" not in told.stderr


def _install(folder: Path, name: str, code: str) -> None:
    """A package that Python and transformers take for installed."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    about = folder / f"{name}-9.9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")


def test_csm_works_beside_companions_of_another_build(tmp_path: Path) -> None:
    failures = {
        "torchaudio": "OSError('libcudart.so.13: cannot open shared object file')",
        "torchvision": "RuntimeError('operator torchvision::nms does not exist')",
    }
    for name, failure in failures.items():
        tried = tmp_path / f"tried-{name}"
        _install(tmp_path, name, f"open({str(tried)!r}, 'w')\nraise {failure}\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    code = (
        "from narrator_daemon.speech import csm; from csm.checkpoint import random_weights;"
        "from csm.checkpoint.transformers_parts import MimiModel; print(MimiModel.__name__)"
    )
    done = _run(environment, tmp_path, "-c", code)
    assert (done.stdout, done.returncode) == ("MimiModel\n", 0), done.stderr
    assert all((tmp_path / f"tried-{name}").exists() for name in failures)


@pytest.mark.parametrize("module", ["speech.kokoro.model", "speech.piper_worker"])
def test_onnxruntime_reports_to_nobody(module: str, tmp_path: Path) -> None:
    """Where it does, it writes a number for this machine into the home folder at once."""
    unset = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    subprocess.run(
        [sys.executable, "-c", f"import narrator_daemon.{module}"],
        env={**kept, "HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
