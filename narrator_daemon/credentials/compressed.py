"""An M4A or MP3 file's label and content credentials.

Both stand before or among what is there already, so that the file is written anew, twice, into
scratch files, and then over itself. The C2PA library writes the manifest where each format wants it
and holds about twice the file in memory while it signs: 6 MB for seven minutes of narration, 600 MB
for ten hours.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.labels import label_mp3, label_mp4
from narrator_daemon.credentials.manifest import Made, label, manifest
from narrator_daemon.credentials.signer import Signer

_Labeller = Callable[[BinaryIO, BinaryIO, str], None]

#: Media type and labeller of a format, by its name.
_FORMATS: dict[str, tuple[str, _Labeller]] = {
    "m4a": ("audio/mp4", label_mp4),
    "mp3": ("audio/mpeg", label_mp3),
}
#: The formats that take credentials beside WAV; Ogg has no place for them.
FORMATS = frozenset(_FORMATS)


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
    media_type, put_label = _FORMATS[form]
    with scratch() as labelled, scratch() as signed:
        try:
            put_label(file, labelled, label(made))
        except (ValueError, IndexError, struct.error) as error:
            raise CannotSign(f"the {form} file cannot be labelled: {error}") from None
        labelled.seek(0)
        if signer is not None:
            _sign(labelled, signed, manifest(made, media_type), media_type, signer)
        done = labelled if signer is None else signed
        done.seek(0)
        file.seek(0)
        shutil.copyfileobj(done, file, 1 << 20)
        file.truncate()
        file.flush()
        return file.tell()


class _Noting:
    """A file for the C2PA library, which says of an error that there was one, and no more.

    Args:
        file: the file.
        failed: takes the errors in.
    """

    def __init__(self, file: BinaryIO, failed: list[Exception]) -> None:
        self._file = file
        self._failed = failed

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._file, name)

        def call(*arguments: Any) -> Any:
            try:
                return method(*arguments)
            except OSError as error:
                self._failed.append(error)
                raise

        return call


def _sign(
    source: BinaryIO, target: BinaryIO, definition: str, media_type: str, signer: Signer
) -> None:
    import c2pa

    failed: list[Exception] = []

    def by_command(data: bytes) -> bytes:
        assert not isinstance(signer.key, str)  # noqa: S101 — asked for below
        # An exception does not come through the library; it is raised again on the other side.
        try:
            return signer.key(data)
        except Exception as error:
            failed.append(error)
            raise

    address = signer.time_stamp_authority
    try:
        if isinstance(signer.key, str):
            info = c2pa.C2paSignerInfo(
                signer.algorithm.encode(),
                signer.certificates.encode(),
                signer.key.encode(),
                address.encode() if address else None,
            )
            signs = c2pa.Signer.from_info(info)
        else:
            algorithm = c2pa.C2paSigningAlg[signer.algorithm.upper()]
            signs = c2pa.Signer.from_callback(by_command, algorithm, signer.certificates, address)
        with signs, c2pa.Builder(definition) as builder:
            builder.sign(signs, media_type, _Noting(source, failed), _Noting(target, failed))
    except c2pa.C2paError as error:
        if failed:
            raise failed[0] from None
        raise CannotSign(f"the file cannot be signed: {error}") from None
