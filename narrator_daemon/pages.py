"""HTML pages from templates: one file each, that runs no script and asks no network for anything.

A template lies beside the module that fills it in and extends ``page.html.jinja``, whose policy
forbids scripts and requests. What is filled in is escaped, and shows no character that controls
anything: it comes out of books and file names.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from narrator_daemon.terminal import visible


def render(template: str, **values: Any) -> Iterator[str]:
    """The page, piece by piece, so that one with hours of audio in it need not fit into memory.

    Args:
        template: its path below the package, such as ``"narration/report.html.jinja"``.
        values: what it is filled in with. ``Markup`` goes in as it is, all else is made harmless.
    """
    return _templates().get_template(template).generate(values)


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("narrator_daemon", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _harmless(value: object) -> object:
    return value if isinstance(value, Markup) else visible(value)
