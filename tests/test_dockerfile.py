from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import build_page

ROOT = Path(__file__).parent.parent


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_what_it_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert f"!{source}" in allowed or f"!{source}/**" in allowed, source
        target = tmp_path / source
        if (ROOT / source).is_dir():
            # Built things are left behind: what is in git must be enough.
            built = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(ROOT / source, target, ignore=built)
            shutil.rmtree(target / "emulator" / "page", ignore_errors=True)
        else:
            shutil.copy(ROOT / source, target)
    wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "."]
    built = subprocess.run(wheel, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    assert any(name.endswith("examples/books.json") for name in names)
    assert "narrator_daemon/emulator/database/default.rules.json" in names
    templates = {
        str(path.relative_to(ROOT)) for path in (ROOT / "narrator_daemon").rglob("*.jinja")
    }
    assert templates and templates <= set(names)
    page = {f"narrator_daemon/emulator/page/{name}" for name in build_page.page()}
    assert "narrator_daemon/emulator/page/page/page.js" in page
    assert {name for name in names if "/emulator/page/" in name} == page


def test_it_does_not_run_as_root_and_installs_from_the_lock() -> None:
    text = (ROOT / "Dockerfile").read_text()
    user = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert user[-1:] not in ([], ["root"], ["0"])
    assert "--constraint requirements.lock" in text


def test_the_lock_holds_versions_and_nothing_else() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.!]+|#.*|", line), line
    assert "nvidia" not in (ROOT / "requirements.lock").read_text()
