"""Voice and segment to token frames.

A prompt is a list of frames, each 33 wide: 32 audio codes and one text token, of which a mask says
which count. A text is ``BOS "[speaker]text" EOS``, one token a frame; audio is its codes, one set a
frame, and a frame of zeros that ends it. A segment to be spoken follows the voice's text and audio.

The ids are built here, not by transformers' ``CsmProcessor``, because the text is hostile: the
processor takes special tokens and its own placeholder in a text for what they say. On ordinary text
the two agree id for id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from csm.errors import CsmError

#: A narration has one speaker.
SPEAKER = 0


class Spoken(Protocol):
    """Something said: its text and its audio codes, int64, shape ``[frames, codebooks]``."""

    @property
    def text(self) -> str:
        """What is said."""

    @property
    def codes(self) -> Tensor:
        """How it sounds."""


@dataclass(frozen=True)
class Prompt:
    """Frames for the model to go on from.

    Attributes:
        ids: int64, shape ``[frames, codebooks + 1]``; the last column is text; 0 where not used.
        used: bool, the same shape: which ids count in a frame.
    """

    ids: Tensor
    used: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]


def build_prompt(tokenizer: Any, text: str, voice: Spoken | None, *, codebooks: int) -> Prompt:
    """Build the prompt of one segment.

    Args:
        tokenizer: the checkpoint's.
        text: what to say. Taken literally, whatever it holds.
        voice: who says it: a text and its audio; None lets the model pick a voice.
        codebooks: audio codes a frame.
    """
    parts = [] if voice is None else [*_said(tokenizer, voice, codebooks)]
    parts.append(_text_frames(tokenizer, text, codebooks))
    return Prompt(torch.cat([part.ids for part in parts]), torch.cat([part.used for part in parts]))


def check_room(prompt: Prompt, cap: int, positions: int) -> None:
    """Refuse a prompt that leaves no room for ``cap`` frames in the model's positions.

    Raises:
        CsmError: it does not fit.
    """
    if len(prompt) + cap > positions:
        raise CsmError(
            f"a segment does not fit: voice and text take {len(prompt)} positions and the audio up "
            f"to {cap} of the model's {positions}; shorten the voice's reference recording, split "
            "the text into shorter segments, or lower the longest segment's seconds"
        )


def _said(tokenizer: Any, said: Spoken, codebooks: int) -> tuple[Prompt, Prompt]:
    ended = torch.cat([said.codes.cpu(), torch.zeros(1, codebooks, dtype=torch.int64)])
    ids = torch.nn.functional.pad(ended, (0, 1))
    used = torch.ones_like(ids, dtype=torch.bool)
    used[:, -1] = False
    return _text_frames(tokenizer, said.text, codebooks), Prompt(ids, used)


def _text_frames(tokenizer: Any, text: str, codebooks: int) -> Prompt:
    tokens = torch.tensor(text_ids(tokenizer, text), dtype=torch.int64)
    ids = torch.zeros(len(tokens), codebooks + 1, dtype=torch.int64)
    ids[:, -1] = tokens
    used = torch.zeros_like(ids, dtype=torch.bool)
    used[:, -1] = True
    return Prompt(ids, used)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Encode one text as the model was trained: begin, speaker tag, the text literally, end."""
    # Half of a surrogate pair, as a database can hold, is no character that could be encoded.
    sound = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    literal = tokenizer.encode(
        f"[{SPEAKER}]{sound}", add_special_tokens=False, split_special_tokens=True
    )
    return [tokenizer.bos_token_id, *literal, tokenizer.eos_token_id]
