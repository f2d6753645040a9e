"""How long a call may be held by an answer that asks to be left alone."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import pytest

from narrator_daemon import config
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project, proxies


def test_an_answer_that_asks_for_hours_does_not_get_them() -> None:
    class Busy(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self) -> None:
            Busy.asked += 1
            self.send_response(503)
            self.send_header("Retry-After", "21600")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_address[1]}"
    variables = {
        "FIREBASE_DATABASE_EMULATOR_HOST": host,
        "STORAGE_EMULATOR_HOST": f"http://{host}",
    }
    # The time-out of a call is 15 s; what would be held for hours is not held for as long as that.
    done = threading.Event()

    def ask() -> None:
        with (
            mock.patch.dict(os.environ, variables),
            Project(config.load(None)) as project,
            pytest.raises(Unavailable, match="503"),
        ):
            books.read(project, "b")
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    assert done.wait(60)
    assert Busy.asked > 1
    server.shutdown()
    server.server_close()


def test_every_session_of_the_sdks_is_of_that_kind() -> None:
    variables = {
        "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:1",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
    }
    with mock.patch.dict(os.environ, variables), Project(config.load(None)) as project:
        sessions = [
            project.reference("x")._client.session,
            project.books()._client.session,
            project.bucket.client._http,
        ]
        sessions += [
            session._auth_request_session
            for session in sessions
            if getattr(session, "_auth_request_session", None) is not None
        ]
        assert len(sessions) > 3
        for session in sessions:
            for adapter in session.adapters.values():
                assert not adapter.max_retries.respect_retry_after_header


def test_a_proxy_of_the_environment_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    assert proxies() == ()
    monkeypatch.setenv("https_proxy", "http://ada:secret@proxy.example:3128")
    assert proxies() == ("https requests go through the proxy proxy.example, by the environment",)
