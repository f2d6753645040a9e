"""A file's own word: signed, read back by the library's reader, and broken in every way."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import wave
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.manifest import DIGITAL_SOURCE, NARRATION, Made
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.credentials.wav import add_credentials
from narrator_daemon.errors import ConfigError
from narrator_daemon.settings import Credentials

MADE = Made(
    version="1.2.3",
    engine="tone",
    model="",
    book_id="moby dick/ü",
    claim="abc123",
    take=2,
    input_hash="f00",
    watermark_index=17,
    at="2026-11-26T10:00:00Z",
    producer="A House of Books",
)


def wav(seconds: float = 2.0) -> io.BytesIO:
    file = io.BytesIO()
    samples = np.random.default_rng(3).integers(-9000, 9000, int(24_000 * seconds)).astype("<i2")
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(24_000)
        out.writeframes(samples.tobytes())
    return file


def frames(file: io.BytesIO) -> bytes:
    file.seek(0)
    with wave.open(file) as opened:
        return opened.readframes(-1)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return signers.throwaway()


def read(file: io.BytesIO) -> tuple[str, dict[str, Any]]:
    file.seek(0)
    reader = c2pa.Reader("audio/wav", file)
    store = json.loads(reader.json())
    return str(reader.get_validation_state()), store["manifests"][store["active_manifest"]]


def test_a_signed_file_is_valid_says_what_it_is_and_sounds_the_same(signer: Signer) -> None:
    file = wav()
    before = frames(file)
    finished = add_credentials(file, MADE, signer)
    size = finished.size
    assert size == len(file.getvalue())
    assert finished.digest == hashlib.sha256(file.getvalue()).hexdigest()
    assert finished.samples_digest == hashlib.sha256(before).hexdigest()
    state, manifest = read(file)
    assert state == "Valid"
    told = {each["label"]: each["data"] for each in manifest["assertions"]}
    actions = told["c2pa.actions.v2"]["actions"]
    assert actions[0]["digitalSourceType"] == DIGITAL_SOURCE
    assert [each["action"] for each in actions] == ["c2pa.created", "c2pa.watermarked.bound"]
    assert told["c2pa.soft-binding"]["blocks"][0]["value"] == "17"
    assert told[NARRATION] == {
        "book": "moby dick/ü",
        "claim": "abc123",
        "take": 2,
        "inputHash": "f00",
        "engine": "tone",
        "producer": "A House of Books",
    }
    assert frames(file) == before
    assert size - len(before) < 5_000


@pytest.mark.parametrize("seconds", [0.5, 0.50005, 1.0, 1.1])
def test_manifests_of_odd_and_even_size_are_both_valid(signer: Signer, seconds: float) -> None:
    for book_id in ("b", "bo", "boo"):
        file = wav(seconds)
        finished = add_credentials(file, Made(**{**MADE.__dict__, "book_id": book_id}), signer)
        assert finished.digest == hashlib.sha256(file.getvalue()).hexdigest()
        assert read(file)[0] == "Valid"


def test_one_changed_byte_anywhere_is_seen(signer: Signer) -> None:
    file = wav(0.5)
    samples_end = len(file.getvalue())
    add_credentials(file, MADE, signer)
    whole = file.getvalue()
    chance = np.random.default_rng(5)
    for place in [22, 24, 44, samples_end - 1, samples_end + 20, *chance.integers(44, 24_000, 20)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1
        assert read(io.BytesIO(bytes(damaged)))[0] == "Invalid", place


def test_credentials_of_another_file_contradict_it(signer: Signer) -> None:
    one, other = wav(1.0), wav(1.0)
    content = bytearray(other.getvalue())
    content[1000] ^= 4
    add_credentials(one, MADE, signer)
    mixed = io.BytesIO(bytes(content) + one.getvalue()[len(content) :])
    mixed.seek(4)
    mixed.write(one.getvalue()[4:8])
    assert read(mixed)[0] == "Invalid"


def test_without_a_signer_the_label_alone_is_there() -> None:
    file = wav()
    samples = frames(file)
    finished = add_credentials(file, MADE, None)
    assert finished.digest == hashlib.sha256(file.getvalue()).hexdigest()
    assert finished.samples_digest == hashlib.sha256(samples).hexdigest()
    assert b"C2PA" not in file.getvalue()
    start = file.getvalue().index(b"AIGC") + 8
    label = json.loads(file.getvalue()[start:].split(b"\0")[0])
    assert label["Label"] == "1"
    assert label["ContentProducer"] == "A House of Books"
    assert label["ProduceID"] == "abc123"
    assert set(label) == {
        *("Label", "ContentProducer", "ProduceID", "ReservedCode1"),
        *("ContentPropagator", "PropagateID", "ReservedCode2"),
    }


def write_pair(folder: Path, signer: Signer) -> Credentials:
    (folder / "chain.pem").write_text(signer.certificates)
    assert isinstance(signer.key, str)
    (folder / "key.pem").write_text(signer.key)
    return Credentials(certificate=folder / "chain.pem", private_key=folder / "key.pem")


def test_from_files_and_by_a_command(tmp_path: Path, signer: Signer) -> None:
    settings = write_pair(tmp_path, signer)
    from_files = signers.from_settings(settings)
    assert from_files is not None
    assert not from_files.throwaway
    program = tmp_path / "sign.py"
    program.write_text(
        "import sys\n"
        "from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        f"key = serialization.load_pem_private_key(open({str(tmp_path / 'key.pem')!r},'rb').read(),"
        " None)\n"
        "signed = key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256()))\n"
        "sys.stdout.buffer.write(signed)\n"
    )
    by_command = signers.from_settings(
        Credentials(certificate=settings.certificate, sign_command=(sys.executable, str(program)))
    )
    for each in (from_files, by_command):
        file = wav()
        add_credentials(file, MADE, each)
        assert read(file)[0] == "Valid"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("/no/such/program",), "does not run"),
        (("false",), "ended with 1"),
        (("true",), "wrote no signature"),
    ],
)
def test_a_signing_command_that_fails_is_named(
    tmp_path: Path, signer: Signer, command: tuple[str, ...], said: str
) -> None:
    certificate = write_pair(tmp_path, signer).certificate
    failing = signers.from_settings(Credentials(certificate=certificate, sign_command=command))
    with pytest.raises(CannotSign, match=said):
        add_credentials(wav(), MADE, failing)


def test_what_cannot_sign_is_refused_at_the_door(tmp_path: Path, signer: Signer) -> None:
    good = write_pair(tmp_path, signer)
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "other.pem").write_bytes(other)
    (tmp_path / "junk.pem").write_bytes(os.urandom(100))
    for settings, said in (
        (good.model_copy(update={"private_key": tmp_path / "other.pem"}), "is not the key of"),
        (good.model_copy(update={"private_key": tmp_path / "junk.pem"}), "no private key"),
        (good.model_copy(update={"private_key": tmp_path / "none"}), "cannot be read"),
        (good.model_copy(update={"private_key": None}), "has no key"),
        (good.model_copy(update={"certificate": tmp_path / "junk.pem"}), "no certificates"),
        (good.model_copy(update={"certificate": tmp_path / "none"}), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            signers.from_settings(settings)
        assert "PRIVATE" not in str(refused.value)


def test_a_request_for_a_certificate_fits_its_key() -> None:
    from cryptography import x509

    key, request = signers.new_key_and_request("A House of Books")
    read_request = x509.load_pem_x509_csr(request.encode())
    private = serialization.load_pem_private_key(key.encode(), None)
    assert read_request.is_signature_valid
    assert read_request.public_key() == private.public_key()
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, ec.SECP256R1)
    assert read_request.signature_hash_algorithm is not None
    assert read_request.signature_hash_algorithm.name == hashes.SHA256.name


def test_a_throwaway_says_so_and_ends() -> None:
    made = signers.throwaway(datetime(2026, 1, 1, tzinfo=UTC))
    assert made.throwaway
    assert "throwaway" in made.certificates or made.name == "narrator-daemon"
    assert made.expires == datetime(2026, 4, 1, tzinfo=UTC)
