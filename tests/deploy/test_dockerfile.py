"""The image: its layers, and what stands in them. No engine builds it here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import build_page
from narrator_daemon.settings import Daemon

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def _stages() -> dict[str, list[str]]:
    """Instructions by the stage's name, each on one line; the last stage is ``""``."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE))
    stages: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        if line.startswith("FROM "):
            name = line.partition(" AS ")[2]
            stages[name] = []
        stages[name].append(line)
    return stages


def _sources(instruction: str) -> list[str]:
    """What a COPY takes from the build's context."""
    return [] if "--from=" in instruction else instruction.split()[1:-1]


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_all_that_it_copies_is_let_in() -> None:
    copies = [line for lines in _stages().values() for line in lines if line.startswith("COPY ")]
    sources = [source for line in copies for source in _sources(line)]
    assert len(sources) > 8
    for source in sources:
        assert (ROOT / source).exists(), source
    let_in = {line.strip("!").removesuffix("/**") for line in IGNORED if line.startswith("!")}
    assert IGNORED[0] == "*" and {source.split("/")[0] for source in sources} == let_in


def test_what_it_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    for line in _stages()["wheel"]:
        if not line.startswith("COPY "):
            continue
        for source in _sources(line):
            if (ROOT / source).is_dir():
                # Built things are left behind: what is in git must be enough.
                built = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(ROOT / source, tmp_path / source, ignore=built)
                shutil.rmtree(tmp_path / source / "emulator/page", ignore_errors=True)
            else:
                shutil.copy(ROOT / source, tmp_path / source)
    wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "."]
    built = subprocess.run(wheel, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    assert any(name.endswith("examples/books.json") for name in names)
    assert "narrator_daemon/emulator/database/default.rules.json" in names
    sources = (ROOT / "narrator_daemon").rglob("*.jinja")
    templates = {str(path.relative_to(ROOT)) for path in sources}
    assert templates and templates <= set(names)
    page = {f"narrator_daemon/emulator/page/{name}" for name in build_page.page()}
    assert "narrator_daemon/emulator/page/page/page.js" in page
    assert {name for name in names if "/emulator/page/" in name} == page


def test_the_large_layer_stands_on_nothing_that_is_edited() -> None:
    last = _stages()[""]
    (large,) = [n for n, line in enumerate(last) if "--requirement /asked/large.txt" in line]
    before = last[: large + 1]
    assert not [source for line in before if line.startswith("COPY ") for source in _sources(line)]
    assert not [line for line in before if line.startswith(("LABEL", "ARG"))]
    # And the program itself comes last of the three.
    (locked,) = [n for n, line in enumerate(last) if "--constraint" in line]
    (program,) = [n for n, line in enumerate(last) if "/wheel/*.whl" in line]
    label = next(n for n, line in enumerate(last) if line.startswith("LABEL"))
    assert large < locked < program < label


def _image_requirements(folder: Path, *extras: str) -> dict[str, str]:
    out = folder / "out"
    tool = ROOT / "tools/image_requirements.py"
    subprocess.run([sys.executable, tool, out, *extras], cwd=folder, check=True)
    return {path.name: path.read_text() for path in out.iterdir()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_an_edit_of_anything_else_leaves_the_layers_alone(project: Path) -> None:
    before = _image_requirements(project, "csm")
    assert "torch==" in before["large.txt"] and "firebase-admin" in before["asked.txt"]
    pyproject = project / "pyproject.toml"
    edited = pyproject.read_text()
    for old, new in (
        ('version = "0.1.0"', 'version = "0.2.0"'),
        ("line-length = 100", "line-length = 90"),
        ("dev = [", 'dev = ["something-new>=1",'),
    ):
        assert old in edited
        edited = edited.replace(old, new)
    pyproject.write_text(edited)
    assert _image_requirements(project, "csm") == before
    lock = project / "requirements.lock"
    lock.write_text(re.sub(r"^(ruff|typer)==.*", r"\1==99.0", lock.read_text(), flags=re.M))
    assert _image_requirements(project, "csm") == before
    lock.write_text(re.sub(r"^torch==.*", "torch==99.0", lock.read_text(), flags=re.M))
    assert "torch==99.0" in _image_requirements(project, "csm")["large.txt"]


def test_extras_are_those_of_the_package(project: Path) -> None:
    plain, local = _image_requirements(project), _image_requirements(project, "emulator")
    assert "aiohttp" in local["asked.txt"] and "aiohttp" not in plain["asked.txt"]
    tool = [sys.executable, ROOT / "tools/image_requirements.py", project / "out", "nothing"]
    refused = subprocess.run(tool, cwd=project, capture_output=True, text=True)
    assert refused.returncode == 1 and "no such extra: nothing" in refused.stderr


def test_an_image_without_extras_can_speak_with_csm() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (default,) = re.findall(r'^ARG EXTRAS="(.*)"', TEXT, re.MULTILINE)
    lists = [project["dependencies"]]
    lists += [project["optional-dependencies"][extra] for extra in default.split()]
    assert [line for lines in lists for line in lines if re.match(r"torch\b", line)]


def test_it_does_not_run_as_root_and_is_of_this_version() -> None:
    user = re.findall(r"^USER (\S+)", TEXT, re.MULTILINE)
    assert user[-1:] not in ([], ["root"], ["0"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for key, value in (
        ("title", project["name"]),
        ("licenses", project["license"]),
        ("version", project["version"]),
    ):
        assert f'org.opencontainers.image.{key}="{value}"' in TEXT


def test_its_example_lets_the_daemon_end() -> None:
    (seconds,) = re.findall(r"^#.* --stop-timeout (\d+)", TEXT, re.MULTILINE)
    assert int(seconds) >= Daemon.model_fields["grace_seconds"].default + 20


def test_the_container_toolkit_is_asked_for_what_cuda_takes() -> None:
    """The base has none of the variables that CUDA's own images set."""
    assert re.search(r"NVIDIA_VISIBLE_DEVICES=all\b", TEXT)
    assert re.search(r"NVIDIA_DRIVER_CAPABILITIES=compute,utility\b", TEXT)


def test_the_lock_holds_versions_and_nothing_else() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        # And where a package is for one kind of machine, which.
        assert re.fullmatch(r"[\w.-]+==[\w.!]+( ; [^@:/]+)?|#.*|", line), line


def test_an_image_without_csm_has_no_large_layer(project: Path) -> None:
    assert _image_requirements(project, "kokoro")["large.txt"] == ""
    assert "nvidia-cublas==" in _image_requirements(project, "csm")["large.txt"]
