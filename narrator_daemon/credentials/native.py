"""The part of the C2PA library's C interface that its Python layer does not reach.

The Python layer signs a file by holding it in memory three times over, a gigabyte for two hours of
WAV. The C interface has a second way (``data_hashed_embeddable``): it says how large the manifest
will be, is told the digest of everything else, and gives the manifest, which the caller puts into
the file himself. Source: ``c2pa.h`` of the C2PA library for C, 0.91.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import util
from pathlib import Path

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


#: The library's numbers for the algorithms it signs with.
_ALGORITHMS = {"es256": 0, "es384": 1, "es512": 2, "ps256": 3, "ps384": 4, "ps512": 5, "ed25519": 6}


class Signing:
    """One manifest on its way into one file.

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
        self._error: Exception | None = None
        self._builder = None
        self._signer = self._make_signer(algorithm, certificates, key, time_stamp_authority)
        if not self._signer:
            raise CannotSign(f"the certificates are not accepted: {_reason()}")
        self._builder = _library().c2pa_builder_from_json(manifest.encode())
        if not self._builder:
            self.close()
            raise CannotSign(f"the manifest is not accepted: {_reason()}")

    def _make_signer(
        self,
        algorithm: str,
        certificates: str,
        key: str | Callable[[bytes], bytes],
        time_stamp_authority: str | None,
    ) -> int | None:
        address = time_stamp_authority.encode() if time_stamp_authority else None
        if isinstance(key, str):
            info = _SignerInfo(algorithm.encode(), certificates.encode(), key.encode(), address)
            made: int | None = _library().c2pa_signer_from_info(ctypes.byref(info))
            return made

        def sign(
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

        # Kept, as the library holds only its address.
        self._callback = _SIGN(sign)
        kept_elsewhere: int | None = _library().c2pa_signer_create(
            None, self._callback, _ALGORITHMS[algorithm], certificates.encode(), address
        )
        return kept_elsewhere

    def __enter__(self) -> Signing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free what the library holds. Safe to call twice."""
        library = _library()
        for handle in (self._builder, self._signer):
            if handle:
                library.c2pa_free(handle)
        self._builder = self._signer = None

    def placeholder(self) -> int:
        """Bytes that the manifest will have: some 3,500, or 13,000 with a key held elsewhere.

        Raises:
            CannotSign: the library cannot say.
        """
        library = _library()
        out = _Bytes()
        # What the library reserves itself: it fills another number up to its own.
        reserved = library.c2pa_signer_reserve_size(self._signer)
        size = library.c2pa_builder_data_hashed_placeholder(
            self._builder, max(reserved, 0), b"application/c2pa", ctypes.byref(out)
        )
        return len(_taken(out, size))

    def sign(self, data_hash: str) -> bytes:
        """The manifest, of the size that ``placeholder`` gave.

        Args:
            data_hash: digest and place of the manifest, as JSON (``c2pa.hash.data``).

        Raises:
            CannotSign: the library refuses, or the time stamp authority does not answer.
            Exception: whatever ``sign`` raised.
        """
        out = _Bytes()
        size = _library().c2pa_builder_sign_data_hashed_embeddable(
            self._builder,
            self._signer,
            data_hash.encode(),
            b"application/c2pa",
            None,
            ctypes.byref(out),
        )
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return _taken(out, size)


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
        ("c2pa_builder_from_json", pointer, [text]),
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
