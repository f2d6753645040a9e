"""Who signs: a certificate chain and its key, from files, from a signing command, or throwaway."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.errors import ConfigError
from narrator_daemon.settings import Credentials

#: Seconds that a signing command may take.
COMMAND_SECONDS = 30.0

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
#: What a certificate may be for, by the C2PA specification (14.5.1).
_PURPOSES = {
    ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string,
    ExtendedKeyUsageOID.TIME_STAMPING.dotted_string,
    ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string,
    "1.3.6.1.5.5.7.3.36",  # document signing
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing
}


@dataclass(frozen=True)
class Signer:
    """A certificate chain and what signs for it.

    Attributes:
        algorithm: ``es256``, ``es384``, ``es512``, ``ps256`` or ``ed25519``.
        certificates: PEM, the signer's own first.
        key: the private key as PEM, or a function from bytes to their signature.
        time_stamp_authority: the address of an RFC 3161 service, or None.
        name: whose certificate it is, for people.
        expires: when the certificate ends.
        throwaway: whether it was made for this process alone, and proves nothing.
    """

    algorithm: str
    certificates: str
    key: str | Callable[[bytes], bytes] = field(repr=False)
    time_stamp_authority: str | None
    name: str
    expires: datetime
    throwaway: bool


def from_settings(settings: Credentials) -> Signer | None:
    """The signer that the settings name; None where they name none.

    Raises:
        ConfigError: files cannot be read, do not belong together, or cannot sign for content.
    """
    if settings.certificate is None:
        return None
    place = f"[credentials] certificate: {settings.certificate}"
    try:
        pem = settings.certificate.read_bytes()
        chain = x509.load_pem_x509_certificates(pem)
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{place} holds no certificates in PEM") from None
    leaf = chain[0]
    algorithm = _algorithm(leaf, place)
    _check(leaf, place)
    return Signer(
        algorithm,
        "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in chain),
        _key_of(settings, leaf),
        settings.time_stamp_authority,
        _name(leaf),
        leaf.not_valid_after_utc,
        throwaway=False,
    )


def throwaway(now: datetime | None = None) -> Signer:
    """A chain for trying things: what it signs is valid, and nobody trusts it.

    Args:
        now: the time; default: this machine's.
    """
    now = now or datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = _names("narrator-daemon throwaway root, not trusted")
    name = _names("narrator-daemon throwaway, not trusted")
    until = now + timedelta(days=90)
    root = (
        _certificate(root_name, root_name, root_key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(name, root_name, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Signer(
        "es256",
        (leaf.public_bytes(pem) + root.public_bytes(pem)).decode(),
        _as_pem(key),
        None,
        _name(leaf),
        leaf.not_valid_after_utc,
        throwaway=True,
    )


def new_key_and_request(organisation: str) -> tuple[str, str]:
    """A private key and a request for a certificate to it, both PEM.

    Args:
        organisation: whose it will be.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_names(organisation, organisation))
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return _as_pem(key), request.public_bytes(serialization.Encoding.PEM).decode()


def _key_of(settings: Credentials, leaf: x509.Certificate) -> str | Callable[[bytes], bytes]:
    if settings.sign_command:
        return _by_command(settings.sign_command)
    if settings.private_key is None:
        raise ConfigError(
            "[credentials] certificate: has no key; name private_key or sign_command as well"
        )
    place = f"[credentials] private_key: {settings.private_key}"
    try:
        key = serialization.load_pem_private_key(settings.private_key.read_bytes(), None)
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words can quote the key.
        raise ConfigError(f"{place} holds no private key in PEM without a password") from None
    if key.public_key() != leaf.public_key():
        raise ConfigError(f"{place} is not the key of the certificate {_name(leaf)!r}")
    return _as_pem(key)


def _by_command(command: tuple[str, ...]) -> Callable[[bytes], bytes]:
    def sign(data: bytes) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 — the operator's own, no shell
                command, input=data, capture_output=True, timeout=COMMAND_SECONDS, check=True
            )
        except OSError as error:
            raise CannotSign(f"the signing command {command[0]} does not run: {error}") from None
        except subprocess.TimeoutExpired:
            raise CannotSign(
                f"the signing command {command[0]} gave nothing in {COMMAND_SECONDS:.0f} s"
            ) from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip()[-200:]
            raise CannotSign(
                f"the signing command {command[0]} ended with {error.returncode}: {said}"
            ) from None
        if not done.stdout:
            raise CannotSign(f"the signing command {command[0]} wrote no signature")
        return done.stdout

    return sign


def _algorithm(leaf: x509.Certificate, place: str) -> str:
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    raise ConfigError(
        f"{place} has a key that content credentials do not know; take EC P-256 (keys certificate "
        "makes one), P-384, P-521, Ed25519, or RSA of 2,048 to 4,096 bits"
    )


def _check(leaf: x509.Certificate, place: str) -> None:
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        fit = any(each.dotted_string in _PURPOSES for each in purposes)
    except (x509.ExtensionNotFound, ValueError):
        fit = False
    if not fit:
        raise ConfigError(
            f"{place} is not made for signing content: its extended key usage must hold "
            "emailProtection, documentSigning or C2PA claim signing"
        )


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A reader's clock may be behind.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(until)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _names(common: str, organisation: str = "narrator-daemon") -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation[:64]),
        ]
    )


def _name(certificate: x509.Certificate) -> str:
    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        found = certificate.subject.get_attributes_for_oid(kind)
        if found:
            return str(found[0].value)
    return certificate.subject.rfc4514_string()


def _as_pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")
