"""Builds the package as setuptools does, with the demo page in it."""

from __future__ import annotations

from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 — the hooks that need nothing of ours

import build_page


def build_wheel(*arguments: Any, **options: Any) -> str:
    """The wheel, by PEP 517."""
    build_page.build()
    return build_meta.build_wheel(*arguments, **options)


def build_sdist(*arguments: Any, **options: Any) -> str:
    """The source distribution, by PEP 517."""
    build_page.build()
    return build_meta.build_sdist(*arguments, **options)


def build_editable(*arguments: Any, **options: Any) -> str:
    """The wheel that points at this folder, by PEP 660."""
    build_page.build()
    return build_meta.build_editable(*arguments, **options)
