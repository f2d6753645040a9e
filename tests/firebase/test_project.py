"""A project: the ways to be let in that the documentation names, and what is asked of it then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import firebase_admin
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import db
from google.auth import identity_pool
from google.auth.exceptions import TransportError

from narrator_daemon import config
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.settings import Storage

FIREBASE = {
    "NARRATOR_FIREBASE__PROJECT_ID": "real",
    "NARRATOR_FIREBASE__DATABASE_URL": "https://real-default-rtdb.firebaseio.com",
    "NARRATOR_FIREBASE__STORAGE_BUCKET": "real.appspot.com",
}
EMAIL = "narrator@real.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def service_account() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "real",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def _federated(token: Path) -> dict[str, Any]:
    """As a cloud hands it out for workload identity: who one is stands in a file that it renews."""
    pool = "projects/1/locations/global/workloadIdentityPools/p"
    sts = "https://sts.googleapis.com/v1/token"
    iam = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
    return {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{pool}/providers/c",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": sts,
        "service_account_impersonation_url": f"{iam}{EMAIL}:generateAccessToken",
        "credential_source": {"file": str(token)},
    }


def _open(environment: dict[str, str], place: str, path: Path) -> Project:
    return Project(config.load(None, {**environment, place: str(path)}))


@pytest.mark.parametrize(
    "place",
    [
        "NARRATOR_FIREBASE__CREDENTIALS",
        "FIREBASE_CREDENTIALS_PATH",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ],
)
def test_a_service_account_by_each_of_its_names(
    place: str, tmp_path: Path, service_account: dict[str, Any]
) -> None:
    path = tmp_path / "account.json"
    path.write_text(json.dumps(service_account))
    project = _open(FIREBASE, place, path)
    assert project.credentials.service_account_email == EMAIL
    # It can sign by itself: URLs may live a week.
    assert project.credentials.sign_bytes(b"x")
    project.close()


def named(path: Path, **more: str) -> Project:
    return Project(
        config.load(None, {**FIREBASE, "NARRATOR_FIREBASE__CREDENTIALS": str(path), **more})
    )


@pytest.fixture
def account(tmp_path: Path, service_account: dict[str, Any]) -> Path:
    path = tmp_path / "account.json"
    path.write_text(json.dumps(service_account))
    return path


class Token:
    """Credentials with an access token, which may have to be fetched."""

    def __init__(self, valid: bool) -> None:
        self.valid = valid
        self.token = "old" if valid else None

    def refresh(self, _request: Any) -> None:
        self.token = "fresh"


@pytest.mark.parametrize(("valid", "token"), [(True, "old"), (False, "fresh")])
def test_a_stream_is_asked_for_with_a_token_that_is_good(
    account: Path, valid: bool, token: str
) -> None:
    with named(account, NARRATOR_BOOKS__PATH="shops/a b") as project:
        project.credentials = Token(valid)  # type: ignore[assignment]
        url, parameters, headers = project.stream_request()
    assert url == "https://real-default-rtdb.firebaseio.com/shops/a%20b.json"
    assert (parameters, headers) == ({}, {"Authorization": f"Bearer {token}"})


def test_with_a_uid_rules_hold_for_the_daemon_too(account: Path) -> None:
    with named(account, NARRATOR_FIREBASE__DATABASE_AUTH_UID="narrator") as project:
        project.credentials = Token(True)  # type: ignore[assignment]
        _, parameters, _ = project.stream_request()
        overridden = project.app.options.get("databaseAuthVariableOverride")
    assert parameters == {"auth_variable_override": '{"uid":"narrator"}'}
    assert overridden == {"uid": "narrator"}
    with named(account) as project:
        assert project.app.options.get("databaseAuthVariableOverride") is None


def test_of_a_local_one_a_stream_is_asked_for_as_its_owner() -> None:
    emulators = {
        "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:9000",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9199",
        "NARRATOR_FIREBASE__DATABASE_AUTH_UID": "narrator",
    }
    with Project(config.load(None, emulators)) as project:
        url, parameters, headers = project.stream_request()
        assert hasattr(project.credentials, "sign_bytes")
        namespace = parameters.pop("ns")
    assert url == "http://127.0.0.1:9000/books.json" and namespace
    assert parameters == {"auth_variable_override": '{"uid":"narrator"}'}
    assert headers == {"Authorization": "Bearer owner"}


def test_it_is_closed_once(account: Path) -> None:
    project = named(account)
    name, closed = project.app.name, mock.Mock()
    project.bucket.client.close = closed
    project.close()
    assert project.app is None and closed.call_count == 1
    with pytest.raises(ValueError, match="does not exist"):
        firebase_admin.get_app(name)
    project.close()
    assert closed.call_count == 1


def test_paths_and_names_are_of_the_catalogue(account: Path) -> None:
    with named(account) as project:
        assert project.books_path == "/books"
        assert project.books().path == "/books"
        assert project.book("50%?", "narrative").path == "/books/50%25%3F/narrative"
        assert project.node_path("narrationLeases", "b") == "/narrationLeases/b"
        assert project.node("narrationLeases", "b").path == "/narrationLeases/b"
        assert project.is_own(project.catalogue)
        assert not project.is_own("https://other.firebaseio.com/books")
        assert not project.is_own(None)
    with named(account, NARRATOR_BOOKS__PATH="shops/one") as project:
        assert project.node_path("x") == "/narrationCatalogues/shops%2Fone/x"


def test_urls_of_a_real_bucket_lead_to_the_service(account: Path) -> None:
    with named(account) as project:
        url, _ = AudioStore(project, Storage(), lambda: 1_750_000_000.0).sign("narrations/a.wav")
    assert url.startswith("https://storage.googleapis.com/real.appspot.com/narrations/a.wav?")


def test_each_service_tells_its_own_time(account: Path) -> None:
    with named(account) as project:
        database = db.reference("/", app=project.app)._client.session
        assert project.database_clock.see in database.hooks["response"]
        assert project.bucket_clock.see in project.bucket.client._http.hooks["response"]
        # An answer that asks to be left alone for hours is not obeyed.
        for session in (database, project.bucket.client._http):
            assert not any(
                adapter.max_retries.respect_retry_after_header
                for adapter in session.adapters.values()
            )


@pytest.mark.filterwarnings("ignore:.*load_credentials_from_file:DeprecationWarning")
class TestWorkloadIdentity:
    """The library asks for the project as it reads such a file: that way out is closed here."""

    def open(self, tmp_path: Path, answers: mock.Mock) -> Project:
        token = tmp_path / "token"
        token.write_text("who-i-am")
        path = tmp_path / "federated.json"
        path.write_text(json.dumps(_federated(token)))
        with mock.patch.object(identity_pool.Credentials, "get_project_id", answers):
            return _open(FIREBASE, "GOOGLE_APPLICATION_CREDENTIALS", path)

    def test_it_has_an_account_and_no_key_of_its_own(self, tmp_path: Path) -> None:
        project = self.open(tmp_path, mock.Mock(return_value="real"))
        assert project.credentials.service_account_email == EMAIL
        assert not hasattr(project.credentials, "sign_bytes")
        project.close()

    def test_an_identity_service_that_is_down_is_no_wrong_file(self, tmp_path: Path) -> None:
        down = mock.Mock(side_effect=TransportError("no route"))
        with pytest.raises(ConfigError, match="identity service does not answer"):
            self.open(tmp_path, down)


def test_a_key_that_is_damaged_is_not_quoted(
    tmp_path: Path, service_account: dict[str, Any]
) -> None:
    pem = service_account["private_key"]
    body = pem.splitlines()[5]
    path = tmp_path / "account.json"
    path.write_text(json.dumps({**service_account, "private_key": pem.replace(body, body[:-9])}))
    with pytest.raises(ConfigError, match=r"account\.json cannot be used") as refused:
        _open(FIREBASE, "NARRATOR_FIREBASE__CREDENTIALS", path)
    said = str(refused.value)
    assert not any(line in said for line in pem.splitlines()[1:-1])


def test_an_emulator_never_sees_a_real_key(tmp_path: Path, service_account: dict[str, Any]) -> None:
    path = tmp_path / "account.json"
    path.write_text(json.dumps(service_account))
    emulators = {
        "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:9000",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9199",
    }
    named = {**emulators, "GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    with pytest.raises(ConfigError, match="beside credentials of a real project"):
        config.load(None, named)
    settings = config.load(None, {**named, "NARRATOR_FIREBASE__EMULATED": "true"})
    assert settings.firebase.credentials is None
