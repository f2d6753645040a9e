# Makes sure that a program is there that some checks run, from Debian's packages.
#
#     sh tools/get_program.sh PROGRAM PACKAGE…
set -eu
program=$1
shift
if command -v "$program" >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "There is no $program here. Install it: apt-get install $*" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
