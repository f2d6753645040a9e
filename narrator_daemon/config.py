"""Every setting, typed and documented: ``config.toml``, then environment.

Where a value comes from, later winning: the default here; ``config.toml``; the environment
(``NARRATOR_SECTION__KEY``, and the plain names that Firebase and Hugging Face users know), into
which the command line loads a ``.env`` file first; the two emulator variables of the SDKs. Whatever
is unknown, of the wrong type or out of range is refused at start, with its place, what was found
and what is allowed.

Secrets are never values here: settings name the files that hold them, and ``HF_TOKEN`` and
``NARRATOR_WATERMARK_KEY`` are read from the environment when they are needed.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

#: Prefix of the environment variables that set a key: ``NARRATOR_SPEECH__ENGINE=tone``.
ENV_PREFIX = "NARRATOR_"
DATABASE_EMULATOR = "FIREBASE_DATABASE_EMULATOR_HOST"
STORAGE_EMULATOR = "STORAGE_EMULATOR_HOST"
#: Read where it is needed and never stored in settings.
WATERMARK_KEY_ENV = "NARRATOR_WATERMARK_KEY"

#: Project and bucket against emulators when none are set.
DEMO_PROJECT = "demo-books"
DEMO_BUCKET = "demo-books.appspot.com"

#: Names under which other tools already keep a value of ours.
KNOWN_NAMES = {
    "FIREBASE_PROJECT_ID": ("firebase", "project_id"),
    "FIREBASE_CREDENTIALS_PATH": ("firebase", "credentials"),
    "GOOGLE_APPLICATION_CREDENTIALS": ("firebase", "credentials"),
}


class ConfigError(Exception):
    """The configuration cannot be used. The message names each place and what is allowed there."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Firebase(_Section):
    """The project the catalogue lives in."""

    project_id: str | None = None
    database_url: str | None = None
    storage_bucket: str | None = None
    credentials: Path | None = None

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+(/?(\?ns=[\w-]+)?)", value):
            raise ValueError(
                "must look like https://PROJECT-default-rtdb.firebaseio.com, with no path"
            )
        return value


class Books(_Section):
    """Where in the database the books are and which of their fields is read aloud."""

    path: str = "books"
    text_field: str = "narrative"

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        path = value.strip("/")
        if not path or re.search(r"[.#$\[\]\x00-\x1f\x7f]", path):
            raise ValueError("must be a database path, without . # $ [ ] or control characters")
        return path

    @field_validator("text_field")
    @classmethod
    def _text_field(cls, value: str) -> str:
        if not value or re.search(r"[.#$\[\]/\x00-\x1f\x7f]", value):
            raise ValueError("must be one database key, without . # $ [ ] / or control characters")
        if value.startswith("narrativeAudio"):
            raise ValueError("must not be one of the daemon's own fields")
        return value


class Limits(_Section):
    """What is accepted for narration."""

    max_characters: Annotated[int, Field(ge=1)] = 10_000
    max_words: Annotated[int, Field(ge=1)] = 1_000
    max_segment_seconds: Annotated[float, Field(ge=1, le=160)] = 60
    requests_per_minute: Annotated[int, Field(ge=0, le=10_000)] = 10


class Speech(_Section):
    """Who reads."""

    engine: Literal["csm", "piper", "tone"] = "csm"
    model: Annotated[str, Field(min_length=1)] = "sesame/csm-1b"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"


class Voice(_Section):
    """The voice that ``csm`` reads in."""

    reference: Path | None = None
    transcript: str | None = None

    @model_validator(mode="after")
    def _both(self) -> Voice:
        if (self.reference is None) != (self.transcript is None):
            raise ValueError("reference and transcript must be set together, or neither")
        return self


class Watermark(_Section):
    """The mark in every narration."""

    key_file: Path | None = None
    strength_db: Annotated[float, Field(ge=0.5, le=3)] = 1.5
    self_check: bool = True


class Storage(_Section):
    """Where the audio goes and how it is reached."""

    object_name: str = "narrations/{book}/{token}.wav"
    url: Literal["signed", "download-token", "public"] = "signed"
    url_lifetime_hours: Annotated[float, Field(gt=0, le=168)] = 168

    @field_validator("object_name")
    @classmethod
    def _object_name(cls, value: str) -> str:
        names = re.findall(r"\{([^{}]*)\}", value)
        rest = re.sub(r"\{[^{}]*\}", "", value)
        if sorted(set(names)) not in (["book", "token"], ["token"]) or names.count("token") != 1:
            raise ValueError("must hold {token} once, and may hold {book}, and nothing else in { }")
        if not re.fullmatch(r"[A-Za-z0-9_./-]*", rest) or ".." in rest or rest.startswith("/"):
            raise ValueError("may hold letters, digits, _ . - and / beside its { }, and no ..")
        return value


class Claims(_Section):
    """How replicas share the work."""

    lease_ttl_seconds: Annotated[float, Field(ge=1, le=3600)] = 45
    beat_seconds: Annotated[float, Field(ge=0.1, le=600)] = 10
    reconcile_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 45
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def _beats_fit(self) -> Claims:
        if self.beat_seconds * 3 > self.lease_ttl_seconds:
            raise ValueError(
                "lease_ttl_seconds must be at least three times beat_seconds, "
                "so that one lost beat costs no lease"
            )
        return self


def _default_worker_id() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:60] + f"-{os.getpid()}"


def _default_state_dir() -> Path:
    # systemd sets the first, a login session the second.
    if runtime := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(runtime.split(":")[0])
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "narrator-daemon"
    return Path(os.environ.get("TMPDIR", "/tmp")) / f"narrator-daemon-{os.getuid()}"  # noqa: S108


class Daemon(_Section):
    """The process itself."""

    worker_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] = Field(
        default_factory=_default_worker_id
    )
    books_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 30
    stuck_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300
    state_dir: Path = Field(default_factory=_default_state_dir)


class Logging(_Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Settings(_Section):
    """All settings, by the sections of ``config.toml``.

    Attributes:
        storage_emulator: base URL of the storage emulator when the SDKs are pointed at emulators
            by their environment variables, else None.
    """

    firebase: Firebase = Firebase()
    books: Books = Books()
    limits: Limits = Limits()
    speech: Speech = Speech()
    voice: Voice = Voice()
    watermark: Watermark = Watermark()
    storage: Storage = Storage()
    claims: Claims = Claims()
    daemon: Daemon = Field(default_factory=Daemon)
    logging: Logging = Logging()
    storage_emulator: str | None = None

    @property
    def emulated(self) -> bool:
        """Whether this works on a local Firebase: throwaway keys are fine there."""
        return self.storage_emulator is not None


_SECTIONS: dict[str, type[_Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
}


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        path: the configuration file; None for ``config.toml`` in the working directory if there
            is one, else defaults and environment alone.
        environment: variables to read instead of the process's own.

    Raises:
        ConfigError: the file is missing, is not TOML, or a value in it or in the environment
            cannot be used.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    sources: dict[tuple[str, str], str] = {}
    problems: list[str] = []
    for source, (section, key), value in _settings_in_file(path, problems):
        values[section][key] = value
        sources[section, key] = source
    for source, (section, key), value in _settings_in_environment(variables, problems):
        values[section][key] = value
        sources[section, key] = source
    storage_emulator = _apply_emulators(variables, values, problems)
    settings = None
    try:
        settings = Settings.model_validate({**values, "storage_emulator": storage_emulator})
    except ValidationError as invalid:
        problems += [_explain(error, sources) for error in invalid.errors()]
    if problems or settings is None:
        raise ConfigError("\n".join(problems))
    return settings


def _settings_in_file(
    path: Path | None, problems: list[str]
) -> list[tuple[str, tuple[str, str], Any]]:
    if path is None:
        path = Path("config.toml")
        if not path.is_file():
            return []
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path}: is not TOML: {error}")
        return []
    found = []
    for section, table in document.items():
        if section not in _SECTIONS:
            problems.append(f"{path}: [{section}] is not a section; {_one_of(_SECTIONS)}")
        elif not isinstance(table, dict):
            problems.append(f"{path}: {section} must be a section, written [{section}]")
        else:
            found += [(str(path), (section, key), value) for key, value in table.items()]
    # Environment variables are text and get parsed; a file has types, and a wrong one is an error.
    for source, (section, key), value in found:
        field = _SECTIONS[section].model_fields.get(key)
        if field is not None and field.annotation in (int, float, bool):
            wanted = "true or false" if field.annotation is bool else "a number, without quotes"
            if isinstance(value, str) or isinstance(value, bool) != (field.annotation is bool):
                problems.append(f"{source}: [{section}] {key}: found {value!r}; must be {wanted}")
    return found


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
        if not name.startswith(ENV_PREFIX) or name == WATERMARK_KEY_ENV:
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
    variables: Mapping[str, str], values: dict[str, dict[str, Any]], problems: list[str]
) -> str | None:
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
    firebase = values["firebase"]
    firebase.setdefault("project_id", DEMO_PROJECT)
    firebase.setdefault("storage_bucket", DEMO_BUCKET)
    firebase["database_url"] = f"http://{database}?ns={firebase['project_id']}"
    # A real key has no business with an emulator.
    firebase.pop("credentials", None)
    return storage.rstrip("/")


def _explain(error: Any, sources: Mapping[tuple[str, str], str]) -> str:
    section = str(error["loc"][0]) if error["loc"] else "settings"
    key = str(error["loc"][1]) if len(error["loc"]) > 1 else None
    source = sources.get((section, key)) if key else None
    place = f"[{section}] {key}" if key else f"[{section}]"
    if source is not None and source.startswith((*KNOWN_NAMES, ENV_PREFIX, "TTS_DEBUG")):
        place = source
    elif source is not None:
        place = f"{source}: {place}"
    elif key is None:
        # Of a section as a whole: where its values come from.
        places = {where for (name, _), where in sources.items() if name == section}
        place = f"{', '.join(sorted(places))}: {place}" if places else place
    if error["type"] == "extra_forbidden":
        known = _SECTIONS[section].model_fields if section in _SECTIONS else {}
        return f"{place}: no such key; {_one_of(known)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: found {error['input']!r}; {message}" if key else f"{place}: {message}"


def _one_of(names: Mapping[str, object]) -> str:
    return "known are " + ", ".join(names)


def require_project(settings: Settings) -> None:
    """Check that the settings name a project to work on.

    Raises:
        ConfigError: one of ``firebase.project_id``, ``database_url`` and ``storage_bucket`` is
            missing, or the credentials file is not there.
    """
    firebase = settings.firebase
    problems = [
        f"[firebase] {key}: is not set; {advice}"
        for key, advice in (
            ("project_id", "set it in config.toml or as FIREBASE_PROJECT_ID"),
            ("database_url", "copy it from the Realtime Database page of the Firebase console"),
            ("storage_bucket", "copy it from the Storage page of the Firebase console, no gs://"),
        )
        if not getattr(firebase, key)
    ]
    if firebase.credentials is not None and not firebase.credentials.is_file():
        problems.append(
            f"[firebase] credentials: {firebase.credentials} is not a file; name the service "
            "account's JSON file, or leave it out to use ambient credentials"
        )
    if problems:
        raise ConfigError("\n".join(problems))
