"""The label ``AIGC`` (GB 45438-2025) in a file's own metadata: found in any file, put into ours.

Where each format keeps it: WAV in a ``LIST INFO`` chunk, MP3 in an ID3v2 frame ``TXXX``, M4A in an
iTunes item ``----`` (or under ``keys``, as FFmpeg can be told to), FLAC in a Vorbis comment. Files
come from strangers: nothing is believed of the sizes that they tell, and no more than the metadata
is read.

Sources: ID3v2.3 and 2.4 (id3.org), ISO/IEC 14496-12, QuickTime File Format (Metadata), RFC 9639.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from narrator_daemon.credentials.boxes import Box, children, top_level

#: The field's name.
FIELD = "AIGC"
#: Bytes of one format's metadata that are looked at; book covers lie there, too.
MOST_METADATA = 64 << 20
#: Bytes that a label may have.
_MOST_LABEL = 1 << 16
#: Chunks or boxes of a file that are looked at.
MOST_CHUNKS = 10_000

_CHUNK = struct.Struct("<4sI")


def read_label(path: Path) -> dict[str, Any] | None:
    """The label in a file; None where there is none.

    Gives:
        its fields; where it is not what the standard lays down, ``{"unreadable": text}``.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        try:
            found = _reader(head)(file)
        except (struct.error, ValueError, UnicodeDecodeError, IndexError):
            # Damaged metadata says nothing.
            return None
    if found is None or len(found) > _MOST_LABEL:
        return None
    text = found.decode("utf-8", "replace").strip("\0 \n")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    return fields if isinstance(fields, dict) else {"unreadable": text[:200]}


def _reader(head: bytes) -> Any:
    if head[:4] in {b"RIFF", b"RF64"} and head[8:] == b"WAVE":
        return _in_wav
    if head[:3] == b"ID3":
        return _in_id3
    if head[4:8] == b"ftyp":
        return _in_mp4
    if head[:4] == b"fLaC":
        return _in_flac
    return lambda _file: None


def _in_wav(file: BinaryIO) -> bytes | None:
    end, place = file.seek(0, 2), 12
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size or place >= end:
            return None
        name, size = _CHUNK.unpack(head)
        if name == b"LIST" and size <= MOST_METADATA:
            for item, value in _items(file.read(size)):
                if item == FIELD.encode():
                    return value
        place += _CHUNK.size + size + size % 2
    return None


def _items(info: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 4 if info[:4] == b"INFO" else len(info)
    while place + _CHUNK.size <= len(info):
        name, size = _CHUNK.unpack_from(info, place)
        yield name, info[place + _CHUNK.size : place + _CHUNK.size + size]
        place += _CHUNK.size + size + size % 2


def _in_flac(file: BinaryIO) -> bytes | None:
    file.seek(4)
    for _ in range(MOST_CHUNKS):
        head = file.read(4)
        kind, size = head[0], int.from_bytes(head[1:4], "big")
        if kind & 127 == 4:
            return _in_comments(file.read(size))
        if kind & 128:
            return None
        file.seek(size, 1)
    return None


def _in_comments(block: bytes) -> bytes | None:
    place = 4 + struct.unpack_from("<I", block, 0)[0]
    (count,) = struct.unpack_from("<I", block, place)
    place += 4
    for _ in range(min(count, MOST_CHUNKS)):
        (size,) = struct.unpack_from("<I", block, place)
        name, _, value = block[place + 4 : place + 4 + size].partition(b"=")
        if name.upper() == FIELD.encode():
            return value
        place += 4 + size
    return None


# MP3.

_ID3_HEAD = 10
_UINT32 = struct.Struct(">I")


def _in_id3(file: BinaryIO) -> bytes | None:
    frames = _read_id3(file)[0]
    for name, content in frames:
        if name == b"TXXX" and (told := _own_text(content)) is not None:
            return told
    return None


def _read_id3(file: BinaryIO) -> tuple[list[tuple[bytes, bytes]], int, int]:
    """The frames of a tag, where the sound begins, and the tag's version (3 or 4).

    Raises:
        ValueError: it is of a kind that is not read.
    """
    file.seek(0)
    head = file.read(_ID3_HEAD)
    if head[:3] != b"ID3":
        return [], 0, 4
    version, flags, size = head[3], head[5], _from_syncsafe(head[6:10])
    if version not in (3, 4) or size > MOST_METADATA:
        raise ValueError("a tag of another version, or too large a one")
    body = file.read(size)
    if flags & 0x80 and version == 3:
        body = body.replace(b"\xff\x00", b"\xff")
    place = 0
    if flags & 0x40:
        place = 4 + struct.unpack_from(">I", body)[0] if version == 3 else _from_syncsafe(body[:4])
    frames = []
    while place + _ID3_HEAD <= len(body) and body[place] != 0:
        name = body[place : place + 4]
        written = body[place + 4 : place + 8]
        length = _from_syncsafe(written) if version == 4 else int.from_bytes(written, "big")
        content = body[place + _ID3_HEAD : place + _ID3_HEAD + length]
        if body[place + 9] == 0:
            frames.append((name, content))
        place += _ID3_HEAD + length
    return frames, _ID3_HEAD + size + (10 if flags & 0x10 else 0), version


def _own_text(content: bytes) -> bytes | None:
    """What a frame ``TXXX`` named AIGC holds, as UTF-8."""
    encoding = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(content[0])
    if encoding is None:
        return None
    name, _, value = content[1:].decode(encoding).partition("\0")
    return value.lstrip("\ufeff").encode() if name == FIELD else None


def _from_syncsafe(written: bytes) -> int:
    number = 0
    for byte in written:
        number = number << 7 | byte & 127
    return number


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def label_mp3(source: BinaryIO, out: BinaryIO, label: str, room: int = 0) -> int:
    """Copy an MP3 file with the label in its tag.

    Args:
        source: the file.
        out: where the copy goes.
        label: the field's value, JSON in ASCII.
        room: bytes of a manifest for which a frame ``GEOB`` is put in, zeros for now; 0 for none.

    Returns:
        where these bytes begin.

    Raises:
        ValueError: its tag is of a kind that is not written.
        OSError: it cannot be read or written.
    """
    frames, sound, version = _read_id3(source)
    kept = [each for each in frames if each[0] != b"TXXX" or _own_text(each[1]) is None]
    kept.append((b"TXXX", b"\0" + FIELD.encode() + b"\0" + label.encode("ascii")))
    if room:
        kept = [each for each in kept if not (each[0] == b"GEOB" and _is_manifest(each[1]))]
        kept.append((b"GEOB", _GEOB + bytes(room)))
    size = _syncsafe if version == 4 else _UINT32.pack
    body = b"".join(name + size(len(content)) + b"\0\0" + content for name, content in kept)
    out.write(b"ID3" + bytes((version, 0, 0)) + _syncsafe(len(body)) + body)
    place = out.tell() - room
    source.seek(sound)
    _copy(source, out)
    return place


#: Before a manifest: Latin-1, its type, no file name, what it is (C2PA 2.2, A.3.4).
_GEOB = b"\0application/c2pa\0c2pa\0c2pa manifest store\0"


def _is_manifest(content: bytes) -> bool:
    return content[1:].startswith((b"application/c2pa\0", b"application/x-c2pa-manifest-store\0"))


# M4A.


def _in_mp4(file: BinaryIO) -> bytes | None:
    moov = next((box for box in top_level(file, MOST_CHUNKS) if box.name == b"moov"), None)
    if moov is None or moov.size > MOST_METADATA:
        return None
    inside = moov.read(file)
    for path in ((b"udta", b"meta"), (b"meta",)):
        meta = _descend(inside, path)
        if meta is not None and (found := _in_meta(meta)) is not None:
            return found
    return None


def _descend(inside: bytes, path: tuple[bytes, ...]) -> bytes | None:
    for name in path:
        found = next((content for each, content in children(inside) if each == name), None)
        if found is None:
            return None
        inside = found
    return inside


def _in_meta(meta: bytes) -> bytes | None:
    # QuickTime's has no version before its children.
    parts = list(children(meta if meta[4:8] == b"hdlr" else meta[4:]))
    keys = next((_keys(content) for name, content in parts if name == b"keys"), [])
    items = next((content for name, content in parts if name == b"ilst"), b"")
    for name, item in children(items):
        inner = list(children(item))
        told = next((content[4:] for each, content in inner if each == b"name"), b"")
        number = int.from_bytes(name, "big")
        if name != b"----":
            told = keys[number - 1] if 1 <= number <= len(keys) else b""
        if told == FIELD.encode():
            return next((content[8:] for each, content in inner if each == b"data"), None)
    return None


def _keys(content: bytes) -> list[bytes]:
    return [name for _, name in children(content[8:])]


def label_mp4(source: BinaryIO, out: BinaryIO, label: str, room: int = 0) -> int:
    """Copy an MP4 file with the label among its metadata.

    Args:
        source: the file, not fragmented.
        out: where the copy goes.
        label: the field's value, JSON in ASCII.
        room: bytes of a box that are left for a manifest behind the first box; 0 for none.

    Returns:
        where these bytes begin.

    Raises:
        ValueError: it is no such file.
        OSError: it cannot be read or written.
    """
    boxes = list(top_level(source, MOST_CHUNKS))
    moov = next((box for box in boxes if box.name == b"moov"), None)
    if moov is None or moov.size > MOST_METADATA or any(box.name == b"moof" for box in boxes):
        raise ValueError("no MP4 file, or a fragmented one")
    if boxes[0].name != b"ftyp":
        raise ValueError("it does not begin with its type")
    inside = moov.read(source)
    grown = _with_item(inside, label)
    place = boxes[0].size
    moves = ((place, room), (moov.start + moov.size, len(grown) - len(inside)))
    source.seek(0)
    _copy(source, out, place)
    out.write(bytes(room))
    _copy(source, out, moov.start - place)
    out.write(Box.written(b"moov", _moved(grown, moves)))
    source.seek(moov.start + moov.size)
    _copy(source, out)
    return place


def _with_item(moov: bytes, label: str) -> bytes:
    item = Box.written(
        b"----",
        Box.written(b"mean", bytes(4) + b"com.apple.iTunes")
        + Box.written(b"name", bytes(4) + FIELD.encode())
        + Box.written(b"data", struct.pack(">II", 1, 0) + label.encode("ascii")),
    )
    parts = dict.fromkeys((b"udta", b"meta", b"ilst"), b"")
    parts[b"udta"] = _descend(moov, (b"udta",)) or b""
    meta = _descend(parts[b"udta"], (b"meta",)) or bytes(4) + _ITUNES
    ilst = _descend(meta[4:], (b"ilst",)) or b""
    meta = meta[:4] + _replaced(meta[4:], b"ilst", ilst + item)
    return _replaced(moov, b"udta", _replaced(parts[b"udta"], b"meta", meta))


_ITUNES = Box.written(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))


def _replaced(inside: bytes, name: bytes, content: bytes) -> bytes:
    """Boxes with the first of a name replaced, or put behind the others."""
    parts = list(children(inside))
    names = [each for each, _ in parts]
    if name in names:
        parts[names.index(name)] = name, content
    else:
        parts.append((name, content))
    return b"".join(Box.written(*part) for part in parts)


def _moved(moov: bytes, moves: tuple[tuple[int, int], ...]) -> bytes:
    """Boxes with the offsets of samples raised by what was put in before them.

    Args:
        moov: boxes.
        moves: places in the file, and how many bytes more there are before them now.

    Raises:
        ValueError: an offset has no room for it.
    """
    moved = []
    for name, content in children(moov):
        if name in {b"trak", b"mdia", b"minf", b"stbl"}:
            content = _moved(content, moves)
        elif name in {b"stco", b"co64"}:
            kind = ">u4" if name == b"stco" else ">u8"
            offsets = np.frombuffer(content, kind, offset=8).astype(np.uint64)
            raised = offsets + sum(np.uint64(more) * (offsets >= place) for place, more in moves)
            if kind == ">u4" and len(raised) and raised.max() >= 1 << 32:
                raise ValueError("the file is too large for its table of offsets")
            content = content[:8] + raised.astype(kind).tobytes()
        moved.append(Box.written(name, content))
    return b"".join(moved)


def _copy(source: BinaryIO, out: BinaryIO, size: int | None = None) -> None:
    left = size
    while left is None or left > 0:
        block = source.read(1 << 20 if left is None else min(left, 1 << 20))
        if not block:
            return
        out.write(block)
        left = None if left is None else left - len(block)
