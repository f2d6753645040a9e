"""Random security rules in the local Firebase's engine and in npm's targaryen.

    python -m tests.conformance.fuzz_rules --count 10000

Each tree of rules is asked about one random read or write of random data. Both must refuse the same
trees and allow the same requests. A difference that `explained` names is known, with the reason;
any other is printed and makes the run fail.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.rules import InvalidRulesError, Rules
from narrator_daemon.emulator.database.values import normalise
from tests.conformance.second_engine import ask

NOW = 1_700_000_000_000
_KEYS = ["a", "b", "c", "d"]
_LEAVES = [0, 1, 2.5, -3, True, False, "", "a", "ab", "b c", "1", "long text"]
_PATHS = ["a", "b", "c", "a/b", "c/d", "x.y", "/a/"]
_AUTHS: list[Any] = [
    None,
    {"uid": "a"},
    {"uid": "b", "n": 1, "t": True, "s": "ab", "o": {"k": "v"}, "provider": "custom"},
]


class Expressions:
    """Random expressions, mostly of the types that they need.

    Args:
        dice: the chance.
        wildcards: the ``$`` variables known.
        writing: whether ``newData`` is.
        wrong: the chance of an expression of another type.
    """

    def __init__(
        self, dice: random.Random, wildcards: list[str], *, writing: bool, wrong: float
    ) -> None:
        self._dice = dice
        self._wildcards = wildcards
        self._snapshots = ["root", "data", *(["newData"] if writing else [])]
        self._wrong = wrong

    def boolean(self, depth: int) -> str:
        """An expression that is true or false."""
        if self._dice.random() < self._wrong:
            return self._dice.choice([self.string, self.number, self.any, self.snapshot])(1)
        choices: list[Callable[[int], str]] = [
            lambda _: self._dice.choice(["true", "false"]),
            lambda _: f"{self.snapshot(1)}.{self._dice.choice(_SNAPSHOT_TESTS)}",
            lambda _: f"{self.snapshot(1)}.hasChild({self.string(0)})",
            lambda _: f"{self.snapshot(1)}.hasChildren([{self.string(0)}, {self.string(0)}])",
            lambda _: f"query.{self._dice.choice(['orderByKey', 'orderByValue'])}",
        ]
        if depth > 0:
            choices += [
                lambda d: f"({self.boolean(d - 1)} && {self.boolean(d - 1)})",
                lambda d: f"({self.boolean(d - 1)} || {self.boolean(d - 1)})",
                lambda d: f"!{self.boolean(d - 1)}",
                lambda d: (
                    f"({self.boolean(d - 1)} ? {self.boolean(d - 1)} : {self.boolean(d - 1)})"
                ),
                self._comparison,
                self._comparison,
                self._equality,
                self._equality,
                lambda d: f"{self.text(d - 1)}.contains({self.string(d - 1)})",
                lambda d: f"{self.text(d - 1)}.beginsWith({self.string(d - 1)})",
                lambda d: f"{self.text(d - 1)}.matches({self._dice.choice(_REGEXES)})",
            ]
        return self._dice.choice(choices)(depth)

    def _comparison(self, depth: int) -> str:
        side = self._dice.choice([self.number, self.number, self.string, self.any])
        other = side if self._dice.random() < 0.8 else self.any
        return f"{side(depth - 1)} {self._dice.choice(['<', '<=', '>', '>='])} {other(depth - 1)}"

    def _equality(self, depth: int) -> str:
        sides = [self.number, self.string, self.any, self.any, lambda _: "null", self.boolean]
        one, other = self._dice.choice(sides), self._dice.choice(sides)
        sign = self._dice.choice(["==", "===", "!=", "!=="])
        return f"({one(depth - 1)}) {sign} ({other(depth - 1)})"

    def string(self, depth: int) -> str:
        """An expression that is a string."""
        if self._dice.random() < self._wrong:
            return self._dice.choice([self.number, self.boolean, self.any])(0)
        choices: list[Callable[[int], str]] = [
            lambda _: "'" + self._dice.choice([*_PATHS, "", "ab", "custom"]) + "'",
            lambda _: self._dice.choice([*self._wildcards, "auth.uid", "'b'"]),
        ]
        if depth > 0:
            choices += [
                lambda d: f"({self.string(d - 1)} + {self.string(d - 1)})",
                lambda d: f"({self.string(d - 1)} + {self.number(d - 1)})",
                lambda d: f"{self.text(d - 1)}.toUpperCase()",
                lambda d: f"{self.text(d - 1)}.replace({self.string(0)}, {self.string(0)})",
            ]
        return self._dice.choice(choices)(depth)

    def text(self, depth: int) -> str:
        """An expression that a method of strings can be called on."""
        if self._dice.random() < 0.5:
            return self._dice.choice(
                ["auth.s", "auth.uid", "auth.none", f"{self.snapshot(1)}.val()"]
            )
        return f"({self.string(depth)})"

    def number(self, depth: int) -> str:
        """An expression that is a number."""
        if self._dice.random() < self._wrong:
            return self._dice.choice([self.string, self.boolean, self.any])(0)
        choices: list[Callable[[int], str]] = [
            lambda _: self._dice.choice(["0", "1", "2.5", "now", "auth.n", "10"]),
            lambda _: f"{self.text(0)}.length",
        ]
        if depth > 0:
            signs = ["+", "-", "*", "/", "%"]
            choices += [
                lambda d: f"({self.number(d - 1)} {self._dice.choice(signs)} {self.number(d - 1)})",
                lambda d: f"-({self.number(d - 1)})",
            ]
        return self._dice.choice(choices)(depth)

    def any(self, _: int) -> str:
        """An expression whose type only the data decides."""
        return self._dice.choice(
            ["auth", "auth.uid", "auth.n", "auth.t", "auth.none", "auth.o.k", "auth.o['k']",
             "auth['s']", "query.limitToFirst", "query.startAt", "query.orderByChild",
             f"{self.snapshot(1)}.val()", f"{self.snapshot(1)}.val()", f"{self.snapshot(1)}.val()"]
        )  # fmt: skip

    def snapshot(self, depth: int) -> str:
        """An expression that is a place."""
        place = self._dice.choice(self._snapshots)
        if depth > 0 and self._dice.random() < 0.6:
            place += f".child({self.string(0)})"
        return place + ".parent()" if self._dice.random() < 0.1 else place


_SNAPSHOT_TESTS = ["exists()", "hasChildren()", "isString()", "isNumber()", "isBoolean()"]
_REGEXES = [
    "/a/",
    "/^a/",
    "/^[a-c]+$/",
    "/B/i",
    "/^.{1,2}$/",
    "/(a|b)$/",
    "/(^a)/",
    "/a/g",
    r"/^\w*$/",
]


def tree(dice: random.Random, wildcards: list[str], depth: int = 2) -> dict[str, Any]:
    """A random tree of rules."""
    rules: dict[str, Any] = {}
    for kind, chance in ((".read", 0.5), (".write", 0.6), (".validate", 0.4)):
        if dice.random() < chance:
            made = Expressions(dice, wildcards, writing=kind != ".read", wrong=0.003)
            rules[kind] = made.boolean(dice.randint(0, 3))
    if depth > 0:
        for key in dice.sample(_KEYS, dice.randint(0, 2)):
            rules[key] = tree(dice, wildcards, depth - 1)
        if dice.random() < 0.5:
            name = f"$w{len(wildcards)}"
            rules[name] = tree(dice, [*wildcards, name], depth - 1)
    return rules


def value(dice: random.Random, depth: int) -> Any:
    """Random data."""
    if depth == 0 or dice.random() < 0.3:
        return dice.choice(_LEAVES)
    return {key: value(dice, depth - 1) for key in dice.sample(_KEYS, dice.randint(1, 3))}


def question(dice: random.Random) -> dict[str, Any]:
    """Rules, data, and what is asked."""
    path = "/".join(dice.choice(_KEYS) for _ in range(dice.randint(0, 3)))
    asked: dict[str, Any] = {
        "rules": tree(dice, []),
        "data": value(dice, 3),
        "auth": dice.choice(_AUTHS),
        "now": NOW,
    }
    if dice.random() < 0.4:
        return {**asked, "read": "/" + path}
    writes = {path or "a": dice.choice([None, value(dice, 2)])}
    if dice.random() < 0.3:
        second = dice.choice(_KEYS)
        if second != (path or "a").split("/")[0]:
            writes[second] = value(dice, 1)
    return {**asked, "writes": writes}


def judge(asked: dict[str, Any]) -> object:
    """What ours says: as `ask` does."""
    try:
        rules = Rules(json.dumps({"rules": asked["rules"]}))
    except InvalidRulesError:
        return "invalid"
    caller, root = Caller(auth=asked["auth"]), normalise(asked["data"], now=NOW)
    if "read" in asked:
        return rules.may_read(caller, root, tuple(filter(None, asked["read"].split("/"))), NOW)
    writes = [
        (tuple(path.split("/")), normalise(raw, now=NOW)) for path, raw in asked["writes"].items()
    ]
    return rules.may_write(caller, root, writes, NOW)


def explained(asked: dict[str, Any], ours: object, theirs: object) -> str | None:
    """Why the two may differ, None where they should not."""
    if "invalid" in (ours, theirs):
        return None
    for path, raw in asked.get("writes", {}).items():
        stored = asked["data"]
        for key in path.split("/"):
            if raw is None and not isinstance(stored, dict):
                return "null below a leaf leaves the leaf as it is; targaryen takes it away"
            stored = stored.get(key) if isinstance(stored, dict) else None
    text = json.dumps(asked["rules"])
    if "child('')" in text or "hasChild('')" in text:
        return "the child of an empty path is the place itself: nothing decides"
    if "hasChildren([" in text:
        return "hasChildren with a key that is no string is an error, whatever the other keys are"
    return None


def main() -> int:
    """Ask both and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    questions = [question(dice) for _ in range(options.count)]
    known: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    open_cases = 0
    for asked, theirs in zip(questions, ask(questions), strict=True):
        ours = judge(asked)
        verdicts[str(ours)] += 1
        if ours == theirs:
            continue
        reason = explained(asked, ours, theirs)
        if reason is None:
            open_cases += 1
            print(f"ours {ours}, theirs {theirs}: {json.dumps(asked)}")
        else:
            known[reason] += 1
    print(f"{len(questions)} trees: {dict(verdicts)}; {open_cases} unexplained differences")
    for reason, count in known.most_common():
        print(f"{count:6} {reason}")
    return 1 if open_cases else 0


if __name__ == "__main__":
    sys.exit(main())
