"""Cloud Storage as server SDKs of several languages ask for it, over plain HTTP."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager

from narrator_daemon.emulator import DamagedDataError, LocalFirebase
from narrator_daemon.emulator.storage.listing import glob_pattern
from narrator_daemon.emulator.storage.objects import StorageError

CHUNK = 256 * 1024


@pytest.fixture(scope="module")
def running() -> Iterator[LocalFirebase]:
    with LocalFirebase() as firebase:
        yield firebase


class Store:
    """Requests to one bucket."""

    def __init__(self, firebase: LocalFirebase) -> None:
        self.url = firebase.endpoints["storage_url"]
        self.bucket = firebase.endpoints["bucket"]
        self.session = requests.Session()

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        path = path.replace("BUCKET", self.bucket)
        return self.session.request(method, f"{self.url}{path}", timeout=20, **options)

    def put(self, name: str, content: bytes = b"x", **params: str) -> Any:
        where = "/upload/storage/v1/b/BUCKET/o"
        query = {"uploadType": "media", "name": name, **params}
        return self("POST", where, params=query, data=content)

    def names(self, **params: str) -> list[str]:
        return [item["name"] for item in self("GET", "/b/BUCKET/o", params=params).json()["items"]]


@pytest.fixture
def store(running: LocalFirebase) -> Store:
    store = Store(running)
    store("POST", "/internal/reset").raise_for_status()
    return store


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


@pytest.mark.parametrize("root", ["", "/storage/v1", "/download/storage/v1", "/download"])
def test_the_paths_that_sdks_ask(store: Store, root: str) -> None:
    store.put("a/ü b.wav", b"sound")
    where = f"{root}/b/BUCKET/o/a%2F%C3%BC%20b.wav"
    assert store("GET", where).json()["name"] == "a/ü b.wav"
    assert store("GET", where, params={"alt": "media"}).content == b"sound"
    assert store("GET", f"{root}/b/BUCKET").json()["kind"] == "storage#bucket"
    assert store("GET", f"{root}/b/BUCKET/o").json()["items"][0]["size"] == "5"
    # Go reads by the XML API.
    assert store("GET", "/BUCKET/a/%C3%BC%20b.wav").content == b"sound"


@pytest.mark.parametrize("where", ["/upload/storage/v1", "/upload", "/resumable/upload/storage/v1"])
def test_the_type_that_a_resumable_upload_announces(store: Store, where: str) -> None:
    begun = store(
        "POST",
        f"{where}/b/BUCKET/o?uploadType=resumable&name=a.wav",
        headers={"X-Upload-Content-Type": "audio/wav", "X-Upload-Content-Length": "3"},
        json={"metadata": {"k": "v"}},
    )
    done = requests.put(begun.headers["Location"], data=b"abc", timeout=60).json()
    assert (done["contentType"], done["metadata"], done["size"]) == ("audio/wav", {"k": "v"}, "3")


def test_a_resumable_upload_that_goes_on_where_it_was(store: Store) -> None:
    begun = store("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=resumable&name=a")
    url = begun.headers["Location"]

    def put(data: bytes, content_range: str) -> requests.Response:
        return requests.put(url, data=data, headers={"Content-Range": content_range}, timeout=60)

    nothing = put(b"", "bytes */*")
    assert (nothing.status_code, "Range" in nothing.headers) == (308, False)
    assert put(b"abc", "bytes 0-2/*").headers["Range"] == "bytes=0-2"
    # A chunk that came and was not heard of comes again; one in between is missed.
    assert put(b"bcd", "bytes 1-3/6").headers["Range"] == "bytes=0-3"
    assert put(b"f", "bytes 5-5/6").status_code == 503
    assert put(b"ef", "bytes 4-4/6").status_code == 400
    assert put(b"e", "nonsense").status_code == 400
    assert put(b"", "bytes */6").headers["Range"] == "bytes=0-3"
    done = put(b"ef", "bytes 4-5/6")
    assert (done.status_code, done.json()["size"]) == (200, "6")
    # Whoever has not heard asks again and is told again.
    assert put(b"", "bytes */6").json()["generation"] == done.json()["generation"]
    assert store("GET", "/BUCKET/a").content == b"abcdef"


def test_an_upload_that_is_called_off(store: Store) -> None:
    begun = store("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=resumable&name=a")
    url = begun.headers["Location"]
    assert requests.delete(url, timeout=60).status_code == 499
    assert requests.put(url, data=b"x", timeout=60).status_code == 499
    assert store.names() == []
    assert requests.put(url.replace("upload_id=", "upload_id=x"), timeout=60).status_code == 404


def test_uploads_in_chunks_at_the_same_time(store: Store) -> None:
    contents = {f"n{i}": bytes([i]) * (CHUNK * 2 + i) for i in range(8)}

    def upload(item: tuple[str, bytes]) -> None:
        name, content = item
        begun = store("POST", f"/upload/storage/v1/b/BUCKET/o?uploadType=resumable&name={name}")
        for start in range(0, len(content), CHUNK):
            part = content[start : start + CHUNK]
            total = len(content) if start + CHUNK >= len(content) else "*"
            header = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{total}"}
            requests.put(begun.headers["Location"], data=part, headers=header, timeout=20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, contents.items()))
    assert {name: store("GET", f"/BUCKET/{name}").content for name in contents} == contents


def test_an_upload_whose_parts_come_in_parallel(
    running: LocalFirebase, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    content = bytes(range(256)) * 20_000
    (tmp_path / "big").write_bytes(content)
    client = storage.Client(project="demo-books", credentials=AnonymousCredentials())
    blob = client.bucket(store.bucket).blob("big ü.wav")
    blob.metadata = {"k": "v"}
    transfer_manager.upload_chunks_concurrently(
        str(tmp_path / "big"),
        blob,
        chunk_size=1024 * 1024,
        max_workers=3,
        worker_type=transfer_manager.THREAD,
        checksum="crc32c",
    )
    found = client.bucket(store.bucket).get_blob("big ü.wav")
    assert (found.download_as_bytes() == content, found.metadata) == (True, {"k": "v"})


def test_parts_that_cannot_be_joined(store: Store) -> None:
    started = store("POST", "/BUCKET/a?uploads").text
    number = started.partition("<UploadId>")[2].partition("<")[0]
    assert store("PUT", f"/BUCKET/a?partNumber=0&uploadId={number}").status_code == 400
    for part in (2, 1):
        answer = store("PUT", f"/BUCKET/a?partNumber={part}&uploadId={number}", data=b"%d" % part)
        assert answer.headers["ETag"] == f'"{hashlib.md5(b"%d" % part).hexdigest()}"'  # noqa: S324
    assert store("GET", f"/BUCKET/a?uploadId={number}").text.count("<Part>") == 2

    def complete(*parts: int) -> requests.Response:
        body = "".join(f"<Part><PartNumber>{part}</PartNumber></Part>" for part in parts)
        return store("POST", f"/BUCKET/a?uploadId={number}", data=f"<C>{body}</C>")

    for wrong in ((), (1, 3), (2, 1), (1, 1)):
        assert complete(*wrong).status_code == 400
    assert store("POST", f"/BUCKET/b?uploadId={number}", data=b"").status_code == 404
    assert complete(1, 2).status_code == 200
    assert store("GET", "/BUCKET/a").content == b"12"
    assert complete(1, 2).status_code == 404


def hashes(content: bytes) -> dict[str, str]:
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()  # noqa: S324
    crc = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    return {"md5Hash": md5, "crc32c": crc}


@pytest.mark.parametrize("kind", ["md5Hash", "crc32c"])
@pytest.mark.parametrize("right", [True, False])
def test_checksums_that_the_client_gives(store: Store, kind: str, right: bool) -> None:
    said = hashes(b"sound" if right else b"noise")[kind]
    body = (
        b"--x\r\nContent-Type: application/json\r\n\r\n"
        + json.dumps({"name": "a", kind: said}).encode()
        + b"\r\n--x\r\nContent-Type: audio/wav\r\n\r\nsound\r\n--x--\r\n"
    )
    upload = "/upload/storage/v1/b/BUCKET/o?uploadType="
    headers = {"Content-Type": "multipart/related; boundary=x"}
    answer = store("POST", f"{upload}multipart", data=body, headers=headers)
    assert answer.status_code == (200 if right else 400)
    begun = store("POST", f"{upload}resumable", json={"name": "b", kind: said})
    done = requests.put(begun.headers["Location"], data=b"sound", timeout=60)
    assert done.status_code == (200 if right else 400)
    header = {"X-Goog-Hash": f"{'md5' if kind == 'md5Hash' else kind}={said}"}
    put = store("PUT", "/BUCKET/c", data=b"sound", headers=header)
    assert put.status_code == (200 if right else 400)
    assert store.names() == (["a", "b", "c"] if right else [])


@pytest.mark.parametrize("said", ["AAAA", "no base64!", ""])
def test_checksums_that_are_none(store: Store, said: str) -> None:
    begun = store(
        "POST",
        "/upload/storage/v1/b/BUCKET/o?uploadType=resumable",
        json={"name": "b", "crc32c": said},
    )
    assert requests.put(begun.headers["Location"], data=b"x", timeout=60).status_code == 400


CHANGES = [
    ("PATCH", "/b/BUCKET/o/a", {"metadata": {"k": "v"}}),
    ("PUT", "/b/BUCKET/o/a", {"metadata": {"k": "v"}}),
    ("DELETE", "/b/BUCKET/o/a", None),
    ("POST", "/b/BUCKET/o/a/compose", {"sourceObjects": [{"name": "s"}, {"name": "s"}]}),
    ("POST", "/b/BUCKET/o/s/rewriteTo/b/BUCKET/o/a", {}),
    ("POST", "/b/BUCKET/o/s/copyTo/b/BUCKET/o/a", {}),
    ("POST", "/b/BUCKET/o/s/moveTo/o/a", None),
    ("POST", "/upload/storage/v1/b/BUCKET/o?name=a&uploadType=media", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("ifGenerationMatch=G", True),
        ("ifGenerationMatch=1", False),
        ("ifGenerationMatch=0", False),
        ("ifGenerationNotMatch=G", False),
        ("ifGenerationNotMatch=1", True),
        ("ifMetagenerationMatch=1", True),
        ("ifMetagenerationMatch=2", False),
        ("ifMetagenerationNotMatch=1", False),
    ],
)
def test_preconditions_of_every_change(
    store: Store, method: str, path: str, body: Any, condition: str, holds: bool
) -> None:
    generation = store.put("a").json()["generation"]
    store.put("s", b"source")
    sign = "&" if "?" in path else "?"
    where = f"{path}{sign}{condition.replace('=G', f'={generation}')}"
    answer = store(method, where, json=body)
    if holds:
        assert answer.ok
    else:
        assert error(answer) == (412, "conditionNotMet")
        assert store("GET", "/b/BUCKET/o/a").json()["generation"] == generation
        assert store("GET", "/b/BUCKET/o/a").json()["metageneration"] == "1"


@pytest.mark.parametrize("method", ["rewriteTo/b/BUCKET/o/a", "copyTo/b/BUCKET/o/a", "moveTo/o/a"])
def test_preconditions_of_a_source(store: Store, method: str) -> None:
    generation = store.put("s").json()["generation"]
    path = f"/b/BUCKET/o/s/{method}"
    assert store("POST", f"{path}?ifSourceGenerationMatch=1").status_code == 412
    assert store("POST", f"{path}?sourceGeneration=1").status_code == 404
    assert store("POST", f"{path}?ifSourceGenerationMatch={generation}").status_code == 200


def test_preconditions_of_what_is_composed(store: Store) -> None:
    generation = store.put("s", b"ab").json()["generation"]
    for given, status in ((generation, 200), ("1", 412)):
        source = {"name": "s", "objectPreconditions": {"ifGenerationMatch": given}}
        body = {"sourceObjects": [source, source], "destination": {"contentType": "a/b"}}
        assert store("POST", "/b/BUCKET/o/d/compose", json=body).status_code == status
    assert store("GET", "/BUCKET/d").content == b"abab"
    assert store("GET", "/BUCKET/d").headers["Content-Type"] == "a/b"


@pytest.mark.parametrize("value", ["x", "-1", "1.5", ""])
def test_preconditions_that_are_no_numbers(store: Store, value: str) -> None:
    store.put("a")
    assert error(store("DELETE", f"/b/BUCKET/o/a?ifGenerationMatch={value}")) == (400, "invalid")


def test_preconditions_of_reads(store: Store) -> None:
    generation = store.put("a").json()["generation"]
    assert store("GET", f"/b/BUCKET/o/a?ifGenerationNotMatch={generation}").status_code == 304
    assert store("GET", "/b/BUCKET/o/a?ifGenerationMatch=1&alt=media").status_code == 412
    assert store("GET", "/b/BUCKET/o/a?generation=1").status_code == 404
    assert store("GET", f"/b/BUCKET/o/a?generation={generation}").status_code == 200
    header = {"x-goog-if-generation-match": "0"}
    assert store("PUT", "/BUCKET/a", data=b"y", headers=header).status_code == 412


def test_metadata_is_changed_field_by_field(store: Store) -> None:
    store.put("a")
    first = {"metadata": {"k": "v", "l": 1}, "cacheControl": "no-store", "contentType": "a/b"}
    store("PATCH", "/b/BUCKET/o/a", json=first)
    second = {"metadata": {"k": None}, "cacheControl": None, "contentLanguage": "de"}
    changed = store("PATCH", "/b/BUCKET/o/a", json=second).json()
    assert changed["metadata"] == {"l": "1"}
    assert ("cacheControl" in changed, changed["contentLanguage"]) == (False, "de")
    assert (changed["contentType"], changed["metageneration"]) == ("a/b", "3")
    replaced = store("PUT", "/b/BUCKET/o/a", json={"metadata": {"z": "1"}}).json()
    assert (replaced["metadata"], "contentLanguage" in replaced) == ({"z": "1"}, False)
    for wrong in ([], {"metadata": 1}, {"contentType": []}):
        assert store("PATCH", "/b/BUCKET/o/a", json=wrong).status_code == 400


NAMES = ["a.wav", "b.mp3", "d/", "d/e/z.wav", "d/x.wav", "d/y.mp3", "sp ace.wav", "ü.wav"]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.wav", ["a.wav", "sp ace.wav", "ü.wav"]),
        ("**.wav", ["a.wav", "d/e/z.wav", "d/x.wav", "sp ace.wav", "ü.wav"]),
        ("d/*", ["d/", "d/x.wav", "d/y.mp3"]),
        ("d/**", ["d/", "d/e/z.wav", "d/x.wav", "d/y.mp3"]),
        ("?.wav", ["a.wav", "ü.wav"]),
        ("[ab].*", ["a.wav", "b.mp3"]),
        ("[!a].*", ["b.mp3", "ü.wav"]),
        ("{a,b}.{wav,mp3}", ["a.wav", "b.mp3"]),
        ("**/{x,z}.wav", ["d/e/z.wav", "d/x.wav"]),
        ("a.wa", []),
    ],
)
def test_globs(store: Store, glob: str, found: list[str]) -> None:
    for name in NAMES:
        store.put(name)
    assert store.names(matchGlob=glob) == found


@pytest.mark.parametrize("glob", ["{a", "[]", "x" * 2000, "[b-a]"])
def test_globs_that_are_none(store: Store, glob: str) -> None:
    assert error(store("GET", "/b/BUCKET/o", params={"matchGlob": glob})) == (400, "invalid")
    with pytest.raises(StorageError):
        glob_pattern(glob)


def test_lists_by_folders_and_pages(store: Store) -> None:
    for name in NAMES:
        store.put(name)
    whole = store("GET", "/b/BUCKET/o", params={"delimiter": "/"}).json()
    assert [item["name"] for item in whole["items"]] == ["a.wav", "b.mp3", "sp ace.wav", "ü.wav"]
    assert whole["prefixes"] == ["d/"]
    assert store.names(prefix="d/", delimiter="/") == ["d/", "d/x.wav", "d/y.mp3"]
    assert store.names(startOffset="d/x", endOffset="sp") == ["d/x.wav", "d/y.mp3"]
    assert "d/" in store.names(delimiter="/", includeTrailingDelimiter="true")
    for params in ({}, {"delimiter": "/"}, {"prefix": "d/"}, {"matchGlob": "**.wav"}):
        pages, token = [], ""
        while True:
            query = {"maxResults": "2", "pageToken": token, **params}
            page = store("GET", "/b/BUCKET/o", params=query).json()
            pages += [item["name"] for item in page["items"]]
            assert len(page["items"]) + len(page.get("prefixes", [])) <= 2
            if (token := page.get("nextPageToken", "")) == "":
                break
        assert pages == store.names(**params)
    for wrong in ({"maxResults": "x"}, {"pageToken": "%"}, {"matchGlob": "*", "delimiter": "x"}):
        assert store("GET", "/b/BUCKET/o", params=wrong).status_code == 400


def test_buckets(store: Store) -> None:
    assert store("POST", "/b?project=p", json={"name": "second"}).status_code == 200
    assert error(store("POST", "/b", json={"name": "second"})) == (409, "conflict")
    for wrong in ("x", "A b", "a..b", "../x", None):
        assert store("POST", "/b", json={"name": wrong}).status_code == 400
    changed = store("PATCH", "/b/second", json={"labels": {"a": "b"}}).json()
    assert changed["labels"] == {"a": "b"}
    listed = store("GET", "/b?project=p").json()["items"]
    assert {bucket["name"] for bucket in listed} >= {store.bucket, "second"}
    where = "/upload/storage/v1/b/second/o?uploadType=media&name=a"
    store("POST", where, data=b"x").raise_for_status()
    assert error(store("DELETE", "/b/second")) == (409, "conflict")
    store("DELETE", "/b/second/o/a").raise_for_status()
    assert store("DELETE", "/b/second").status_code == 204
    assert error(store("GET", "/b/second/o")) == (404, "notFound")


def test_parts_of_an_object(store: Store) -> None:
    store.put("a", b"0123456789")

    def part(asked: str) -> tuple[int, bytes, str | None]:
        answer = store("GET", "/BUCKET/a", headers={"Range": asked})
        return answer.status_code, answer.content, answer.headers.get("Content-Range")

    assert part("bytes=2-4") == (206, b"234", "bytes 2-4/10")
    assert part("bytes=7-") == (206, b"789", "bytes 7-9/10")
    assert part("bytes=-3") == (206, b"789", "bytes 7-9/10")
    assert part("bytes=-30") == (206, b"0123456789", "bytes 0-9/10")
    assert part("bytes=5-99") == (206, b"56789", "bytes 5-9/10")
    assert part("bytes=10-")[::2] == (416, "bytes */10")
    for nonsense in ("bytes=-", "bytes=4-2", "items=1-2", "bytes=1-2,4-5"):
        assert part(nonsense)[:2] == (200, b"0123456789")


def test_packed_content_is_unpacked_for_who_cannot(store: Store) -> None:
    packed = gzip.compress(b"text")
    store.put("a", packed, contentEncoding="gzip")
    plain = store("GET", "/BUCKET/a", headers={"Accept-Encoding": "identity"})
    assert (plain.content, "Content-Encoding" in plain.headers) == (b"text", False)
    raw = store("GET", "/BUCKET/a", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert raw.raw.read(decode_content=False) == packed
    stored = store("PUT", "/BUCKET/b", data=packed, headers={"Content-Encoding": "gzip"})
    assert stored.headers["ETag"] == f'"{hashes(packed)["md5Hash"]}"'


def test_a_form_may_upload(store: Store) -> None:
    fields = {"key": "f/a.txt", "Cache-Control": "max-age=1", "x-goog-meta-k": "v"}
    file = {"file": ("a.txt", io.BytesIO(b"text"), "text/plain")}
    assert store("POST", "/BUCKET", data=fields, files=file).status_code == 204
    found = store("GET", "/b/BUCKET/o/f%2Fa.txt").json()
    assert (found["contentType"], found["metadata"]) == ("text/plain", {"k": "v"})
    assert store("POST", "/BUCKET", data={"key": "x"}).status_code == 400


def test_a_signed_url_may_begin_an_upload(store: Store) -> None:
    begun = store("POST", "/BUCKET/a", headers={"x-goog-resumable": "start", "Content-Type": "a/b"})
    assert begun.status_code == 201
    assert requests.put(begun.headers["Location"], data=b"abc", timeout=60).status_code == 200
    assert store("GET", "/BUCKET/a").headers["Content-Type"] == "a/b"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/storage/v1/x", 404),
        ("GET", "/b/BUCKET/o/none", 404),
        ("GET", "/b/none/o", 404),
        ("POST", "/b/BUCKET/o/a", 405),
        ("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=strange&name=a", 400),
        ("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=media", 400),
        ("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=multipart&name=a", 400),
        ("POST", "/upload/storage/v1/b/none/o?uploadType=media&name=a", 404),
        ("PUT", "/upload/storage/v1/b/BUCKET/o?upload_id=none", 404),
        ("POST", "/b/BUCKET/o/d/compose", 400),
        ("PUT", "/BUCKET", 405),
        ("GET", "/BUCKET/none", 404),
        ("DELETE", "/BUCKET/none", 404),
    ],
)
def test_what_is_refused(store: Store, method: str, path: str, status: int) -> None:
    assert store(method, path).status_code == status


@pytest.mark.parametrize("name", [".", "..", "a\nb", "x" * 1025])
def test_names_that_no_object_can_have(store: Store, name: str) -> None:
    assert store.put(name).status_code == 400


def test_objects_are_kept_between_runs(tmp_path: Path) -> None:
    for run in (1, 2):
        with LocalFirebase(data=tmp_path) as firebase:
            store = Store(firebase)
            if run == 1:
                store.put("../../a", b"first")
                generation = store.put("../../a", b"second").json()["generation"]
                store("PATCH", "/b/BUCKET/o/..%2F..%2Fa", json={"metadata": {"k": "v"}})
                store.put("gone")
                store("DELETE", "/b/BUCKET/o/gone").raise_for_status()
            found = store("GET", "/b/BUCKET/o/..%2F..%2Fa").json()
            assert (found["generation"], found["metadata"]) == (generation, {"k": "v"})
            assert store("GET", "/b/BUCKET/o/..%2F..%2Fa?alt=media").content == b"second"
            assert store.names() == ["../../a"]
    files = sorted(path.suffix for path in (tmp_path / "storage").iterdir())
    assert files == sorted([f".{generation}", ".json", ".json"])
    (tmp_path / "storage" / "x.json").write_text("{}")
    with pytest.raises(DamagedDataError, match=r"x\.json"):
        LocalFirebase(data=tmp_path).start()
