"""What the SDKs' errors mean: an outage that passes, or a no that an operator must change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import google.auth.exceptions
import requests
from firebase_admin import exceptions as firebase
from google.api_core import exceptions as google_api
from google.cloud.storage.exceptions import DataCorruption

from narrator_daemon.catalogue import STATUS, URL_EXPIRES_AT
from narrator_daemon.errors import Refused, Unavailable

#: What the libraries say of the network, and what they mean.
_NETWORK = (
    ("ProxyError", "the proxy of the environment cannot be reached"),
    ("Unable to connect to proxy", "the proxy of the environment cannot be reached"),
    ("Tunnel connection failed", "the proxy of the environment does not let it through"),
    ("NameResolutionError", "the name of its host cannot be resolved"),
    ("Failed to resolve", "the name of its host cannot be resolved"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted: is there a proxy in between?"),
    ("Connection refused", "the connection is refused"),
    ("Network is unreachable", "the network is unreachable"),
    ("Read timed out", "it did not answer in time"),
    ("ConnectTimeoutError", "it cannot be reached in time"),
    ("timed out", "it did not answer in time"),
    ("Connection reset", "the connection was cut"),
    ("RemoteDisconnected", "the connection was cut"),
)


def in_few_words(error: object) -> str:
    """An error of the network in a few words: the libraries quote each other, and the address.

    Args:
        error: of any library, or its text.
    """
    text = str(error)
    return next((told for known, told in _NETWORK if known in text), text)


@contextmanager
def database_errors(books_path: str = "/books") -> Iterator[None]:
    """Turn what the database SDK raises into ``Unavailable`` and ``Refused``.

    Args:
        books_path: the folder of books that is queried, for the advice on its indices.
    """
    try:
        yield
    except firebase.FirebaseError as error:
        raise database_error(str(error), _status_of(error), books_path) from error
    except google.auth.exceptions.TransportError as error:
        raise Unavailable(
            "database", f"no access token can be fetched: {in_few_words(error)}"
        ) from error
    except google.auth.exceptions.GoogleAuthError as error:
        if error.retryable:
            raise Unavailable(
                "database", f"no access token can be fetched: {in_few_words(error)}"
            ) from error
        raise Refused(
            "database",
            f"the credentials are not accepted ({error})",
            advice=_of_clock(error)
            or "check firebase.credentials, and that the service account still exists",
        ) from error
    except requests.RequestException as error:
        raise Unavailable(
            "database", f"the database does not answer: {in_few_words(error)}"
        ) from error


def _of_clock(error: Exception) -> str:
    """What to do where a token is refused for the time that it was asked for at; else empty."""
    if "iat and exp" not in str(error) and "reasonable timeframe" not in str(error):
        return ""
    return "this machine's clock is wrong: set it by the network's time (timedatectl set-ntp true)"


def _status_of(error: firebase.FirebaseError) -> int | None:
    response = error.http_response
    return None if response is None else int(response.status_code)


def database_error(message: str, status: int | None, books_path: str) -> Unavailable:
    """The error for an answer of the database, with what an operator can do about it.

    Args:
        message: the database's own words.
        status: the HTTP status, or None where there was no answer.
        books_path: the folder of books, for the advice.
    """
    if status in (401, 403):
        return Refused(
            "database",
            f"the database answers {status}: {message}",
            advice="give the service account the role 'Firebase Realtime Database Admin', and "
            "check that it belongs to this project",
        )
    if status == 400 and "index" in message.lower():
        return Refused(
            "database",
            f"the database lacks an index: {message}",
            advice=f'add to the rules of {books_path}: ".indexOn": ["{STATUS}", '
            f'"{URL_EXPIRES_AT}"]',
        )
    if status == 404:
        return Refused(
            "database",
            f"there is no database at this address: {message}",
            advice="check firebase.database_url",
        )
    if status is not None and status < 500 and status != 429:
        return Refused("database", f"the database answers {status}: {message}")
    said = "does not answer" if status is None else f"answers {status}"
    return Unavailable("database", f"the database {said}: {in_few_words(message)}")


@contextmanager
def storage_errors(bucket: str) -> Iterator[None]:
    """Turn what the storage SDK raises into ``Unavailable`` and ``Refused``."""
    try:
        yield
    except google_api.NotFound as error:
        raise Refused(
            "storage",
            f"there is no bucket {bucket!r}",
            advice="copy firebase.storage_bucket from the Storage page of the Firebase console",
        ) from error
    except (google_api.Forbidden, google_api.Unauthorized) as error:
        raise Refused(
            "storage",
            f"the bucket {bucket!r} answers {error.code}",
            advice="give the service account the role 'Storage Object Admin' on it",
        ) from error
    except google_api.RetryError as error:
        raise Unavailable(
            "storage", f"storage does not answer: {in_few_words(error.cause)}"
        ) from error
    except google_api.GoogleAPICallError as error:
        kind = Refused if error.code is not None and error.code < 500 else Unavailable
        raise kind("storage", f"storage answers {error.code}: {error.message}") from error
    except google.auth.exceptions.TransportError as error:
        raise Unavailable(
            "storage",
            f"no access token or signature can be fetched: {in_few_words(error)}",
            advice=f"without a key of its own {_SIGNS_FOR_ITSELF}",
        ) from error
    except google.auth.exceptions.GoogleAuthError as error:
        if error.retryable:
            raise Unavailable(
                "storage", f"no access token can be fetched: {in_few_words(error)}"
            ) from error
        raise Refused(
            "storage",
            f"the credentials are not accepted ({error})",
            advice=_of_clock(error) or f"without a key of its own {_SIGNS_FOR_ITSELF} to sign URLs",
        ) from error
    except DataCorruption as error:
        raise Unavailable("storage", "other bytes arrived than were sent") from error
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise Unavailable("storage", f"storage does not answer: {in_few_words(error)}") from error


_SIGNS_FOR_ITSELF = "the service account needs the role 'Service Account Token Creator' on itself"
