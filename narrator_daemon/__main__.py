"""``python -m narrator_daemon``: the command line."""

from narrator_daemon.cli import main

if __name__ == "__main__":
    main()
