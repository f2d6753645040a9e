"""Ask targaryen's rules engine what ours was asked: the table, and what a real daemon did.

    make rules

Both engines must answer as the table says, and as the real run went.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from narrator_daemon.emulator.database.rules import Rules
from tests.deploy.recording import ROOT, RULES, record
from tests.deploy.rules_table import Request, table


def evaluate(requests: list[Request], source: str) -> list[bool]:
    """What targaryen allows.

    Args:
        requests: to judge.
        source: the text of a rules file.
    """
    lines = [line for line in source.splitlines() if not line.startswith("//")]
    asked = {"rules": json.loads("\n".join(lines)), "requests": [r.as_json() for r in requests]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(asked, file)
        file.flush()
        answer = subprocess.run(
            ["node", ROOT / "deploy/firebase/evaluate.js", file.name],
            check=True,
            stdout=subprocess.PIPE,
        )
    allowed: list[bool] = json.loads(answer.stdout)
    return allowed


def main() -> int:
    source = RULES.read_text()
    rules = Rules(source)
    with tempfile.TemporaryDirectory() as folder:
        # Reads that were recorded carry no data: the rules for reading ask none.
        requests = [*table(), *record(Path(folder))]
    wrong = 0
    for request, theirs in zip(requests, evaluate(requests, source), strict=True):
        ours = request.passes(rules)
        if not request.allowed == ours == theirs:
            wrong += 1
            print(f"{request.name}: expected {request.allowed}, ours {ours}, targaryen {theirs}")
    recorded = sum(request.name.startswith("recorded") for request in requests)
    print(f"{len(requests)} requests, {recorded} of them writes of a real daemon")
    print(f"{len(requests) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
