"""Every setting, typed and documented, by the sections of ``config.toml``.

Secrets are never values here: settings name the files that hold them, and ``HF_TOKEN`` and
``NARRATOR_WATERMARK_KEY`` are read from the environment when they are needed. Where values come
from is the business of ``config``.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from csm.audio import PACE
from narrator_daemon import addresses
from narrator_daemon.catalogue import OWN_NODES
from narrator_daemon.paths import default as default_state_dir


class Section(BaseModel):
    """Keys of one section. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Firebase(Section):
    """The project the catalogue lives in; where there are several, each has a name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] | None = None
    project_id: str | None = None
    database_url: str | None = None
    storage_bucket: str | None = None
    credentials: Path | None = None
    database_auth_uid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = None
    emulated: bool = False

    @field_validator("project_id")
    @classmethod
    def _project_id(cls, value: str | None) -> str | None:
        # Secrets that are mounted end in a line feed.
        return None if value is None else value.strip() or None

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str | None) -> str | None:
        return None if value is None else addresses.database_url(value)

    @field_validator("storage_bucket")
    @classmethod
    def _storage_bucket(cls, value: str | None) -> str | None:
        return None if value is None else addresses.bucket(value)


class Books(Section):
    """Where in the database the books are and which of their fields is read aloud."""

    path: str = "books"
    text_field: str = "narrative"
    title_field: str = "title"
    author_field: str = "author"
    cover_field: str = "cover"

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        path = "/".join(filter(None, value.split("/")))
        if not path or re.search(r"[.#$\[\]\x00-\x1f\x7f]", path):
            raise ValueError("must be a database path, without . # $ [ ] or control characters")
        # It is the name of a node too, with each slash and percent sign as three characters.
        if len(path.encode()) + 2 * len(re.findall("[/%]", path)) > 768:
            raise ValueError("must be at most 768 bytes long")
        if path.split("/")[0] in OWN_NODES:
            raise ValueError("must not lie where the daemon keeps what is its own (/narration…)")
        return path

    @field_validator("text_field", "title_field", "author_field", "cover_field")
    @classmethod
    def _field(cls, value: str) -> str:
        if not value or re.search(r"[.#$\[\]/\x00-\x1f\x7f]", value):
            raise ValueError("must be one database key, without . # $ [ ] / or control characters")
        if value.startswith("narrativeAudio"):
            raise ValueError("must not be one of the daemon's own fields")
        return value


class Limits(Section):
    """What is accepted for narration."""

    max_characters: Annotated[int, Field(ge=1)] = 10_000
    max_words: Annotated[int, Field(ge=1)] = 1_000
    max_segment_seconds: Annotated[float, Field(ge=1, le=160)] = 60
    requests_per_minute: Annotated[int, Field(ge=0, le=10_000)] = 10
    audio_hours_per_day: Annotated[float, Field(ge=0, le=1_000_000)] = 0
    requester_audio_hours_per_day: Annotated[float, Field(ge=0, le=1_000_000)] = 0


class Speech(Section):
    """Who reads."""

    engine: Literal["csm", "kokoro", "piper", "tone"] = "csm"
    model: Annotated[str, Field(min_length=1)] = "sesame/csm-1b"
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./-]{0,99}$")] | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    slots: Annotated[int, Field(ge=0, le=512)] = 0
    kernels: Literal["auto", "off"] = "auto"
    int8_depth: bool = False
    guard_end: bool = True
    end_zeros: Annotated[int, Field(ge=1, le=32)] = 32
    first_end: Annotated[int, Field(ge=1, le=1000)] = 4
    seconds_per_character: Annotated[float, Field(ge=0.01, le=1)] = PACE
    cap_factor: Annotated[float, Field(ge=0.5)] = 1.6
    cap_seconds: Annotated[float, Field(ge=0, le=60)] = 1
    most_held: Annotated[int, Field(ge=0, le=2000)] = 15


class Text(Section):
    """How the text is read."""

    lexicon: Path | None = None
    pause_marks: bool = False


class OneVoice(Section):
    """What a voice is made from."""

    reference: Path | None = None
    transcript: str | None = None
    prompt: (
        Literal[
            "conversational_a",
            "conversational_b",
            "read_speech_a",
            "read_speech_b",
            "read_speech_c",
            "read_speech_d",
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.reference is None) != (self.transcript is None):
            raise ValueError("reference and transcript must be set together, or neither")
        if self.prompt is not None and self.reference is not None:
            raise ValueError("prompt is instead of reference and transcript: set one voice only")
        return self


#: What Kokoro calls its English voices.
KOKORO_VOICE = r"^[ab][fm]_[a-z]{1,40}$"
#: What a voice can be called.
VOICE_NAME = r"[a-z0-9][a-z0-9_-]{0,39}"


class Voice(OneVoice):
    """The voice that books are read in, and how fast."""

    default: Annotated[str, Field(pattern=f"^{VOICE_NAME}$")] | None = None
    dialogue: Annotated[str, Field(pattern=f"^{VOICE_NAME}$")] | None = None
    pace: Annotated[float, Field(ge=0.8, le=1.25)] = 1.0

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.default is not None and (self.prompt is not None or self.reference is not None):
            raise ValueError("default names a voice of [voices]: set no other voice beside it")
        return self


class NamedVoice(OneVoice):
    """A voice that books can ask for by its name."""

    piper: Path | None = None
    kokoro: Annotated[str, Field(pattern=KOKORO_VOICE)] | None = None


class Voices(Section):
    """Voices by name, each a section of its own: ``[voices.anna]``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    __pydantic_extra__: dict[str, NamedVoice] = Field(init=False)

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.by_name:
            if not re.fullmatch(VOICE_NAME, name):
                raise ValueError(
                    f"{name!r} is no name of a voice: small letters, digits, - and _, at most 40"
                )
        return self

    @property
    def by_name(self) -> dict[str, NamedVoice]:
        """All of them."""
        return dict(self.__pydantic_extra__ or {})


class Kokoro(Section):
    """The model, voice and speed of the engine ``kokoro``."""

    model: Annotated[str, Field(min_length=1)] = "onnx-community/Kokoro-82M-v1.0-ONNX"
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./-]{0,99}$")] | None = None
    voice: Annotated[str, Field(pattern=KOKORO_VOICE)] = "af_heart"
    speed: Annotated[float, Field(ge=0.5, le=2)] = 1.0


class Takes(Section):
    """Which takes are fit to be heard. ``csm.takes.thresholds.Thresholds`` gives the reasons."""

    most_draws: Annotated[int, Field(ge=1, le=10)] = 3
    fastest: Annotated[float, Field(ge=0, lt=1)] = 0.6
    slowest: Annotated[float, Field(gt=1, le=100)] = 1.4
    longest_silence_seconds: Annotated[float, Field(gt=0, le=160)] = 1.2
    most_silence: Annotated[float, Field(gt=0, le=1)] = 0.5
    cut_off_db: Annotated[float, Field(ge=0, le=60)] = 12
    most_repeated_seconds: Annotated[float, Field(gt=0, le=160)] = 0.75
    most_held_seconds: Annotated[float, Field(gt=0, le=160)] = 0.9
    most_clipped: Annotated[float, Field(ge=0, le=1)] = 0.002
    strangest_voice: Annotated[float, Field(gt=0)] = 1.7
    recognise: Literal["auto"] | bool = "auto"
    recogniser: Path | None = None
    most_wrong_words: Annotated[float, Field(ge=0)] = 0.65
    most_misheard: Annotated[float, Field(ge=0)] = 4.1
    most_lost_words: Annotated[int, Field(ge=0)] = 2
    most_made_up_words: Annotated[int, Field(ge=0)] = 2


class Watermark(Section):
    """The mark in every narration."""

    key_file: Path | None = None
    retired_key_files: tuple[Path, ...] = ()
    strength_db: Annotated[float, Field(ge=0.5, le=3)] = 1.5
    self_check: bool = True
    public: bool = True

    @field_validator("retired_key_files", mode="before")
    @classmethod
    def _retired_key_files(cls, value: object) -> object:
        # In the environment a list is written as in PATH.
        return list(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value


class Credentials(Section):
    """Who signs for narrations: content credentials by the C2PA standard."""

    certificate: Path | None = None
    private_key: Path | None = None
    sign_command: tuple[str, ...] = ()
    time_stamp_authority: str | None = None
    trust_anchors: Path | None = None
    producer: Annotated[str, Field(max_length=200)] = ""
    spoken_notice: Annotated[str, Field(max_length=500)] = ""
    spoken_notice_at: tuple[Literal["start", "end"], ...] = ("start",)
    spoken_notice_minutes: Annotated[float, Field(ge=0, le=600)] = 0
    spoken_notice_books: Literal["all", "unless-declined", "asked"] = "all"

    @field_validator("spoken_notice")
    @classmethod
    def _spoken_notice(cls, value: str) -> str:
        notice = value.strip()
        if notice and not re.search(r"[^\W_]", notice):
            raise ValueError("must hold letters or digits that can be read")
        return notice

    @field_validator("spoken_notice_at", mode="before")
    @classmethod
    def _spoken_notice_at(cls, value: object) -> object:
        # In the environment: "start,end".
        return list(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("sign_command", mode="before")
    @classmethod
    def _sign_command(cls, value: object) -> object:
        # In the environment a command is written as in a shell.
        return shlex.split(value) if isinstance(value, str) else value


class Registry(Section):
    """The register of what was published."""

    keep_days: Annotated[int, Field(ge=0, le=36_500)] = 3650
    remove_with_book: bool = False


_Pause = Annotated[float, Field(ge=0.12, le=10)]


class Pauses(Section):
    """Seconds of silence between two sounds, by what comes next. ``csm.text.Pauses`` has them."""

    clause: _Pause = 0.25
    sentence: _Pause = 0.45
    turn: _Pause = 0.5
    list_item: _Pause = 0.6
    paragraph: _Pause = 0.9
    heading: _Pause = 1.2
    scene: _Pause = 1.75
    chapter: _Pause = 2.75


class Mastering(Section):
    """The sound of the whole narration."""

    loudness_lufs: Annotated[float, Field(ge=-30, le=-14)] = -20.0


def _default_cache_dir() -> Path:
    # systemd sets the first, a login session perhaps the second.
    if cache := os.environ.get("CACHE_DIRECTORY"):
        return Path(cache.split(":")[0])
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "narrator-daemon"
    try:
        return Path.home() / ".cache" / "narrator-daemon"
    except RuntimeError:  # a user without a home, as in containers
        return Path(os.environ.get("TMPDIR", "/tmp")) / f"narrator-daemon-{os.getuid()}"  # noqa: S108


_Kbits = Annotated[int, Field(ge=16, le=128)]


class Files(Section):
    """The smaller files beside each WAV."""

    formats: tuple[Literal["m4a", "opus", "mp3"], ...] = ("m4a",)
    captions: bool = True
    m4a_kbits: _Kbits = 48
    opus_kbits: _Kbits = 32
    mp3_kbits: _Kbits = 48
    preview_from_characters: Annotated[int, Field(ge=0)] = 20_000
    preview_seconds: Annotated[float, Field(ge=10, le=600)] = 60

    @field_validator("formats", mode="before")
    @classmethod
    def _formats(cls, value: object) -> object:
        # In the environment a list is written with commas or spaces.
        return re.findall(r"[^\s,]+", value) if isinstance(value, str) else value

    @field_validator("formats")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


class Kept(Section):
    """Finished segments of narrations."""

    folder: Path = Field(default_factory=_default_cache_dir)
    max_gigabytes: Annotated[float, Field(ge=0, le=10_000)] = 8.0
    days: Annotated[float, Field(ge=0, le=365)] = 7.0


class Storage(Section):
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


class Claims(Section):
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


class Daemon(Section):
    """The process itself."""

    worker_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] = Field(
        default_factory=_default_worker_id
    )
    books_at_once: Annotated[int, Field(ge=0, le=64)] = 0
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 30
    stuck_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300
    state_dir: Path = Field(default_factory=default_state_dir)


class Logging(Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Metrics(Section):
    """The numbers for Prometheus."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"


class Tracing(Section):
    """OpenTelemetry traces."""

    endpoint: str | None = None
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+/\S*", value):
            raise ValueError("must be an address such as http://localhost:4318/v1/traces")
        return value


class Settings(Section):
    """All settings, by the sections of ``config.toml``.

    Attributes:
        storage_emulator: base URL of the storage emulator when the SDKs are pointed at emulators
            by their environment variables, else None.
        databases: where the file has several ``[[firebase]]``, all of them, and ``firebase`` is
            empty: whoever works on one asks for ``each_database`` or chooses (``config.load``).
    """

    firebase: Firebase = Firebase()
    books: Books = Books()
    limits: Limits = Limits()
    speech: Speech = Speech()
    text: Text = Text()
    voice: Voice = Voice()
    voices: Voices = Voices()
    kokoro: Kokoro = Kokoro()
    takes: Takes = Takes()
    watermark: Watermark = Watermark()
    credentials: Credentials = Credentials()
    registry: Registry = Registry()

    pauses: Pauses = Pauses()
    mastering: Mastering = Mastering()
    files: Files = Files()
    kept: Kept = Field(default_factory=Kept)
    storage: Storage = Storage()
    claims: Claims = Claims()
    daemon: Daemon = Field(default_factory=Daemon)
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()
    storage_emulator: str | None = None
    databases: tuple[Firebase, ...] = ()

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        seen: dict[str | None, str | None] = {}
        for one in self.databases:
            if one.name is None:
                raise ValueError("[[firebase]]: where there are several, each needs a name")
            if one.name in seen:
                raise ValueError(f"[[firebase]]: {one.name} is the name of two")
            if one.database_url is not None and one.database_url in seen.values():
                raise ValueError(f"[[firebase]]: {one.name} has the database_url of another")
            seen[one.name] = one.database_url
        return self

    @model_validator(mode="after")
    def _known_voices(self) -> Self:
        known = self.voices.by_name
        for key in ("default", "dialogue"):
            name = getattr(self.voice, key)
            own = self.speech.engine == "kokoro" and re.match(KOKORO_VOICE, name or "")
            if name is not None and name not in known and not own:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"[voice] {key}: there is no [voices.{name}]; there are: {there}")
        return self

    @property
    def each_database(self) -> tuple[Settings, ...]:
        """These settings for each database there is; themselves alone where one is named."""
        return tuple(
            self.model_copy(update={"firebase": one, "databases": ()}) for one in self.databases
        ) or (self,)

    @property
    def by_database(self) -> dict[str, Settings]:
        """``each_database`` by its name; by no name ("") where there is one alone."""
        if not self.databases:
            return {"": self}
        return {str(one.firebase.name): one for one in self.each_database}

    @property
    def emulated(self) -> bool:
        """Whether this works on a local Firebase: throwaway keys are fine there."""
        return self.storage_emulator is not None
