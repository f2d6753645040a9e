"""``narrator-daemon`` and ``python -m narrator_daemon``: the command line."""

from __future__ import annotations

import sys

from narrator_daemon.health import probe


def main() -> None:
    """Entry point."""
    status = probe.answer(sys.argv[1:])
    if status is None:
        from narrator_daemon import cli

        cli.main()
    sys.exit(status)


if __name__ == "__main__":
    main()
