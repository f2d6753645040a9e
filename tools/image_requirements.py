"""Write what the image installs, so that its layers are built anew for what they hold alone.

    python tools/image_requirements.py OUT [EXTRA…]

Reads ``pyproject.toml`` and ``requirements.lock`` here and writes into the folder OUT:

* ``large.txt``: torch, where it is asked for, and what its build for CUDA brings, in the locked
  versions;
* ``asked.txt``: all that the package and those of its extras ask for.

Neither changes with the description of the package, its development tools or the settings of a
linter, and ``large.txt`` with nothing but the versions in it: the layer of gigabytes stays.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

#: What brings gigabytes with it, and the names of what that is.
LARGE = "torch"
BROUGHT = re.compile(r"(nvidia|cuda)-|triton==")


def asked(project: dict[str, object], extras: list[str]) -> list[str]:
    """The requirements of the package with these extras, as they are written.

    Raises:
        SystemExit: there is no such extra.
    """
    optional = project.get("optional-dependencies", {})
    assert isinstance(optional, dict)  # noqa: S101 - pyproject.toml is ours
    unknown = sorted(set(extras) - set(optional))
    if unknown:
        raise SystemExit(f"no such extra: {', '.join(unknown)}; there are {', '.join(optional)}")
    always = project["dependencies"]
    assert isinstance(always, list)  # noqa: S101
    return sorted({*always, *(line for extra in extras for line in optional[extra])})


def main() -> None:
    """Write both files."""
    folder, *extras = sys.argv[1:]
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = asked(project, [extra for extra in extras if extra])
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in lines}
    locked = Path("requirements.lock").read_text(encoding="utf-8").splitlines()
    large = [line for line in locked if line.startswith(f"{LARGE}==") or BROUGHT.match(line)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in (("large.txt", large if LARGE in names else []), ("asked.txt", lines)):
        Path(folder, name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")


if __name__ == "__main__":
    main()
