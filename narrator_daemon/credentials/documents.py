"""A signature of a document, in a file beside it: CMS, as ``openssl cms`` and office programs read.

Source: RFC 5652.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from narrator_daemon.credentials.signer import Signer


def can_sign(signer: Signer | None) -> bool:
    """Whether a signer signs documents: its key is an EC or RSA key in a file, and no throwaway."""
    return (
        signer is not None
        and not signer.throwaway
        and isinstance(signer.key, str)
        and isinstance(_key(signer), ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    )


def sign_document(document: bytes, signer: Signer) -> bytes:
    """The detached signature of a document, DER.

    Args:
        document: what is signed.
        signer: one that ``can_sign``.
    """
    leaf, *rest = x509.load_pem_x509_certificates(signer.certificates.encode())
    key = _key(signer)
    if isinstance(key, rsa.RSAPrivateKey):
        builder = pkcs7.PKCS7SignatureBuilder().set_data(document)
        builder = builder.add_signer(leaf, key, hashes.SHA256(), rsa_padding=padding.PKCS1v15())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        builder = pkcs7.PKCS7SignatureBuilder().set_data(document)
        builder = builder.add_signer(leaf, key, hashes.SHA256())
    else:
        raise TypeError("no key that signs documents")
    for each in rest:
        builder = builder.add_certificate(each)
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    return builder.sign(serialization.Encoding.DER, options)


def _key(signer: Signer) -> object:
    assert isinstance(signer.key, str)  # noqa: S101 — asked for before
    return serialization.load_pem_private_key(signer.key.encode(), None)
