"""Settings that are read again while the daemon runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from narrator_daemon.daemon.reloading import Reloading
from narrator_daemon.errors import ConfigError
from narrator_daemon.settings import Settings
from tests.actors import Daemon, Frontend, wait_until


def reloaded(before: dict[str, Any], after: dict[str, Any]) -> tuple[Reloading, dict[str, Any]]:
    made = Reloading(Settings.model_validate(before), lambda: Settings.model_validate(after))
    with structlog.testing.capture_logs() as logged:
        made.again()
    (event,) = logged
    return made, event


def test_what_can_be_taken_is_and_the_log_says_which() -> None:
    made, event = reloaded(
        {"limits": {"max_words": 10}},
        {
            "limits": {"max_words": 20, "requests_per_minute": 3, "max_segment_seconds": 30},
            "storage": {"url": "public"},
        },
    )
    assert (made.limits.max_words, made.requests_per_minute) == (20, 3)
    assert made.limits.max_segment_seconds == 60
    assert event["taken"] == ["limits.max_words", "limits.requests_per_minute"]
    assert event["need_a_restart"] == ["limits.max_segment_seconds", "storage.url"]


def test_another_level_of_the_log_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        "narrator_daemon.logs.configure", lambda *how, emulated: configured.append(how)
    )
    reloaded({}, {"logging": {"level": "debug"}})
    assert [level for level, _ in configured] == ["debug"]
    configured.clear()
    reloaded({}, {"limits": {"max_words": 20}})
    assert configured == []


def test_what_stands_beside_sections_needs_a_restart() -> None:
    _, event = reloaded({}, {"storage_emulator": "http://127.0.0.1:1"})
    assert event["need_a_restart"] == ["storage_emulator"]


def test_the_name_of_a_worker_that_nobody_chose_is_no_change() -> None:
    _, event = reloaded({"daemon": {"worker_id": "a"}}, {"daemon": {"worker_id": "b"}})
    assert event["need_a_restart"] == []


def test_nothing_new_is_said_too() -> None:
    _, event = reloaded({}, {})
    assert (event["event"], event["taken"], event["need_a_restart"]) == ("reloaded", [], [])


def test_what_cannot_be_used_changes_nothing() -> None:
    def read() -> Settings:
        raise ConfigError("is no number", where="[limits] max_words")

    made = Reloading(Settings(), read)
    with structlog.testing.capture_logs() as logged:
        made.again()
    assert logged[0]["event"] == "not_reloaded" and "max_words" in logged[0]["why"]
    assert made.limits == Settings().limits


@pytest.mark.parametrize("broken_first", [False, True])
def test_a_signal_reloads_a_running_daemon(
    frontend: Frontend, start_daemon: Callable[..., Daemon], broken_first: bool
) -> None:
    daemon = start_daemon(limits__max_words=2)
    config = daemon.folder / "config.toml"
    daemon.wait_ready()
    if broken_first:
        config.write_text("[limits]\nmax_words = 'many'\n")
        os.kill(daemon.process.pid, signal.SIGHUP)
        wait_until(lambda: "not_reloaded" in daemon.log, "the refusal")
    config.write_text("[limits]\nmax_characters = 7\n[logging]\nlevel = 'debug'\n")
    os.kill(daemon.process.pid, signal.SIGHUP)
    wait_until(lambda: '"reloaded"' in daemon.log, "the reload")
    frontend.add_requested("b", "Eight letters.")
    book = frontend.wait_for("b", "failed", 60)
    assert book["narrativeAudioError"]["code"] == "text_too_long"
    assert '"level": "debug"' in daemon.log
    assert daemon.stop() == 0
