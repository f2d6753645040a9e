"""Evidence written to a file: ``narrator-daemon watermark report --evidence``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from narrator_daemon.catalogue import is_key
from narrator_daemon.config import names_project
from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.documents import can_sign, sign_document
from narrator_daemon.credentials.reading import trust_of
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import register
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks import ledger
from narrator_daemon.marks.detect import Finding
from narrator_daemon.marks.evidence import History, examine, page
from narrator_daemon.marks.keys import NamedKey
from narrator_daemon.marks.originals import Originals
from narrator_daemon.settings import Settings


def write_evidence(
    settings: Settings,
    keys: Sequence[NamedKey],
    path: Path,
    out: Path,
    originals: Originals,
    now: datetime | None = None,
) -> tuple[Finding, Path | None]:
    """Examine a file and write the page, and beside it its signature where there is a certificate.

    Args:
        settings: where the database is, who signs.
        keys: to look with.
        path: the file.
        out: the page.
        originals: the narrations that the file is held against.
        now: when; default: by this machine's clock.

    Returns:
        what was found, and where the signature is.

    Raises:
        Unreadable: the file cannot be read.
        ConfigError: a setting, or the ``marks.json`` beside the file, cannot be used; or several
            databases are configured.
        Unavailable: the database did not answer, and there is no ``marks.json``.
        OSError: the page cannot be written.
    """
    signer = signers.from_settings(settings.credentials)
    signature = out.with_name(f"{out.name}.p7s")
    tables = ledger.known_marks(settings, path.parent)
    examined = examine(path, keys, tables, trust_of(settings.credentials), originals)
    histories = list(_histories(settings, examined.books))
    document = page(
        examined,
        histories,
        now=now or datetime.now(UTC),
        signed=_told(signer, out, signature),
    ).encode()
    out.write_bytes(document)
    if signer is None or not can_sign(signer):
        # One of an earlier page would not be this one's.
        signature.unlink(missing_ok=True)
        return examined.finding, None
    signature.write_bytes(sign_document(document, signer))
    return examined.finding, signature


def _told(signer: Signer | None, out: Path, signature: Path) -> str:
    if signer is None:
        return "This page is not signed: no certificate is configured."
    if not can_sign(signer):
        return (
            f"This page is not signed: the key of {signer.name} is held by a signing command, or "
            "is of a kind that signs no documents."
        )
    return (
        f"Signed by {signer.name}; the signature lies beside this page. To check it: openssl cms "
        f"-verify -binary -inform DER -in {signature.name} -content {out.name} -purpose any "
        "-CAfile ROOT.pem"
    )


def _histories(settings: Settings, books: Sequence[str]) -> Iterator[History]:
    if not names_project(settings):
        for book_id in books:
            yield History(book_id, {}, "No database is configured here, so that none is known.")
        return
    with Project(settings) as project:
        for book_id in books:
            if not is_key(book_id):
                yield History(book_id, {}, "The database cannot hold a book of this id.")
                continue
            try:
                yield History(book_id, register.of_book(project, book_id))
            except Unavailable as error:
                yield History(book_id, {}, f"The register could not be asked: {error}")
