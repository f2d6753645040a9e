"""Proxies of the environment stay out of the way to this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import requests
from requests.utils import should_bypass_proxies

from narrator_daemon.direct import LOOPBACK, without_proxy
from narrator_daemon.emulator import LocalFirebase

DEAD = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1,firebase"),
        ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost,::1,firebase"),
        ({"no_proxy": "a, localhost ,,"}, "a,localhost,127.0.0.1,::1,firebase"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,b,127.0.0.1,localhost,::1,firebase"),
    ],
)
def test_what_was_said_before_stays(before: dict[str, str], after: str) -> None:
    assert without_proxy(before, ["firebase"]) == {"no_proxy": after, "NO_PROXY": after}
    again = without_proxy(without_proxy(before, ["firebase"]), ["firebase"])
    assert again["NO_PROXY"] == after


def test_where_no_proxy_is_used_at_all_nothing_is_said() -> None:
    assert without_proxy({"NO_PROXY": "*"}) == {}


def test_libraries_take_it_as_it_is_meant() -> None:
    said = without_proxy({})["NO_PROXY"]
    for host in LOOPBACK:
        url = f"http://[{host}]:9000/x" if ":" in host else f"http://{host}:9000/x"
        assert should_bypass_proxies(url, said)
    assert not should_bypass_proxies("https://firebaseio.com/x", said)


def test_sdks_reach_a_local_firebase_though_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, DEAD)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with LocalFirebase() as firebase:
        url = f"http://{firebase.endpoints['database_host']}/books.json"
        with pytest.raises(requests.RequestException):
            requests.get(url, timeout=60)
        program = """
            import firebase_admin, os
            from firebase_admin import db
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import storage
            firebase_admin.initialize_app(options={"databaseURL": os.environ["URL"]})
            db.reference("books/a").set({"x": 1})
            client = storage.Client(project="p", credentials=AnonymousCredentials())
            client.bucket(os.environ["BUCKET"]).blob("a").upload_from_string(b"x")
        """
        at = firebase.endpoints
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={
                **os.environ,
                **firebase.environment(),
                "URL": at["database_url"],
                "BUCKET": at["bucket"],
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def test_a_daemon_that_is_pointed_at_emulators_passes_the_proxy_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from narrator_daemon import config
    from narrator_daemon.firebase.project import Project

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    with LocalFirebase() as firebase:
        variables = {
            name: value
            for name, value in firebase.environment().items()
            if name.lower() != "no_proxy"
        }
        project = Project(config.load(None, variables))
        try:
            project.books().child("a").set({"narrative": "x"})
            assert project.book("a").get() == {"narrative": "x"}
        finally:
            project.close()
