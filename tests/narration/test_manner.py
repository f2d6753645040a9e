"""How a book asks to be read, whatever its fields hold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csm.text.traced import Traced
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.errors import ConfigError
from narrator_daemon.narration.accepting import Unnarratable
from narrator_daemon.narration.manner import Manners
from narrator_daemon.settings import Settings
from narrator_daemon.speech.choosing import create
from tests.speech import tiny_kokoro

VOICES = {"anna": {"prompt": "read_speech_a"}, "bob": {"prompt": "read_speech_b"}}
VOICE, CAST, LEXICON = "narrativeAudioVoice", "narrativeAudioCast", "narrativeAudioLexicon"


def manners(**sections: Any) -> Manners:
    settings = Settings.model_validate({"speech": {"engine": "tone"}, "voices": VOICES, **sections})
    return Manners(settings, create(settings))


def refusal(book: dict[str, Any]) -> tuple[ErrorCode, str]:
    with pytest.raises(Unnarratable) as error:
        manners().of(book)
    return error.value.failure.code, error.value.failure.message


def test_a_book_that_asks_for_nothing_is_what_it_was() -> None:
    assert manners().fingerprint({"narrative": "x"}) == ""
    manner = manners().of({"narrative": "x"})
    assert (manner.voice, manner.asked_cast, bool(manner.lexicon)) == ("", None, False)


def test_a_voice_that_is_not_set_up_is_refused_with_those_that_are() -> None:
    code, message = refusal({VOICE: "carl"})
    assert code is ErrorCode.UNKNOWN_VOICE
    assert (
        message == 'The book asks for the voice "carl", which is not set up; there are: anna, bob.'
    )
    assert refusal({VOICE: {"a": 1}})[0] is ErrorCode.UNKNOWN_VOICE
    code, message = refusal({CAST: {"Emma": "carl"}})
    assert code is ErrorCode.UNKNOWN_VOICE
    assert '"Emma"' in message


def test_a_cast_names_two_hundred_speakers_at_most() -> None:
    cast = {f"speaker {number}": "anna" for number in range(200)}
    assert len(manners().of({CAST: cast}).cast) == 200
    code, message = refusal({CAST: {**cast, "one more": "anna"}})
    assert code is ErrorCode.BAD_CAST and "200 at most" in message
    assert refusal({CAST: {}})[0] is ErrorCode.BAD_CAST
    assert refusal({CAST: {"...": "anna"}})[1] == "A speaker of the book's cast has no name."


def test_in_which_order_a_cast_is_written_makes_no_other_narration() -> None:
    one, other = {"Emma": "anna", "Knightley": "bob"}, {"Knightley": "bob", "Emma": "anna"}
    assert manners().fingerprint({CAST: one}) == manners().fingerprint({CAST: other}) != ""


def test_an_engine_of_one_voice_reads_in_no_other() -> None:
    engine: Any = SimpleNamespace(name="plain")
    made = Manners(Settings.model_validate({"voices": VOICES}), engine)
    assert made.reader("") is engine
    with pytest.raises(Unnarratable, match="reads in one voice only") as refused:
        made.reader("anna")
    assert refused.value.failure.code is ErrorCode.UNKNOWN_VOICE


def test_an_engines_own_voices_can_be_asked_for(tmp_path: Path) -> None:
    model = tiny_kokoro.save(tmp_path, None, "af_heart", "bm_george")
    sections = {
        "speech": {"engine": "kokoro"},
        "kokoro": {"model": str(model)},
        "voices": {"dora": {"kokoro": "bm_george"}},
    }
    own = manners(**sections)
    assert own.of({VOICE: "bm_george"}).voice == "bm_george"
    assert own.fingerprint({VOICE: "bm_george"}) != own.fingerprint({VOICE: "af_heart"})
    assert "bm_george" in own.reader("dora").settings_fingerprint
    with pytest.raises(Unnarratable, match="there are: af_heart, bm_george, dora"):
        own.of({VOICE: "bf_emma"})
    with pytest.raises(ConfigError, match="no voice bf_emma; there are: af_heart") as error:
        manners(**sections, voice={"dialogue": "bf_emma"})
    assert "[voice] dialogue" in str(error.value)


@pytest.mark.parametrize("cast", ["anna", 5, [], {"...": "anna"}, dict.fromkeys("ab" * 300, "x")])
def test_a_cast_that_cannot_be_used(cast: object) -> None:
    if isinstance(cast, dict) and len(cast) < 10 and "..." not in cast:
        cast = {f"s{number}": "anna" for number in range(201)}
    assert refusal({CAST: cast})[0] is ErrorCode.BAD_CAST


def test_a_lexicon_that_cannot_be_used_names_its_lines() -> None:
    code, message = refusal({LEXICON: "Bingley\tBing-lee\nDarcy"})
    assert code is ErrorCode.BAD_LEXICON
    assert "line 2" in message
    assert "Darcy" not in message
    assert refusal({LEXICON: 7})[0] is ErrorCode.BAD_LEXICON


def test_the_catalogues_lexicon_and_the_books(tmp_path: Path) -> None:
    file = tmp_path / "lexicon.tsv"
    file.write_text("Bingley\tone\nDarcy\ttwo\n", encoding="utf-8")
    both = manners(text={"lexicon": str(file)})
    lexicon = both.of({LEXICON: "Bingley\tthree"}).lexicon
    assert lexicon.applied(Traced("Bingley Darcy")).text == "three two"
    assert both.fingerprint({}) != ""


@pytest.mark.parametrize(
    ("contents", "why"),
    [(b"Darcy", "line 1 has no tab"), (b"\xff", "is not UTF-8"), (None, "cannot be read")],
)
def test_a_catalogues_lexicon_that_cannot_be_used(
    tmp_path: Path, contents: bytes | None, why: str
) -> None:
    file = tmp_path / "lexicon.tsv"
    if contents is not None:
        file.write_bytes(contents)
    with pytest.raises(ConfigError, match=why) as error:
        manners(text={"lexicon": str(file)})
    assert "[text] lexicon" in str(error.value)


def test_whatever_shapes_the_sound_is_in_the_fingerprint(tmp_path: Path) -> None:
    plain = manners()
    books: list[dict[str, Any]] = [
        {},
        {VOICE: "anna"},
        {VOICE: "bob"},
        {CAST: {"Emma": "anna"}},
        {CAST: {"Emma": "bob"}},
        {LEXICON: "a\tb"},
        {LEXICON: "a\tc"},
    ]
    prints = [plain.fingerprint(book) for book in books]
    prints.append(manners(voice={"dialogue": "bob"}).fingerprint({}))
    assert len(set(prints)) == len(prints)
    other = {**VOICES, "anna": {"prompt": "read_speech_c"}}
    settings = {"speech": {"engine": "csm"}}
    one = manners(**settings).fingerprint({VOICE: "anna"})
    assert manners(**settings, voices=other).fingerprint({VOICE: "anna"}) != one
    assert manners(**settings, voices=other).fingerprint({VOICE: "bob"}) == manners(
        **settings
    ).fingerprint({VOICE: "bob"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([VOICE, CAST, LEXICON]), json_values))
def test_any_value_is_read_or_refused(book: dict[str, Any]) -> None:
    asked = manners()
    assert asked.fingerprint(book) == asked.fingerprint(dict(book))
    refused = None
    try:
        asked.of(book)
    except Unnarratable as error:
        refused = error.failure.code
    assert refused in (*(None, ErrorCode.UNKNOWN_VOICE, ErrorCode.BAD_CAST, ErrorCode.BAD_LEXICON),)
