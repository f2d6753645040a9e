"""A WAV file's label and its content credentials, put behind the samples in place.

Layout (C2PA 2.2, A.3.3; RIFF): ``RIFF size WAVE | fmt | data | LIST INFO AIGC | C2PA``. The samples
stay where they are; the file is read once, to digest it, and held nowhere.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import BinaryIO

from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.manifest import Made, label, manifest
from narrator_daemon.credentials.native import Signing
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.wav import HEADER_BYTES, ROOM_BYTES

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Finished:
    """A file that will not change any more.

    Attributes:
        size: in bytes.
        digest: SHA-256 of all of it, hexadecimal.
        samples_digest: SHA-256 of its samples alone, as they lie in it, hexadecimal.
    """

    size: int
    digest: str
    samples_digest: str


def add_credentials(file: BinaryIO, made: Made, signer: Signer | None) -> Finished:
    """Put the label into a finished WAV file and, where there is a signer, its credentials.

    Args:
        file: open for reading and writing, a whole WAV file.
        made: what they say.
        signer: who signs.

    Returns:
        the file as it is now. It is read once for it, whether it is signed or not.

    Raises:
        CannotSign: the signer fails, or its chain is too long.
    """
    samples_end = file.seek(0, 2)
    size = _append(file, samples_end, b"LIST", _info(label(made)))
    if signer is None:
        whole, samples = _digest(file, size, samples_end)
        return Finished(size, whole.hexdigest(), samples)
    with Signing(
        manifest(made, "audio/wav"),
        signer.algorithm,
        signer.certificates,
        signer.key,
        signer.time_stamp_authority,
    ) as signing:
        length = signing.placeholder()
        if length > ROOM_BYTES // 2:
            raise CannotSign(
                f"the credentials would take {length} bytes", advice="take a shorter chain"
            )
        _write_riff_size(file, size + _CHUNK.size + length + length % 2)
        whole, samples = _digest(file, size, samples_end)
        digest = whole.copy()
        # The byte that makes the chunk even is no part of what is left out.
        digest.update(b"\0" * (length % 2))
        signed = signing.sign(size, _CHUNK.size + length, digest.digest())
    if len(signed) != length:
        raise CannotSign("the credentials came out at another size than was announced")
    chunk = _chunk(b"C2PA", signed)
    whole.update(chunk)
    return Finished(_append(file, size, b"C2PA", signed), whole.hexdigest(), samples)


_CHUNK = struct.Struct("<4sI")


def _info(value: str) -> bytes:
    text = value.encode("ascii") + b"\0"
    text += b"\0" * (len(text) % 2)
    return b"INFO" + _CHUNK.pack(b"AIGC", len(text)) + text


def _chunk(name: bytes, content: bytes) -> bytes:
    return _CHUNK.pack(name, len(content)) + content + b"\0" * (len(content) % 2)


def _append(file: BinaryIO, size: int, name: bytes, content: bytes) -> int:
    file.seek(size)
    file.write(_chunk(name, content))
    end = file.tell()
    _write_riff_size(file, end)
    return end


def _write_riff_size(file: BinaryIO, size: int) -> None:
    file.seek(4)
    file.write(struct.pack("<I", size - _CHUNK.size))


def _digest(file: BinaryIO, size: int, samples_end: int) -> tuple[hashlib._Hash, str]:
    """Of the first ``size`` bytes, and of the samples among them."""
    file.flush()
    file.seek(0)
    whole, samples = hashlib.sha256(), hashlib.sha256()
    place = 0
    while place < size:
        # No block reaches across an end of the samples.
        edge = HEADER_BYTES if place < HEADER_BYTES else samples_end
        block = file.read(min(_BLOCK, (edge if place < edge else size) - place))
        if not block:
            raise CannotSign("the file was cut short while it was signed")
        whole.update(block)
        if HEADER_BYTES <= place < samples_end:
            samples.update(block)
        place += len(block)
    return whole, samples.hexdigest()
