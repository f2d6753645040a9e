"""The files for GitHub and compose, by their schemas, and what zizmor calls unsafe in workflows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent

#: By schemas that check-jsonschema carries.
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "dependabot": ".github/dependabot.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "compose-spec": "compose.yaml",
}


def said(*command: str | Path) -> str:
    """What a tool finds wrong; empty where nothing is."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_follow_their_schemas(schema: str) -> None:
    files = sorted(ROOT.glob(SCHEMAS[schema]))
    assert files
    checker = [TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
    assert said(*checker, *files) == ""


def test_workflows_do_nothing_unsafe() -> None:
    assert said(TOOLS / "zizmor", "--offline", "--quiet", ROOT / ".github") == ""


def test_the_hooks_of_a_commit_are_a_configuration() -> None:
    config = ROOT / ".pre-commit-config.yaml"
    assert said(TOOLS / "pre-commit", "validate-config", config) == ""


def test_dependabot_looks_at_every_place_that_pins_packages_of_npm() -> None:
    text = (ROOT / ".github/dependabot.yml").read_text()
    locks = subprocess.run(
        ["git", "ls-files", "*package-lock.json"], cwd=ROOT, capture_output=True, text=True
    )
    folders = {f"/{Path(lock).parent}" for lock in locks.stdout.split()}
    assert folders and all(folder in text for folder in folders), folders
