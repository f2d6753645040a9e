"""What the program is made of: all of it locked, all of it licensed."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
TOOL = ROOT / "tools/licences.py"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOOL))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def _asked(project: dict[str, Any]) -> list[str]:
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [line for lines in lists for line in lines]


def test_all_that_the_project_asks_for_is_locked(
    tool: dict[str, Any], project: dict[str, Any]
) -> None:
    asked = _asked(project)
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    locked = [Requirement(line) for line in lock if "==" in line]
    versions = {canonicalize_name(one.name): str(one.specifier)[2:] for one in locked}
    for line in asked:
        one = Requirement(line)
        version = versions.get(canonicalize_name(one.name))
        assert version is not None, f"{one.name} is not in requirements.lock: make lock"
        assert one.specifier.contains(version, prereleases=True), line


#: Locks with digests, and the extras that each is for.
HASHED = {
    "requirements-demo.lock": ("build", "emulator", "preview"),
    "requirements-kokoro.lock": ("kokoro",),
    "requirements-csm.lock": ("csm", "otel", "recognise"),
}


def _hashed(name: str) -> dict[str, tuple[str, list[str]]]:
    """Each package of such a lock: its line, and the digests of its files."""
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    found = {}
    for entry in entries:
        line, *digests = re.split(r"\s+--hash=", entry.strip())
        found[canonicalize_name(Requirement(line).name)] = (line, digests)
    return found


@pytest.mark.parametrize("name", HASHED)
def test_a_lock_with_digests_has_one_for_every_file(name: str) -> None:
    versions = set((ROOT / "requirements.lock").read_text().splitlines())
    for line, digests in _hashed(name).values():
        assert digests and all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in digests), line
        same = {other for other in versions if other.split(" ;")[0] == line.split(" ;")[0]}
        assert same, f"{line} is not in requirements.lock: make lock"


@pytest.mark.parametrize("name", HASHED)
def test_a_lock_with_digests_is_complete(
    name: str, tool: dict[str, Any], project: dict[str, Any]
) -> None:
    """pip is given it as all there is: it looks for nothing that is not in it."""
    parts = {"daemon", *HASHED[name]}
    needed = {one for one, brought_by in tool["parts"]().items() if brought_by & parts}
    here = {canonicalize_name(one.metadata["Name"]) for one in metadata.distributions()}
    assert {one for one in needed & here if one not in tool["OF_CUDA"]} <= _hashed(name).keys()


def test_only_a_machine_for_csm_gets_torch(tool: dict[str, Any]) -> None:
    for name in ("requirements-demo.lock", "requirements-kokoro.lock"):
        assert not _hashed(name).keys() & {"torch", "transformers", *tool["OF_CUDA"]}
    # And all that torch's CUDA build brings is named, for Linux alone.
    csm = _hashed("requirements-csm.lock")
    assert {*tool["OF_CUDA"], "torch"} <= csm.keys()
    assert all("sys_platform == 'linux'" in csm[one][0] for one in tool["OF_CUDA"])


def test_the_extra_for_building_is_what_the_build_asks_for(project: dict[str, Any]) -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert project["optional-dependencies"]["build"] == asked


def test_all_is_set_up_with_every_extra(project: dict[str, Any]) -> None:
    (extras,) = re.findall(r"^EXTRAS := (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(extras.split(",")) == sorted(project["optional-dependencies"])


def _imported(package: str) -> set[str]:
    """The top names of what a package imports, at once or later."""
    names = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).split(".")[0])
    return names - sys.stdlib_module_names - {"narrator_daemon", "csm", "watermark"}


@pytest.mark.parametrize("package", ["narrator_daemon", "csm", "watermark"])
def test_what_is_imported_is_asked_for(package: str, project: dict[str, Any]) -> None:
    asked = {canonicalize_name(Requirement(line).name) for line in _asked(project)}
    providers = metadata.packages_distributions()
    unasked = {
        name
        for name in _imported(package)
        if not asked & {canonicalize_name(one) for one in providers.get(name, [])}
    }
    assert unasked == set()


def test_the_licences_are_listed_and_in_order() -> None:
    checked = subprocess.run([sys.executable, TOOL], capture_output=True, text=True)
    assert (checked.stdout, checked.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("licence", "where", "bad"),
    [
        ("MIT", {"daemon"}, False),
        ("Apache-2.0 AND MIT", {"daemon"}, False),
        ("GPL-3.0 OR MIT", {"daemon"}, False),
        ("GPL-3.0-or-later", {"preview"}, False),
        ("GPL-3.0-or-later", {"kokoro", "dev"}, False),
        ("LicenseRef-NVIDIA-Proprietary", {"csm"}, False),
        ("LicenseRef-NVIDIA-Proprietary", {"csm", "daemon"}, True),
        ("GPL-3.0", {"dev"}, False),
        ("GPL-3.0-or-later", {"preview", "daemon"}, True),
        ("MIT AND GPL-3.0", {"emulator"}, True),
        ("AGPL-3.0", {"dev"}, True),
        ("UNKNOWN", {"dev"}, True),
    ],
)
def test_a_licence_is_judged_by_where_it_is_used(
    tool: dict[str, Any], licence: str, where: set[str], bad: bool
) -> None:
    assert bool(tool["problems"]("x", licence, where)) is bad
