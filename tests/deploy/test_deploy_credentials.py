"""The ways to be let in that the documentation names, as far as nobody needs to be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import identity_pool
from google.auth.exceptions import TransportError

from narrator_daemon import config
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.project import Project

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
