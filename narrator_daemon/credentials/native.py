"""The part of the C2PA library's C interface that its Python layer does not reach.

The Python layer signs a file by holding it in memory three times over, a gigabyte for two hours of
WAV. The C interface has a second way: it says how large the manifest will be, is told the digest of
everything else, and gives the manifest, which the caller puts into the file himself. For a digest
of bytes that is ``data_hashed_embeddable``, for one of an MP4 file's boxes ``sign_embeddable``.
Source: ``c2pa.h`` of the C2PA library for C, 0.91.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from functools import cache, partial
from importlib import util
from pathlib import Path
from typing import Self

from narrator_daemon.credentials.errors import CannotSign

#: Bytes of a signature at most: RSA of 4,096 bits.
_MOST_SIGNATURE = 1024

_Bytes = ctypes.POINTER(ctypes.c_ubyte)
_SIGN = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_ubyte),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_ubyte),
    ctypes.c_size_t,
)


class _SignerInfo(ctypes.Structure):
    _fields_ = (
        ("algorithm", ctypes.c_char_p),
        ("certificates", ctypes.c_char_p),
        ("private_key", ctypes.c_char_p),
        ("time_stamp_authority", ctypes.c_char_p),
    )


#: The type of the ``uuid`` box that a manifest is in (C2PA 2.2, A.5).
MANIFEST_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
#: The other boxes of a file that no digest holds.
NOT_HASHED = ("ftyp", "mfra")

#: The library's numbers for the algorithms it signs with.
_ALGORITHMS = {"es256": 0, "es384": 1, "es512": 2, "ps256": 3, "ps384": 4, "ps512": 5, "ed25519": 6}


class _Key:
    """Who signs, as the library holds it.

    Args:
        algorithm: ``es256``, ``es384``, ``es512``, ``ps256`` or ``ed25519``.
        certificates: PEM, the signer's own first.
        key: the private key as PEM, not encrypted; or, for one that is held elsewhere, a function
            from the bytes to be signed to the signature.
        time_stamp_authority: an RFC 3161 address that is asked for a time stamp, or None.

    Raises:
        CannotSign: the library takes none of it.
    """

    def __init__(
        self,
        algorithm: str,
        certificates: str,
        key: str | Callable[[bytes], bytes],
        time_stamp_authority: str | None,
    ) -> None:
        self._error: Exception | None = None
        address = time_stamp_authority.encode() if time_stamp_authority else None
        #: The library's pointer.
        self.signer: int | None
        if isinstance(key, str):
            info = _SignerInfo(algorithm.encode(), certificates.encode(), key.encode(), address)
            self.signer = _library().c2pa_signer_from_info(ctypes.byref(info))
        else:
            # Kept, as the library holds only its address.
            self._callback = _SIGN(partial(self._sign, key))
            self.signer = _library().c2pa_signer_create(
                None, self._callback, _ALGORITHMS[algorithm], certificates.encode(), address
            )
        if not self.signer:
            raise CannotSign(f"the certificates are not accepted: {_reason()}")

    def _sign(
        self,
        key: Callable[[bytes], bytes],
        _context: object,
        data: ctypes._Pointer[ctypes.c_ubyte],
        size: int,
        out: ctypes._Pointer[ctypes.c_ubyte],
        room: int,
    ) -> int:
        # An exception cannot cross the library; it is raised again on the other side.
        try:
            signature = key(ctypes.string_at(data, size))
            if len(signature) > min(room, _MOST_SIGNATURE):
                raise CannotSign("the signature is longer than any of this key can be")
            ctypes.memmove(out, signature, len(signature))
            return len(signature)
        except Exception as error:
            self._error = error
            return -1

    def raise_error(self) -> None:
        """Raise what the key's function raised, if it did."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error


class Signing:
    """One manifest on its way into one file, bound to its bytes (``c2pa.hash.data``).

    Args:
        manifest: the manifest's definition, as JSON.
        algorithm: ``es256``, ``es384``, ``es512``, ``ps256`` or ``ed25519``.
        certificates: PEM, the signer's own first.
        key: the private key as PEM, not encrypted; or, for one that is held elsewhere, a function
            from the bytes to be signed to the signature. What it raises, ``sign`` raises again.
        time_stamp_authority: an RFC 3161 address that is asked for a time stamp, or None.

    Raises:
        CannotSign: the library takes none of it.
    """

    def __init__(
        self,
        manifest: str,
        algorithm: str,
        certificates: str,
        key: str | Callable[[bytes], bytes],
        time_stamp_authority: str | None,
    ) -> None:
        self._key = _Key(algorithm, certificates, key, time_stamp_authority)
        self._builder = _library().c2pa_builder_from_json(manifest.encode())
        if not self._builder:
            self.close()
            raise CannotSign(f"the manifest is not accepted: {_reason()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free what the library holds. Safe to call twice."""
        for handle in (self._builder, self._key.signer):
            if handle:
                _library().c2pa_free(handle)
        self._builder = self._key.signer = None

    def placeholder(self) -> int:
        """Bytes that the manifest will have: some 3,500, or 13,000 with a key held elsewhere.

        Raises:
            CannotSign: the library cannot say.
        """
        library = _library()
        out = _Bytes()
        # What the library reserves itself: it fills another number up to its own.
        reserved = library.c2pa_signer_reserve_size(self._key.signer)
        size = library.c2pa_builder_data_hashed_placeholder(
            self._builder, max(reserved, 0), b"application/c2pa", ctypes.byref(out)
        )
        return len(_taken(out, size))

    def sign(self, start: int, length: int, digest: bytes) -> bytes:
        """The manifest, of the size that ``placeholder`` gave.

        Args:
            start: of the stretch of the file that is left out of the digest.
            length: of that stretch.
            digest: SHA-256 of all else.

        Raises:
            CannotSign: the library refuses, or the time stamp authority does not answer.
            Exception: whatever the key raised.
        """
        data_hash = {
            "exclusions": [{"start": start, "length": length}],
            "name": "jumbf manifest",
            "alg": "sha256",
            "hash": list(digest),
            "pad": " ",
        }
        out = _Bytes()
        size = _library().c2pa_builder_sign_data_hashed_embeddable(
            self._builder,
            self._key.signer,
            json.dumps(data_hash).encode(),
            b"application/c2pa",
            None,
            ctypes.byref(out),
        )
        self._key.raise_error()
        return _taken(out, size)


class BoxSigning:
    """One manifest on its way into one MP4 file, bound to its boxes (``c2pa.hash.bmff.v3``).

    Args:
        manifest: as for ``Signing``.
        algorithm: as for ``Signing``.
        certificates: as for ``Signing``.
        key: as for ``Signing``.
        time_stamp_authority: as for ``Signing``.

    Raises:
        CannotSign: the library takes none of it.
    """

    def __init__(
        self,
        manifest: str,
        algorithm: str,
        certificates: str,
        key: str | Callable[[bytes], bytes],
        time_stamp_authority: str | None,
    ) -> None:
        self._manifest = json.loads(manifest)
        self._key = _Key(algorithm, certificates, key, time_stamp_authority)
        library = _library()
        making = library.c2pa_context_builder_new()
        # The context owns the signer from here on, and the pointer is worth nothing any more.
        taken = library.c2pa_context_builder_set_signer(making, self._key.signer)
        self._context = library.c2pa_context_builder_build(making) if taken == 0 else None
        if not self._context:
            raise CannotSign(f"the certificates are not accepted: {_reason()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free what the library holds. Safe to call twice."""
        if self._context:
            _library().c2pa_free(self._context)
        self._context = None

    def placeholder(self) -> int:
        """Bytes that the manifest's box will have.

        Raises:
            CannotSign: the library cannot say.
        """
        return len(self._made(_library().c2pa_builder_placeholder, bytes(32)))

    def sign(self, digest: bytes) -> bytes:
        """The manifest's box, head included, of the size that ``placeholder`` gave.

        Args:
            digest: of the file's boxes, by SHA-256.

        Raises:
            CannotSign: the library refuses, or the time stamp authority does not answer.
            Exception: whatever the key raised.
        """
        return self._made(_library().c2pa_builder_sign_embeddable, digest)

    def _made(self, make: Callable[..., int], digest: bytes) -> bytes:
        library = _library()
        hashed = {
            "label": "c2pa.hash.bmff.v3",
            "data": {
                "exclusions": [
                    {"xpath": "/uuid", "data": [{"offset": 8, "value": list(MANIFEST_BOX)}]},
                    *({"xpath": f"/{name}"} for name in NOT_HASHED),
                ],
                "alg": "sha256",
                "hash": list(digest),
                "name": "jumbf manifest",
            },
        }
        told = {**self._manifest, "assertions": [hashed, *self._manifest["assertions"]]}
        builder = library.c2pa_builder_with_definition(
            library.c2pa_builder_from_context(self._context), json.dumps(told).encode()
        )
        if not builder:
            raise CannotSign(f"the manifest is not accepted: {_reason()}")
        try:
            out = _Bytes()
            size = make(builder, b"audio/mp4", ctypes.byref(out))
            self._key.raise_error()
            return _taken(out, size)
        finally:
            library.c2pa_free(builder)


def _taken(out: ctypes._Pointer[ctypes.c_ubyte], size: int) -> bytes:
    if size < 0:
        raise CannotSign(f"the file cannot be signed: {_reason()}")
    taken = ctypes.string_at(out, size)
    _library().c2pa_free(out)
    return taken


def _reason() -> str:
    library = _library()
    said = library.c2pa_error()
    try:
        return str(ctypes.string_at(said).decode("utf-8", "replace")) if said else "no reason given"
    finally:
        library.c2pa_free(said)


@cache
def _library() -> ctypes.CDLL:
    found = util.find_spec("c2pa")
    if found is None or found.origin is None:
        raise CannotSign(
            "content credentials need the package c2pa-python: pip install "
            "'narrator-daemon[credentials]', or leave out the section [credentials]"
        )
    library = ctypes.CDLL(str(Path(found.origin).parent / "libs" / "libc2pa_c.so"))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for name, result, arguments in (
        ("c2pa_error", pointer, []),
        ("c2pa_signer_from_info", pointer, [ctypes.POINTER(_SignerInfo)]),
        ("c2pa_signer_reserve_size", ctypes.c_int64, [pointer]),
        ("c2pa_free", ctypes.c_int, [pointer]),
        ("c2pa_signer_create", pointer, [pointer, _SIGN, ctypes.c_int, text, text]),
        ("c2pa_context_builder_new", pointer, []),
        ("c2pa_context_builder_set_signer", ctypes.c_int, [pointer, pointer]),
        ("c2pa_context_builder_build", pointer, [pointer]),
        ("c2pa_builder_from_json", pointer, [text]),
        ("c2pa_builder_from_context", pointer, [pointer]),
        ("c2pa_builder_with_definition", pointer, [pointer, text]),
        ("c2pa_builder_placeholder", ctypes.c_int64, [pointer, text, ctypes.POINTER(_Bytes)]),
        ("c2pa_builder_sign_embeddable", ctypes.c_int64, [pointer, text, ctypes.POINTER(_Bytes)]),
        (
            "c2pa_builder_data_hashed_placeholder",
            ctypes.c_int64,
            [pointer, size, text, ctypes.POINTER(_Bytes)],
        ),
        (
            "c2pa_builder_sign_data_hashed_embeddable",
            ctypes.c_int64,
            [pointer, pointer, text, text, pointer, ctypes.POINTER(_Bytes)],
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
