from __future__ import annotations

import json

import pytest

from narrator_daemon import logs

SECRETS = [
    "https://storage.example/b/o.wav?X-Goog-Date=1&X-Goog-Signature=deadbeef01&x=2",
    "https://storage.example/v0/b/o?alt=media&token=5d41402abc",
    "Authorization: Bearer ya29.deadbeef-01",
    "key -----BEGIN PRIVATE KEY-----\nMIIdeadbeef01\n-----END PRIVATE KEY----- end",
    "hf_deadbeef0123456789",
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
