"""Commands where the configuration names several databases: on all of them, or on a chosen one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import requests
from typer.testing import CliRunner, Result

from narrator_daemon import cli, config
from narrator_daemon.commands import demand_server
from narrator_daemon.commands.demand_server import DemandServer
from narrator_daemon.commands.status import Fleet, readings
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.errors import Unavailable
from narrator_daemon.wav import WavWriter

SEVERAL = """
[[firebase]]
name = "a"
[[firebase]]
name = "b"

[speech]
engine = "tone"
[files]
formats = []
[logging]
level = "error"
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalFirebase]:
    with LocalFirebase() as running:
        yield running


@pytest.fixture
def firebase(
    shared: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalFirebase]:
    """Two databases: ``a`` with a book that waits, ``b`` with two and one in work."""
    monkeypatch.chdir(tmp_path)
    for name, value in shared.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NARRATOR_DAEMON__STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("NARRATOR_KEPT__FOLDER", str(tmp_path / "kept"))
    (tmp_path / "config.toml").write_text(SEVERAL)
    shared.load("/books", {"tale": book("requested")}, "a")
    shelf = {"x": book("requested"), "y": book("requested"), "z": book("processing")}
    shared.load("/books", shelf, "b")
    yield shared
    shared.faults.clear()


def book(status: str) -> dict[str, Any]:
    return {"title": "T", "narrative": "A text of words.", "narrativeAudioStatus": status}


def refuse_the_first(firebase: LocalFirebase) -> int:
    """The first that is read refuses once; the number of the fault."""
    return firebase.faults.add(Fault("status", status=403, method="GET", count=1))


def command(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


def checks(*words: str) -> dict[str, dict[str, str]]:
    done = command(*words, "doctor", "--json")
    return {check["name"]: check for check in json.loads(done.stdout)}


def set_rules(firebase: LocalFirebase, database: str, rules: dict[str, Any]) -> None:
    requests.put(
        f"http://{firebase.endpoints['database_host']}/.settings/rules.json?ns={database}",
        json={"rules": rules},
        headers={"Authorization": "Bearer owner"},
        timeout=60,
    ).raise_for_status()


FIREBASE = {
    *("credentials", "database", "rules", "register", "clock", "bucket", "URLs"),
    "audio of ready books",
}


class TestDoctor:
    def test_this_machine_is_looked_at_once_and_each_database(
        self, firebase: LocalFirebase
    ) -> None:
        ready = {**book("ready"), "narrativeAudioPath": "narrations/gone.wav"}
        firebase.load("/books/old", ready, "b")
        open_to_all = {".read": True, ".write": True}
        index = {".indexOn": ["narrativeAudioStatus", "narrativeAudioUrlExpiresAt"]}
        set_rules(firebase, "open", {**open_to_all, "books": index})
        Path("config.toml").write_text(SEVERAL.replace('"a"', '"open"'))
        found = checks()
        machine = {name for name in found if " of " not in name}
        assert {"configuration", "watermark key", "speech"} <= machine
        assert not machine & FIREBASE
        each = {f"{name} of {database}" for name in FIREBASE for database in ("open", "b")}
        assert each | {"book old of b"} == found.keys() - machine
        assert found["rules of open"]["result"] == "fail"
        assert found["rules of b"]["result"] == "pass"
        assert found["audio of ready books of open"]["result"] == "pass"

    def test_one_without_its_bucket_is_named_and_the_other_looked_at(
        self, firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in firebase.environment():
            monkeypatch.delenv(name)
        written = SEVERAL
        for name in ("a", "b"):
            keys = f'project_id = "{name}"\ndatabase_url = "https://{name}.firebaseio.com"\n'
            written = written.replace(f'"{name}"\n', f'"{name}"\n{keys}')
        Path("account.json").write_text("{}")
        more = 'credentials = "account.json"\n'
        place = 'name = "b"\n'
        written = written.replace(place, f'{place}storage_bucket = "bucket"\n{more}')
        Path("config.toml").write_text(written)
        found = checks()
        assert found["credentials of a"]["result"] == "fail"
        assert "[[firebase]] a: storage_bucket: is not set" in found["credentials of a"]["note"]
        # Looked at by itself: what is wrong with it is something else.
        assert "account.json cannot be used" in found["credentials of b"]["note"]
        assert found["URLs of a"]["note"] == "not looked at: mend the credentials first"

    def test_a_chosen_one_is_looked_at_as_if_alone(self, firebase: LocalFirebase) -> None:
        found = checks("--database", "b")
        assert found.keys() >= FIREBASE
        assert not any(" of a" in name or " of b" in name for name in found)
        assert "'poems'; there are a, b" in checks("--database", "poems")["configuration"]["note"]


class TestStatus:
    def test_each_has_its_table(self, firebase: LocalFirebase) -> None:
        done = command("status")
        assert done.exit_code == 0
        lines = done.stdout.splitlines()
        named = [line for line in lines if line.startswith("Database ")]
        assert named == ["Database a", "Database b"]
        of_a, of_b = lines[: lines.index(named[1])], lines[lines.index(named[1]) :]
        assert "1 waiting; " in "\n".join(of_a)
        assert "2 waiting; " in "\n".join(of_b)

    def test_each_is_an_object_a_line(self, firebase: LocalFirebase) -> None:
        done = command("status", "--json")
        assert done.exit_code == 0
        a, b = map(json.loads, done.stdout.splitlines())
        assert [next(iter(one)) for one in (a, b)] == ["database", "database"]
        assert (a["database"], a["queue"]["depth"]) == ("a", 1)
        assert (b["database"], b["queue"]["depth"]) == ("b", 2)
        alone = json.loads(command("--database", "b", "status", "--json").stdout)
        assert "database" not in alone
        assert alone["queue"]["depth"] == 2

    @pytest.mark.parametrize("as_json", [False, True])
    def test_one_that_does_not_answer_hides_no_other(
        self, firebase: LocalFirebase, as_json: bool
    ) -> None:
        fault = refuse_the_first(firebase)
        done = command("status", *(["--json"] if as_json else []))
        assert done.exit_code == 1
        assert firebase.faults.hits(fault) == 1
        if as_json:
            a, b = map(json.loads, done.stdout.splitlines())
            assert a.keys() == {"database", "error"}
            assert (a["database"], b["queue"]["depth"]) == ("a", 2)
            assert "the database answers 403" in a["error"]
        else:
            assert "Database a: the database answers 403" in done.stdout
            assert "2 waiting; " in done.stdout

    def test_watching_goes_on_with_all_of_them(self, firebase: LocalFirebase) -> None:
        refuse_the_first(firebase)
        with closing(readings(config.load(None), 0.0)) as rounds:
            first, second = next(rounds), next(rounds)
        assert isinstance(first["a"], Unavailable)
        assert isinstance(first["b"], Fleet)
        assert all(isinstance(one, Fleet) for one in second.values())
        assert list(second) == ["a", "b"]

    def test_one_that_is_alone_goes_on_after_a_silence(self, firebase: LocalFirebase) -> None:
        settings = config.load(None, database="a")
        with closing(readings(settings, 0.0)) as rounds:
            assert next(rounds).keys() == {""}
            refuse_the_first(firebase)
            (again,) = next(rounds).values()
            assert isinstance(again, Fleet)
        refuse_the_first(firebase)
        with closing(readings(settings, 0.0)) as rounds, pytest.raises(Unavailable):
            next(rounds)
        refuse_the_first(firebase)
        assert command("--database", "a", "status").exit_code == 2


class TestQueue:
    def test_all_is_added_up(self, firebase: LocalFirebase) -> None:
        done = command("queue")
        assert done.exit_code == 0
        added = {"work": 4, "claimable": 3, "later": 0, "inWork": 1, "more": False}
        assert json.loads(done.stdout) == added
        alone = json.loads(command("--database", "b", "queue").stdout)
        assert alone == {"work": 3, "claimable": 2, "later": 0, "inWork": 1, "more": False}

    def test_a_part_is_no_count(self, firebase: LocalFirebase) -> None:
        refuse_the_first(firebase)
        done = command("queue")
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("a: the database answers 403")

    def test_it_serves_the_sum(
        self, firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers: list[tuple[int, Any]] = []

        def serve(server: DemandServer) -> None:
            thread = threading.Thread(target=server.serve)
            thread.start()
            try:
                with urlopen(f"http://127.0.0.1:{server.port}/queue") as answer:
                    answers.append((answer.status, json.load(answer)["work"]))
            except HTTPError as refused:
                answers.append((refused.code, None))
            finally:
                server.stop()
                thread.join(60)

        monkeypatch.setattr(demand_server, "serve_until_told", serve)
        assert command("queue", "--serve", "0").exit_code == 0
        refuse_the_first(firebase)
        assert command("queue", "--serve", "0").exit_code == 0
        assert answers == [(200, 4), (503, None)]


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "tale"],
        ["retry", "tale"],
        ["retry", "--failed"],
        ["failed"],
        ["refresh-urls"],
        ["retake", "tale", "--segment", "1"],
        ["control", "show"],
        ["control", "pause"],
        ["register", "export"],
        ["batch", "show", "x"],
        ["watermark", "detect", "x.wav"],
        ["watermark", "embed", "x.wav", "y.wav", "--book", "tale"],
        ["watermark", "report", "x.wav", "--out", "x.html"],
        ["inspect", "x.wav"],
    ],
    ids=" ".join,
)
def test_what_is_of_one_database_asks_which(firebase: LocalFirebase, words: list[str]) -> None:
    with Path("x.wav").open("wb") as file, WavWriter(file, 24_000) as wav:
        wav.write(np.zeros(24_000, dtype=np.int16))
    done = command(*words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "[[firebase]]: there are several: a, b; say which one is meant, before the command: "
        "narrator-daemon --database NAME …"
    )


def test_what_is_of_one_database_works_on_the_chosen_one(firebase: LocalFirebase) -> None:
    told = command("--database", "a", "explain", "--json", "tale")
    assert (told.exit_code, json.loads(told.stdout)["book"]) == (0, "tale")
    assert command("--database", "b", "explain", "tale").exit_code == 2
