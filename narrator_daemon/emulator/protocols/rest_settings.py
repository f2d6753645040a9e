"""The settings of a database over REST: its rules, and what the Firebase CLI sets.

Source: https://firebase.google.com/docs/reference/rest/database#section-security-rules and
``firebase database:settings:set``
"""

from __future__ import annotations

import json
from collections.abc import Callable

from narrator_daemon.emulator.database.database import Database
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.protocols.rest_parameters import WRITE_SIZES

PREFIX = "/.settings/"
RULES_PATH = PREFIX + "rules.json"

_SETTINGS: dict[str, Callable[[object], bool]] = {
    "defaultWriteSizeLimit": WRITE_SIZES.__contains__,
    "strictTriggerValidation": lambda value: isinstance(value, bool),
}


class InvalidSettingError(ValueError):
    """A setting that a database does not have, or a value that it cannot have."""


def rules_text(rules: Rules, *, strict: bool) -> str:
    """The rules as they were given, or as JSON that any parser reads."""
    return json.dumps(rules.parsed, indent=2) if strict else rules.source


def parse_rules(body: bytes) -> Rules:
    """The rules in the body of a request.

    Raises:
        InvalidRulesError: they cannot be used.
        InvalidSettingError: they are no text.
    """
    try:
        return Rules(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidSettingError("Parse error: rules must be UTF-8.") from None


def read_setting(database: Database, raw_path: str) -> object:
    """The value of a setting; None for one that was not set.

    Raises:
        InvalidSettingError: a database has no such setting.
    """
    return database.settings.get(_name(raw_path))


def change_setting(database: Database, raw_path: str, value: object) -> None:
    """Set a setting.

    Raises:
        InvalidSettingError: a database has no such setting, or it cannot be that.
    """
    name = _name(raw_path)
    if value is not None and not (isinstance(value, (str, bool)) and _SETTINGS[name](value)):
        raise InvalidSettingError(f"{name} cannot be {value!r:.80}.")
    database.settings[name] = value


def _name(raw_path: str) -> str:
    name = raw_path.removeprefix(PREFIX).removesuffix(".json")
    if name not in _SETTINGS:
        raise InvalidSettingError(f"There is no setting {name!r:.80}.")
    return name
