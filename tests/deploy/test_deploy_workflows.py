"""The workflows for GitHub: what they may do, what they run, and on which Pythons."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def _read(path: Path) -> dict[str, Any]:
    # YAML takes "on" for a truth value.
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else str(key): value for key, value in found.items()}


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@each
def test_it_may_do_little_and_takes_actions_as_they_were_looked_at(path: Path) -> None:
    workflow = _read(path)
    assert workflow["permissions"] == {}
    writes = set()
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        writes |= {name for name, value in job["permissions"].items() if value != "read"}
    assert path.stem == "release" or writes == set()
    for line in re.findall(r"uses: (.+)", path.read_text()):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", line), line
    for step in _steps(workflow):
        if str(step.get("uses")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # What comes from outside reaches a shell as a variable only.
        assert "${{" not in step.get("run", "")


@each
def test_it_runs_what_a_person_runs(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {
        word
        for step in _steps(_read(path))
        for line in re.findall(r"^make (.+)$", step.get("run", ""), re.MULTILINE)
        for word in line.split()
        if "=" not in word
    }
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_each_python_that_is_promised_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = [
        line.rpartition(" ")[2]
        for line in project["classifiers"]
        if re.search(r":: Python :: 3\.\d+$", line)
    ]
    matrix = _read(ROOT / ".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"


def test_what_ci_runs_here_is_run_there() -> None:
    here = set(re.findall(r"^make (.+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    here = {target for line in here for target in line.split()}
    there = {
        word
        for path in WORKFLOWS
        for step in _steps(_read(path))
        for word in step.get("run", "").split()
    }
    assert here and here <= there


def test_nothing_is_published_before_it_is_switched_on() -> None:
    jobs = _read(ROOT / ".github/workflows/release.yml")["jobs"]
    assert jobs["index"]["if"] == "${{ vars.PUBLISH_PACKAGE == 'true' }}"
    (push,) = (step for step in jobs["image"]["steps"] if "push" in step.get("with", {}))
    assert push["with"]["push"] == "${{ vars.PUBLISH_IMAGE == 'true' }}"
    (draft,) = (step["run"] for step in jobs["draft"]["steps"] if "run" in step)
    assert "--draft" in draft
    head = (ROOT / ".github/workflows/release.yml").read_text().partition("\nname:")[0]
    for switch in ("PUBLISH_PACKAGE", "PUBLISH_IMAGE", "ATTEST"):
        assert switch in head


def test_every_owner_rule_matches_something() -> None:
    for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines():
        if line.startswith("/"):
            assert (ROOT / line.split()[0].strip("/")).exists(), line
