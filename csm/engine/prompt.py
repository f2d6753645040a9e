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
    own = _text_frames(torch.tensor(text_ids(tokenizer, text)), codebooks)
    if voice is None:
        return own
    said = voice_prompt(torch.tensor(text_ids(tokenizer, voice.text)), voice.codes.cpu())
    return _joined(said, own)


def voice_prompt(ids: Tensor, codes: Tensor) -> Prompt:
    """What stands before each segment in a voice: its text, its audio and the frame that ends it.

    Args:
        ids: of the text, with begin and end, int64 ``[n]``.
        codes: the audio, int64 ``[frames, codebooks]``.
    """
    codebooks = codes.shape[1]
    ended = torch.cat([codes, torch.zeros(1, codebooks, dtype=torch.int64)])
    audio = torch.nn.functional.pad(ended, (0, 1))
    used = torch.ones_like(audio, dtype=torch.bool)
    used[:, -1] = False
    return _joined(_text_frames(ids, codebooks), Prompt(audio, used))


def check_room(taken: int, cap: int, positions: int) -> None:
    """Refuse a prompt that leaves no room for what is to be spoken after it.

    Args:
        taken: positions of the prompt.
        cap: frames that may follow.
        positions: that the model has.

    Raises:
        CsmError: it does not fit.
    """
    if taken + cap > positions:
        raise CsmError(
            f"a segment does not fit: voice and text take {taken} positions and the audio up "
            f"to {cap} of the model's {positions}; shorten the voice's reference recording, split "
            "the text into shorter segments, or lower the longest segment's seconds"
        )


def _joined(one: Prompt, other: Prompt) -> Prompt:
    return Prompt(torch.cat([one.ids, other.ids]), torch.cat([one.used, other.used]))


def _text_frames(tokens: Tensor, codebooks: int) -> Prompt:
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
