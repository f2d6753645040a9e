"""What content credentials a file has, and whether they hold.

Files come from strangers, so that each is read in a process of its own, held to limits of time and
memory, that asks no network for anything.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from narrator_daemon.credentials.manifest import NARRATION, SOFT_BINDING
from narrator_daemon.errors import ConfigError, Unreadable
from narrator_daemon.settings import Credentials

_MEMORY_BYTES = 2 << 30
_CPU_SECONDS = 600
_SECONDS = 900
#: What a box that holds manifests calls itself (C2PA 2.2, 11.1.4.2).
_MANIFEST = bytes.fromhex("63327061001100108000 00aa00389b71")

#: What failed, for people, by the standard's codes; what is not here is told by its code.
_FAILURES = {
    "assertion.dataHash.mismatch": "the file is not the one that was signed",
    "assertion.bmffHash.mismatch": "the file is not the one that was signed",
    "assertion.hashedURI.mismatch": "what the credentials say was changed",
    "claimSignature.mismatch": "the signature is not that of its certificate",
    "claimSignature.outsideValidity": "it was signed outside its certificate's time",
    "signingCredential.invalid": "the certificate is none for signing content",
    "signingCredential.expired": "the certificate has expired",
    "signingCredential.revoked": "the certificate was revoked",
}
#: Not a failure of the file: nobody here trusts the certificate.
_UNTRUSTED = "signingCredential.untrusted"
#: The sound, or all that is not credentials, is another than was signed.
_OTHER_CONTENT = {"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"}


@dataclass(frozen=True)
class Trust:
    """Whose certificates are believed.

    Attributes:
        anchors: PEM of certificates whose chains are.
        own: PEM of what the operator's own certificate leads to.
        own_serial: its serial number; 0 for none.
    """

    anchors: str = ""
    own: str = ""
    own_serial: int = 0


@dataclass(frozen=True)
class FoundCredentials:
    """The content credentials of one file.

    Attributes:
        valid: whether signature and content are as they were signed.
        trusted: whether the certificate leads to one that is trusted, or is the operator's own.
        own: whether it is the operator's own.
        other_content: whether they are of another content than the file's.
        problems: what is wrong, for people.
        signer: whose certificate it says it is; nothing is proven by a name that is not trusted.
        signed_at: when, by a time stamp authority; empty where none was asked.
        made_at: when, by the file's own word.
        ours: whether a narrator-daemon made them.
        facts: what they say of the narration: book, claim, take, inputHash, engine, model and
            producer.
        index: the watermark's index that they are bound to; None where they name none.
        digital_source: the IPTC's address of what kind of source it is.
    """

    valid: bool
    trusted: bool
    own: bool
    other_content: bool
    problems: tuple[str, ...]
    signer: str
    signed_at: str
    made_at: str
    ours: bool
    facts: dict[str, Any]
    index: int | None
    digital_source: str

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "valid": self.valid,
            "trusted": self.trusted,
            "own": self.own,
            "otherContent": self.other_content,
            "problems": list(self.problems),
            "signer": self.signer,
            "signedAt": self.signed_at or None,
            "madeAt": self.made_at or None,
            "ours": self.ours,
            "narration": self.facts,
            "watermarkIndex": self.index,
            "digitalSourceType": self.digital_source or None,
        }


def trust_of(settings: Credentials) -> Trust:
    """Whom the settings trust: the anchors that they name, and the operator's own certificate.

    Raises:
        ConfigError: a file cannot be read, or holds no certificates.
    """
    anchors = own = ""
    serial = 0
    if settings.trust_anchors is not None:
        anchors = "".join(map(_pem, _certificates(settings.trust_anchors, "trust_anchors")))
    if settings.certificate is not None:
        chain = _certificates(settings.certificate, "certificate")
        own, serial = _pem(chain[-1]), chain[0].serial_number
    return Trust(anchors, own, serial)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _certificates(path: Path, setting: str) -> list[x509.Certificate]:
    place = f"[credentials] {setting}: {path}"
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{place} holds no certificates in PEM") from None


def read_credentials(path: Path, trust: Trust) -> FoundCredentials | None:
    """The credentials in a file; None where there are none.

    Raises:
        Unreadable: it cannot be told.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        process = subprocess.Popen(  # noqa: S603 — this program itself
            [sys.executable, "-P", "-m", __name__, json.dumps(asdict(trust))],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    with process:
        for what, limit in (
            (resource.RLIMIT_CPU, _CPU_SECONDS),
            (resource.RLIMIT_AS, _MEMORY_BYTES),
            (resource.RLIMIT_FSIZE, 0),
        ):
            # One that has ended already needs no limits.
            with suppress(ProcessLookupError):
                resource.prlimit(process.pid, what, (limit, limit))
        try:
            answer, _ = process.communicate(timeout=_SECONDS)
            told = json.loads(answer)
        except (subprocess.TimeoutExpired, ValueError):
            process.kill()
            raise Unreadable(
                "its content credentials cannot be read: their reader ended with "
                f"{process.wait()}; it gets {_CPU_SECONDS // 60} minutes and "
                f"{_MEMORY_BYTES >> 30} GB",
                where=str(path),
            ) from None
    try:
        return None if told is None else _found(told)
    except (AttributeError, TypeError):
        return _damaged("they hold what the standard does not know")


def _found(store: dict[str, Any]) -> FoundCredentials:
    if "damaged" in store:
        return _damaged(store["damaged"])
    manifest = store.get("manifests", {}).get(store.get("active_manifest"))
    if not isinstance(manifest, dict):
        return _damaged("they hold no manifest")
    codes = [
        str(each.get("code"))
        for each in store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    ]
    told = {
        each.get("label"): each.get("data")
        for each in manifest.get("assertions", [])
        if isinstance(each.get("data"), dict)
    }
    actions = told.get("c2pa.actions.v2", told.get("c2pa.actions", {})).get("actions", [])
    created: dict[str, Any] = next(
        (each for each in actions if each.get("action") == "c2pa.created"), {}
    )
    signature = manifest.get("signature_info", {})
    facts = told.get(NARRATION, {})
    wrong = [code for code in codes if code != _UNTRUSTED]
    valid = store.get("validation_state") in {"Valid", "Trusted"}
    own = valid and bool(store.get("own"))
    return FoundCredentials(
        valid=valid,
        trusted=store.get("validation_state") == "Trusted" or own,
        own=own,
        other_content=any(code in _OTHER_CONTENT for code in wrong),
        problems=tuple(dict.fromkeys(_FAILURES.get(code, code) for code in wrong)),
        signer=str(signature.get("common_name") or signature.get("issuer") or ""),
        signed_at=str(signature.get("time") or ""),
        made_at=str(created.get("when") or ""),
        ours=NARRATION in told,
        facts={str(key): value for key, value in facts.items()},
        index=_index(told.get("c2pa.soft-binding", {})),
        digital_source=str(created.get("digitalSourceType") or ""),
    )


def _damaged(why: str) -> FoundCredentials:
    return FoundCredentials(
        valid=False,
        trusted=False,
        own=False,
        other_content=False,
        problems=(f"they cannot be read: {why}",),
        signer="",
        signed_at="",
        made_at="",
        ours=False,
        facts={},
        index=None,
        digital_source="",
    )


def _index(binding: dict[str, Any]) -> int | None:
    if binding.get("alg") != SOFT_BINDING:
        return None
    try:
        index = int(binding["blocks"][0]["value"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return index if 0 <= index < 1 << 32 else None


# The process that reads.


def _main() -> int:
    """Read the file on standard input; print what is in it as JSON: null for nothing."""
    import c2pa

    trust = Trust(**json.loads(sys.argv[1]))
    file = sys.stdin.buffer
    try:
        store = _read(file, trust.anchors)
        if trust.own and store.get("validation_state") == "Valid":
            serial = str(trust.own_serial)
            # Others have certificates of the same authority.
            store["own"] = _serial(store) == serial and (
                _read(file, trust.own).get("validation_state") == "Trusted"
            )
        elif trust.own:
            store["own"] = _serial(store) == str(trust.own_serial)
        print(json.dumps(store))
    except c2pa.C2paError.ManifestNotFound:
        print("null")
    except c2pa.C2paError as error:
        damaged = json.dumps({"damaged": str(error)[:300]})
        print(damaged if _holds_manifest(file) else "null")
    return 0


def _read(file: BinaryIO, anchors: str) -> dict[str, Any]:
    import c2pa

    settings = {
        "trust": {"user_anchors": anchors} if anchors else {},
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    file.seek(0)
    media_type = _media_type(file.read(12))
    file.seek(0)
    with c2pa.Reader(media_type, file, context=context) as reader:
        store: dict[str, Any] = json.loads(reader.json())
        return store


def _serial(store: dict[str, Any]) -> str:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    return str(manifest.get("signature_info", {}).get("cert_serial_number", ""))


def _media_type(head: bytes) -> str:
    """By what the file is, not by what it is called."""
    if head[:4] == b"RIFF":
        return "audio/wav"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    return "audio/flac" if head[:4] == b"fLaC" else "audio/mpeg"


def _holds_manifest(file: BinaryIO) -> bool:
    """Whether anything in a file that cannot be read calls itself a C2PA manifest."""
    file.seek(0)
    before = b""
    while block := file.read(1 << 20):
        if _MANIFEST in before + block:
            return True
        before = block[-len(_MANIFEST) :]
    return False


if __name__ == "__main__":
    sys.exit(_main())
