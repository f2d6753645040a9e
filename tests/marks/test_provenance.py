"""What layers say together, case by case, without any sound."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from narrator_daemon.credentials.reading import FoundCredentials
from narrator_daemon.marks.provenance import Layers, Verdict, judge
from narrator_daemon.marks.recording import Compared, Original
from watermark import PublicDetection
from watermark.marking.fingerprint import Likeness

LABEL = {"Label": "1", "ProduceID": "t7"}


def credentials(**changed: Any) -> FoundCredentials:
    return FoundCredentials(
        **{
            "valid": True,
            "trusted": False,
            "own": False,
            "other_content": False,
            "problems": (),
            "signer": "A House",
            "signed_at": "",
            "made_at": "",
            "ours": True,
            "facts": {"book": "emma", "claim": "t7"},
            "index": 7,
            "digital_source": "",
            **changed,
        }
    )


def mark(*indices: int, book: str | None = "emma", ambiguous: bool = False) -> Any:
    sources = [
        SimpleNamespace(
            sighting=SimpleNamespace(book_index=index),
            book_id=book,
            name=book or f"index {index}",
            table="a table",
        )
        for index in indices
    ]
    return SimpleNamespace(
        sources=sources, ambiguous=ambiguous, note="", as_record=lambda: {"sources": len(sources)}
    )


@pytest.mark.parametrize(
    ("compared", "verdict", "says"),
    [
        (Compared(Original("take 1", b""), Likeness(0.9, 20)), Verdict.STRIPPED, "same recording"),
        (Compared(Original("take 1", b""), Likeness(0.01, 20)), Verdict.CONTRADICT, "not the rec"),
        (Compared(Original("take 1", b""), Likeness(0.9, 2)), Verdict.STRIPPED, "too little"),
        (Compared(note="no database"), Verdict.STRIPPED, "not a forger"),
    ],
)
def test_the_recording_and_the_mark(compared: Compared, verdict: Verdict, says: str) -> None:
    layers = Layers(Path("a.wav"), None, None, heard_public(), mark(7), False, (compared,))
    judged = judge(layers)
    assert judged.verdict == verdict
    assert any(says in reason for reason in judged.reasons)
    assert judged.as_record()["recordings"] == [compared.as_record()]


def heard_public(*, found: bool = False) -> PublicDetection:
    return PublicDetection(found, 9.0, 1e-12, 1.0, 1.0, 30.0)


MACHINE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAPTURE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


@pytest.mark.parametrize(
    ("found", "verdict", "says"),
    [
        (None, Verdict.STRIPPED, "a machine spoke it"),
        (credentials(digital_source=MACHINE), Verdict.AGREE, "a machine spoke it"),
        (credentials(digital_source=CAPTURE), Verdict.CONTRADICT, "digitalCapture"),
        (credentials(ours=False, index=None, facts={}), Verdict.CONTRADICT, "nothing that"),
    ],
)
def test_the_public_mark_and_credentials(
    found: FoundCredentials | None, verdict: Verdict, says: str
) -> None:
    public = heard_public(found=True)
    told = judge(Layers(Path("a.wav"), found, None, public, mark(), public_key=False))
    assert told.verdict is verdict
    assert any(says in reason for reason in told.reasons), told.reasons
    assert told.layers.public.found


BROKEN = {"valid": False, "problems": ("the file is not the one that was signed",)}


@pytest.mark.parametrize(
    ("found", "label", "heard", "verdict", "says"),
    [
        (None, None, mark(), Verdict.NOTHING, "no layer says anything"),
        (None, LABEL, mark(), Verdict.STRIPPED, "nobody has signed"),
        (None, None, mark(7), Verdict.STRIPPED, "never put in"),
        (None, LABEL, mark(7), Verdict.STRIPPED, "the mark of emma"),
        (credentials(), LABEL, mark(7), Verdict.AGREE, "not trusted here"),
        (credentials(trusted=True), LABEL, mark(7), Verdict.AGREE, "certificate is trusted"),
        (credentials(trusted=True, own=True), LABEL, mark(7), Verdict.AGREE, "your own"),
        (credentials(), None, mark(7, book=None), Verdict.AGREE, "the mark of index 7"),
        (credentials(), LABEL, mark(), Verdict.AGREE, "not found with the keys at hand"),
        (credentials(), LABEL, mark(8), Verdict.CONTRADICT, "bound to the mark 7"),
        (credentials(), LABEL, mark(7, 8), Verdict.CONTRADICT, "bound to the mark 7"),
        (credentials(), LABEL, mark(7, book="pamela"), Verdict.CONTRADICT, "calls it pamela"),
        (credentials(), LABEL, mark(7, ambiguous=True), Verdict.CONTRADICT, "two tables"),
        (None, None, mark(7, ambiguous=True), Verdict.CONTRADICT, "two tables"),
        (credentials(index=None), LABEL, mark(7), Verdict.CONTRADICT, "speak of no mark"),
        (credentials(index=None), LABEL, mark(), Verdict.AGREE, "valid"),
        (credentials(), {**LABEL, "Label": "3"}, mark(7), Verdict.CONTRADICT, "label"),
        (credentials(), {**LABEL, "ProduceID": "t8"}, mark(7), Verdict.CONTRADICT, "label"),
        # The label of a file that another program made and signed is its own business.
        (credentials(ours=False, index=None, facts={}), {"Label": "2"}, mark(), Verdict.AGREE, ""),
        (credentials(**BROKEN, other_content=True), LABEL, mark(7), Verdict.ALTERED, "changed"),
        (credentials(**BROKEN, other_content=True), LABEL, mark(8), Verdict.CONTRADICT, "another"),
        (credentials(**BROKEN, other_content=True), LABEL, mark(), Verdict.CONTRADICT, "another"),
        (credentials(**BROKEN), LABEL, mark(), Verdict.ALTERED, "do not hold"),
    ],
)
def test_each_case_has_its_verdict_and_a_reason(
    found: FoundCredentials | None,
    label: dict[str, Any] | None,
    heard: Any,
    verdict: Verdict,
    says: str,
) -> None:
    told = judge(Layers(Path("a.wav"), found, label, heard_public(), heard, public_key=False))
    assert told.verdict is verdict
    assert any(says in reason for reason in told.reasons), told.reasons


def test_a_mark_of_the_public_key_is_said_to_prove_nothing() -> None:
    told = judge(
        Layers(Path("a.wav"), credentials(), LABEL, heard_public(), mark(7), public_key=True)
    )
    assert any("proves nothing" in reason for reason in told.reasons)
