"""The parameters of REST requests that are not about who asks or what is filtered.

Each is documented; a value that is not is refused, since it would be ignored in silence.

Source: https://firebase.google.com/docs/reference/rest/database#section-query-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

#: How large a write may be, as its name says how long it may take. Only the names are checked.
WRITE_SIZES = ("tiny", "small", "medium", "large", "unlimited")
#: Seconds that a read may take at most.
MAX_READ_SECONDS = 15 * 60

_TIMEOUT = re.compile(r"([0-9]{1,9})(ms|s|min)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(?:\.[A-Za-z_$][A-Za-z0-9_$]*|\[[0-9]+\])*\Z")


class InvalidParameterError(ValueError):
    """A parameter with a value that it cannot have; the text is the REST API's answer."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """How a request is to be answered.

    Attributes:
        print: ``pretty``, ``silent`` or None.
        shallow: only the keys of what is read.
        export: priorities too.
        callback: the function that the answer is wrapped in.
        download: the name of the file that a browser is to save the answer as.
        timeout: seconds that a read may take.
    """

    print: str | None = None
    shallow: bool = False
    export: bool = False
    callback: str | None = None
    download: str | None = None
    timeout: float = MAX_READ_SECONDS

    @property
    def disposition(self) -> str | None:
        """The header ``Content-Disposition``, None where nothing is to be saved."""
        if self.download is None:
            return None
        plain = re.sub(r'[^\x20-\x7e]|["\\/]', "_", self.download)
        named = quote(self.download.replace("/", "_"), safe="")
        return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{named}"

    def script(self, content: bytes) -> bytes:
        """JSON as the script that hands it to `callback`."""
        # Older browsers end a line at these two, in the middle of a string too.
        safe = content.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
        return b"/**/%s(%s);" % (str(self.callback).encode(), safe)


def parse_parameters(given: Mapping[str, str], *, formats: tuple[str, ...]) -> Parameters:
    """The parameters of a request.

    Args:
        given: the query string.
        formats: what ``format`` may be.

    Raises:
        InvalidParameterError: one has a value that is not documented.
    """
    _one_of("print", given, ("pretty", "silent"))
    _one_of("shallow", given, ("true", "false"))
    _one_of("format", given, formats)
    _one_of("writeSizeLimit", given, WRITE_SIZES)
    callback = given.get("callback")
    if callback is not None and (len(callback) > 200 or not _CALLBACK.match(callback)):
        raise InvalidParameterError("callback must be the name of a JavaScript function.")
    download = given.get("download")
    if download is not None and not 0 < len(download) <= 200:
        raise InvalidParameterError("download must be the name of a file.")
    return Parameters(
        print=given.get("print"),
        shallow=given.get("shallow") == "true",
        export=given.get("format") == "export",
        callback=callback,
        download=download,
        timeout=_seconds(given.get("timeout")),
    )


def _one_of(name: str, given: Mapping[str, str], known: tuple[str, ...]) -> None:
    if name in given and given[name] not in known:
        found = given[name]
        raise InvalidParameterError(f"{name} must be {' or '.join(known)}, not {found!r:.80}.")


def _seconds(text: str | None) -> float:
    if text is None:
        return MAX_READ_SECONDS
    match = _TIMEOUT.match(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds <= MAX_READ_SECONDS:
        raise InvalidParameterError(
            "timeout must be a number and a unit, such as 3ms, 3s or 3min; more than none and at "
            "most 15min."
        )
    return seconds
