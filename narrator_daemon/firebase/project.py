"""The Firebase project: its database, its bucket, and the credentials that open them.

The SDKs do the talking. What is added here is what they leave to their users: references to keys
that hold percent signs or question marks, timeouts, and a way to open a stream.
"""

from __future__ import annotations

import functools
import json
import os
import urllib.request
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

import firebase_admin
import google.auth
import google.auth.exceptions
import google.auth.transport.requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials as firebase_credentials
from firebase_admin import db
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import storage
from google.oauth2 import service_account

from narrator_daemon import addresses
from narrator_daemon.catalogue import CATALOGUES, DEFAULT_PATH
from narrator_daemon.config import require_project
from narrator_daemon.direct import without_proxy
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.service_clock import ServiceClock
from narrator_daemon.settings import Settings

#: Seconds that one answer of the database may take. The SDK repeats what fails on the way.
DATABASE_TIMEOUT_SECONDS = 15.0

_SCOPES = (
    "https://www.googleapis.com/auth/firebase.database",
    "https://www.googleapis.com/auth/userinfo.email",
)


class _FileCredential(firebase_credentials.Base):  # type: ignore[misc]
    """Credentials of any kind that Google's library reads from a file, such as federated ones."""

    def __init__(self, path: Path) -> None:
        self._credentials, _ = google.auth.load_credentials_from_file(
            str(path), scopes=["https://www.googleapis.com/auth/cloud-platform", *_SCOPES]
        )

    def get_credential(self) -> Credentials:
        return self._credentials


def _credential(path: Path | None) -> firebase_credentials.Base:
    if path is None:
        return firebase_credentials.ApplicationDefault()
    if json.loads(path.read_text(encoding="utf-8")).get("type") == "service_account":
        return firebase_credentials.Certificate(str(path))
    return _FileCredential(path)


@functools.cache
def _throwaway_key() -> str:
    """A private key for emulators, in PEM: making one takes longer than all else to open them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")


class Project:
    """A connection to the project that the settings name; closed at the end of its ``with``.

    Args:
        settings: ``settings.firebase`` must be complete (``config.require_project``).

    Attributes:
        database_clock: the time by the database's answers.
        bucket_clock: the time by the bucket's answers; by the database's until there is one.

    Raises:
        ConfigError: the settings are incomplete or the credentials cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        require_project(settings)
        firebase = settings.firebase
        self._books = settings.books.path.split("/")
        self._beside = beside(settings.books.path)
        self.database_clock = ServiceClock()
        self.bucket_clock = ServiceClock(self.database_clock.now)
        #: Tells this catalogue's audio from that of others in the same bucket.
        self.catalogue = addresses.catalogue(str(firebase.database_url), settings.books.path)
        self.storage_emulator = settings.storage_emulator
        if settings.storage_emulator is not None:
            urls = (str(firebase.database_url), settings.storage_emulator)
            hosts = [host for url in urls if (host := urlsplit(url).hostname)]
            os.environ.update(without_proxy(os.environ, hosts))
        self.bucket_name = str(firebase.storage_bucket)
        options: dict[str, object] = {
            "projectId": firebase.project_id,
            "databaseURL": firebase.database_url,
            "storageBucket": firebase.storage_bucket,
            "httpTimeout": DATABASE_TIMEOUT_SECONDS,
        }
        # With a uid, security rules hold for the daemon too; without, it passes all of them.
        named = "[firebase] " if firebase.name is None else f"[[firebase]] {firebase.name}: "
        where = f"{named}credentials"
        uid = firebase.database_auth_uid
        self._auth_override = (
            {} if uid is None else {"auth_variable_override": f'{{"uid":"{uid}"}}'}
        )
        if uid is not None:
            options["databaseAuthVariableOverride"] = {"uid": uid}
        try:
            credential = _credential(firebase.credentials)
            self.app = firebase_admin.initialize_app(
                credential,
                options,
                name=f"narrator-{id(self)}",
            )
            self.credentials = self._open_credentials()
            session = db.reference("/", app=self.app)._client.session
            _wait_for_nobody(session)
            session.hooks["response"].append(self.database_clock.see)
        except google.auth.exceptions.TransportError as error:
            # Federated credentials are exchanged for others as soon as they are read.
            raise ConfigError(
                f"{firebase.credentials} cannot be exchanged for an access token now "
                f"({type(error).__name__}); the identity service does not answer",
                where=where,
                advice="check the network, and start again",
            ) from None
        except (
            ValueError,
            AttributeError,
            OSError,
            google.auth.exceptions.GoogleAuthError,
        ) as error:
            # The message of a malformed key can quote the key.
            used = firebase.credentials or "ambient credentials"
            raise ConfigError(
                f"{used} cannot be used ({type(error).__name__})",
                where=where,
                advice="name a service account's JSON file, or log in with gcloud auth "
                "application-default login",
            ) from None
        client = storage.Client(
            project=firebase.project_id,
            credentials=AnonymousCredentials() if settings.emulated else self.credentials,
        )
        _wait_for_nobody(client._http)
        client._http.hooks["response"].append(self.bucket_clock.see)
        self.bucket = client.bucket(self.bucket_name)

    def is_own(self, catalogue: object) -> bool:
        """Whether the name of a catalogue is this one's, in whatever spelling it was written."""
        return isinstance(catalogue, str) and addresses.same_catalogue(catalogue, self.catalogue)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_credentials(self) -> Credentials:
        if self.storage_emulator is None:
            return self.app.credential.get_credential()
        # So that the code that signs URLs is the code that runs, with a key that opens nothing.
        return service_account.Credentials.from_service_account_info(
            {
                "client_email": f"throwaway@{self.app.project_id}.iam.gserviceaccount.com",
                "token_uri": "https://oauth2.googleapis.com/token",
                "private_key": _throwaway_key(),
            }
        )

    def reference(self, *keys: str) -> Any:
        """The SDK's reference to a path given key by key.

        The SDK puts paths into URLs as they are and refuses ``?``, so a key like ``50%25?`` would
        be refused or, worse, address another node. Percent-encoding each key makes every key that
        the database can hold addressable.
        """
        return db.reference("/" + "/".join(quote(key, safe="") for key in keys), app=self.app)

    def node(self, *keys: str) -> Any:
        """The reference to a node of this catalogue beside its books, or to what lies below."""
        return self.reference(*self._beside, *keys)

    def node_path(self, *keys: str) -> str:
        """The path of the same, for messages."""
        return "/" + "/".join((*self._beside, *keys))

    def books(self) -> Any:
        """The reference to the folder of books."""
        return self.reference(*self._books)

    def book(self, book_id: str, *keys: str) -> Any:
        """The reference to a book, or to what lies at ``keys`` below it."""
        return self.reference(*self._books, book_id, *keys)

    @property
    def books_path(self) -> str:
        """The path of the folder of books, for messages."""
        return "/" + "/".join(self._books)

    def stream_request(self) -> tuple[str, dict[str, str], dict[str, str]]:
        """Address, parameters and headers of a stream of the books, which the SDK cannot open.

        Raises:
            google.auth.exceptions.GoogleAuthError: no access token can be had.
        """
        path = "/".join(quote(key, safe="") for key in self._books) + ".json"
        address = urlsplit(self.app.options.get("databaseURL"))
        base = f"{address.scheme}://{address.netloc}/{path}"
        if self.storage_emulator is not None:
            parameters = dict(parse_qsl(address.query)) | self._auth_override
            return base, parameters, {"Authorization": "Bearer owner"}
        if not self.credentials.valid:
            self.credentials.refresh(google.auth.transport.requests.Request())
        headers = {"Authorization": f"Bearer {self.credentials.token}"}
        return base, dict(self._auth_override), headers

    def close(self) -> None:
        """Close the connections of both SDKs. Safe to call twice."""
        if self.app is not None:
            firebase_admin.delete_app(self.app)
            self.app = None
            self.bucket.client.close()


def beside(path: str) -> tuple[str, ...]:
    """Where the nodes of a catalogue lie that are no books: leases, histories, marks, limits.

    Those of the catalogue at ``/books`` lie at the root, where they lay when there was one
    catalogue a database. Each other one has a node of its own.

    Args:
        path: of the folder of books.
    """
    if path == DEFAULT_PATH:
        return ()
    return CATALOGUES, path.replace("%", "%25").replace("/", "%2F")


def _wait_for_nobody(session: Any) -> None:
    """Have an SDK's session repeat failed requests by its own pauses alone.

    An answer may ask to be left alone for hours (``Retry-After``), and the session would sleep
    through them within the call: past its time-out, and past the lives of leases. Whoever calls
    knows better what to do meanwhile, and when to come back.
    """
    inner = getattr(session, "_auth_request_session", None)
    for one in (session, inner):
        for adapter in () if one is None else one.adapters.values():
            adapter.max_retries = adapter.max_retries.new(respect_retry_after_header=False)


def proxies() -> tuple[str, ...]:
    """What the environment says of proxies that requests go through, in words, without secrets."""
    found = urllib.request.getproxies()
    told = []
    for scheme in ("http", "https", "all"):
        if scheme in found:
            address = urlsplit(found[scheme] if "//" in found[scheme] else f"//{found[scheme]}")
            place = address.hostname or "?"
            told.append(f"{scheme} requests go through the proxy {place}, by the environment")
    return tuple(told)
