"""Where settings come from: ``config.toml``, then environment.

Where a value comes from, later winning: the default here; ``config.toml``; the environment
(``NARRATOR_SECTION__KEY``, and the plain names that Firebase and Hugging Face users know), into
which the command line loads a ``.env`` file first; the two emulator variables of the SDKs. Whatever
is unknown, of the wrong type or out of range is refused at start, with its place, what was found
and what is allowed. Where the file has several ``[[firebase]]``, what the environment says of them
holds for those that say nothing themselves.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from narrator_daemon.errors import ConfigError
from narrator_daemon.settings import Firebase, NamedVoice, Section, Settings

#: Prefix of the environment variables that set a key: ``NARRATOR_SPEECH__ENGINE=tone``.
ENV_PREFIX = "NARRATOR_"
DATABASE_EMULATOR = "FIREBASE_DATABASE_EMULATOR_HOST"
STORAGE_EMULATOR = "STORAGE_EMULATOR_HOST"
#: Read where it is needed and never stored in settings.
WATERMARK_KEY_ENV = "NARRATOR_WATERMARK_KEY"
RETIRED_KEYS_ENV = "NARRATOR_WATERMARK_RETIRED_KEYS"

#: Project and bucket against emulators when none are set.
DEMO_PROJECT = "demo-books"
DEMO_BUCKET = "demo-books.appspot.com"

#: Names under which other tools already keep a value of ours.
KNOWN_NAMES = {
    "FIREBASE_PROJECT_ID": ("firebase", "project_id"),
    "FIREBASE_CREDENTIALS_PATH": ("firebase", "credentials"),
    "GOOGLE_APPLICATION_CREDENTIALS": ("firebase", "credentials"),
}


_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def load(
    path: Path | None,
    environment: Mapping[str, str] | None = None,
    *,
    emulated: bool = False,
    database: str | None = None,
) -> Settings:
    """Read the settings.

    Args:
        path: the configuration file; None for ``config.toml`` in the working directory if there
            is one, else defaults and environment alone.
        environment: variables to read instead of the process's own.
        emulated: as ``firebase.emulated``: whether emulators are meant beside real credentials.
        database: the name of the one that is meant, where the file has several ``[[firebase]]``;
            None for all of them.

    Raises:
        ConfigError: the file is missing, is not TOML, or a value in it or in the environment
            cannot be used; or there is no database of that name.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    sources: dict[tuple[str, str], str] = {}
    problems: list[str] = []
    found, several = _settings_in_file(path, problems)
    for source, (section, key), value in found:
        values[section][key] = value
        sources[section, key] = source
    for source, (section, key), value in _settings_in_environment(variables, problems):
        if section == "voices":
            # One level more: NARRATOR_VOICES__ANNA__PROMPT.
            name, _, key = key.partition("__")
            voice = values[section].setdefault(name, {})
            if isinstance(voice, dict):
                voice[key] = value
            sources[section, name] = source
            continue
        values[section][key] = value
        sources[section, key] = source
    if emulated:
        values["firebase"]["emulated"] = True
    if several:
        several = _of_each(several, values, sources, problems)
        if emulated:
            several = [{**one, "emulated": True} for one in several]
        values["firebase"] = {}
    storage_emulator = _apply_emulators(variables, several or [values["firebase"]], problems)
    settings = None
    try:
        settings = Settings.model_validate(
            {**values, "storage_emulator": storage_emulator, "databases": several}
        )
    except ValidationError as invalid:
        problems += [_explain(error, sources, several) for error in invalid.errors()]
    if settings is not None and not settings.emulated:
        for one in settings.each_database:
            problems += _check_real(one, sources)
    if problems or settings is None:
        raise ConfigError("\n".join(problems))
    return settings if database is None else _chosen(settings, database)


def _chosen(settings: Settings, database: str) -> Settings:
    for one in settings.each_database:
        if one.firebase.name == database:
            return one
    names = ", ".join(str(one.firebase.name) for one in settings.each_database)
    alone = settings.firebase.name or "one without a name"
    there = f"there are {names}" if settings.databases else f"[firebase] is {alone}"
    raise ConfigError(f"there is no database named {database!r}; {there}", where="[[firebase]]")


def _of_each(
    several: list[dict[str, Any]],
    values: Mapping[str, Mapping[str, Any]],
    sources: Mapping[tuple[str, str], str],
    problems: list[str],
) -> list[dict[str, Any]]:
    """The values of each ``[[firebase]]``; what the environment says holds where one says nothing.

    It cannot say what is another for each.
    """
    common = values["firebase"]
    for key in ("name", "project_id", "database_url", "storage_bucket"):
        if key in common:
            place = sources.get(("firebase", key), key)
            problems.append(
                f"{place}: is set, and there are {len(several)} [[firebase]]: say it of each, in "
                "the file"
            )
    return [{**common, **one} for one in several]


def _settings_in_file(
    path: Path | None, problems: list[str]
) -> tuple[list[tuple[str, tuple[str, str], Any]], list[dict[str, Any]]]:
    """What the file sets: source, place and value of each; and each ``[[firebase]]``."""
    if path is None:
        path = Path("config.toml")
        # Not by Path, which raises where this user may not look into the working directory.
        if not os.path.isfile(path):  # noqa: PTH113
            return [], []
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return [], []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path}: is not TOML: {error}")
        return [], []
    several = document.get("firebase")
    if isinstance(several, list) and several and all(isinstance(one, dict) for one in several):
        document["firebase"] = several[0] if len(several) == 1 else {}
    else:
        several = []
    found = []
    for section, table in document.items():
        if section not in _SECTIONS:
            problems.append(f"{path}: [{section}] is not a section; {_one_of(_SECTIONS)}")
        elif not isinstance(table, dict):
            problems.append(f"{path}: {section} must be a section, written [{section}]")
        else:
            found += [(str(path), (section, key), value) for key, value in table.items()]
    # Environment variables are text and get parsed; a file has types, and a wrong one is an error.
    several = several if len(several) > 1 else []
    of_several = [
        (f"{path}: {_one_of_several(number, one)}", ("firebase", key), value)
        for number, one in enumerate(several)
        for key, value in one.items()
    ]
    for source, (section, key), value in found + of_several:
        field = _SECTIONS[section].model_fields.get(key)
        if field is not None and field.annotation in (int, float, bool):
            wanted = "true or false" if field.annotation is bool else "a number, without quotes"
            if isinstance(value, str) or isinstance(value, bool) != (field.annotation is bool):
                problems.append(f"{source}: [{section}] {key}: found {value!r}; must be {wanted}")
    return found, several


def _one_of_several(number: int, one: Mapping[str, Any]) -> str:
    """Which ``[[firebase]]`` is meant, for people: by its name, or by its place from 1.

    Args:
        number: its place from 0.
        one: its values.
    """
    name = one.get("name")
    return f"[[firebase]] {name if isinstance(name, str) else number + 1}"


def _settings_in_environment(
    variables: Mapping[str, str], problems: list[str]
) -> list[tuple[str, tuple[str, str], Any]]:
    found: list[tuple[str, tuple[str, str], Any]] = []
    for name, place in KNOWN_NAMES.items():
        if variables.get(name):
            found.append((name, place, variables[name]))
    if variables.get("TTS_DEBUG", "").lower() in {"1", "true", "yes", "on"}:
        found.append(("TTS_DEBUG", ("logging", "level"), "debug"))
    for name, value in variables.items():
        if not name.startswith(ENV_PREFIX) or name in {WATERMARK_KEY_ENV, RETIRED_KEYS_ENV}:
            continue
        section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if not separator:
            problems.append(f"{name}: names no key; write {ENV_PREFIX}SECTION__KEY")
        elif section not in _SECTIONS:
            problems.append(f"{name}: {section} is not a section; {_one_of(_SECTIONS)}")
        else:
            found.append((name, (section, key), value))
    return found


def _apply_emulators(
    variables: Mapping[str, str], databases: list[dict[str, Any]], problems: list[str]
) -> str | None:
    """Point each database's values at the emulators of the environment; gives that of storage."""
    database, storage = variables.get(DATABASE_EMULATOR), variables.get(STORAGE_EMULATOR)
    if not database and not storage:
        return None
    if not (database and storage):
        missing = STORAGE_EMULATOR if database else DATABASE_EMULATOR
        problems.append(
            f"{missing}: is not set though its twin is. Set both, or neither: the daemon never "
            "mixes a local emulator with a real project"
        )
        return None
    if not re.fullmatch(r"[^\s/]+:\d+", database):
        problems.append(f"{DATABASE_EMULATOR}: found {database!r}; must be HOST:PORT")
        return None
    if not re.fullmatch(r"https?://[^\s/]+/?", storage):
        problems.append(f"{STORAGE_EMULATOR}: found {storage!r}; must be http://HOST:PORT")
    for firebase in databases:
        if problem := _real_beside_emulators(firebase):
            problems.append(problem)
            return None
        firebase.setdefault("project_id", DEMO_PROJECT)
        firebase.setdefault("storage_bucket", DEMO_BUCKET)
        # Of several, each is a database of its own there, too.
        space = firebase["project_id"] if len(databases) == 1 else firebase.get("name")
        firebase["database_url"] = f"http://{database}?ns={space}"
        # A real key has no business with an emulator.
        firebase.pop("credentials", None)
    return storage.rstrip("/")


def _real_beside_emulators(firebase: Mapping[str, Any]) -> str | None:
    """What to say of real credentials beside the emulators' variables, or None where that is meant.

    A name that begins with ``demo-`` is no real project's, by the convention of Firebase's tools.
    """
    project = str(firebase.get("project_id", ""))
    meant = firebase.get("emulated") in (True, "true", "True", "1", "yes", "on")
    if meant or project.startswith("demo-") or not firebase.get("credentials"):
        return None
    path = Path(str(firebase["credentials"]))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        owner = found.get("project_id", "")
    except (OSError, ValueError, AttributeError):
        return None  # nothing that opens a project
    if not found.get("type") or str(owner).startswith("demo-"):
        return None
    return (
        f"{DATABASE_EMULATOR}, {STORAGE_EMULATOR}: are set beside credentials of a real project "
        f"({path}{f', of {owner}' if owner else ''}), whose books would not be narrated. Unset "
        "both (they may come from a .env file), or say that emulators are meant: --emulated, or "
        "firebase.emulated = true"
    )


def _check_real(settings: Settings, sources: Mapping[tuple[str, str], str]) -> list[str]:
    """What is wrong with settings for a real project."""
    problems = []
    url = settings.firebase.database_url
    if url is not None and url.startswith("http://"):
        problems.append(
            f"{_place_of(settings.firebase, 'database_url', sources)}: found {url!r}; must begin "
            "with https://: without TLS anyone on the way could read the access token. For a local "
            f"Firebase set {DATABASE_EMULATOR} and {STORAGE_EMULATOR}"
        )
    if settings.firebase.emulated:
        problems.append(
            f"{_place_of(settings.firebase, 'emulated', sources)}: is set, but "
            f"{DATABASE_EMULATOR} and {STORAGE_EMULATOR} are not: set both, or leave it out"
        )
    return problems


def _place_of(firebase: Firebase, key: str, sources: Mapping[tuple[str, str], str]) -> str:
    """Where a setting of one database was written, for people."""
    if firebase.name is not None and ("firebase", key) not in sources:
        return f"[[firebase]] {firebase.name}: {key}"
    return _place("firebase", key, sources)


def _place(section: str, key: str, sources: Mapping[tuple[str, str], str]) -> str:
    """Where a setting was written, for people."""
    source = sources.get((section, key))
    if source is None:
        return f"[{section}] {key}"
    if source.startswith((*KNOWN_NAMES, ENV_PREFIX, "TTS_DEBUG")):
        return source
    return f"{source}: [{section}] {key}"


def _explain(
    error: Any, sources: Mapping[tuple[str, str], str], several: list[dict[str, Any]]
) -> str:
    if error["loc"][:1] == ("databases",) and len(error["loc"]) > 2:
        number, key = error["loc"][1:3]
        place = f"{_one_of_several(number, several[number])}: {key}"
        if error["type"] == "extra_forbidden":
            return f"{place}: no such key; {_one_of(_SECTIONS['firebase'].model_fields)}"
        message = error["msg"].removeprefix("Value error, ")
        return f"{place}: found {error['input']!r}; {message}"
    section = str(error["loc"][0]) if error["loc"] else "settings"
    key = str(error["loc"][1]) if len(error["loc"]) > 1 else None
    place = f"[{section}]"
    if key is not None:
        place = _place(section, key, sources)
    else:
        # Of a section as a whole: where its values come from.
        places = {where for (name, _), where in sources.items() if name == section}
        place = f"{', '.join(sorted(places))}: {place}" if places else place
    if not error["loc"]:
        return str(error["msg"].removeprefix("Value error, "))
    if error["type"] == "extra_forbidden":
        known = _SECTIONS[section].model_fields if section in _SECTIONS else {}
        if section == "voices":
            known = NamedVoice.model_fields
            place = f"{place}: {error['loc'][-1]}"
        return f"{place}: no such key; {_one_of(known)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: found {error['input']!r}; {message}" if key else f"{place}: {message}"


def _one_of(names: Mapping[str, object]) -> str:
    return "known are " + ", ".join(names)


def require_project(settings: Settings) -> None:
    """Check that the settings name a project to work on.

    Raises:
        ConfigError: they name several, one of ``firebase.project_id``, ``database_url`` and
            ``storage_bucket`` is missing, or the credentials file is not there.
    """
    _require_one(settings)
    if problems := _missing(settings.firebase):
        raise ConfigError("\n".join(problems))


def names_project(settings: Settings) -> bool:
    """Whether the settings name a project to work on, for what can also be done without one.

    Raises:
        ConfigError: they name several.
    """
    _require_one(settings)
    return not _missing(settings.firebase)


def _require_one(settings: Settings) -> None:
    if settings.databases:
        names = ", ".join(str(one.name) for one in settings.databases)
        raise ConfigError(
            f"there are several: {names}",
            where="[[firebase]]",
            advice="say which one is meant, before the command: narrator-daemon --database NAME …",
        )


def _missing(firebase: Firebase) -> list[str]:
    problems = [
        f"{_place_of(firebase, key, {})}: is not set; {advice}"
        for key, advice in (
            (
                "project_id",
                "set it in config.toml" + ("" if firebase.name else " or as FIREBASE_PROJECT_ID"),
            ),
            ("database_url", "copy it from the Realtime Database page of the Firebase console"),
            ("storage_bucket", "copy it from the Storage page of the Firebase console, no gs://"),
        )
        if not getattr(firebase, key)
    ]
    if firebase.credentials is not None and not firebase.credentials.is_file():
        problems.append(
            f"{_place_of(firebase, 'credentials', {})}: {firebase.credentials} is not a file; "
            "name the service account's JSON file, or leave it out to use ambient credentials"
        )
    return problems
