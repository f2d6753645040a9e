"""Names said right in one narration: by phonemes where its engine takes them, else by spelling."""

from __future__ import annotations

from collections.abc import Sequence

from csm.text import Lexicon
from csm.text.lexicon import EMPTY
from csm.text.pronounced import pronounced, said
from narrator_daemon.speech import SpeechEngine, TakesPhonemes


class Names:
    """How one narration says names.

    Args:
        engine: that reads; its voices take phonemes where it does.
        lexicon: how names are said.

    Attributes:
        spelled: the entries that the text is spelled by.
    """

    def __init__(self, engine: SpeechEngine, lexicon: Lexicon) -> None:
        taken = bool(lexicon) and _saying(engine, lexicon) is not None
        self.spelled = lexicon.with_phonemes(taken) if lexicon else lexicon
        self._lexicon = lexicon if taken else EMPTY

    def saying(self, engine: SpeechEngine) -> SpeechEngine:
        """An engine, or one of its voices, saying by IPA what has some."""
        if not self._lexicon:
            return engine
        return _saying(engine, self._lexicon) or engine

    def keys(self, texts: Sequence[str]) -> list[str]:
        """The texts of segments, each with what is said in it by IPA.

        What was kept of a segment is used again as long as this is the same, whatever else the
        lexicon gets.
        """
        lexicon = pronounced(self._lexicon)
        if not lexicon:
            return list(texts)
        return [_key(text, lexicon) for text in texts]


def _key(text: str, lexicon: Lexicon) -> str:
    given = "".join(f"\n{one.start} {one.end} {one.ipa}" for one in said(text, lexicon))
    return text + given


def _saying(engine: SpeechEngine, lexicon: Lexicon) -> SpeechEngine | None:
    return engine.saying(lexicon) if isinstance(engine, TakesPhonemes) else None
