"""What people are told is what the program has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from cogapp import Cog
from markdown.extensions.toc import slugify

import doc_tables
from narrator_daemon.cli import app
from narrator_daemon.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/*/README.md"),
        *ROOT.glob("benchmarks/**/README.md"),
    ]
)
#: Decisions are about how things were when they were taken, and name what has gone since.
PRESENT = [path for path in PAGES if path.parent.name != "decisions"]

#: Files that look like settings.
NOT_SETTINGS = {"firebase.json", "storage.rules"}

by_name = pytest.mark.parametrize("page", PRESENT, ids=lambda path: str(path.relative_to(ROOT)))


def test_tables_are_what_the_program_gives(capsys: pytest.CaptureFixture[str]) -> None:
    cogged = [str(path) for path in PAGES if "[[[cog" in path.read_text(encoding="utf-8")]
    assert len(cogged) >= 7
    status = Cog().main(["cog", "--check", *cogged])
    assert status == 0, f"run `make tables`:\n{capsys.readouterr().out}"


def test_a_code_without_words_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(doc_tables.CODES, "stuck")
    with pytest.raises(SystemExit, match=r"missing .*stuck"):
        doc_tables.error_codes()
    monkeypatch.setitem(doc_tables.FIELDS, "narrativeAudioMood", ("daemon", "none"))
    with pytest.raises(SystemExit, match="narrativeAudioMood"):
        doc_tables.fields()


def test_every_metric_of_a_scrape_is_in_the_table() -> None:
    source = (ROOT / "narrator_daemon/daemon/metrics.py").read_text(encoding="utf-8")
    told = set(re.findall(r"`(narrator_\w+?)(?:_total|_info)?(?:\{|`)", doc_tables.metrics()))
    assert told == set(re.findall(r'"(narrator_\w+)"', source))


@by_name
def test_settings_that_are_named_are_there(page: Path) -> None:
    sections = Settings.model_fields
    for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)(?: = [^`]*)?`", page.read_text()):
        if section in sections and f"{section}.{key}" not in NOT_SETTINGS:
            assert key in sections[section].annotation.model_fields, (section, key)  # type: ignore[union-attr]
    for section, key in re.findall(r"NARRATOR_([A-Z]+)__([A-Z_]+)", page.read_text()):
        if (section, key) != ("SECTION", "KEY"):
            assert key.lower() in sections[section.lower()].annotation.model_fields  # type: ignore[union-attr]


@by_name
def test_files_and_targets_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\((?!https:)([^)#\s]+)[^)]*\)", text):
        assert page.parent.joinpath(link).exists(), link
    for path in re.findall(
        r"`((?:narrator_daemon|csm|watermark|tests|tools|deploy|benchmarks|examples|docs)/[\w./-]+)`",
        text,
    ):
        built = path.startswith(("narrator_daemon/emulator/page", "benchmarks/results"))
        assert built or (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z0-9-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@by_name
def test_places_in_pages_that_are_linked_are_there(page: Path) -> None:
    # In docs/ the site's builder looks too; other files are not of the site.
    for link, anchor in re.findall(r"\]\((?!https:)([^)#\s]*)#([\w.-]+)\)", page.read_text()):
        text = (page.parent / link if link else page).read_text()
        headings = re.findall(r"^#+ (.+?)(?: \{: #(.+?) \})?$", text, re.MULTILINE)
        assert anchor in {given or slugify(title, "-") for title, given in headings}, link


#: With the name of the database that is meant before it, or without.
_COMMAND = r"(?<![\w/-])narrator-daemon (?:--database \w+ )?((?:[a-z-]+ ?)+)"


@by_name
def test_commands_that_are_named_are_there(page: Path) -> None:
    group = typer.main.get_command(app)
    for line in re.findall(_COMMAND, page.read_text()):
        words = line.split()
        if words[0] in group.commands:  # type: ignore[attr-defined]
            command = group.commands[words[0]]  # type: ignore[attr-defined]
            if hasattr(command, "commands") and len(words) > 1:
                assert words[1] in command.commands, line
        else:
            # "narrator-daemon has claimed the book", in a sentence.
            assert f"`narrator-daemon {line.strip()}" not in page.read_text(), line


def test_every_folder_of_the_daemon_is_in_the_house() -> None:
    told = (ROOT / "docs/design/house.md").read_text()
    folders = [path.parent for path in (ROOT / "narrator_daemon").glob("*/__init__.py")]
    assert folders
    for folder in folders:
        assert f"`narrator_daemon/{folder.name}`" in told, folder.name


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 140
    picture = ROOT / "docs/pictures/page.png"
    assert 10_000 < picture.stat().st_size < 200_000


@pytest.mark.parametrize(
    ("html", "status"),
    [
        ('<a href="https://example.com">x</a><img src="a.png">', 0),
        ('<img src="data:image/png;base64,xx"><link rel="canonical" href="https://a.example/">', 0),
        ('<script src="https://example.com/x.js"></script>', 1),
        ('<link rel="stylesheet" href="//fonts.example.com/x.css">', 1),
        ('<img src="missing.png">', 1),
        ("<style>x</style>", 0),
        ("", 0),
    ],
)
def test_a_site_that_fetches_from_elsewhere_is_found_out(
    html: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "index.html").write_text(f"<html>{html}</html>")
    tool = [sys.executable, ROOT / "tools/check_site.py", tmp_path]
    assert subprocess.run(tool, capture_output=True).returncode == status


def test_a_style_sheet_that_fetches_and_a_site_without_pages_are_found_out(tmp_path: Path) -> None:
    tool = [sys.executable, ROOT / "tools/check_site.py", tmp_path]
    assert subprocess.run(tool, capture_output=True).returncode == 1
    (tmp_path / "index.html").write_text("<html></html>")
    (tmp_path / "site.css").write_text("@font-face { src: url(https://fonts.example.com/a) }")
    assert subprocess.run(tool, capture_output=True).returncode == 1
