from __future__ import annotations

import pytest

from tests.drills.leaks import TEXT, Secrets

SECRETS = Secrets()
SIGNED = "https://example.org/b/o.wav?X-Goog-Date=1&X-Goog-Signature=" + "0af1" * 20
TOKEN = "https://example.org/v0/b/o?alt=media&token=0b5a1c9e-1111-4222-8333-444455556666"
GOOD = {
    "books": {"b": {"narrative": f"Version 1 {TEXT} b.", "narrativeAudioUrl": SIGNED}},
    "narrationJobs": {"b": {"5d41402abc4b2a76b9719d911017c592": {"outcome": "ready"}}},
}


def test_what_belongs_where_it_is_is_no_leak() -> None:
    log = '{"event": "published", "book": "b", "token": "5d41402abc4b2a76b9719d911017c592"}'
    redacted = "https://example.org/o.wav?X-Goog-Signature=…&x=1 Authorization: Bearer …"
    assert SECRETS.told({"one": log, "two": redacted}, GOOD) == []


@pytest.mark.parametrize(
    ("leak", "kind"),
    [
        (f"key {SECRETS.watermark_key}", "watermark key"),
        (f"key {SECRETS.watermark_key.upper()}", "watermark key"),
        (f"401 for {SECRETS.hub_token}", "hub token"),
        (f"cannot read: 'version 1 {TEXT} b'", "book text"),
        (f"GET {SIGNED}", "signature"),
        (f"GET {TOKEN}", "signature"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg", "private key"),
        ("Authorization: Bearer ya29.a0AfH6SMBx", "access token"),
        ("{'Authorization': 'Bearer eyJhbGciOiJSUzI1NiIs'}", "access token"),
    ],
    # The secrets are others in each process, and the names of tests must not be.
    ids=lambda _: "",
)
def test_each_kind_is_found_in_logs_and_in_the_database(leak: str, kind: str) -> None:
    assert f"secret: {kind} in the log of one" in SECRETS.told({"one": leak}, GOOD)
    error = {"code": "internal_error", "message": leak}
    leaky = {**GOOD, "books": {"b": {**GOOD["books"]["b"], "narrativeAudioError": error}}}
    said = SECRETS.told({}, leaky)
    assert f"secret: {kind} at /books/b/narrativeAudioError/message" in said
    assert leak not in str(said)


def test_a_key_of_the_database_tells_as_well() -> None:
    told = SECRETS.told({}, {"narrationLimits": {SECRETS.watermark_key: 1}})
    assert [line.split(" at ")[0] for line in told] == ["secret: watermark key"]
