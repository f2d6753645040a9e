"""What people are told in the README is what the program has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from narrator_daemon import catalogue
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.cli import app
from narrator_daemon.settings import Settings

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()

#: Files and names that look like one.
NOT_SETTINGS = {"firebase.faults", "firebase.json", "storage.py", "storage.rules", "voice.py"}


def test_each_error_code_says_what_to_do() -> None:
    table = README.split("### When a book has failed")[1].split("\n### ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    named = {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {code.value for code in ErrorCode}
    assert all(row.split("|")[3].strip() for row in rows)


def test_each_field_of_a_book_is_explained() -> None:
    told = set(re.findall(r"`(narrative(?:Audio|Updated)\w+)`", README))
    fields = {
        value
        for name, value in vars(catalogue).items()
        if name.isupper() and isinstance(value, str) and value.startswith("narrative")
    }
    assert fields and fields <= told


def test_each_command_is_listed_and_none_that_is_not_there() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    told = set(re.findall(r"(?<![\w/])narrator-daemon ([a-z-]+)", README))
    assert set(commands) <= told | {"bench"}
    assert told <= set(commands) | {"detect"}


@pytest.mark.parametrize(
    "file",
    ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/firebase/README.md"],
)
def test_settings_and_files_that_are_named_are_there(file: str) -> None:
    text = (ROOT / file).read_text()
    sections = Settings.model_fields
    for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)(?: = [^`]*)?`", text):
        if section in sections:
            known = sections[section].annotation.model_fields  # type: ignore[union-attr]
            assert key in known or f"{section}.{key}" in NOT_SETTINGS, (section, key)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / file).parent.joinpath(link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z0-9-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_map_of_the_house_names_every_module_of_the_daemon() -> None:
    told = README.split("## The house")[1].split("```")[1]
    modules = {path.name for path in (ROOT / "narrator_daemon").glob("[!_]*.py")}
    assert set(re.findall(r"\w+\.py", told)) == modules
    for folder in re.findall(r"(?<![\w/])(\w+/)(?!O)", told):
        places = (ROOT, ROOT / "narrator_daemon", ROOT / "tests", ROOT / "examples")
        assert any((place / folder).is_dir() for place in places), folder
