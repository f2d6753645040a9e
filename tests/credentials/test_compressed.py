"""Labels and credentials in M4A and MP3: read back by c2pa's reader and by FFmpeg."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.compressed import add_credentials_to_compressed
from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.labels import read_label
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.credentials.wav import add_credentials
from narrator_daemon.settings import Credentials
from tests.credentials.test_credentials import MADE, wav, write_pair

av = pytest.importorskip("av")

KINDS = {
    "m4a": ("ipod", "aac", "audio/mp4"),
    "mp3": ("mp3", "libmp3lame", "audio/mpeg"),
}


@pytest.fixture(scope="module")
def signer() -> Signer:
    return signers.throwaway()


#: What describes the sound stands behind it or before it; tags are of either version.
VARIANTS = [
    ("m4a", {}),
    ("m4a", {"movflags": "faststart"}),
    ("mp3", {}),
    ("mp3", {"id3v2_version": "3"}),
]


def write(path: Path, options: dict[str, str] | None = None, **metadata: str) -> None:
    """Three seconds of noise, with chapters."""
    form, codec, _ = KINDS[path.suffix[1:]]
    samples = np.random.default_rng(4).normal(0, 3000, (1, 72_000)).astype(np.int16)
    with av.open(str(path), "w", format=form, options=options or {}) as out:
        out.metadata.update(metadata)
        chapters = [
            {
                "id": number,
                "start": number * 1000,
                "end": number * 1000 + 1000,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": f"Chapter {number}"},
            }
            for number in range(3)
        ]
        out.set_chapters(chapters)
        stream = out.add_stream(codec, rate=24_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 24_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)


def add(path: Path, signer: Signer | None) -> int:
    with path.open("r+b") as file:
        return add_credentials_to_compressed(file, path.suffix[1:], MADE, signer)


def heard(path: Path) -> tuple[str, dict[str, str], list[str]]:
    """A digest of the samples, the metadata, and the chapters' titles."""
    digest = hashlib.sha256()
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            digest.update(bytes(frame.planes[0]))
        titles = [each["metadata"].get("title", "") for each in file.chapters()]
        return digest.hexdigest(), dict(file.metadata), titles


def read(path: Path) -> tuple[str, dict[str, Any]]:
    with path.open("rb") as file, c2pa.Reader(KINDS[path.suffix[1:]][2], file) as reader:
        store = json.loads(reader.json())
        return str(reader.get_validation_state()), store["manifests"][store["active_manifest"]]


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
def test_a_signed_file_is_valid_and_nothing_else_of_it_changes(
    tmp_path: Path, signer: Signer, kind: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"book.{kind}"
    write(path, options, title="Moby Dick", artist="Herman Melville", date="1851", genre="Sea")
    samples, metadata, chapters = heard(path)
    before = path.stat().st_size
    size = add(path, signer)
    assert size == path.stat().st_size
    assert size - before < 5_000
    state, manifest = read(path)
    assert state == "Valid"
    assert manifest["title"] == "Narration of moby dick/ü"
    after, now, titles = heard(path)
    assert (after, titles) == (samples, chapters)
    label = json.loads(now.pop("AIGC"))
    assert label == read_label(path)
    assert label["ProduceID"] == "abc123"
    assert now == metadata


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_signer_the_label_alone_is_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"book.{kind}"
    write(path)
    samples = heard(path)[0]
    add(path, None)
    assert read_label(path) is not None
    assert heard(path)[0] == samples
    with pytest.raises(c2pa.C2paError):
        read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_byte_of_the_sound_is_seen(tmp_path: Path, signer: Signer, kind: str) -> None:
    path = tmp_path / f"book.{kind}"
    write(path)
    add(path, signer)
    whole = bytearray(path.read_bytes())
    place = whole.index(b"mdat") + 5_000 if kind != "mp3" else len(whole) - 5_000
    whole[place] ^= 1
    path.write_bytes(whole)
    assert read(path)[0] == "Invalid"


def test_a_command_signs_these_too_and_its_fault_is_told(tmp_path: Path, signer: Signer) -> None:
    certificate = write_pair(tmp_path, signer).certificate
    failing = signers.from_settings(Credentials(certificate=certificate, sign_command=("false",)))
    path = tmp_path / "book.mp3"
    write(path)
    before = path.read_bytes()
    with pytest.raises(CannotSign, match="ended with 1"):
        add(path, failing)
    assert path.read_bytes() == before


def test_by_a_command(tmp_path: Path, signer: Signer) -> None:
    import sys

    settings = write_pair(tmp_path, signer)
    program = tmp_path / "sign.py"
    program.write_text(
        "import sys\n"
        "from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        f"pem = open({str(settings.private_key)!r}, 'rb').read()\n"
        "key = serialization.load_pem_private_key(pem, None)\n"
        "signed = key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256()))\n"
        "sys.stdout.buffer.write(signed)\n"
    )
    by_command = signers.from_settings(
        Credentials(certificate=settings.certificate, sign_command=(sys.executable, str(program)))
    )
    for kind in KINDS:
        path = tmp_path / f"book.{kind}"
        write(path)
        add(path, by_command)
        assert read(path)[0] == "Valid"


class Counted(io.BytesIO):
    """A file that knows how much of it was asked for at once."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        Counted.most = max(Counted.most, len(block))
        return block


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_file_is_never_held_as_a_whole(tmp_path: Path, signer: Signer, kind: str) -> None:
    path = tmp_path / f"book.{kind}"
    write(path)
    whole = path.read_bytes()
    # A box that nobody knows, and sound that goes on.
    more = struct.pack(">I4s", 5_000_008, b"wide") if kind == "m4a" else b""
    file = Counted(whole + more + bytes(5_000_000))
    Counted.most = 0
    add_credentials_to_compressed(file, kind, MADE, signer, Counted)
    assert 1 << 20 >= Counted.most > 0
    path.write_bytes(file.getvalue())
    assert read(path)[0] == "Valid"


def test_offsets_that_have_no_room_to_grow_are_refused(signer: Signer) -> None:
    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, name) + content

    def mp4(*offsets: int) -> bytes:
        inside = box(b"stco", struct.pack(f">II{len(offsets)}I", 0, len(offsets), *offsets))
        for name in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
            inside = box(name, inside)
        return box(b"ftyp", b"M4A ") + inside + box(b"mdat", b"sound")

    file = io.BytesIO(mp4((1 << 32) - 100))
    with pytest.raises(CannotSign, match="too large"):
        add_credentials_to_compressed(file, "m4a", MADE, signer, io.BytesIO)
    assert file.getvalue() == mp4((1 << 32) - 100)
    # Those that stand before what is put in stay.
    before = mp4(4, len(mp4(0, 0)) - 5)
    file = io.BytesIO(before)
    add_credentials_to_compressed(file, "m4a", MADE, signer, io.BytesIO)
    place = file.getvalue().index(b"stco") + 12
    first, second = struct.unpack_from(">II", file.getvalue(), place)
    assert first == 4
    assert file.getvalue()[second : second + 5] == b"sound"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_of_its_format_is_refused_and_left(
    tmp_path: Path, signer: Signer, kind: str
) -> None:
    path = tmp_path / f"book.{kind}"
    path.write_bytes(b"ID3\2 something else" * 9)
    with pytest.raises(CannotSign):
        add(path, signer)
    assert path.read_bytes() == b"ID3\2 something else" * 9


def labelled(folder: Path) -> list[bytes]:
    files = [wav(0.1)]
    add_credentials(files[0], MADE, None)
    found = [files[0].getvalue()]
    for kind in ("m4a", "mp3"):
        path = folder / f"l.{kind}"
        write(path)
        add(path, None)
        found.append(path.read_bytes())
    comment = b"AIGC=" + json.dumps({"Label": "1"}).encode()
    block = bytes(4) + (1).to_bytes(4, "little") + len(comment).to_bytes(4, "little") + comment
    found.append(b"fLaC\x84" + len(block).to_bytes(3, "big") + block)
    return found


def test_labels_are_found_in_each_format(tmp_path: Path) -> None:
    for number, content in enumerate(labelled(tmp_path)):
        path = tmp_path / str(number)
        path.write_bytes(content)
        label = read_label(path)
        assert label is not None
        assert label["Label"] == "1"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    folder = tmp_path_factory.mktemp("labels")
    return folder, labelled(folder)


@given(
    which=st.integers(0, 3),
    start=st.floats(0, 1),
    junk=st.binary(max_size=12),
    keep=st.floats(0, 1),
)
def test_damaged_metadata_says_nothing_and_harms_nobody(
    samples: tuple[Path, list[bytes]], which: int, start: float, junk: bytes, keep: float
) -> None:
    folder, files = samples
    whole = bytearray(files[which])
    # Where the metadata lies: at the end, but for MP3 and FLAC.
    reach = 600
    place = int(start * reach) if which in (2, 3) else len(whole) - 1 - int(start * reach)
    whole[place : place + len(junk)] = junk
    path = folder / "damaged"
    path.write_bytes(whole[: max(int(len(whole) * keep), 1)] if keep < 0.5 else whole)
    label = read_label(path)
    assert label is None or isinstance(label, dict)


def test_a_label_that_is_no_json_is_shown_as_it_is(tmp_path: Path) -> None:
    file = io.BytesIO(wav(0.1).getvalue())
    file.seek(0, 2)
    value = b"made by a machine\0"
    item = b"AIGC" + len(value).to_bytes(4, "little") + value
    file.write(b"LIST" + (len(item) + 4).to_bytes(4, "little") + b"INFO" + item)
    (tmp_path / "a.wav").write_bytes(file.getvalue())
    assert read_label(tmp_path / "a.wav") == {"unreadable": "made by a machine"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [0, 2_000])
def test_a_disk_that_is_full_is_told_as_one(
    tmp_path: Path, signer: Signer, kind: str, room: int
) -> None:
    """And not as a signer that fails."""

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    path = tmp_path / f"book.{kind}"
    write(path)
    before = path.read_bytes()
    with path.open("r+b") as file, pytest.raises(OSError, match="No space left"):
        add_credentials_to_compressed(file, kind, MADE, signer, Full)
    assert path.read_bytes() == before
