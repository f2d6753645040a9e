"""The files for GitHub, by the schemas that check-jsonschema carries, and by zizmor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "dependabot": ".github/dependabot.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "compose-spec": "compose.yaml",
}


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_have_the_shape_that_is_read(schema: str) -> None:
    files = sorted(ROOT.glob(SCHEMAS[schema]))
    assert files
    run(TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_no_workflow_does_what_is_unsafe() -> None:
    run(TOOLS / "zizmor", "--offline", "--quiet", ROOT / ".github")


def test_the_hooks_before_a_commit_can_be_read() -> None:
    run(TOOLS / "pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml")
