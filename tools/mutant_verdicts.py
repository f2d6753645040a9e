"""What became of mutants, kept from one run of ``mutants.py`` to the next.

A verdict is good as long as what it rests on is the same: for a mutant that was noticed, the test
that noticed it, and what that one touches; for one that survived, all tests that it was shown to.
So a test that is added lets the survivors be judged again, and not the others.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mutations import Mutant, source_of
from touching_tests import KEPT, Test


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        survived: whether all tests stayed green.
        shown: how many tests it was shown to at most.
        noticed_by: the test that was red, or that hung; empty where it survived, and where no test
            could be collected.
    """

    survived: bool
    shown: int
    noticed_by: str = ""


class Verdicts:
    """Those of earlier runs."""

    def __init__(self) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        self._path = KEPT / "verdicts.jsonl"
        self._found: dict[str, tuple[Verdict, str]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                name, rests_on = record.pop("mutant"), record.pop("rests_on")
                self._found[name] = Verdict(**record), rests_on

    def of(self, mutant: Mutant, tests: Sequence[Test]) -> Verdict | None:
        """What became of it when it was shown to these, if that still holds."""
        verdict, rests_on = self._found.get(_name(mutant), (None, ""))
        if verdict is None or rests_on != _rests_on(mutant, tests, verdict):
            return None
        return verdict

    def in_order(self, mutant: Mutant, tests: Sequence[Test]) -> list[Test]:
        """The tests, that which noticed it last time the first."""
        verdict, _ = self._found.get(_name(mutant), (None, ""))
        noticed_by = "" if verdict is None else verdict.noticed_by
        return sorted(tests, key=lambda test: test.name != noticed_by)

    def keep(self, mutant: Mutant, tests: Sequence[Test], verdict: Verdict) -> None:
        """For the next run."""
        rests_on = _rests_on(mutant, tests, verdict)
        record = {"mutant": _name(mutant), **asdict(verdict), "rests_on": rests_on}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _name(mutant: Mutant) -> str:
    return f"{mutant.module} {mutant.start} {mutant.end} {mutant.new}"


def _rests_on(mutant: Mutant, tests: Sequence[Test], verdict: Verdict) -> str:
    """A digest of the changed module, and of the files of the tests that count."""
    noticed = [test for test in tests if test.name == verdict.noticed_by]
    digest = hashlib.sha256(source_of(mutant.module).read_bytes())
    for test in sorted(noticed or tests, key=lambda test: test.name):
        digest.update(f"{test.name} {test.file_digest}\0".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit("this is a part of tools/mutants.py")
