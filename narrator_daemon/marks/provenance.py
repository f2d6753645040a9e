"""What all layers of a file say together: credentials, label, public mark, secret mark.

Pure functions from what was found in each layer to one verdict and the reasons for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from narrator_daemon.credentials.reading import FoundCredentials
from narrator_daemon.marks.detect import Finding
from narrator_daemon.marks.recording import Compared
from watermark import PublicDetection


class Verdict(Enum):
    """What the layers say together; of several that hold, the last in this order."""

    #: Nothing says anything.
    NOTHING = "nothing"
    #: Valid credentials, and nothing that was found says otherwise.
    AGREE = "agree"
    #: A mark is in the sound, or a label in the file, and no credentials.
    STRIPPED = "stripped"
    #: Credentials of this work, of which the file was changed since.
    ALTERED = "altered"
    #: Two layers name two things, or the credentials are another file's.
    CONTRADICT = "contradict"


@dataclass(frozen=True)
class Layers:
    """What was found in one file, layer by layer.

    Attributes:
        path: the file.
        credentials: None where there are none.
        label: the field AIGC; None where there is none.
        public: what the search for the public mark found.
        mark: what the search for the secret mark found.
        public_key: whether marks were looked for with the key that everybody knows.
        recordings: of each source of the mark, what holding the file against its narrations gave.
    """

    path: Path
    credentials: FoundCredentials | None
    label: dict[str, Any] | None
    public: PublicDetection
    mark: Finding
    public_key: bool
    recordings: tuple[Compared, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """One file's answer.

    Attributes:
        layers: what was found.
        verdict: what it says together.
        reasons: why, a sentence each.
    """

    layers: Layers
    verdict: Verdict
    reasons: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        layers = self.layers
        return {
            "file": str(layers.path),
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "credentials": layers.credentials.as_record() if layers.credentials else None,
            "label": layers.label,
            "publicMark": {
                "found": layers.public.found,
                "score": round(float(layers.public.score), 2),
                "falsePositiveProbability": float(layers.public.false_positive_probability),
            },
            "mark": layers.mark.as_record(),
            "publicKey": layers.public_key,
            "recordings": [each.as_record() for each in layers.recordings],
        }


#: What one layer adds: the verdict that it asks for, where it asks for any, and why.
_Said: TypeAlias = tuple[Verdict | None, str]


def judge(layers: Layers) -> Inspection:
    """What the layers of a file say together."""
    found = list(_said(layers))
    verdicts = [each for each, _ in found if each is not None]
    verdict = max(verdicts, key=list(Verdict).index, default=Verdict.NOTHING)
    if not found:
        found = [(None, "no layer says anything: nothing is known of where this file is from")]
    return Inspection(layers, verdict, tuple(reason for _, reason in found))


_STRIPPED = (
    "the sound is marked and the file has no credentials: they were taken out, lost when it was "
    "converted, or never put in for want of a certificate"
)


def _said(layers: Layers) -> Iterator[_Said]:
    credentials, mark = layers.credentials, layers.mark
    if credentials is not None:
        yield _of_credentials(credentials, marked=_bound(credentials, mark))
        yield from _binding(credentials, mark)
        if _label_differs(credentials, layers.label):
            yield Verdict.CONTRADICT, "its label says something else than its credentials"
        if layers.public.found and not _says_machine(credentials):
            why = f"its credentials call it {credentials.digital_source or 'nothing that is known'}"
            yield Verdict.CONTRADICT, f"{why}, and its sound says that a machine spoke it"
    elif mark.sources or layers.public.found:
        yield Verdict.STRIPPED, _STRIPPED
    elif layers.label is not None:
        why = "its label says that a machine made it, and nobody has signed for that"
        yield Verdict.STRIPPED, why
    if layers.public.found:
        yield None, "its sound bears the public mark: a machine spoke it"
    if mark.ambiguous:
        yield Verdict.CONTRADICT, "two tables know its mark's index for two books"
    elif mark.sources:
        yield None, f"its sound bears the mark of {mark.sources[0].name}"
    for source, compared in zip(mark.sources, layers.recordings, strict=False):
        verdict = Verdict.CONTRADICT if compared.same is False else None
        yield verdict, f"{source.name}: {compared.told}"
    if mark.sources and layers.public_key:
        yield None, "everybody has the key of this mark: it proves nothing"


def _says_machine(credentials: FoundCredentials) -> bool:
    """Whether the source that credentials name is a machine's, by IPTC's vocabulary."""
    kind = credentials.digital_source.rpartition("/")[2]
    return "lgorithmic" in kind or not credentials.valid


def _bound(credentials: FoundCredentials, mark: Finding) -> bool:
    """Whether the mark that the credentials speak of is in the sound."""
    indices = {each.sighting.book_index for each in mark.sources}
    return credentials.index is not None and credentials.index in indices


def _of_credentials(credentials: FoundCredentials, *, marked: bool) -> _Said:
    if credentials.valid:
        whose = "not trusted here"
        if credentials.trusted:
            whose = "your own" if credentials.own else "trusted"
        signed = f"its credentials are valid, signed by {credentials.signer}"
        return Verdict.AGREE, f"{signed}, whose certificate is {whose}"
    broken = f"its credentials do not hold ({'; '.join(credentials.problems)})"
    if marked:
        why = f"{broken}, and its mark is the one they speak of: it was changed after it was signed"
        return Verdict.ALTERED, why
    if credentials.other_content:
        why = f"{broken}: they are another file's, or it was changed beyond its mark"
        return Verdict.CONTRADICT, why
    return Verdict.ALTERED, broken


def _binding(credentials: FoundCredentials, mark: Finding) -> Iterator[_Said]:
    """What the mark says to the credentials that speak of one."""
    first = mark.sources[0] if mark.sources else None
    if credentials.index is None:
        if first is not None and credentials.valid:
            why = f"its credentials speak of no mark, and it bears that of {first.name}"
            yield Verdict.CONTRADICT, why
        return
    if first is None:
        note = f" ({mark.note})" if mark.note else ""
        why = f"the mark that its credentials speak of is not found with the keys at hand{note}"
        yield None, why
        return
    others = [each for each in mark.sources if each.sighting.book_index != credentials.index]
    if others:
        names = ", ".join(each.name for each in others)
        why = f"its credentials are bound to the mark {credentials.index}, and it bears {names}"
        yield Verdict.CONTRADICT, why
    told = credentials.facts.get("book")
    for source in mark.sources:
        if source not in others and source.book_id is not None and told != source.book_id:
            why = f"its credentials call it {told}, and {source.table} calls it {source.book_id}"
            yield Verdict.CONTRADICT, why


def _label_differs(credentials: FoundCredentials, label: dict[str, Any] | None) -> bool:
    if label is None or not credentials.ours:
        return False
    names = {credentials.facts.get("claim"), credentials.facts.get("book")}
    return label.get("Label") != "1" or label.get("ProduceID") not in names
