"""Tells the service manager how the daemon is: systemd's notification protocol.

Source: sd_notify(3) and sd_watchdog_enabled(3): datagrams of ``KEY=VALUE`` lines to the socket that
``NOTIFY_SOCKET`` names, a path or, with a leading ``@``, a name in the abstract namespace.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from narrator_daemon import logs
from narrator_daemon.health.condition import Condition

#: Most characters of the status that is shown.
_LONGEST_STATUS = 300

_log = logs.get(__name__)


class ServiceManager:
    """Whoever started this process, if it listens; without ``NOTIFY_SOCKET`` nothing is sent.

    The beats of the watchdog are sent by whoever calls ``tell``, and from nowhere else: a loop that
    hangs sends none.

    Args:
        environment: where ``NOTIFY_SOCKET`` is looked up.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._said_ready = self._said_stopping = False
        self._status = ""
        self._failing = False

    def tell(self, condition: Condition) -> None:
        """Say what is new, and that the one who calls this is alive if the daemon is live.

        ``READY=1`` is said once, when the main loop runs: the configuration is taken, and the
        daemon can be asked how it is. Whether it takes books is in the status: a first start
        downloads gigabytes and Firebase may be down, and neither ``systemctl start`` nor the boot
        of the machine waits for that.
        """
        lines = []
        if condition.phase == "running" and not self._said_ready:
            lines.append("READY=1")
            self._said_ready = True
        if condition.phase == "stopping":
            if not self._said_stopping:
                lines.append("STOPPING=1")
            self._said_stopping = True
        elif condition.live:
            lines.append("WATCHDOG=1")
        status = _status(condition)
        if status != self._status:
            lines.append(f"STATUS={status}")
            self._status = status
        self._send("\n".join(lines))

    def _send(self, message: str) -> None:
        if not self._address or not message:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                # A manager that does not read must not hold up the daemon.
                out.setblocking(False)
                out.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._failing:
                _log.warning("service_manager_not_told", why=error.strerror or str(error))
            self._failing = True
        else:
            self._failing = False


def _status(condition: Condition) -> str:
    if condition.phase == "stopping":
        return f"stopping, {condition.in_work} books in work"
    if condition.problems:
        text = "; ".join(condition.problems)
        return " ".join(text.split())[:_LONGEST_STATUS]
    if condition.control.holds:
        told = f"{condition.control.told()}; {condition.in_work} books in work"
        return " ".join(told.split())[:_LONGEST_STATUS]
    return f"{condition.queue_depth} books waiting, {condition.in_work} in work"
