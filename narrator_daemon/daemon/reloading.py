"""Settings that may change while the daemon runs: read again when it is told to (SIGHUP)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narrator_daemon import logs
from narrator_daemon.errors import ConfigError
from narrator_daemon.settings import Limits, Settings

#: Sections, and single keys, that are taken without a restart. What shapes the audio is in the
#: input hash of books in work, and what opens connections is open.
_TAKEN = (
    "limits.audio_hours_per_day",
    "limits.max_characters",
    "limits.max_words",
    "limits.requester_audio_hours_per_day",
    "limits.requests_per_minute",
    "logging.level",
)

_log = logs.get(__name__)


class Reloading:
    """The settings as they were last read.

    Args:
        settings: as the daemon was started with.
        read: reads them again.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        self._settings = settings
        self._read = read

    @property
    def limits(self) -> Limits:
        """The limits that hold now."""
        return self._settings.limits

    @property
    def requests_per_minute(self) -> int:
        """The limit of one requester that holds now."""
        return self.limits.requests_per_minute

    def again(self) -> None:
        """Read them again and take what can be taken; the log says what was, and what was not.

        Settings that cannot be used change nothing.
        """
        try:
            read = self._read()
        except ConfigError as error:
            _log.error("not_reloaded", why=str(error))
            return
        changed = sorted(_changes(self._settings.model_dump(), read.model_dump()))
        taken = [name for name in changed if name in _TAKEN]
        rest = [name for name in changed if name not in _TAKEN]
        for name in taken:
            section, key = name.split(".")
            values = getattr(self._settings, section)
            new = values.model_copy(update={key: getattr(getattr(read, section), key)})
            self._settings = self._settings.model_copy(update={section: new})
        if "logging.level" in taken:
            log = self._settings.logging
            logs.configure(log.level, log.format, emulated=self._settings.emulated)
        _log.info(
            "reloaded", taken=taken, need_a_restart=rest, note="voices are read at a start alone"
        )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Names of the keys, such as ``limits.max_words``, that have another value."""
    changed = set()
    for section, values in before.items():
        if not isinstance(values, dict):
            if values != after[section]:
                changed.add(section)
            continue
        changed |= {f"{section}.{key}" for key in values if values[key] != after[section][key]}
    # Of the process, where nobody sets it.
    return changed - {"daemon.worker_id"}
