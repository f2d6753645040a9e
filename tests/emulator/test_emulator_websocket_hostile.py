from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.emulator.database.database import Database
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.database.tree import Tree
from narrator_daemon.emulator.database.values import to_json
from narrator_daemon.emulator.protocols import wire
from narrator_daemon.emulator.protocols.session import Session

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
_QUERY = st.dictionaries(
    st.sampled_from(["sp", "sn", "sin", "ep", "en", "ein", "l", "vf", "i"]),
    st.sampled_from([".key", ".value", "a/b", "l", "r", 1, 0, True, False, None, "k"]) | _JSON,
)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "p": st.sampled_from(["/", "/a", "/a/b", "/a/.priority"]) | _JSON,
        "d": st.dictionaries(st.sampled_from(["a", "a/b", ".priority", ".value", ".sv"]), _JSON)
        | _JSON,
        "q": _QUERY | _JSON,
        "t": st.integers() | _JSON,
        "h": st.sampled_from([""]) | _JSON,
        "cred": st.sampled_from(["owner", "a.e30."]) | _JSON,
        "authvar": _JSON,
    },
)
_ACTION = st.sampled_from(["q", "n", "g", "p", "m", "o", "om", "oc", "auth", "gauth", "unauth"])


@given(st.lists(st.tuples(_ACTION, _BODY), max_size=12))
@settings(max_examples=80, deadline=None)
def test_whatever_comes_in_is_answered_once(requests: list[tuple[str, Any]]) -> None:
    sent: list[Any] = []
    rules = Rules('{"rules": {".read": "data.child(\'a\').val() !== 1", ".write": true}}')
    session = Session(Database(Tree(), rules), sent.append, lambda _: None)
    for number, (action, body) in enumerate(requests):
        text = json.dumps({"t": "d", "d": {"r": number, "a": action, "b": body}}, allow_nan=True)
        try:
            request = wire.parse_message(text)
        except wire.ProtocolError:
            assert "NaN" in text or "Infinity" in text
            continue
        assert isinstance(request, wire.Request)
        session.receive(request)
        assert [message["r"] for message in sent if "r" in message] == [number]
        for message in sent:
            to_json(message).decode()
        sent.clear()
    session.close()
