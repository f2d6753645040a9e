"""What the dependencies are licensed under: LICENCES.md, and whether that is in order.

    python tools/licences.py             # exits with 1 when something is not in order
    python tools/licences.py --write     # writes LICENCES.md first

The licences are those that pip-licenses reads from each package's own metadata.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LIST = ROOT / "LICENCES.md"

#: May be used and passed on with notice alone.
PERMISSIVE = {
    "3-Clause BSD License",
    "0BSD",
    "Apache",
    "Apache 2.0 License",
    "Apache Software License",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "DFSG approved",
    "ISC",
    "ISC License (ISCL)",
    "MIT",
    "MIT License",
    "MIT-0",
    "PSF-2.0",
    "Python Software Foundation License",
    "Public Domain",
    "Zlib",
}
#: Libraries that are used as they are, and can be replaced by others.
WEAK = {
    "GNU Library or Lesser General Public License (LGPL)",
    "LGPL-2.1-or-later",
    "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)",
}
#: In processes of their own, and never in what `pip install narrator-daemon` brings.
STRONG = {"GPL-3.0", "GPL-3.0-or-later"}
#: Parts that may hold these.
APART = {"preview", "kokoro", "dev"}

#: Of packages whose metadata says nothing: what the licence file in them is, or of what they carry.
LOOKED_AT = {"promql-parser": "MIT", "espeakng-loader": "GPL-3.0-or-later AND MIT"}

#: May be used and passed on by NVIDIA's terms, as part of what computes on its GPUs.
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
#: What torch's CUDA build brings, which is not installed here: by the index's metadata.
OF_CUDA = {
    "cuda-bindings": "Apache-2.0",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": NVIDIA,
    "triton": "MIT License",
    **dict.fromkeys(
        (
            "nvidia-cublas",
            "nvidia-cuda-cupti",
            "nvidia-cuda-nvrtc",
            "nvidia-cuda-runtime",
            "nvidia-cudnn-cu13",
            "nvidia-cufft",
            "nvidia-cufile",
            "nvidia-curand",
            "nvidia-cusolver",
            "nvidia-cusparse",
            "nvidia-cusparselt-cu13",
            "nvidia-nccl-cu13",
            "nvidia-nvjitlink",
            "nvidia-nvshmem-cu13",
        ),
        NVIDIA,
    ),
    "nvidia-nvtx": "Apache-2.0",
}
#: Named for a Python inside browsers, where this program does not run.
ELSEWHERE = {"httpx2-jsfetch": "BSD-3-Clause"}

_HEAD = """\
# Licences of the dependencies

Written by `make licences` from the metadata of the packages that `requirements.lock` names. The
daemon itself is under Apache-2.0. A part is what brings a package: the daemon, an extra of it, or
`dev` for what its developers use. Packages under the GPL are in no part but `preview` and `kokoro`,
where they run as processes of their own, and `dev`. CUDA's libraries, under NVIDIA's terms, come
with the torch of machines with a GPU.

| package | licence | parts |
| --- | --- | --- |
"""


def locked() -> list[str]:
    """The names in the lock file."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [
        canonicalize_name(line.split("==")[0]) for line in lines if re.match(r"[\w.-]+==", line)
    ]


def parts() -> dict[str, set[str]]:
    """Each package and the parts of the project that bring it, directly or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {"daemon": project["dependencies"], **project["optional-dependencies"]}
    brought: dict[str, set[str]] = {}
    for part, lines in asked.items():
        waiting = [Requirement(line) for line in lines]
        seen: set[tuple[str, frozenset[str]]] = set()
        while waiting:
            one = waiting.pop()
            name = canonicalize_name(one.name)
            if (name, frozenset(one.extras)) in seen:
                continue
            seen.add((name, frozenset(one.extras)))
            brought.setdefault(name, set()).add(part)
            waiting += _requires(name, one.extras)
    for name in OF_CUDA:
        brought.setdefault(name, set()).add("csm")
    for name in ELSEWHERE:
        brought.setdefault(name, set()).add("csm")
    return brought


def _requires(name: str, extras: set[str]) -> list[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []  # of another platform
    found = [Requirement(line) for line in lines]
    return [
        one
        for one in found
        if one.marker is None
        or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def licences() -> dict[str, str]:
    """Each installed package and its licence."""
    tool = [Path(sys.executable).parent / "pip-licenses", "--from=mixed", "--format=json"]
    found = subprocess.run([*tool, "--with-system"], check=True, capture_output=True, text=True)
    said = {canonicalize_name(one["Name"]): one["License"] for one in json.loads(found.stdout)}
    return {**said, **LOOKED_AT, **OF_CUDA, **ELSEWHERE}


def problems(name: str, licence: str, where: set[str]) -> list[str]:
    """What is not in order with one package."""
    # "A OR B" lets one choose; "A AND B", "A; B" and "A, B" are all to be kept.
    unknown, strong = [], False
    for choice in re.split(r" AND |; |, ", licence):
        options = set(re.sub(r"^\((.*)\)$", r"\1", choice.strip()).split(" OR "))
        if options & (PERMISSIVE | WEAK) or (options == {NVIDIA} and where <= {"csm", "dev"}):
            continue
        if options & STRONG:
            strong = True
        else:
            unknown.append(choice)
    said = [f"{name}: nobody has looked at the licence {one!r}" for one in unknown]
    if strong and where - APART:
        said.append(f"{name}: {licence} is in the part {', '.join(sorted(where))}")
    return said


def main() -> int:
    """Check, and write where asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    brought, found = parts(), licences()
    said, rows = [], []
    # A package may stand there twice, for two ranges of Python.
    for name in sorted(set(locked())):
        if name not in found:
            said.append(f"{name}: is in the lock and not installed")
            continue
        where = brought.get(name, {"dev"})
        said += problems(name, found[name], where)
        rows.append(f"| {name} | {found[name]} | {', '.join(sorted(where))} |")
    text = _HEAD + "\n".join(rows) + "\n"
    if asked.write:
        LIST.write_text(text)
    elif not LIST.exists() or LIST.read_text() != text:
        said.append("LICENCES.md is not what `make licences` makes")
    print(*said, sep="\n", end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
