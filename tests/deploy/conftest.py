"""Programs that ``make deploy-check`` has fetched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / ".venv/deploy-tools"


def _program(name: str, *places: Path) -> Path:
    for place in places:
        if place.exists():
            return place
    found = shutil.which(name)
    assert found is not None, f"{name} is not here; make deploy-check fetches it"
    return Path(found)


@pytest.fixture(scope="session")
def promtool() -> Path:
    return _program("promtool", TOOLS / "usr/bin/promtool")


@pytest.fixture(scope="session")
def kubectl() -> Path:
    return _program("kubectl")


@pytest.fixture(scope="session")
def systemd_analyze() -> Path:
    return _program("systemd-analyze")
