"""An M4A or MP3 file's label and content credentials.

Both stand before or among what is there already, so that the file is written anew, beside itself,
and takes its own place when it is whole. The C2PA library writes the manifest where each format
wants it and holds about twice the file in memory while it signs: 4 MB for seven minutes of
narration, 600 MB for ten hours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.labels import label_mp3, label_mp4
from narrator_daemon.credentials.manifest import Made, label, manifest
from narrator_daemon.credentials.signer import Signer

_Labeller = Callable[[BinaryIO, BinaryIO, str], None]

#: Media type and labeller of a file, by its ending.
_FORMATS: dict[str, tuple[str, _Labeller]] = {
    ".m4a": ("audio/mp4", label_mp4),
    ".m4b": ("audio/mp4", label_mp4),
    ".mp3": ("audio/mpeg", label_mp3),
}


def add_credentials_to_compressed(path: Path, made: Made, signer: Signer | None) -> int:
    """Put the label into a finished file and, where there is a signer, its credentials.

    No sample changes, and chapters, covers and titles stay.

    Args:
        path: of the file, ending in ``.m4a``, ``.m4b`` or ``.mp3``. It is replaced when all is
            done, and left alone before.
        made: what they say.
        signer: who signs.

    Returns:
        its size now, in bytes.

    Raises:
        CannotSign: the signer fails, or the file is not of its format.
        OSError: the file cannot be read, or not be written beside itself.
    """
    media_type, put_label = _FORMATS[path.suffix.lower()]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".signing-") as folder:
        labelled, signed = Path(folder) / "labelled", Path(folder) / "signed"
        with path.open("rb") as source, labelled.open("wb") as out:
            try:
                put_label(source, out, label(made))
            except ValueError as error:
                raise CannotSign(f"a {path.suffix[1:]} file cannot be labelled: {error}") from None
        if signer is None:
            signed = labelled
        else:
            _sign(labelled, signed, media_type, made, signer)
        signed.chmod(path.stat().st_mode & 0o777)
        size = signed.stat().st_size
        signed.replace(path)
    return size


def _sign(source: Path, target: Path, media_type: str, made: Made, signer: Signer) -> None:
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
        with (
            signs,
            c2pa.Builder(manifest(made, media_type)) as builder,
            source.open("rb") as unsigned,
            target.open("w+b") as out,
        ):
            builder.sign(signs, media_type, unsigned, out)
    except c2pa.C2paError as error:
        if failed:
            raise failed[0] from None
        raise CannotSign(f"the file cannot be signed: {error}") from None
