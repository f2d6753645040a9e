"""From files of any kind to their books, by the commands that a rights holder runs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from narrator_daemon.cli import app
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import Unavailable, Unreadable
from narrator_daemon.marks import audio_files, keys, ledger
from narrator_daemon.marks.allotment import FIRST_LOCAL, LAST_INDEX
from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.detect import Search
from narrator_daemon.marks.originals import Originals
from narrator_daemon.marks.report import explained, write_picture
from narrator_daemon.settings import Settings
from tests.watermark.speechlike import RATE, speechlike
from watermark import embed

SPEECH = speechlike(14, seed=8)
NOTHING_KEPT = Originals(Settings())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the commands run: a folder with a recording in it and no configuration."""
    soundfile.write(tmp_path / "plain.wav", SPEECH, RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for name in list(os.environ):
            if name.startswith("NARRATOR_") or name.endswith("_EMULATOR_HOST"):
                patch.delenv(name)
        yield tmp_path


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def tables(books: dict[int, str]) -> ledger.Tables:
    return ledger.Tables(ledger.table_of(books, "a table"), "")


def test_a_file_is_marked_found_verified_and_explained(folder: Path) -> None:
    made = run("watermark", "embed", "plain.wav", "a.flac", "--book", "book [red]a")
    assert (made.exit_code, "book [red]a (index " in made.output) == (0, True)
    assert run("watermark", "embed", "plain.wav", "b.wav", "--book", "b").exit_code == 0
    marks = ledger.read_marks(folder)
    assert set(marks.values()) == {"book [red]a", "b"}
    assert min(marks) >= FIRST_LOCAL

    for book_id, file, expected in (
        ("book [red]a", "a.flac", 0),
        ("b", "a.flac", 1),
        ("b", "plain.wav", 1),
        ("nobody", "a.flac", 2),
        ("b", "marks.json", 2),
        ("b", "missing.wav", 2),
    ):
        verified = run("watermark", "verify", book_id, file)
        assert verified.exit_code == expected, (book_id, file, verified.output)
    assert run("watermark", "verify", "b", "b.wav", "--thorough").exit_code == 0
    assert "was never marked" in run("watermark", "verify", "nobody", "a.flac").output

    drawn = run("watermark", "report", "a.flac")
    assert drawn.exit_code == 0
    ElementTree.fromstring((folder / "a.flac.svg").read_text())  # noqa: S314 — our own
    assert run("watermark", "report", "plain.wav", "-o", "plain.html").exit_code == 1
    assert "no mark found" in (folder / "plain.html").read_text()
    assert run("watermark", "report", "a.flac", "-o", "a.png").exit_code == 2


def test_an_unreadable_file_does_not_keep_others_from_being_searched(folder: Path) -> None:
    (folder / "x.wav").write_bytes(b"not audio")
    soundfile.write("a.wav", embed(SPEECH, RATE, keys.DEMO_KEY, 5), RATE)
    detected = run("watermark", "detect", "missing.wav", "x.wav", "a.wav", "--json")
    assert detected.exit_code == 2
    found, missing, junk = json.loads(detected.stdout)
    assert found["index"] == 5
    assert [missing["file"], junk["file"]] == ["missing.wav", "x.wav"]
    assert not missing["found"]
    assert "x.wav" in junk["error"]
    assert "missing.wav" in detected.stderr
    assert "x.wav" in detected.stderr


def test_what_cannot_be_marked_is_told_and_nothing_is_written_or_allotted(folder: Path) -> None:
    (folder / "x.wav").write_bytes(b"not audio")
    for words in (
        ("plain.wav", "plain.wav", "--book", "b"),
        ("plain.wav", "out.mp3", "--book", "b"),
        ("plain.wav", "no/such/out.wav", "--index", "3"),
        ("x.wav", "out.wav", "--index", "3"),
        ("plain.wav", "out.wav"),
        ("plain.wav", "out.wav", "--book", "b", "--index", "3"),
        ("plain.wav", "out.wav", "--index", "-1"),
    ):
        assert run("watermark", "embed", *words).exit_code == 2, words
    assert sorted(each.name for each in folder.iterdir()) == ["plain.wav", "x.wav"]


def test_a_mark_too_weak_to_last_is_said_so(folder: Path) -> None:
    soundfile.write("short.wav", SPEECH[:5000], RATE)
    made = run("watermark", "embed", "short.wav", "marked.wav", "--index", "7")
    assert made.exit_code == 0
    assert "too short" in made.output


def test_a_cut_and_mixed_file_explains_itself(folder: Path) -> None:
    long = speechlike(40, seed=9)
    one, two = (embed(long, RATE, keys.DEMO_KEY, book) for book in (1, 2))
    # Where a mark ends is right to about three seconds.
    silence = np.zeros(12 * RATE, np.float32)
    joined = [one[: 10 * RATE], one[16 * RATE : 27 * RATE], silence, two[20 * RATE : 32 * RATE]]
    soundfile.write("joined.wav", np.concatenate(joined), RATE)
    known = tables({1: "first", 2: "sec<b>ond"})
    finding, _ = write_picture(
        Path("joined.wav"), [keys.PUBLIC], known, folder / "out.html", NOTHING_KEPT
    )
    assert {source.book_id for source in finding.sources} == {"first", "sec<b>ond"}
    lines = list(explained(finding))
    assert any("no mark" in line for line in lines)
    (cut,) = (line for line in lines if line.startswith("cut"))
    assert "first" in cut
    seconds = float(cut.split()[-4])
    assert seconds == pytest.approx(6, abs=0.3)
    page = (folder / "out.html").read_text()
    assert "sec&lt;b&gt;ond, from 0:" in page
    assert "<b>" not in page


def test_the_book_is_looked_up_in_the_database(firebase: LocalFirebase, folder: Path) -> None:
    firebase.load("/narrationMarks", {"known": 5})
    soundfile.write("a.wav", embed(SPEECH, RATE, keys.DEMO_KEY, 5), RATE)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        assert run("watermark", "verify", "known", "a.wav").exit_code == 0
        unknown = run("watermark", "verify", "a/../b.$[", "a.wav")
        assert (unknown.exit_code, "in the database" in unknown.output) == (2, True)
        assert run("watermark", "embed", "plain.wav", "n.wav", "--book", "new").exit_code == 0
        (finding,) = json.loads(run("watermark", "detect", "n.wav", "--json").stdout)
        assert (finding["book"], finding["index"] > 5) == ("new", True)


@pytest.fixture
def database(firebase: LocalFirebase, folder: Path) -> Iterator[LocalFirebase]:
    """A database is configured, and books 1 and 2 have their marks in it."""
    firebase.load("/narrationMarks", {"of the database": 1, "other": 2})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        yield firebase


def test_a_mark_made_outside_the_database_is_never_the_databases(
    database: LocalFirebase, folder: Path
) -> None:
    (folder / "tale.txt").write_text("A short tale.")
    ledger.write_marks(folder, {7: "an older one"})
    assert run("watermark", "embed", "plain.wav", "a.wav", "--book", "mine").exit_code == 0
    (found,) = json.loads(run("watermark", "detect", "a.wav", "--json").stdout)
    assert (found["book"], found["ambiguous"]) == ("mine", [])
    assert found["table"].endswith("marks.json")
    # Without its table it is nobody's: an index that no database gives out.
    (folder / "marks.json").unlink()
    drawn = run("watermark", "report", "a.wav")
    assert "marked outside a database" in drawn.output
    assert "of the database" not in drawn.output


def test_where_both_tables_know_an_index_neither_is_believed(
    database: LocalFirebase, folder: Path
) -> None:
    soundfile.write("a.wav", embed(SPEECH, RATE, keys.DEMO_KEY, 1), RATE)
    ledger.write_marks(folder, {1: "of the folder"})
    detected = run("watermark", "detect", "a.wav", "--json")
    (found,) = json.loads(detected.stdout)
    assert (detected.exit_code, found["book"]) == (3, None)
    assert {each["book_id"] for each in found["ambiguous"]} == {"of the folder", "of the database"}
    for book_id in ("of the folder", "of the database"):
        verified = run("watermark", "verify", book_id, "a.wav")
        assert verified.exit_code == 3
        assert "of the folder" in verified.output
        assert "of the database" in verified.output
    assert run("watermark", "report", "a.wav").exit_code == 3
    # The same book in both is no contradiction.
    ledger.write_marks(folder, {1: "of the database"})
    assert run("watermark", "verify", "of the database", "a.wav").exit_code == 0


def test_a_mark_copied_onto_other_speech_is_told_from_the_recording(folder: Path) -> None:
    assert run("watermark", "embed", "plain.wav", "a.wav", "--book", "a").exit_code == 0
    (index,) = ledger.read_marks(folder)
    # The same mark on other speech, as a forger would like to have it.
    soundfile.write("forged.wav", embed(speechlike(14, seed=9), RATE, keys.DEMO_KEY, index), RATE)
    alone = run("watermark", "verify", "a", "forged.wav")
    assert (alone.exit_code, "excludes chance, not a forger" in alone.output) == (0, True)
    forged = run("watermark", "verify", "a", "forged.wav", "--original", "a.wav")
    assert (forged.exit_code, "not the recording of a.wav" in forged.output) == (1, True)
    same = run("watermark", "verify", "a", "a.wav", "--original", "plain.wav")
    assert (same.exit_code, "same recording as plain.wav" in same.output) == (0, True)
    drawn = run("watermark", "report", "forged.wav", "--original", "a.wav", "-o", "out.html")
    assert (drawn.exit_code, "not the recording" in Path("out.html").read_text()) == (0, True)
    assert run("watermark", "verify", "a", "a.wav", "--original", "none.wav").exit_code == 2


def test_verify_names_the_other_book_where_detect_can(
    database: LocalFirebase, folder: Path
) -> None:
    # Too noisy for the index to be read without knowing which there are.
    short = embed(SPEECH, RATE, keys.DEMO_KEY, 2)[: 8 * RATE]
    noise = np.random.default_rng(4).normal(0, 0.005, len(short)).astype(np.float32)
    soundfile.write("a.wav", short + noise, RATE)
    (found,) = json.loads(run("watermark", "detect", "a.wav", "--json").stdout)
    assert (found["book"], found["method"]) == ("other", "candidate")
    verified = run("watermark", "verify", "of the database", "a.wav")
    assert (verified.exit_code, "another book: other" in verified.output) == (1, True)


def test_a_database_that_does_not_answer_leaves_the_local_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("watermark", "embed", "plain.wav", "a.wav", "--book", "mine").exit_code == 0

    def no_answer(_project: object) -> None:
        raise Unavailable("database", "the database does not answer")

    monkeypatch.setattr("narrator_daemon.marks.allotment.read_all", no_answer)
    monkeypatch.setenv("FIREBASE_DATABASE_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    (found,) = json.loads(run("watermark", "detect", "a.wav", "--json").stdout)
    assert found["book"] == "mine"
    assert "does not answer" in found["note"]
    (folder / "marks.json").unlink()
    assert run("watermark", "detect", "a.wav").exit_code == 2


def test_local_indices_are_drawn_by_chance_from_their_own_half(tmp_path: Path) -> None:
    drawn = {ledger.local_index(tmp_path, f"book {number}") for number in range(20)}
    other = tmp_path / "other"
    other.mkdir()
    drawn |= {ledger.local_index(other, f"book {number}") for number in range(20)}
    assert len(drawn) == 40
    assert all(FIRST_LOCAL <= index <= LAST_INDEX for index in drawn)
    assert ledger.local_index(tmp_path, "book 3") in drawn


def test_a_retired_key_still_finds_and_is_named(folder: Path) -> None:
    for name in ("new.key", "old.key"):
        keys.write_new(folder / name)
    (folder / "config.toml").write_text('[watermark]\nkey_file = "old.key"\n')
    assert run("watermark", "embed", "plain.wav", "a.wav", "--index", "9").exit_code == 0
    (alone,) = json.loads(run("watermark", "detect", "a.wav", "--json").stdout)
    (folder / "config.toml").write_text('[watermark]\nkey_file = "new.key"\n')
    assert run("watermark", "detect", "a.wav").exit_code == 1
    (folder / "config.toml").write_text(
        '[watermark]\nkey_file = "new.key"\nretired_key_files = ["old.key"]\n'
    )
    detected = run("watermark", "detect", "a.wav", "--json")
    (found,) = json.loads(detected.stdout)
    assert (found["index"], found["key"]) == (9, "old.key")
    # Two keys were tried, so chance had twice as many.
    assert found["falsePositiveProbability"] > 1.2 * alone["falsePositiveProbability"]
    assert (folder / "old.key").read_text().strip() not in detected.output
    again = run("watermark", "embed", "plain.wav", "b.wav", "--index", "9")
    assert again.exit_code == 0
    (found,) = json.loads(run("watermark", "detect", "b.wav", "--json").stdout)
    assert found["key"] == "new.key"


def test_a_book_marked_with_two_keys_is_drawn_twice(folder: Path) -> None:
    known = [keys.NamedKey(f"{name}.key", name.encode() * 8) for name in ("old", "new")]
    joined = [embed(SPEECH[: 9 * RATE], RATE, each.key, 5) for each in known]
    soundfile.write("joined.wav", np.concatenate(joined), RATE)
    finding, _ = write_picture(
        Path("joined.wav"), known, tables({5: "b"}), Path("out.svg"), NOTHING_KEPT
    )
    assert {source.key_name for source in finding.sources} == {"old.key", "new.key"}
    drawn = Path("out.svg").read_text()
    assert "b (key old.key)" in drawn
    assert "b (key new.key)" in drawn


# What it was called with comes back as sound: it may not write files.
FAKE = """#!/usr/bin/env python3
import json, struct, sys, time
if {what!r} == "refuses":
    sys.exit("[x @ 0x1] no idea what this is")
words = json.dumps(sys.argv).encode()
sys.stdout.buffer.write(struct.pack(">4s5I", b".snd", 32, 2**32 - 1, 6, {rate}, {channels}))
sys.stdout.buffer.write(bytes(8))
sound = [letter / 256 for letter in words] + [0] * (2 * {rate} - len(words))
sys.stdout.buffer.write(struct.pack(f">{{2 * {rate}}}f", *sound) + b"x")
sys.stdout.buffer.flush()
if {what!r} == "hangs":
    time.sleep(600)
if {what!r} == "breaks":
    sys.exit("[x @ 0x1] broken pipe dream")
try:
    open("written", "wb", buffering=0).write(b"x")
except OSError:
    sys.exit(0)
sys.exit("it may write files")
"""


def fake_ffmpeg(folder: Path, what: str, rate: int = 16_000, channels: int = 1) -> None:
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "ffmpeg"
    program.write_text(FAKE.format(what=what, rate=rate, channels=channels))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"


@pytest.fixture
def programs(folder: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])
        yield folder


@pytest.mark.parametrize("name", ["-i", "-", "a:b%d;$(touch x).m4a", "http:x", "concat:a|b"])
def test_ffmpeg_reads_the_rest_and_a_name_is_only_a_name(programs: Path, name: str) -> None:
    fake_ffmpeg(programs, "reads")
    Path(name).write_bytes(b"some format that libsndfile does not know")
    with open_audio(Path(name)) as audio:
        samples = np.concatenate(list(audio.blocks()))
    assert (audio.rate, audio.channels, audio.damage) == (16_000, 1, "")
    assert samples.shape == (32_000, 1)
    arguments = json.loads(bytes((samples * 256).astype(np.uint8)).rstrip(b"\0"))
    assert arguments[arguments.index("-i") + 1] == f"file:{programs / name}"
    assert "-nostdin" in arguments
    assert {"hls", "concat"}.isdisjoint(
        arguments[arguments.index("-format_whitelist") + 1].split(",")
    )


def test_a_file_that_breaks_off_is_read_as_far_as_it_goes(programs: Path) -> None:
    fake_ffmpeg(programs, "breaks")
    Path("x").write_bytes(b"x")
    finding = Search([keys.PUBLIC], tables({})).examine(Path("x"))
    assert finding.note.endswith("damaged after 2.0 s")
    refused = run("watermark", "embed", "x", "out.wav", "--index", "1")
    assert (refused.exit_code, Path("out.wav").exists()) == (2, False)


def test_what_hangs_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(programs, "hangs")
    Path("x").write_bytes(b"x")
    with open_audio(Path("x")) as audio:
        blocks = audio.blocks()
        assert len(next(blocks)) == 16_000
        # It has started, however busy the machine is, and all that will come is on its way.
        monkeypatch.setattr(audio_files, "_SILENT_SECONDS", 0.5)
        list(blocks)
    assert "damaged" in audio.damage


@pytest.mark.parametrize(
    ("what", "rate", "channels", "message"),
    [
        ("refuses", 1, 1, "no idea what this is"),
        ("reads", 6_000, 1, "6000 Hz"),
        ("reads", 16_000, 65, "neither"),
    ],
)
def test_what_neither_reads_is_told(
    programs: Path, what: str, rate: int, channels: int, message: str
) -> None:
    fake_ffmpeg(programs, what, rate, channels)
    Path("x").write_bytes(b"x")
    with pytest.raises(Unreadable, match=message), open_audio(Path("x")):
        pass


def test_what_is_no_audio_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    (folder / "x").write_bytes(b"x")
    with pytest.raises(Unreadable, match="neither"), open_audio(folder / "x"):
        pass
    with pytest.raises(Unreadable, match="not a file"), open_audio(folder):
        pass


def test_what_is_longer_than_a_day_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_files, "MAX_HOURS", 12 / 3600)
    with pytest.raises(Unreadable, match="longer than"), open_audio(folder / "plain.wav") as audio:
        list(audio.blocks())


def test_a_file_may_have_any_name_that_a_file_can_have(folder: Path) -> None:
    name = os.fsdecode(b"\xff\x01.wav")
    assert run("watermark", "embed", "plain.wav", name, "--book", name).exit_code == 0
    assert run("watermark", "verify", name, name).exit_code == 0
    drawn = run("watermark", "report", name, "-o", "drawn.svg")
    assert drawn.exit_code == 0
    ElementTree.fromstring((folder / "drawn.svg").read_text())  # noqa: S314 — our own
    assert list(ledger.read_marks(folder).values()) == [name]


def test_narrate_writes_over_none_of_its_own_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRATOR_SPEECH__ENGINE", "tone")
    text = folder / "tale.txt"
    text.write_text("A short tale.")
    (folder / "link.wav").symlink_to("tale.txt")
    for words in (
        ("--out", "tale.txt"),
        ("--out", "link.wav"),
        ("--out", "tale.wav", "--report", "tale.txt"),
        ("--out", "tale.wav", "--report", "tale.wav"),
        ("--out", "/dev/null", "--report", "tale.html"),
    ):
        assert run("narrate", "tale.txt", *words).exit_code == 2, words
    assert text.read_text() == "A short tale."
    assert not (folder / "tale.wav").exists()
