"""The demo page as the local Firebase serves it; ``make e2e`` presses its buttons."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

import build_page
from narrator_daemon.cli import app
from narrator_daemon.emulator import LocalFirebase, page_files


def test_the_page_and_nothing_else_is_served(firebase: LocalFirebase) -> None:
    root = firebase.page_url.partition("?")[0]
    for name, content in build_page.page().items():
        answer = requests.get(root + name, timeout=60)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert requests.get(root, timeout=60).text == requests.get(f"{root}index.html", timeout=10).text
    for name in (
        "none.js",
        "page",
        "page/",
        "%2e%2e/page_files.py",
        "..%2fserver.py",
        "//etc/passwd",
    ):
        answer = requests.get(root + name, timeout=60)
        assert (answer.status_code, answer.text) == (404, "There is no such file.\n"), name
    assert requests.put(root, timeout=60).status_code == 405


def test_the_one_script_in_the_page_is_the_one_that_may_run(firebase: LocalFirebase) -> None:
    answer = requests.get(firebase.page_url, timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    scripts = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    assert re.findall(r"'sha256-(.*?)'", policy) == digests
    assert len(digests) == 1
    assert "unsafe" not in policy and "default-src 'none'" in policy


def test_a_page_that_was_not_built_says_so(
    firebase: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_files, "_FOLDER", tmp_path / "none")
    page_files._files.cache_clear()
    try:
        answer = requests.get(firebase.page_url, timeout=60)
        assert (answer.status_code, answer.text) == (404, "The page is not built: make page.\n")
        demo = CliRunner().invoke(app, ["demo", "--page", "--out", str(tmp_path / "out")])
        assert demo.exit_code == 2 and "make page" in demo.output
        assert not (tmp_path / "out").exists()
    finally:
        page_files._files.cache_clear()
