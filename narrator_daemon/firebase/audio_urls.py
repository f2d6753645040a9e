"""The URLs under which objects of the bucket play."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import google.auth.transport.requests
from google.cloud.storage._signing import generate_signed_url_v4
from google.oauth2 import service_account

from narrator_daemon.errors import Refused
from narrator_daemon.firebase.project import Project
from narrator_daemon.settings import Storage

#: URLs signed without a key of one's own may die after this, as the keys behind them rotate.
KEYLESS_LIFETIME = timedelta(hours=12)

#: URLs are dated so much back, in seconds: the bucket's clock is known to about one.
_SIGNED_BEFORE_SECONDS = 2.0


class AudioUrls:
    """Gives URLs of the kind that the settings name.

    Args:
        project: the bucket and the credentials that sign.
        settings: the kind, and how long what is signed works.
        clock: epoch seconds by the bucket.
    """

    def __init__(self, project: Project, settings: Storage, clock: Callable[[], float]) -> None:
        self._project = project
        self._settings = settings
        self._clock = clock
        # Against an emulator, URLs must lead there too.
        self._endpoint = project.storage_emulator

    def of(self, blob: Any, token: str) -> tuple[str, int | None]:
        """The URL of an object, and when it expires (epoch milliseconds; None: never).

        Args:
            blob: the object.
            token: that of its download, where URLs are of that kind.

        Raises:
            Refused: it is to be signed, and these credentials cannot.
            google.auth.exceptions.GoogleAuthError: there is no key, and no answer from who signs.
        """
        name = quote(blob.name, safe="")
        if self._settings.url == "download-token":
            base = self._endpoint or "https://firebasestorage.googleapis.com"
            bucket = self._project.bucket_name
            return f"{base}/v0/b/{bucket}/o/{name}?alt=media&token={token}", None
        if self._settings.url == "public":
            base = self._endpoint or "https://storage.googleapis.com"
            return f"{base}/{self._project.bucket_name}/{quote(blob.name)}", None
        return self.signed(blob)

    @property
    def _has_key(self) -> bool:
        return isinstance(self._project.credentials, service_account.Credentials)

    @property
    def signed_seconds(self) -> float:
        """How long a URL that is signed now works."""
        lifetime = timedelta(hours=self._settings.url_lifetime_hours)
        return (lifetime if self._has_key else min(lifetime, KEYLESS_LIFETIME)).total_seconds()

    def signed(self, blob: Any) -> tuple[str, int]:
        """A signed URL of an object, and when it expires (epoch milliseconds).

        Raises:
            Refused: these credentials cannot sign.
            google.auth.exceptions.GoogleAuthError: there is no key, and no answer from who signs.
        """
        lifetime = timedelta(seconds=self.signed_seconds)
        credentials = self._project.credentials
        signing: dict[str, Any] = {"credentials": credentials}
        if not self._has_key:
            # No key of our own: the IAM service signs, for an account that may sign for itself.
            credentials.refresh(google.auth.transport.requests.Request())
            signer = getattr(credentials, "service_account_email", None)
            if signer is None:
                raise Refused(
                    "storage",
                    "these credentials cannot sign URLs, as they are a person's and no service "
                    "account's",
                    advice="name a service account in firebase.credentials, or set storage.url to "
                    '"download-token"',
                )
            signing |= {"service_account_email": signer, "access_token": credentials.token}
        signed_at = datetime.fromtimestamp(self._clock() - _SIGNED_BEFORE_SECONDS, UTC)
        signed_at = signed_at.replace(microsecond=0)
        # The blob's own method signs by this machine's clock and no other.
        url = generate_signed_url_v4(
            resource=f"/{self._project.bucket_name}/{quote(blob.name, safe='/~')}",
            expiration=lifetime,
            api_access_endpoint=self._endpoint or blob.client.api_endpoint,
            universe_domain=blob.client.universe_domain,
            _request_timestamp=signed_at.strftime("%Y%m%dT%H%M%SZ"),
            **signing,
        )
        return url, int((signed_at + lifetime).timestamp() * 1000)
