from __future__ import annotations

from pathlib import Path

import pytest
import tiny_checkpoint


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that ends its segments now and then. Not to be changed."""
    return tiny_checkpoint.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with plainly random weights. Not to be changed."""
    return tiny_checkpoint.make(tmp_path_factory.mktemp("endless"), seed=1, ends=False)
