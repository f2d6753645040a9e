"""An M4A or MP3 file's label and content credentials.

Both stand before or among what is there already, so that the file is written anew into a scratch
file, with room for the manifest, and then over itself. It is read in blocks of a megabyte and held
nowhere, however long it is.

Layout (C2PA 2.2, A.3.4 and A.5): M4A has a box ``uuid`` behind ``ftyp``, MP3 a frame ``GEOB`` at
the end of its tag.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from narrator_daemon.credentials.boxes import top_level
from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.labels import MOST_CHUNKS, label_mp3, label_mp4
from narrator_daemon.credentials.manifest import Made, label, manifest
from narrator_daemon.credentials.native import MANIFEST_BOX, NOT_HASHED, BoxSigning, Signing
from narrator_daemon.credentials.signer import Signer

_BLOCK = 1 << 20


def add_credentials_to_compressed(
    file: BinaryIO,
    form: str,
    made: Made,
    signer: Signer | None,
    scratch: Callable[[], AbstractContextManager[BinaryIO]] = tempfile.TemporaryFile,
) -> int:
    """Put the label into a finished file and, where there is a signer, its credentials.

    No sample changes, and chapters, covers and titles stay.

    Args:
        file: open for reading and writing, a whole file. Written only when all else is done.
        form: one of ``FORMATS``.
        made: what they say.
        signer: who signs.
        scratch: opens an empty file for reading and writing, closed at the end of its ``with``.

    Returns:
        its size now, in bytes.

    Raises:
        CannotSign: the signer fails, or the file is not of its format.
        OSError: a file cannot be read or written.
    """
    with scratch() as done:
        try:
            _FORMATS[form](file, done, made, signer)
        except (ValueError, IndexError, struct.error) as error:
            raise CannotSign(f"the {form} file cannot be labelled: {error}") from None
        done.seek(0)
        file.seek(0)
        shutil.copyfileobj(done, file, _BLOCK)
        file.truncate()
        file.flush()
        return file.tell()


def _to_mp3(source: BinaryIO, out: BinaryIO, made: Made, signer: Signer | None) -> None:
    if signer is None:
        label_mp3(source, out, label(made))
        return
    with Signing(manifest(made, "audio/mpeg"), *_of(signer)) as signing:
        length = signing.placeholder()
        place = label_mp3(source, out, label(made), length)
        digest = hashlib.sha256()
        _digest(out, 0, place, digest)
        _digest(out, place + length, out.seek(0, 2), digest)
        _fill(out, place, length, signing.sign(place, length, digest.digest()))


def _to_mp4(source: BinaryIO, out: BinaryIO, made: Made, signer: Signer | None) -> None:
    if signer is None:
        label_mp4(source, out, label(made))
        return
    with BoxSigning(manifest(made, "audio/mp4"), *_of(signer)) as signing:
        length = signing.placeholder()
        place = label_mp4(source, out, label(made), length)
        # A box of the right size and type, so that the file's boxes can be gone through.
        _fill(out, place, 24, struct.pack(">I4s", length, b"uuid") + MANIFEST_BOX)
        _fill(out, place, length, signing.sign(digest_of_boxes(out)))


#: What puts label and credentials into a copy of a format's file.
_FORMATS: dict[str, Callable[[BinaryIO, BinaryIO, Made, Signer | None], None]] = {
    "m4a": _to_mp4,
    "mp3": _to_mp3,
}
#: The formats that take credentials beside WAV; Ogg has no place for them.
FORMATS = frozenset(_FORMATS)


def digest_of_boxes(file: BinaryIO) -> bytes:
    """SHA-256 over an MP4 file's boxes, each after its place (C2PA 2.2, 9.2.3), manifests left out.

    Raises:
        ValueError: it is made of no boxes.
    """
    digest = hashlib.sha256()
    left_out = {name.encode() for name in NOT_HASHED}
    for box in top_level(file, MOST_CHUNKS):
        if box.name in left_out or _is_manifest(file, box.name, box.start):
            continue
        digest.update(struct.pack(">Q", box.start))
        _digest(file, box.start, box.start + box.size, digest)
    return digest.digest()


def _is_manifest(file: BinaryIO, name: bytes, start: int) -> bool:
    if name != b"uuid":
        return False
    # Where the exclusion says that the type stands.
    file.seek(start + 8)
    return file.read(len(MANIFEST_BOX)) == MANIFEST_BOX


def _of(signer: Signer) -> tuple[str, str, str | Callable[[bytes], bytes], str | None]:
    return signer.algorithm, signer.certificates, signer.key, signer.time_stamp_authority


def _digest(file: BinaryIO, start: int, end: int, digest: hashlib._Hash) -> None:
    file.seek(start)
    while start < end:
        block = file.read(min(_BLOCK, end - start))
        if not block:
            raise CannotSign("the file was cut short while it was signed")
        digest.update(block)
        start += len(block)


def _fill(file: BinaryIO, place: int, room: int, content: bytes) -> None:
    if len(content) != room:
        raise CannotSign("the credentials came out at another size than was announced")
    file.seek(place)
    file.write(content)
