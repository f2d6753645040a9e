"""Storage through the unmodified google-cloud-storage SDK, and its URLs through requests."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2 import service_account

from narrator_daemon.emulator import Fault, LocalFirebase

AUDIO = os.urandom(700_000)
CHUNK = 256 * 1024


@pytest.fixture(scope="module")
def running() -> Iterator[LocalFirebase]:
    with LocalFirebase() as firebase:
        yield firebase


@pytest.fixture
def bucket(running: LocalFirebase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    running.faults.clear()
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    client = storage.Client(project="demo-books", credentials=AnonymousCredentials())
    bucket = client.bucket(running.endpoints["bucket"])
    yield bucket
    running.faults.clear()
    for blob in client.list_blobs(bucket):
        blob.delete()


def upload(blob: Any, data: bytes, *, resumable: bool, **options: Any) -> None:
    # Without a size the SDK cannot send it in one piece.
    size = None if resumable else len(data)
    blob.upload_from_file(io.BytesIO(data), size=size, **options)


def sign(key: Any, url: str, blob: Any, **options: Any) -> str:
    credentials = service_account.Credentials(key, "a@b.iam.gserviceaccount.com", "http://x")
    return str(
        blob.generate_signed_url(
            version="v4", credentials=credentials, api_access_endpoint=url, **options
        )
    )


@pytest.fixture(scope="module")
def key() -> Any:
    from google.auth.crypt import RSASigner

    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return RSASigner.from_string(pem.decode())


def test_the_bucket_is_there(bucket: Any) -> None:
    assert bucket.exists()
    assert not bucket.client.bucket("another").exists()


@pytest.mark.parametrize("resumable", [False, True])
def test_an_upload_keeps_what_it_was_given(bucket: Any, resumable: bool) -> None:
    blob = bucket.blob("narrations/é b/t.wav", chunk_size=CHUNK)
    blob.metadata = {"bookId": "é b", "watermarked": "true"}
    blob.cache_control = "public, max-age=60"
    upload(blob, AUDIO, resumable=resumable, content_type="audio/wav", checksum="crc32c")
    found = bucket.get_blob("narrations/é b/t.wav")
    assert found.metadata == {"bookId": "é b", "watermarked": "true"}
    assert (found.content_type, found.cache_control) == ("audio/wav", "public, max-age=60")
    assert found.download_as_bytes() == AUDIO
    assert [b.name for b in bucket.client.list_blobs(bucket, prefix="narrations/")] == [found.name]
    assert list(bucket.client.list_blobs(bucket, prefix="other/")) == []


@pytest.mark.parametrize("resumable", [False, True])
def test_an_object_is_never_overwritten(bucket: Any, resumable: bool) -> None:
    upload(bucket.blob("a.wav"), AUDIO, resumable=resumable, if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        upload(bucket.blob("a.wav"), b"x", resumable=resumable, if_generation_match=0)
    assert bucket.blob("a.wav").download_as_bytes() == AUDIO


def test_of_two_resumable_uploads_the_second_to_finish_loses(bucket: Any) -> None:
    url = bucket.blob("a.wav").create_resumable_upload_session(if_generation_match=0)
    bucket.blob("a.wav").upload_from_string(b"first", if_generation_match=0)
    assert requests.put(url, data=b"second", timeout=60).status_code == 412
    assert bucket.blob("a.wav").download_as_bytes() == b"first"


def test_deleting_with_a_precondition(bucket: Any) -> None:
    blob = bucket.blob("a.wav")
    blob.upload_from_string(b"x")
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=blob.generation + 1)
    assert blob.exists()
    blob.delete(if_generation_match=blob.generation)
    assert not blob.exists()
    with pytest.raises(exceptions.NotFound):
        blob.delete()


def test_changing_metadata_with_a_precondition(bucket: Any) -> None:
    blob = bucket.blob("a.wav")
    blob.upload_from_string(b"x")
    blob.metadata = {"k": "v"}
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=99)
    blob.patch()
    assert bucket.get_blob("a.wav").metadata == {"k": "v"}


def test_a_missing_bucket(bucket: Any) -> None:
    with pytest.raises(exceptions.NotFound):
        bucket.client.bucket("another").blob("a").upload_from_string(b"x")


def test_signed_urls(bucket: Any, running: LocalFirebase, key: Any) -> None:
    blob = bucket.blob("narrations/é b/t.wav")
    blob.upload_from_string(AUDIO, content_type="audio/wav")
    endpoint = running.endpoints["storage_url"]
    url = sign(key, endpoint, blob, expiration=timedelta(hours=1))
    whole = requests.get(url, timeout=60)
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "audio/wav")
    assert whole.content == AUDIO
    part = requests.get(url, headers={"Range": "bytes=100-199"}, timeout=60)
    assert (part.status_code, part.content) == (206, AUDIO[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(AUDIO)}"
    head = requests.head(url, timeout=60)
    assert head.headers["Content-Length"] == str(len(AUDIO))


def test_signed_urls_that_have_expired(bucket: Any, running: LocalFirebase, key: Any) -> None:
    blob = bucket.blob("a.wav")
    blob.upload_from_string(b"x")
    endpoint = running.endpoints["storage_url"]
    url = sign(key, endpoint, blob, expiration=timedelta(hours=1))
    past = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y%m%dT%H%M%SZ")
    now = url.partition("X-Goog-Date=")[2].partition("&")[0]
    expired = requests.get(url.replace(now, past), timeout=60)
    assert expired.status_code == 400
    assert "<Code>ExpiredToken</Code>" in expired.text
    too_long = requests.get(url.replace("X-Goog-Expires=3600", "X-Goog-Expires=604801"), timeout=60)
    assert too_long.status_code == 400
    assert requests.get(url.replace("X-Goog-Date", "X-Date"), timeout=60).status_code == 400


def test_firebase_download_urls(bucket: Any, running: LocalFirebase) -> None:
    blob = bucket.blob("narrations/é b/t.wav")
    blob.metadata = {"firebaseStorageDownloadTokens": "one,two"}
    blob.upload_from_string(AUDIO, content_type="audio/wav")
    base = f"{running.endpoints['storage_url']}/v0/b/{bucket.name}/o/"
    url = base + quote(blob.name, safe="")
    got = requests.get(url, params={"alt": "media", "token": "two"}, timeout=60)
    assert (got.status_code, got.content) == (200, AUDIO)
    assert got.headers["Content-Type"] == "audio/wav"
    headers = {"Range": "bytes=-5"}
    part = requests.get(url, params={"alt": "media", "token": "one"}, headers=headers, timeout=60)
    assert (part.status_code, part.content) == (206, AUDIO[-5:])
    for params in (
        {"alt": "media"},
        {"alt": "media", "token": "three"},
        {"alt": "media", "token": ""},
    ):
        assert requests.get(url, params=params, timeout=60).status_code == 403
    assert requests.get(base + "missing", params={"token": "one"}, timeout=60).status_code == 404
    about = requests.get(url, params={"token": "one"}, timeout=60).json()
    assert about["downloadTokens"] == "one,two"


def test_an_object_without_tokens_has_no_download_url(bucket: Any, running: LocalFirebase) -> None:
    bucket.blob("a").upload_from_string(b"x")
    url = f"{running.endpoints['storage_url']}/v0/b/{bucket.name}/o/a"
    assert requests.get(url, params={"alt": "media", "token": ""}, timeout=60).status_code == 403


def test_uploads_survive_storage_that_is_down_for_a_while(
    bucket: Any, running: LocalFirebase
) -> None:
    running.faults.add(Fault("status", service="storage", method="POST", count=1, status=503))
    number = running.faults.add(
        Fault("reset_upload", service="storage", method="PUT", count=1, after_bytes=1000)
    )
    blob = bucket.blob("a.wav", chunk_size=CHUNK)
    upload(blob, AUDIO, resumable=True, if_generation_match=0)
    assert running.faults.hits(number) == 1
    assert bucket.blob("a.wav").download_as_bytes() == AUDIO


def test_an_answer_that_is_lost_after_the_upload(bucket: Any, running: LocalFirebase) -> None:
    for method, path in (("POST", ""), ("GET", "/a.wav$")):
        running.faults.add(Fault("drop_answer", "storage", method, path, count=1))
    blob = bucket.blob("a.wav")
    # The SDK tries again and meets its own object.
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(AUDIO, if_generation_match=0)
    url = f"{running.endpoints['storage_url']}/{bucket.name}/a.wav"
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=60)
    assert requests.get(url, timeout=60).content == AUDIO


def test_storage_that_says_no(bucket: Any, running: LocalFirebase) -> None:
    running.faults.add(Fault("status", service="storage", status=403))
    with pytest.raises(exceptions.Forbidden):
        bucket.blob("a.wav").upload_from_string(b"x", retry=None)


def test_a_browser_of_another_origin_may_play(bucket: Any, running: LocalFirebase) -> None:
    bucket.blob("a.wav").upload_from_string(b"x")
    got: Callable[..., Any] = requests.get
    answer = got(f"{running.endpoints['storage_url']}/{bucket.name}/a.wav", timeout=60)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
