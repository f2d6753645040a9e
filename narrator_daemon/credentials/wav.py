"""A WAV file's label and its content credentials, put behind the samples in place.

Layout (C2PA 2.2, A.3.3; RIFF): ``RIFF size WAVE | fmt | data | LIST INFO AIGC | C2PA``. The samples
stay where they are; the file is read once, to digest it, and held nowhere.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import BinaryIO

from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.manifest import Made, label, manifest
from narrator_daemon.credentials.native import Signing
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.narration.wav import ROOM_BYTES

_BLOCK = 1 << 20


def add_credentials(file: BinaryIO, made: Made, signer: Signer | None) -> int:
    """Put the label into a finished WAV file and, where there is a signer, its credentials.

    Args:
        file: open for reading and writing, a whole WAV file.
        made: what they say.
        signer: who signs.

    Returns:
        the size of the file now, in bytes.

    Raises:
        CannotSign: the signer fails, or its chain is too long.
    """
    size = _append(file, file.seek(0, 2), b"LIST", _info(label(made)))
    if signer is None:
        return size
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
        whole = size + _CHUNK.size + length + length % 2
        _write_riff_size(file, whole)
        digest = _digest(file, size)
        # The byte that makes the chunk even is no part of what is left out.
        digest.update(b"\0" * (length % 2))
        place = {"start": size, "length": _CHUNK.size + length}
        data_hash = {
            "exclusions": [place],
            "name": "jumbf manifest",
            "alg": "sha256",
            "hash": list(digest.digest()),
            "pad": " ",
        }
        signed = signing.sign(json.dumps(data_hash))
    if len(signed) != length:
        raise CannotSign("the credentials came out at another size than was announced")
    return _append(file, size, b"C2PA", signed)


_CHUNK = struct.Struct("<4sI")


def _info(value: str) -> bytes:
    text = value.encode("ascii") + b"\0"
    text += b"\0" * (len(text) % 2)
    return b"INFO" + _CHUNK.pack(b"AIGC", len(text)) + text


def _append(file: BinaryIO, size: int, name: bytes, content: bytes) -> int:
    file.seek(size)
    file.write(_CHUNK.pack(name, len(content)) + content + b"\0" * (len(content) % 2))
    end = file.tell()
    _write_riff_size(file, end)
    return end


def _write_riff_size(file: BinaryIO, size: int) -> None:
    file.seek(4)
    file.write(struct.pack("<I", size - _CHUNK.size))


def _digest(file: BinaryIO, size: int) -> hashlib._Hash:
    file.flush()
    file.seek(0)
    digest = hashlib.sha256()
    while size:
        block = file.read(min(_BLOCK, size))
        if not block:
            raise CannotSign("the file was cut short while it was signed")
        digest.update(block)
        size -= len(block)
    return digest
