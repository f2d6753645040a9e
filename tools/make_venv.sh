#!/bin/sh
# Create the virtual environment: make_venv.sh PYTHON FOLDER
set -eu
python=$1
venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "narrator-daemon needs Python 3.11 or newer; '$python' is not. Run: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
[ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
rm -rf "$venv"
if ! "$python" -m venv "$venv" 2>/dev/null; then
    # Debian splits venv off into a package of its own.
    rm -rf "$venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq python3-venv
    fi
    "$python" -m venv "$venv" || {
        echo "cannot create a virtual environment; install your system's python3-venv package" >&2
        exit 1
    }
fi
