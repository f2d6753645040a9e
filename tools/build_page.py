"""Builds the demo page out of ``examples/frontend``, with Python alone.

    python tools/build_page.py [FOLDER]

Packaging does it, the tests do it, and ``make page``. The page is made of modules that browsers
load as they are: nothing is bundled but the Firebase SDK, which is there as ``vendor/firebase.js``.
c2pa's library is there packed, and is unpacked here. A Python without ``lzma`` builds the pages
without it: the detector page then says that it cannot look at credentials.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from erase_types import NotErasable, erase_types

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "examples" / "frontend"
#: Where the local Firebase serves it from. Not kept in git.
PACKAGED = ROOT / "narrator_daemon" / "emulator" / "page"

_SOURCES = ("*.html", "narration.ts", "page/*", "detector/*", "vendor/*")
_PACKED = "vendor/c2pa_bg.wasm"


class Damaged(Exception):
    """What is packed in the sources is not what it was."""


def page() -> dict[str, bytes]:
    """The files of the page by their paths, ``/`` between.

    Raises:
        NotErasable: a module holds more than JavaScript with types.
        Damaged: what is packed is not what it was.
    """
    files = {}
    for path in sorted(path for pattern in _SOURCES for path in SOURCE.glob(pattern)):
        name = path.relative_to(SOURCE).as_posix()
        if path.suffix == ".ts":
            text = erase_types(path.read_text(encoding="utf-8"), name)
            files[name.removesuffix(".ts") + ".js"] = text.encode()
        else:
            files[name] = path.read_bytes()
    packed = files.pop(f"{_PACKED}.xz", None)
    digest = files.pop(f"{_PACKED}.sha256", b"").split(b" ")[0].decode()
    if packed is not None:
        try:
            import lzma
        except ImportError:
            del files["vendor/c2pa.js"]
        else:
            files[_PACKED] = lzma.decompress(packed)
            if hashlib.sha256(files[_PACKED]).hexdigest() != digest:
                raise Damaged(f"{_PACKED}.xz: is not what {_PACKED}.sha256 says")
    return files


def build(folder: Path = PACKAGED) -> None:
    """Write the page into a folder, in place of what is there; leave it alone if it is the same.

    Raises:
        NotErasable: see ``page``.
        Damaged: see ``page``.
        OSError: the folder cannot be written.
    """
    files = page()
    if _found(folder) == files:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Others may read it meanwhile: they see the old one or the new one.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".page-") as temporary:
        new = Path(temporary) / "new"
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        new.rename(folder)


def _found(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


if __name__ == "__main__":
    try:
        build(*map(Path, sys.argv[1:2]))
    except (NotErasable, Damaged) as error:
        sys.exit(str(error))
