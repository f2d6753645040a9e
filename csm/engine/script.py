"""From what a caller asks for to what a slot is given: checked, in token ids, in pieces that fit.

All of it is done on the caller's thread where the voice is known, so that the thread of the frames
only copies numbers, and so that a call that cannot be is refused before it meets the others'.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from csm.audio import CODE_FRAME_SECONDS, SAMPLE_RATE
from csm.engine.operands.sampling import Sampling
from csm.engine.pieces import pieces
from csm.engine.prompt import Prompt, check_room, text_ids, voice_prompt
from csm.engine.voice import PACES, Voice
from csm.errors import CsmError

#: A voice's pace is believed as far as its text goes: these many characters of the usual pace are
#: taken into it, so that a short one, of which the pauses are the most, does not decide.
DOUBTED_CHARACTERS = 50


@dataclass(frozen=True, eq=False)
class Piece:
    """What is spoken in a slot at one go.

    Attributes:
        ids: of its text with begin and end, int64 ``[n]``, in the host's memory.
        cap: frames at most.
    """

    ids: Tensor
    cap: int


class Scribe:
    """Writes scripts for one checkpoint. Safe to use from several threads at once.

    Args:
        config: transformers' ``CsmConfig``.
        tokenizer: the checkpoint's.
        sampling: for how long a segment may be.
    """

    def __init__(self, config: Any, tokenizer: Any, sampling: Sampling) -> None:
        self.seconds_a_frame: float = config.codec_config.frame_size / SAMPLE_RATE
        self._tokenizer, self._sampling = tokenizer, sampling
        self._codebooks: int = config.num_codebooks
        self._codes: int = min(config.vocab_size, config.codec_config.codebook_size)
        self._words: int = config.text_vocab_size
        self._positions: int = config.max_position_embeddings
        # The tokenizer refuses to be used while another thread sets it to how it uses it.
        self._tokenizing = threading.Lock()
        self._voices: weakref.WeakKeyDictionary[Voice, Prompt] = weakref.WeakKeyDictionary()

    def ids(self, text: str) -> Tensor:
        """The ids of a text that is taken literally, int64 ``[n]``.

        Raises:
            CsmError: the tokenizer gives ids that the model has no embedding for.
        """
        with self._tokenizing:
            ids = torch.tensor(text_ids(self._tokenizer, text), dtype=torch.int64)
        if int(ids.max()) >= self._words or int(ids.min()) < 0:
            raise CsmError(
                f"the checkpoint's tokenizer gives the id {int(ids.max())}, and its model knows "
                f"{self._words} words: copy the checkpoint again, tokenizer.json, config.json and "
                "weights from the same place"
            )
        return ids

    def voice(self, voice: Voice) -> Prompt:
        """What stands before each segment in this voice. Read once, whatever becomes of the voice.

        Raises:
            ValueError: its text is none, or its codes are not what the codec makes.
            CsmError: as ``ids``.
        """
        prompt = self._voices.get(voice)
        if prompt is None:
            codes = self._checked(voice)
            prompt = voice_prompt(self.ids(voice.text), codes)
            self._voices[voice] = prompt
        return prompt

    def pieces(
        self, text: str, ids: Tensor, voice: Voice | None, max_seconds: float
    ) -> list[Piece]:
        """A segment in pieces that fit into the model's positions; nearly always one.

        Args:
            text: what to say.
            ids: of it.
            voice: in which it is said.
            max_seconds: no piece takes longer.

        Raises:
            CsmError: not even a few of its characters fit.
        """
        before = len(self.voice(voice)) if voice is not None else 0
        pace = self._pace(voice) if voice is not None else None
        known = {text: ids}

        def piece(part: str) -> Piece:
            if part not in known:
                known[part] = self.ids(part)
            seconds = min(max_seconds, self._sampling.cap(part, pace))
            return Piece(known[part], max(1, int(seconds / self.seconds_a_frame)))

        def fits(part: str) -> bool:
            made = piece(part)
            return before + len(made.ids) + made.cap <= self._positions

        parts = [piece(part) for part in pieces(text, fits)]
        for part in parts:
            check_room(before + len(part.ids), part.cap, self._positions)
        return parts

    def _pace(self, voice: Voice) -> float:
        """Seconds a character for the caps of a voice."""
        seconds = len(voice.codes) * CODE_FRAME_SECONDS
        usual = DOUBTED_CHARACTERS * self._sampling.seconds_per_character
        return min((seconds + usual) / (len(voice.text) + DOUBTED_CHARACTERS), PACES[1])

    def _checked(self, voice: Voice) -> Tensor:
        codes = voice.codes
        if not isinstance(voice.text, str):
            raise ValueError(f"a voice's text must be a str, not {type(voice.text).__name__}")
        whole = isinstance(codes, Tensor) and codes.dtype in _WHOLE_NUMBERS
        if not whole or codes.ndim != 2 or codes.shape[1] != self._codebooks or not len(codes):
            shape = f"{codes.dtype} {list(codes.shape)}" if isinstance(codes, Tensor) else "none"
            raise ValueError(
                f"a voice's codes must be whole numbers, [frames, {self._codebooks}], with a frame "
                f"at least, not {shape}"
            )
        mine = codes.detach().to("cpu", torch.int64)
        least, most = int(mine.min()), int(mine.max())
        if least < 0 or most >= self._codes:
            raise ValueError(
                f"a voice's codes must be 0 to {self._codes - 1}, not {least} to {most}: make the "
                "voice with this checkpoint's codec"
            )
        return mine


_WHOLE_NUMBERS = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)


class Script:
    """The segments of one narration, ready to be begun.

    Args:
        scribe: writes it.
        texts: of all its segments.
        places: of those that may be spoken.
        voice: in which they are; None where it is not yet known.
        max_seconds: no piece of a segment takes longer.

    Raises:
        ValueError: a segment that is no text, or without any; a voice that is none.
        CsmError: a segment does not fit beside its voice.
    """

    def __init__(
        self,
        scribe: Scribe,
        texts: Sequence[str],
        places: Collection[int],
        voice: Voice | None,
        max_seconds: float,
    ) -> None:
        check_texts(texts)
        self._scribe, self._texts, self._max_seconds = scribe, texts, max_seconds
        self._ids = {place: scribe.ids(texts[place]) for place in places}
        self._voice = voice
        self._pieces: dict[int, list[Piece]] = {}
        if voice is not None:
            scribe.voice(voice)
            self._pieces = {place: self.pieces(place, voice) for place in places}

    def pieces(self, place: int, voice: Voice | None) -> list[Piece]:
        """A segment's pieces in a voice.

        Raises:
            CsmError: it does not fit beside this voice.
        """
        if voice is self._voice and place in self._pieces:
            return self._pieces[place]
        return self._scribe.pieces(self._texts[place], self._ids[place], voice, self._max_seconds)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no list of texts to be said.

    Raises:
        ValueError: it is not.
    """
    if isinstance(texts, str):
        raise ValueError("segments must be a list of texts, not one text")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"segment {place} must be a str, not {type(text).__name__}")
        if not text.strip():
            raise ValueError(f"segment {place} has no text")
