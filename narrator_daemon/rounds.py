"""Passes over many items, of which each fails alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from narrator_daemon import logs
from narrator_daemon.errors import Contended, NodeRefused, Unavailable

_log = logs.get(__name__)


class Round:
    """One pass: what goes wrong with an item is logged and counted, and costs the others nothing.

    Only an outage ends it, since every other item would meet that too.

    Args:
        name: of what is done, for the log.

    Attributes:
        failed: items that went wrong.
        put_off: items that others kept writing to; the next round looks at them again.
        refused: items that the dependency does not take, and nobody can do anything about here.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.failed = self.put_off = self.refused = 0

    @contextmanager
    def item(self, **which: object) -> Iterator[None]:
        """Around what is done with one item.

        Args:
            which: names the item in the log, such as ``book="b1"``.

        Raises:
            Unavailable: a dependency did not answer.
        """
        try:
            yield
        except Contended:
            self.put_off += 1
        except NodeRefused as error:
            self.refused += 1
            _log.warning("item_refused", round=self.name, why=str(error), **which)
        except Unavailable:
            raise
        except Exception:
            self.failed += 1
            _log.exception("item_failed", round=self.name, **which)
