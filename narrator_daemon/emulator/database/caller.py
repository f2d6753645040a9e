"""Who asks: the owner, a signed-in client, or nobody.

Tokens are read, not verified: as with the official emulator, a client's token is a JSON Web Token
whose signature nobody looks at (``"alg": "none"`` with an empty signature is fine).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The credential that passes every rule, as in the official emulator.
OWNER = "owner"


class InvalidTokenError(ValueError):
    """A token nobody can read, or one that has expired; the text is the REST API's answer."""


class ExpiredTokenError(InvalidTokenError):
    """A token that was good until a while ago."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        admin: rules don't apply.
        auth: the rules' variable ``auth``; None for nobody.
        expires: when the token ends, in seconds since the epoch; None if it doesn't.
    """

    admin: bool = False
    auth: Mapping[str, Any] | None = None
    expires: float | None = None


def identify(authorization: str | None, parameters: Mapping[str, str]) -> Caller:
    """Who sends a request.

    Args:
        authorization: the header of that name.
        parameters: the query string: ``auth``, ``access_token``, ``auth_variable_override``.

    Raises:
        InvalidTokenError: the request is to be answered with 401.
    """
    caller = Caller()
    bearer = parameters.get("access_token")
    if authorization is not None:
        scheme, _, bearer = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidTokenError("Unauthorized request.")
    token = parameters.get("auth")
    if bearer is not None:
        if bearer.strip() != OWNER:
            raise InvalidTokenError("Unauthorized request.")
        caller = Caller(admin=True)
    elif token:
        caller = read_credential(token)
    override = parameters.get("auth_variable_override")
    if override is None or not caller.admin:
        return caller
    try:
        auth = json.loads(override)
    except (ValueError, RecursionError):
        auth = False
    return with_override(caller, auth)


def with_override(caller: Caller, auth: object) -> Caller:
    """The owner under the rules, as whom ``auth`` says; others stay who they are.

    Raises:
        InvalidTokenError: ``auth`` is neither an object nor None.
    """
    if not caller.admin:
        return caller
    if auth is not None and not isinstance(auth, dict):
        raise InvalidTokenError("Could not parse auth_variable_override.")
    return Caller(auth=auth)


def read_credential(credential: str) -> Caller:
    """The owner by the owner's credential, or the client that a token names.

    Raises:
        InvalidTokenError: it is neither, or the token has expired.
    """
    return Caller(admin=True) if credential == OWNER else read_token(credential)


def read_token(token: str) -> Caller:
    """The client that a JSON Web Token names.

    Raises:
        InvalidTokenError: it has no readable claims, no user, or has expired.
    """
    parts = token.split(".")
    try:
        if len(parts) != 3:
            raise ValueError
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        uid = claims.get("user_id", claims.get("sub", claims.get("uid")))
        if not isinstance(uid, str) or not uid:
            raise ValueError
        # The SDKs' `mockUserToken` is issued in 1970 and meant to last.
        lasts = "exp" not in claims or claims.get("iat") == 0
        expires = None if lasts else float(claims["exp"])
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InvalidTokenError("Could not parse auth token.") from None
    if expires is not None and expires <= time.time():
        raise ExpiredTokenError("Auth token is expired")
    firebase = claims.get("firebase")
    provider = firebase.get("sign_in_provider") if isinstance(firebase, dict) else None
    return Caller(
        auth={"uid": uid, "provider": provider or "custom", "token": claims}, expires=expires
    )


def client_token(uid: str, *, expires: float | None = None, **claims: object) -> str:
    """An unsigned token that signs a client in here, for ``?auth=``.

    Args:
        uid: the user's id.
        expires: seconds since the epoch; None for never.
        claims: more claims, seen by rules as ``auth.token.…``.
    """
    payload = {"sub": uid, "user_id": uid, **claims}
    if expires is not None:
        payload["exp"] = expires
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none", "typ": "JWT"}, payload)
    ]
    return ".".join([*parts, ""])
