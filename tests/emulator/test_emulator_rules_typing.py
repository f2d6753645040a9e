"""What is found wrong with rules when they are deployed, and what when they are evaluated.

The service refuses at deployment what can never work; a type that only the data decides is an error
when the rule is evaluated, which grants nothing and which ``||`` does not undo.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from narrator_daemon.emulator import InvalidRulesError
from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.query import Query, parse_order
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.database.rules_operations import number_text

AUTH = {"uid": "me", "n": 1, "s": "one", "t": True, "o": {"x": 1}, "list": ["a", "b"]}
ROOT = {"s": "text", "n": 5, "t": True, "o": {"x": 1}, "empty": "", "astral": "a\U0001f600"}


def rules(expression: str, kind: str = ".read") -> Rules:
    return Rules(json.dumps({"rules": {"$id": {kind: expression}}}))


def holds(expression: str, root: Any = ROOT, query: Query | None = None) -> bool:
    return rules(expression).may_read(Caller(auth=AUTH), root, ("b",), 1000, query)


def fails(expression: str) -> bool:
    """Whether a rule ends in an error: then not even its opposite holds."""
    return not holds(f"({expression}) || true")


REFUSED = [
    "7", "'foo'", "null", "auth", "auth.t", "root", "data.val()", "[true]", "/a/",
    "auth.s === 'one' ? 7 : true", "auth.t ? true : false", "true ? true : 1",
    "auth.s.contains(7)", "'a'.beginsWith(null)", "root.child(7).exists()", "root.hasChild(true)",
    "root.hasChildren('foo', 'bar')", "root.hasChildren(['a', 7])", "root.hasChildren([])",
    "root.hasChildren('a')", "root.val().notFound == false", "root.val()[$id] == 1",
    "root.child('foo') != null", "root == data", "[1] == [1]", "/a/ == /a/",
    "root.val() > true", "true < 1", "1 < 'a'", "1 >= null", "root.child('a') > 1",
    "1 + true == 2", "null + 'a' == 'a'", "'a' - 1 == 0", "true * 2 == 2", "-'a' == 1", "!1",
    "!auth.t", "!null", "auth.t && true", "true || root.val()", "'a' && true", "+1 == 1",
    "query.foo == 1", "query.startAfter == 1", "query == null", "now.foo == 1", "now() == 1",
    "newData.exists()", "auth.foo.notFound() == false", "auth.s['nothing']('a')",
    "root['doesNotExist']() == true", "root['exi' + 'sts']() == false", "root[$id]() == false",
    "root.exists == true", "'a'.length() == 1", "root.exists(1)", "(2**2) == 4", "a = 1",
    "root.child('a' 'b').exists()", "root.child('a',).exists()", "true;", "var a = true", "",
    "'a'.matches('a')", "'a'.matches(/a/g)", "'a'.matches(/a/ig)", "'line\nbreak' == 'x'",
    "(".join([""] * 5000),
]  # fmt: skip


@pytest.mark.parametrize("expression", REFUSED)
def test_what_is_refused_at_deployment(expression: str) -> None:
    with pytest.raises(InvalidRulesError, match=r"^/\$id: '\.read': "):
        rules(expression)


TRUE = [
    "auth.s['contains']('on')", "root['exists']()", "root.val() == null || true",
    "auth.o.x == 1 && auth['o']['x'] == 1 && auth.o[auth.nothing] == null",
    "(auth.s + 'two') == 'onetwo' && (auth.s + 1) == 'one1' && (1 + 1) == 2",
    "(1/0 + '') == 'NaN' && (0/0 + '') == 'NaN' && !(1/0 > 2) && !(1/0 < 2) && 1/0 != 1/0",
    "(1.5 + '') == '1.5' && (1/3 + '') == '0.3333333333333333' && (2 * 0.5 + '') == '1'",
    "-7 % 3 == -1 && 7 % -3 == 1 && 7.5 % 2 == 1.5 && (5 % 0 + '') == 'NaN'",
    "auth.n < 2 && auth.n >= 1 && 'a' < 'b'",
    "auth.nothing <= null && !(auth.nothing < null)",
    "auth.list.length == 2 && auth.list[0] == 'a' && auth.n.length == null",
    "root.child('empty').val().length < 1 && root.child('astral').val().length == 3",
    "root.child('n').val().length == null",
    "root.child('.priority').val() == null && !root.hasChild('.value')",
    "root.child('banned/a@b.example').val() != true",
    "root.child('/s/').val() == 'text' && root.child('o/x').parent().hasChild('x')",
    "query.orderByKey && !query.orderByPriority && !query.orderByValue",
    "query.orderByPriority == false && query.orderByValue == false && query.orderByChild == null",
    "query.limitToFirst == null && query.startAt == null",
    "true /* and\n so on */ && // more\n true",
    "'it\\'s' == \"it's\" && '\\u0041\\x42' == 'AB'",
    "auth.o == auth.o && auth != null && root.child('o').val() != null",
    "root.child('o').val() != root.child('o').val()",
    "(true ? 'a' : 'b').contains('a') && (auth.t == true ? 1 : 2) == 1",
]  # fmt: skip


@pytest.mark.parametrize("expression", TRUE)
def test_what_holds(expression: str) -> None:
    assert holds(expression)


FAILING = [
    "auth.nothing.contains('a')", "'foo1'.contains(auth.n)", "'foo'.replace('f', auth.n) == ''",
    "root.child(auth.nothing).exists()", "root.hasChild(auth.o)", "root.hasChildren([auth.n])",
    "root.child('s' + auth.nothing).exists()", "1 + auth.t == 2", "'a' + auth.t == 'atrue'",
    "'a' + auth.nothing == 'a'", "auth.t - 1 == 0", "-auth.s == 1", "auth.s * 1 == 1",
    "auth.nothing / 2 == 0", "auth.nothing > 1", "'a' < auth.n", "auth.n <= 'a'",
    "root.child('o').val() > 1", "root.child('n').val().length < 100", "root.parent().exists()",
    "root.child('n').val().beginsWith('5')", "auth.o + 1 == 2", "auth.nothing.length > 0",
    "query.limitToFirst <= 100", "query.orderByChild.contains('x')",
]  # fmt: skip


@pytest.mark.parametrize("expression", FAILING)
def test_what_is_an_error_when_it_is_evaluated(expression: str) -> None:
    assert fails(expression)


def test_new_data_is_known_where_something_is_written() -> None:
    for kind in (".write", ".validate"):
        rules("newData.exists()", kind)


def test_what_a_query_says_about_itself() -> None:
    given = (("startAfter", 2), ("endBefore", 9), ("limitToLast", 5))
    query = Query(parse_order("a/b"), given=given)
    # Rules know no bounds that are excluded: what lies between is what is asked for.
    assert holds(
        "query.orderByChild == 'a/b' && !query.orderByKey && query.startAt == 2 "
        "&& query.endAt == 9 && query.equalTo == null && query.limitToLast == 5",
        query=query,
    )
    assert holds("query.orderByValue", query=Query(parse_order("$value")))
    assert holds("query.orderByPriority", query=Query(parse_order("$priority")))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"), (-0.0, "0"), (1.5, "1.5"), (1e21, "1e+21"), (1e16, "10000000000000000"),
        (1e-7, "1e-7"), (1.5e-7, "1.5e-7"), (1e-5, "0.00001"), (-1.25e-6, "-0.00000125"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (math.nan, "NaN"),
        (math.inf, "Infinity"), (-math.inf, "-Infinity"), (0.1 + 0.2, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert number_text(number) == text


def test_rules_may_go_over_several_lines_and_hold_comments() -> None:
    source = """{
      // Who reads
      "rules": { ".read": "
          auth != null   // signed in
          && root.child('a').val() == 'http://x'  /* really */
      " }
    }"""
    told = Rules(source)
    assert told.may_read(Caller(auth=AUTH), {"a": "http://x"}, (), 0)
    assert not told.may_read(Caller(), {"a": "http://x"}, (), 0)
    assert json.loads(json.dumps(told.parsed))["rules"][".read"].count("\n") == 3


@pytest.mark.parametrize(
    "source",
    [
        '{"rules": {"a/b": {}}}',
        '{"rules": {"a.b": {}}}',
        '{"rules": {"a": {"#": {}}}}',
        '{"rules": {"a": null}}',
        '{"rules": {"a": true}}',
        '{"rules": {".read": null}}',
        '{"rules": {".indexOn": ["a", 1]}}',
        '{"rules": {}, "more": {}}',
        '{"rules": ' + '{"a":' * 3000 + "{}" + "}" * 3000 + "}",
    ],
)
def test_trees_that_are_refused(source: str) -> None:
    with pytest.raises(InvalidRulesError):
        Rules(source)


def test_a_priority_is_judged_by_the_rules_of_its_node() -> None:
    told = Rules(
        """{"rules": {"a": {".write": "newData.getPriority() == 1",
            ".validate": "newData.hasChildren()", "$other": {".write": true}}}}"""
    )
    root = {"a": {"x": 1}}
    assert told.may_write(Caller(), root, [(("a", ".priority"), 1)], 0)
    assert not told.may_write(Caller(), root, [(("a", ".priority"), 2)], 0)
