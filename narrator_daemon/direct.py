"""Addresses that are reached directly, whatever proxy the environment names.

A proxy is for the way out. What runs on this machine, or takes the place of Firebase in a test, is
not behind it: asked for ``127.0.0.1``, a proxy answers with an error of its own, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAMES = ("no_proxy", "NO_PROXY")


def without_proxy(environment: Mapping[str, str], hosts: Iterable[str] = ()) -> dict[str, str]:
    """The variables that take loopback, and more hosts, out of the proxy's way.

    >>> without_proxy({"NO_PROXY": "a.example"}, ["firebase"])["NO_PROXY"]
    'a.example,127.0.0.1,localhost,::1,firebase'

    Args:
        environment: what it is now.
        hosts: names or addresses, without ports.
    """
    # Which of the two is read differs between libraries, so both say all of it.
    said = ",".join(environment.get(name, "") for name in _NAMES)
    known = [host.strip() for host in said.split(",") if host.strip()]
    if "*" in known:
        return {}
    direct = ",".join(dict.fromkeys([*known, *LOOPBACK, *hosts]))
    return dict.fromkeys(_NAMES, direct)
