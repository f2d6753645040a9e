"""Whatever stands in a field that a frontend may write, a job ends in the book's own way."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from narrator_daemon.catalogue import CLAIM, NOT_BEFORE, STATUS
from narrator_daemon.claims.claims import Claims
from narrator_daemon.narration.manner import Manners
from narrator_daemon.settings import Settings
from narrator_daemon.speech.tone import ToneSpeech
from tests.desk import Desk
from tests.housekeeping.test_any_junk import FIELDS, junk

VOICES = ["anna", "bob"]
SETTINGS: dict[str, Any] = {
    "voices": {name: {} for name in VOICES},
    "files": {"formats": [], "captions": True},
}
ENGINE = ToneSpeech(voices=Settings.model_validate(SETTINGS).voices.by_name)
ENGINE.load()

# What is nearly right, too.
words = st.one_of(
    st.sampled_from([*VOICES, "raven\tray ven", "raven\t/ˈɹeɪvən/"]), st.text(max_size=9), junk
)
fields = {
    **dict.fromkeys([*FIELDS, "title", "author", "cover"], junk),
    "narrativeAudioVoice": words,
    "narrativeAudioLexicon": words,
    "narrativeAudioCast": st.one_of(st.dictionaries(st.text(max_size=5), words, max_size=3), junk),
    "narrativeAudioRetake": st.one_of(st.lists(st.integers(-1, 4) | junk, max_size=3), junk),
    "narrativeAudioTake": st.integers(0, 3) | junk,
    "narrativeAudioInputHash": st.just("0" * 64) | junk,
    "narrative": st.one_of(st.just('"Why?" said the Hatter.\n\nHe went.'), st.text(), junk),
}
for name in (STATUS, CLAIM, NOT_BEFORE):  # those decide whether it is claimed at all
    del fields[name]


def desk_in(folder: str) -> Desk:
    desk = Desk(Path(folder), **SETTINGS)
    manners = Manners(desk.settings, ENGINE)
    project: Any = desk.project
    desk.claims = Claims(
        project,
        desk.settings,
        "voice",
        lambda *_: False,
        desk.leases,
        manner=manners.fingerprint,
    )
    desk.context = replace(desk.context, engine=ENGINE, claims=desk.claims, manners=manners)
    return desk


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({}, optional=fields))
@example(dict.fromkeys(fields, ""))
@example(dict.fromkeys(fields, 10**400))
@example({name: [None, {"x": True}] for name in fields})
@example(dict.fromkeys(fields, "\ud800"))
def test_a_job_ends_in_the_books_own_way(record: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, structlog.testing.capture_logs() as logs:
        desk = desk_in(folder)
        desk.edit(**{name: value for name, value in record.items() if value is not None})
        ending = desk.run()
        assert ending.outcome in ("published", "failed"), logs
        if ending.failure is not None:
            assert ending.failure.code not in ("internal_error", "engine_error", "refused"), logs
        wrong = {"job_failed", "narration_failed", "outcome_unknown"}
        assert not wrong & {one["event"] for one in logs}, logs
        assert CLAIM not in desk.book and not desk.leases_left
