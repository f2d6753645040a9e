"""What the program is made of: all of it locked, all of it licensed."""

from __future__ import annotations

import ast
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
