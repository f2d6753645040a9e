"""The page for a lawyer: what it says, that it says it again, and what it does not claim."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from narrator_daemon.cli import app
from narrator_daemon.commands.evidence import write_evidence
from narrator_daemon.credentials import signer as signers
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import Unreadable
from narrator_daemon.marks import evidence, keys
from narrator_daemon.marks.evidence import _in_words, _power
from narrator_daemon.marks.originals import Originals
from narrator_daemon.settings import Settings
from tests.credentials.test_credentials import write_pair
from tests.marks.test_detect import SPEECH
from tests.watermark.speechlike import RATE
from watermark import embed
from watermark.statistics import decimal_exponent, false_positive_bound

KEY = keys.NamedKey("house.key", b"a key of a house" * 2)
NOW = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
BOOK = "a <b>book</b>"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    soundfile.write("found.wav", embed(SPEECH, RATE, KEY.key, 5), RATE)
    Path("marks.json").write_text('{"books": {"a <b>book</b>": 5}}')
    return tmp_path


def written(settings: Settings | None = None, name: str = "found.wav", now: datetime = NOW) -> str:
    out = Path("out.html")
    used = settings or Settings()
    write_evidence(used, [KEY], Path(name), out, Originals(used), now)
    return out.read_text()


@pytest.mark.usefixtures("folder")
def test_it_says_what_was_examined_with_what_and_how_sure_it_is() -> None:
    page = written()
    content = Path("found.wav").read_bytes()
    assert hashlib.sha256(content).hexdigest() in page
    assert f"{len(content):,} bytes" in page
    assert "2026-11-26 10:00:00 UTC" in page
    assert keys.fingerprint(KEY.key) in page
    assert KEY.key.hex() not in page
    assert "a &lt;b&gt;book&lt;/b&gt;" in page
    assert "<b>" not in page
    assert page.count("<h1>") == 1
    assert page.count("Examination of found.wav") == 2  # its title and its heading
    assert "Time in the file" in page
    for said in ("does not exclude a forger", "excludes chance", "This page is not signed"):
        assert said in page
    # Nothing is asked of any network.
    assert not re.search(r"(src|href)=", page)


@pytest.mark.usefixtures("folder")
def test_it_is_the_same_but_for_its_date() -> None:
    first = written()
    assert written() == first
    later = written(now=datetime(2027, 1, 1, tzinfo=UTC))
    assert later.replace("2027-01-01 00:00:00", "2026-11-26 10:00:00") == first


@pytest.mark.usefixtures("folder")
def test_a_file_without_a_mark_is_not_called_innocent() -> None:
    soundfile.write("plain.wav", SPEECH, RATE)
    page = written(name="plain.wav")
    assert "No mark of the keys below was found" in page
    assert "does not show that the file was not made from a narration" in page


@pytest.mark.usefixtures("folder")
def test_a_file_that_changes_meanwhile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    traces_of = evidence.traces_of

    def touch(path: Path, *rest: object) -> object:
        found = traces_of(path, *rest)  # type: ignore[arg-type]
        with path.open("ab") as file:
            file.write(b"\0")
        return found

    monkeypatch.setattr(evidence, "traces_of", touch)
    with pytest.raises(Unreadable, match="changed while"):
        written()
    assert not Path("out.html").exists()


def test_it_is_signed_by_a_certificate_and_openssl_takes_that(folder: Path) -> None:
    signer = signers.throwaway()
    settings = Settings(credentials=write_pair(folder, signer))
    page = written(settings)
    assert f"Signed by {signer.name}" in page
    (folder / "root.pem").write_text("-----BEGIN" + signer.certificates.split("-----BEGIN")[2])
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    command = "cms -verify -binary -inform DER -in out.html.p7s -content out.html -purpose any"
    verify = [openssl, *command.split(), "-CAfile", "root.pem"]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    Path("out.html").write_text(page.replace("found.wav", "other.wav"))
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0
    # A page that is not signed leaves no signature of an earlier one beside it.
    written()
    assert not Path("out.html.p7s").exists()


@pytest.mark.usefixtures("folder")
def test_a_books_history_comes_from_the_register(
    firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {
        "book": BOOK.replace("/", "-"),
        "take": 2,
        "fileSha256": "f0" * 32,
        "publishedAt": 1_750_000_000_000,
        "model": "<script>",
        "claimedAt": "junk",
    }
    firebase.load("/narrationRegister", {"t1": entry, "t2": {**entry, "take": 1, "publishedAt": 5}})
    firebase.load("/narrationMarks", {entry["book"]: 5})
    Path("marks.json").unlink()
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    from narrator_daemon import config

    page = written(config.load(None))
    assert "f0" * 32 in page
    assert "2025-06-15 15:06:40+00:00" in page
    assert page.index("Take 1") < page.index("Take 2")
    assert "<script>" not in page
    assert "neither the register nor the bucket has a narration of it" in page


def test_the_recording_is_told_beside_the_mark(folder: Path) -> None:
    alone = written()
    assert "excludes chance, not a forger" in alone
    used = Settings()
    write_evidence(
        used, [KEY], Path("found.wav"), Path("o.html"), Originals(used, Path("found.wav")), NOW
    )
    assert "same mark and same recording as found.wav" in Path("o.html").read_text()


def test_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRATOR_WATERMARK_KEY", KEY.key.hex())

    def run(*words: str) -> int:
        return CliRunner().invoke(app, ["watermark", "report", *words]).exit_code

    assert run("found.wav", "--evidence") == 0
    assert (folder / "found.wav.evidence.html").exists()
    assert run("found.wav", "--evidence", "-o", "x.svg") == 2
    assert run("nothing.wav", "--evidence") == 2
    soundfile.write("noise.wav", np.random.default_rng(1).normal(0, 0.01, RATE * 6), RATE)
    assert run("noise.wav", "--evidence") == 1


def test_keys_are_known_by_fingerprints_that_are_no_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "old.key").write_text("0a0b" * 8)
    monkeypatch.setenv("NARRATOR_WATERMARK_KEY", KEY.key.hex())
    monkeypatch.setenv("NARRATOR_WATERMARK__RETIRED_KEY_FILES", "old.key")
    told = CliRunner().invoke(app, ["keys", "fingerprint"]).stdout
    first, second = told.splitlines()
    assert first == f"{keys.fingerprint(KEY.key)}  NARRATOR_WATERMARK_KEY"
    assert second == f"{keys.fingerprint(bytes([10, 11] * 8))}  old.key"
    assert KEY.key.hex() not in told


@given(st.floats(0, 60), st.floats(1, 1e15))
def test_the_figures_never_promise_more_than_the_bound(score: float, tests: float) -> None:
    exponent = decimal_exponent(score, tests)
    bound = false_positive_bound(score, tests)
    if bound > 1e-290:
        assert exponent == pytest.approx(math.log10(bound), abs=1e-6)
    told = _power(exponent)
    if "×" in told:
        mantissa, power = told.split(" × 10^")
        assert math.log10(float(mantissa)) + int(power) >= exponent - 1e-9
    else:
        assert float(told) >= min(bound, 1.0) - 5e-5
    words = _in_words(exponent)
    if words.startswith("1"):
        number, *rest = words.split()
        value = int(number)
        for word in rest:
            value *= {"thousand": 10**3, "million": 10**6}[word]
        assert math.log10(value) <= -exponent + 1e-9
