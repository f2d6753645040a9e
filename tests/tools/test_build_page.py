from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

import pytest

import build_page


def test_it_is_written_once_and_replaces_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    build_page.build(folder)
    before = folder.stat().st_ino
    build_page.build(folder)
    assert folder.stat().st_ino == before
    (folder / "page" / "gone.js").write_text("of an older page")
    (folder / "index.html").write_text("older")
    build_page.build(folder)
    assert not (folder / "page" / "gone.js").exists()
    assert (folder / "index.html").read_bytes() == build_page.page()["index.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_all_that_the_page_names_is_there() -> None:
    files = build_page.page()
    index = files["index.html"].decode()
    assert {"narration.js", "page/page.js", "vendor/firebase.js"} <= set(files)
    assert not [name for name in files if name.endswith(".ts")]
    imports = json.loads(re.findall(r'"importmap">(.*?)</script>', index, re.DOTALL)[0])["imports"]
    named = [*re.findall(r'(?:src|href)="([^"]+)"', index), *imports.values()]
    assert {str(PurePosixPath(name)) for name in named} <= set(files)
    for name, content in files.items():
        if not name.endswith(".js") or name.startswith("vendor/"):
            continue
        for target in re.findall(r'from "([^"]+)"', content.decode()):
            if target.startswith("."):
                path = (build_page.SOURCE / name).parent / target
                assert path.resolve().relative_to(build_page.SOURCE).as_posix() in files, target
            else:
                assert target in imports


def test_a_module_that_is_no_javascript_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "a.ts").write_text("let a;\nenum B { C }\n")
    monkeypatch.setattr(build_page, "SOURCE", tmp_path)
    with pytest.raises(build_page.NotErasable, match=r"page/a\.ts:2:1: .*enum B"):
        build_page.build(tmp_path / "out")
    assert not (tmp_path / "out").exists()
