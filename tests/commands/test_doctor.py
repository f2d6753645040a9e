"""The doctor on set-ups that are broken in one way each: it names what is wrong."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import faster_whisper
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from narrator_daemon.commands.doctor import examine, machine
from narrator_daemon.commands.doctor.check import Check, check, passed
from narrator_daemon.credentials import signer as signers
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.marks import keys
from tests import processes
from tests.actors import Frontend
from tests.speech import tiny_kokoro

BOOKS_INDEX = {".indexOn": ["narrativeAudioStatus", "narrativeAudioUrlExpiresAt"]}
MACHINE = {
    *("configuration", "watermark key", "content credentials", "state folder", "disk"),
    "kept segments",
    "files beside the WAV",
}
FIREBASE = {
    "credentials",
    "database",
    "rules",
    "register",
    "clock",
    "bucket",
    "URLs",
    "audio of ready books",
}
KEY = "0123456789abcdef" * 4
READS = {
    "tone": {"speech"},
    "kokoro": {"model", "speech"},
    "csm": {"GPU", "checkpoint", "voice", "recogniser"},
}


@dataclass
class Patient:
    """A set-up that works, to be spoiled."""

    firebase: LocalFirebase
    folder: Path
    patch: pytest.MonkeyPatch
    ahead: float = 0.0
    rules_were: bytes = b""

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self.patch.setenv(f"NARRATOR_{name}", str(value))

    def rules(self, rules: dict[str, Any]) -> None:
        self.rules_were = self.rules_were or self._rules("GET").content
        self._rules("PUT", json.dumps({"rules": rules}).encode())

    def mend(self) -> None:
        """What others share is as it was."""
        self.firebase.faults.clear()
        if self.rules_were:
            self._rules("PUT", self.rules_were)

    def _rules(self, method: str, data: bytes | None = None) -> requests.Response:
        host = self.firebase.endpoints["database_host"]
        address = f"http://{host}/.settings/rules.json?ns=demo-books"
        owner = {"Authorization": "Bearer owner"}
        answer = requests.request(method, address, data=data, headers=owner, timeout=60)
        answer.raise_for_status()
        return answer

    def fault(self, kind: str, **how: Any) -> None:
        self.firebase.faults.add(Fault(kind, **how))

    def real_project(self, credentials: str | None) -> None:
        """A project that is no emulator's, with a key file that holds this."""
        for name in self.firebase.environment():
            self.patch.delenv(name)
        self.set(
            FIREBASE__PROJECT_ID="p",
            FIREBASE__DATABASE_URL="https://p.firebaseio.com",
            FIREBASE__STORAGE_BUCKET="bucket",
            FIREBASE__CREDENTIALS=self.folder / "account.json",
        )
        if credentials is not None:
            (self.folder / "account.json").write_text(credentials)

    def key(self, content: str, mode: int = 0o600) -> None:
        path = self.folder / "watermark.key"
        path.write_text(content)
        path.chmod(mode)
        self.set(WATERMARK__KEY_FILE=path)

    def certificate(self, chain: str, key: str = "") -> None:
        for name, content in (("chain.pem", chain), ("signing.key", key)):
            (self.folder / name).write_text(content)
            (self.folder / name).chmod(0o600)
        self.set(
            CREDENTIALS__CERTIFICATE=self.folder / "chain.pem",
            CREDENTIALS__PRIVATE_KEY=self.folder / "signing.key",
        )

    def expired(self) -> None:
        self.signed(datetime.now(UTC) - timedelta(days=100))

    def signed(self, since: datetime | None = None) -> None:
        made = signers.throwaway(since)
        self.certificate(made.certificates, str(made.key))

    def csm(self, **settings: object) -> None:
        self.set(**{"SPEECH__ENGINE": "csm", "SPEECH__MODEL": self.folder, **settings})

    def kokoro(self, model: object = None, **settings: object) -> None:
        folder = tiny_kokoro.save(self.folder / "kokoro")
        self.set(SPEECH__ENGINE="kokoro", KOKORO__MODEL=model or folder, **settings)

    def recording(self, seconds: float) -> Path:
        path = self.folder / "voice.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(b"\x00\x20\x00\xe0" * round(4000 * seconds))
        return path

    def words(self) -> Path:
        path = self.folder / "words.wav"
        path.write_text("No sound at all.")
        return path

    def account(self, project: str, token_uri: str) -> str:
        """A service account's key file that is in order."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": project,
                "client_email": f"narrator@{project}.iam.gserviceaccount.com",
                "private_key": pem.decode("ascii"),
                "token_uri": token_uri,
            }
        )

    def beside_emulators(self) -> None:
        variables = self.firebase.environment()
        self.real_project('{"type": "service_account", "project_id": "p"}')
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def key_of_another(self) -> None:
        self.key(KEY)
        read = Path.read_text

        def closed(path: Path, *how: Any, **more: Any) -> str:
            if path.name == "watermark.key":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return read(path, *how, **more)

        self.patch.setattr(Path, "read_text", closed)

    def unfit(self, error: Exception) -> None:
        """A library that fails as it is imported."""

        def load(_engine: object) -> None:
            raise error

        self.patch.setattr("narrator_daemon.speech.tone.ToneSpeech.load", load)

    def checkpoint(self, weights: bytes, model_type: str = "csm") -> None:
        (self.folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (self.folder / name).write_text("{}")
        (self.folder / "model.safetensors").write_bytes(weights)

    def examine(self) -> dict[str, Check]:
        found = examine(None, clock=lambda: time.time() + self.ahead)
        return {one.name: one for one in found}


_whisper = functools.cache(faster_whisper.WhisperModel)


@pytest.fixture(scope="module")
def shared_firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase() as firebase:
        yield firebase


@pytest.fixture
def patient(
    shared_firebase: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Patient]:
    for name, value in shared_firebase.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    made = Patient(shared_firebase, tmp_path, monkeypatch)
    # Loaded by each examination of CSM, and no part of what they look at.
    monkeypatch.setattr(faster_whisper, "WhisperModel", _whisper)
    # Encoded in a process of its own by each examination: for those that are about it.
    made.set(FILES__FORMATS="")
    made.set(
        SPEECH__ENGINE="tone", DAEMON__STATE_DIR=tmp_path / "state", KEPT__FOLDER=tmp_path / "kept"
    )
    yield made
    made.mend()


class Case(NamedTuple):
    """One way to be broken, the check that must name it, its result, and words of its note."""

    spoil: Callable[[Patient], object]
    name: str
    result: str
    words: str


def full_disk(patient: Patient) -> None:
    usage = shutil.disk_usage(patient.folder)._replace(free=1000)
    patient.patch.setattr(shutil, "disk_usage", lambda _: usage)


def open_state_folder(patient: Patient) -> None:
    (patient.folder / "state").mkdir()
    (patient.folder / "state").chmod(0o777)


BROKEN = {
    "a key of the configuration that there is not": Case(
        lambda p: (p.folder / "config.toml").write_text("[speech]\nvoice = 'x'\n"),
        "configuration",
        "fail",
        "config.toml: [speech] voice: no such key",
    ),
    "no watermark key for a real project": Case(
        lambda p: p.real_project("{}"), "watermark key", "fail", "keys new watermark.key"
    ),
    "no certificate for a real project": Case(
        lambda p: p.real_project("{}"), "content credentials", "warn", "keys certificate"
    ),
    "a certificate that is none": Case(
        lambda p: p.certificate("words"), "content credentials", "fail", "no certificates in PEM"
    ),
    "a certificate that has expired": Case(
        lambda p: p.expired(), "content credentials", "fail", "expired"
    ),
    "a signing command that does not run": Case(
        lambda p: (p.signed(), p.set(CREDENTIALS__SIGN_COMMAND="/no/such/program --key 1")),
        "content credentials",
        "fail",
        "does not run",
    ),
    "a watermark key that is none": Case(
        lambda p: p.key("secret words"), "watermark key", "fail", "not hexadecimal"
    ),
    "a watermark key that all can read": Case(
        lambda p: p.key(KEY, 0o644), "watermark key", "warn", "chmod 600"
    ),
    "a state folder that all can write to": Case(
        open_state_folder, "state folder", "fail", "nobody else can write to"
    ),
    "a full disk": Case(full_disk, "disk", "fail", "free some space"),
    "a key file that is not there": Case(
        lambda p: p.real_project(None), "credentials", "fail", "account.json is not a file"
    ),
    "a key file that is spoiled": Case(
        lambda p: p.real_project('{"type": "service_account", "private_key": "-----BEGIN'),
        "credentials",
        "fail",
        "account.json cannot be used",
    ),
    "an account that the database refuses": Case(
        lambda p: p.fault("status", status=401), "database", "fail", "Database Admin"
    ),
    "rules without the indices": Case(
        lambda p: p.rules({"books": {".read": True}}), "database", "fail", '".indexOn"'
    ),
    "rules of a version without the register": Case(
        lambda p: p.rules({"books": BOOKS_INDEX}), "register", "warn", "Deploy the rules"
    ),
    "rules that are open to all": Case(
        lambda p: p.rules({".read": True, ".write": True, "books": BOOKS_INDEX}),
        "rules",
        "fail",
        "anyone, not signed in, may write /narrationWorkers",
    ),
    "rules that are open to whoever signs in": Case(
        lambda p: p.rules({".write": "auth != null", "books": BOOKS_INDEX}),
        "rules",
        "fail",
        "any signed-in user may write narrativeAudioUrl",
    ),
    "a clock that is a minute and a half ahead": Case(
        lambda p: setattr(p, "ahead", 90.0), "clock", "fail", "ahead of the database's"
    ),
    "a clock that is a little behind": Case(
        lambda p: setattr(p, "ahead", -20.0), "clock", "warn", "behind the database's"
    ),
    "a bucket that there is not": Case(
        lambda p: p.set(FIREBASE__STORAGE_BUCKET="no-such-bucket"),
        "bucket",
        "fail",
        "there is no bucket 'no-such-bucket'",
    ),
    "a bucket that takes nothing": Case(
        lambda p: p.fault("status", service="storage", status=403, method="POST|PUT"),
        "bucket",
        "fail",
        "Storage Object Admin",
    ),
    "URLs that are refused": Case(
        lambda p: p.fault("status", service="storage", status=403, method="GET"),
        "URLs",
        "fail",
        "a signed URL answers 403",
    ),
    "a GPU that there is not": Case(
        lambda p: p.csm(SPEECH__DEVICE="cuda:99"), "GPU", "fail", "cuda:99 was asked for"
    ),
    "no GPU at all": Case(lambda p: p.csm(SPEECH__DEVICE="cpu"), "GPU", "warn", "nvidia-smi"),
    "a checkpoint that there is not": Case(
        lambda p: p.csm(SPEECH__MODEL="/no/such/folder"), "checkpoint", "fail", "there is no folder"
    ),
    "a checkpoint that was cut short": Case(
        lambda p: (p.checkpoint(b"\xff" * 20), p.csm()), "checkpoint", "fail", "damaged"
    ),
    "a voice that there is not": Case(
        lambda p: p.csm(VOICE__REFERENCE="none.wav", VOICE__TRANSCRIPT="Words."),
        "voice",
        "fail",
        "there is no voice recording at none.wav",
    ),
    "a recogniser that there is not": Case(
        lambda p: p.csm(TAKES__RECOGNISE="true", TAKES__RECOGNISER="/no/such/folder"),
        "recogniser",
        "fail",
        "/no/such/folder",
    ),
    "a folder for segments that cannot be written": Case(
        lambda p: p.set(KEPT__FOLDER="/dev/null/kept"), "kept segments", "warn", "cannot be written"
    ),
    "texts that the disk has no room for": Case(
        lambda p: p.set(LIMITS__MAX_CHARACTERS=10**12), "kept segments", "warn", "GB free under"
    ),
    "a database that is asked for without TLS": Case(
        lambda p: (p.real_project("{}"), p.set(FIREBASE__DATABASE_URL="http://p.firebaseio.com")),
        "configuration",
        "fail",
        "must begin with https://",
    ),
    "a database with a path": Case(
        lambda p: (p.real_project("{}"), p.set(FIREBASE__DATABASE_URL="https://p.web.app/books")),
        "configuration",
        "fail",
        "with no path",
    ),
    "a bucket with a folder": Case(
        lambda p: p.set(FIREBASE__STORAGE_BUCKET="gs://b/folder"),
        "configuration",
        "fail",
        "a bucket's name alone",
    ),
    "emulators beside the credentials of a project": Case(
        lambda p: p.beside_emulators(), "configuration", "fail", "beside credentials of a real"
    ),
    "one emulator of two": Case(
        lambda p: p.patch.delenv("STORAGE_EMULATOR_HOST"),
        "configuration",
        "fail",
        "STORAGE_EMULATOR_HOST: is not set though its twin is",
    ),
    "a configuration that is no TOML": Case(
        lambda p: (p.folder / "config.toml").write_text("[speech\n"),
        "configuration",
        "fail",
        "config.toml: is not TOML",
    ),
    "a configuration in another alphabet": Case(
        lambda p: (p.folder / "config.toml").write_bytes(b"\xff\xfe"),
        "configuration",
        "fail",
        "config.toml: is not TOML",
    ),
    "a voice without its words": Case(
        lambda p: p.set(VOICE__REFERENCE="voice.wav"),
        "configuration",
        "fail",
        "must be set together",
    ),
    "a worker id with a space": Case(
        lambda p: p.set(DAEMON__WORKER_ID="my worker"), "configuration", "fail", "WORKER_ID"
    ),
    "a watermark key that is gone": Case(
        lambda p: p.set(WATERMARK__KEY_FILE=p.folder / "none.key"),
        "watermark key",
        "fail",
        "bring it back",
    ),
    "a watermark key on a volume that is not mounted": Case(
        lambda p: p.set(WATERMARK__KEY_FILE="/no/such/volume/watermark.key"),
        "watermark key",
        "fail",
        "is its volume mounted?",
    ),
    "a watermark key that is a folder": Case(
        lambda p: p.set(WATERMARK__KEY_FILE=p.folder), "watermark key", "fail", "name a file"
    ),
    "a watermark key that is of another user": Case(
        lambda p: p.key_of_another(), "watermark key", "fail", "make no new one"
    ),
    "a watermark key that is too short": Case(
        lambda p: p.key("abcd"), "watermark key", "fail", "watermark.key"
    ),
    "a retired key that is gone": Case(
        lambda p: (p.key(KEY), p.set(WATERMARK__RETIRED_KEY_FILES="old.key")),
        "watermark key",
        "fail",
        "take it out of the list",
    ),
    "a state folder that cannot be": Case(
        lambda p: p.set(DAEMON__STATE_DIR="/dev/null/state"),
        "state folder",
        "fail",
        "cannot be used",
    ),
    "a database that is not there": Case(
        lambda p: p.patch.setenv("FIREBASE_DATABASE_EMULATOR_HOST", "127.0.0.1:1"),
        "database",
        "fail",
        "does not answer",
    ),
    "a storage that is not there": Case(
        lambda p: p.patch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1"),
        "bucket",
        "fail",
        "storage does not answer",
    ),
    "a key of another project, with no network": Case(
        lambda p: p.real_project(p.account("another", "http://127.0.0.1:1/token")),
        "credentials",
        "fail",
        "belongs to the project another, and firebase.project_id is p",
    ),
    "no network": Case(
        lambda p: p.real_project(p.account("p", "http://127.0.0.1:1/token")),
        "credentials",
        "fail",
        "no access token can be had (the connection is refused)",
    ),
    "a key file that holds a list": Case(
        lambda p: p.real_project("[]"), "credentials", "fail", "account.json cannot be used"
    ),
    "a key file that is no JSON": Case(
        lambda p: p.real_project("\xff"), "credentials", "fail", "account.json cannot be used"
    ),
    "a project without its bucket": Case(
        lambda p: (p.real_project("{}"), p.patch.delenv("NARRATOR_FIREBASE__STORAGE_BUCKET")),
        "credentials",
        "fail",
        "storage_bucket: is not set",
    ),
    "a library of another GPU": Case(
        lambda p: p.unfit(OSError("libcudart.so.13: cannot open shared object file")),
        "speech",
        "fail",
        "a library cannot be loaded: libcudart.so.13",
    ),
    "a library that is not there": Case(
        lambda p: p.unfit(ModuleNotFoundError("No module named 'torchaudio'")),
        "speech",
        "fail",
        "No module named 'torchaudio'",
    ),
    "libraries that do not fit together": Case(
        lambda p: p.unfit(RuntimeError("operator torchaudio::x does not exist")),
        "speech",
        "fail",
        "all from one place",
    ),
    "transformers that cannot be imported": Case(
        lambda p: (
            p.csm(),
            p.patch.setitem(sys.modules, "transformers", None),
            p.patch.delitem(sys.modules, "csm.checkpoint.transformers_parts", raising=False),
        ),
        "GPU",
        "fail",
        "pip install 'narrator-daemon[csm]'",
    ),
    "a voice that Kokoro has not": Case(
        lambda p: p.kokoro(KOKORO__VOICE="bf_emma"), "speech", "fail", "may be af_heart"
    ),
    "a model of Kokoro that is nowhere": Case(
        lambda p: p.kokoro("nowhere"), "speech", "fail", "there is no folder nowhere"
    ),
    "a model of Kokoro that must be brought, without a network": Case(
        lambda p: (
            p.patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True),
            p.kokoro("someone/Kokoro"),
        ),
        "model",
        "warn",
        "narrator-daemon model fetch",
    ),
    "a checkpoint of another model": Case(
        lambda p: (p.checkpoint(b"", model_type="llama"), p.csm()),
        "checkpoint",
        "fail",
        "no CSM checkpoint",
    ),
    "a checkpoint without its tokenizer": Case(
        lambda p: (p.checkpoint(b""), (p.folder / "tokenizer.json").unlink(), p.csm()),
        "checkpoint",
        "fail",
        "tokenizer.json",
    ),
    "a recording that is none": Case(
        lambda p: p.csm(VOICE__REFERENCE=p.words(), VOICE__TRANSCRIPT="Words."),
        "voice",
        "fail",
        "words.wav",
    ),
    "a voice that is too long": Case(
        lambda p: p.csm(VOICE__REFERENCE=p.recording(40), VOICE__TRANSCRIPT="Words."),
        "voice",
        "fail",
        "40.0 s long",
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_and_hides_nothing_else(patient: Patient, case: Case) -> None:
    case.spoil(patient)
    found = patient.examine()
    named = found[case.name]
    assert (named.result, case.words in named.note) == (case.result, True), named
    if case.name == "configuration":
        return
    reads = READS["csm" if "GPU" in found else "kokoro" if "model" in found else "tone"]
    assert MACHINE | reads | FIREBASE | {case.name} == found.keys()
    shown = json.dumps([one.note for one in found.values()])
    assert "please report" not in shown
    assert "Max retries exceeded" not in shown
    for secret in (KEY, "secret words", "secret-words", "BEGIN", "X-Goog-Signature="):
        assert secret not in shown


def test_what_has_one_cause_is_said_once_and_takes_no_time(patient: Patient) -> None:
    assert len(BROKEN) >= 48
    patient.real_project(patient.account("p", "http://127.0.0.1:1/token"))
    found = patient.examine()
    left_out = {name for name, one in found.items() if "mend the credentials" in one.note}
    assert left_out == FIREBASE - {"credentials"}


def test_a_set_up_that_works(patient: Patient) -> None:
    patient.key(KEY)
    patient.patch.delenv("NARRATOR_FILES__FORMATS")
    found = patient.examine()
    assert "m4a" in found["files beside the WAV"].note
    # A signature that is trusted is nothing that a test could have.
    assert found.pop("content credentials").result == "warn"
    assert {one.result for one in found.values()} == {"pass"}, found


def test_the_public_key_is_warned_of(patient: Patient) -> None:
    assert patient.examine()["watermark key"].result == "warn"
    patient.key(keys.DEMO_KEY.hex())
    assert patient.examine()["watermark key"].result == "warn"


def test_a_mounted_secret_is_read_through_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "key"
    secret.touch(0o640)
    assert "chmod 600" in (machine.open_to_others(secret) or "")
    monkeypatch.setattr(os, "getuid", lambda: secret.stat().st_uid + 1)
    assert machine.open_to_others(secret) is None
    secret.chmod(0o644)
    assert "chmod 600" in (machine.open_to_others(secret) or "")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(True, id="open to all"),
        pytest.param("auth != null && !data.exists()", id="no deleting"),
    ],
)
def test_looking_leaves_nothing_behind(patient: Patient, write: object) -> None:
    patient.rules(
        {".read": True, "$any": {".write": write}, "books": BOOKS_INDEX | {".write": write}}
    )
    assert patient.examine()["rules"].result == "fail"
    host = patient.firebase.endpoints["database_host"]
    left = requests.get(
        f"http://{host}/.json?ns=demo-books", headers={"Authorization": "Bearer owner"}, timeout=60
    )
    assert left.json() is None
    endpoints = patient.firebase.endpoints
    listed = requests.get(
        f"{endpoints['storage_url']}/storage/v1/b/{endpoints['bucket']}/o", timeout=60
    )
    assert not listed.json().get("items")


def test_a_ready_book_whose_audio_is_gone(patient: Patient) -> None:
    with Frontend(patient.firebase.endpoints) as frontend:
        frontend.add("b", "x", narrativeAudioStatus="ready", narrativeAudioPath="narrations/b.wav")
        found = patient.examine()
        frontend.delete("b")
    assert found["audio of ready books"].result == "warn"
    assert "no object narrations/b.wav" in found["book b"].note


@pytest.mark.parametrize(
    ("free", "result", "words"),
    [
        (70e9, "pass", "70.0 GB of 80.0 GB free, of which 32 slots need"),
        (1e9, "fail", "are needed for 32 slots: see with nvidia-smi who holds it"),
    ],
)
def test_the_gpu_s_memory_is_held_against_the_slots(
    patient: Patient, free: float, result: str, words: str
) -> None:
    cuda = "torch.cuda."
    patient.patch.setattr("torch.version.cuda", "12.8")
    patient.patch.setattr(cuda + "is_available", lambda: True)
    patient.patch.setattr(cuda + "device_count", lambda: 1)
    patient.patch.setattr(cuda + "get_device_name", lambda _device: "GPU of a test")
    patient.patch.setattr(cuda + "mem_get_info", lambda _device: (int(free), 80 * 10**9))
    patient.csm(SPEECH__SLOTS=32)
    found = patient.examine()["GPU"]
    assert (found.result, words in found.note) == (result, True), found
    assert "cuda:0 is a GPU of a test" in found.note


def test_a_check_that_hangs_or_breaks_is_only_its_own_failure() -> None:
    for_ever = threading.Event()
    hung = check("slow", lambda: passed(str(for_ever.wait())), limit_seconds=0.2)
    assert (hung.result, hung.note) == ("fail", "no answer for 0.2 s")
    for_ever.set()

    def broken() -> Any:
        raise KeyError("hf_abcdefghijklmnop")

    seen = check("odd", broken)
    assert seen.result == "fail"
    assert "KeyError" in seen.note
    assert "abcdefghijklmnop" not in seen.note


def test_the_command_prints_lines_or_json(patient: Patient) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["-m", "narrator_daemon", "doctor", *words]
        return processes.run(*command, env=os.environ, cwd=patient.folder)

    patient.fault("status", status=401)
    lines = run()
    assert (lines.returncode, lines.stderr) == (1, "")
    assert "fail  database: " in lines.stdout
    assert "pass  speech: tone on cpu" in lines.stdout
    patient.firebase.faults.clear()
    told = run("--json")
    assert told.returncode == 0
    assert {"name": "speech", "result": "pass", "note": "tone on cpu"} in json.loads(told.stdout)
