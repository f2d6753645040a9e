from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from typing import Any

import pytest

from narrator_daemon import logs
from narrator_daemon.errors import ConfigError

SECRETS = [
    "https://storage.example/b/o.wav?X-Goog-Date=1&X-Goog-Signature=deadbeef01&x=2",
    "https://storage.example/v0/b/o?alt=media&token=5d41402abc",
    "Authorization: Bearer ya29.deadbeef-01",
    "key -----BEGIN PRIVATE KEY-----\nMIIdeadbeef01\n-----END PRIVATE KEY----- end",
    "hf_deadbeef0123456789",
    "proxy http://ada:deadbeef@proxy.example:3128",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_survives(secret: str) -> None:
    redacted = logs.redact(f"refused: {secret}")
    assert "deadbeef" not in redacted
    assert "5d41402abc" not in redacted
    assert redacted.startswith("refused: ")


def test_events_are_json_lines_that_are_redacted_too(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.get("a.module").info("happened", book="b1", why=SECRETS[0])
    try:
        raise ValueError(SECRETS[3])
    except ValueError:
        logs.get("a.module").exception("broke")
    happened, broke = map(json.loads, capfd.readouterr().err.splitlines())
    assert happened["event"] == "happened"
    assert happened["book"] == "b1"
    assert happened["logger"] == "a.module"
    assert "deadbeef" not in json.dumps([happened, broke])
    assert "ValueError" in broke["exception"]


def test_the_level_is_a_threshold(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    logs.get("a.module").info("quiet")
    logs.get("a.module").warning("loud")
    assert [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()] == ["loud"]


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_each_line_has_the_severity_that_collectors_read(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.configure("debug", "json")
    log = logs.get("a")
    log.debug("one")
    log.info("two")
    log.warning("three")
    log.error("four")
    log.critical("five")
    logging.getLogger("a.library").error("six %s", "words")
    severities = [line["severity"] for line in lines(capfd)]
    assert severities == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "ERROR"]


def test_each_line_says_that_it_is_emulated(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json", emulated=True)
    logs.get("a").info("one")
    logging.getLogger("a.library").error("two")
    assert [line["emulated"] for line in lines(capfd)] == [True, True]
    logs.configure("info", "text", emulated=True)
    logs.get("a").info("three")
    assert "emulated=True" in capfd.readouterr().err


class TestCaptured:
    """All that a process says, whoever says it."""

    def say(self) -> None:
        warnings.warn("an old way", DeprecationWarning, stacklevel=1)
        print("to standard output")
        print("half a", end=" ", file=sys.stderr)
        print("line, then \x1b[31mred\x1b[0m", file=sys.stderr)
        print("\r 10%\r 20%", end="\n", file=sys.stderr)
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "a handler of its own"}))
        thread = threading.Thread(target=lambda: 1 / 0, name="worker")
        thread.start()
        thread.join()

        class Falls:
            def __del__(self) -> None:
                raise ValueError("while it went")

        Falls()

    def test_is_one_format(self, capfd: pytest.CaptureFixture[str]) -> None:
        logs.configure("info", "json")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            with logs.captured():
                self.say()
        out, err = capfd.readouterr()
        found = [json.loads(line) for line in (out + err).splitlines()]
        said = {line.get("text") or line["event"].split(":")[-1].strip(): line for line in found}
        assert said["to standard output"]["severity"] == "INFO"
        assert said["half a line, then red"]["severity"] == "WARNING"
        assert {"10%", "20%", "a handler of its own"} <= said.keys()
        assert any("an old way" in line["event"] for line in found)
        (died,) = [line for line in found if line["event"] == "thread_died"]
        assert died["thread"] == "worker" and "ZeroDivisionError" in died["exception"]
        (ignored,) = [line for line in found if line["event"] == "ignored"]
        assert "while it went" in ignored["exception"]

    def test_what_ends_the_process_is_an_event_too(self, capfd: pytest.CaptureFixture[str]) -> None:
        logs.configure("info", "json")
        for error, status, event in (
            (ConfigError("is wrong", where="[a] b"), 2, "cannot_run"),
            (PermissionError(13, "Permission denied", "/x"), 2, "cannot_run"),
            (ZeroDivisionError(), 1, "uncaught"),
        ):
            with pytest.raises(SystemExit) as ended, logs.captured():
                raise error
            (line,) = lines(capfd)
            assert (ended.value.code, line["event"]) == (status, event)

    def fail(self) -> None:
        print("as it is")
        raise ZeroDivisionError

    def test_people_read_what_they_always_did(self, capfd: pytest.CaptureFixture[str]) -> None:
        logs.configure("info", "text")
        with pytest.raises(ZeroDivisionError), logs.captured():
            self.fail()
        assert capfd.readouterr().out == "as it is\n"

    def test_the_log_may_be_set_up_anew_meanwhile(self, capfd: pytest.CaptureFixture[str]) -> None:
        logs.configure("info", "json")
        with logs.captured():
            logs.configure("error", "json")
            logs.get("a").info("quiet")
            logs.get("a").error("loud")
        assert [line["event"] for line in lines(capfd)] == ["loud"]
