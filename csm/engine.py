"""Segments in, takes out: one model, one segment at a time, any number of narrations.

The modules and weights are those of transformers' ``CsmForConditionalGeneration``; the loop over
frames is here. transformers' own ``generate`` runs a nested ``generate`` for every frame, at
several times the cost, draws the reserved codes that the codec cannot decode, stops on 31 zeros
where the audio is cut on 32, and cannot be stopped from outside.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from csm import SAMPLE_RATE, CsmError, OutOfMemory, codec
from csm.checkpoint import Checkpoint
from csm.prompt import Prompt, build_prompt, check_room
from csm.sampling import Sampling, draw
from csm.voice import Voice, read_clip

CLOSED = "the speech engine is closed: load the checkpoint again"

T = TypeVar("T")

#: Seconds a character of English takes when it is narrated, spaces included.
SECONDS_PER_CHARACTER = 0.07
#: A segment may take this many times its expected seconds, and this many seconds more.
CAP_FACTOR, CAP_SECONDS = 1.6, 1.0
#: Segments that are tried as the voice of a narration that has none.
VOICE_TRIES = 5
#: Seconds that a take must have to give its voice to the others.
VOICE_SECONDS = (2.0, 30.0)
#: A take that is this much shorter than expected has lost words.
VOICE_SHORTEST = 0.4
#: Root mean square, full scale 1, below which a take is silent: -50 dBFS.
SILENCE = 0.003


@dataclass(frozen=True, eq=False)
class Take:
    """One segment, spoken.

    Attributes:
        index: the segment's place in the list, from 0.
        samples: float32 mono at ``csm.SAMPLE_RATE`` within -1..1, shape ``[n]``, n > 0.
        codes: what the samples were decoded from, int64, shape ``[frames, codebooks]``.
        ended: whether the model ended it; otherwise it was cut at its cap.
    """

    index: int
    samples: NDArray[np.float32]
    codes: Tensor
    ended: bool


class Speech(Iterator[Take]):
    """The takes of one narration, made as they are asked for.

    ``close`` may be called from any thread, also while another waits for the next take: the model
    is free within one frame, and the iteration ends. Dropping the object has the same effect.
    """

    def __init__(self, takes: Generator[Take], cancelled: threading.Event) -> None:
        self._takes = takes
        self._cancelled = cancelled

    def __next__(self) -> Take:
        if self._cancelled.is_set():
            raise StopIteration
        return next(self._takes)

    def close(self) -> None:
        """Cancel what is not yet spoken. Safe to call twice."""
        self._cancelled.set()


class Engine:
    """Speaks segments with one checkpoint. Safe to use from several threads at once.

    Narrations that run at once take turns, a segment each.

    Args:
        checkpoint: from ``csm.load_checkpoint``. The engine owns it from here on.
        sampling: how codes are drawn.
    """

    def __init__(self, checkpoint: Checkpoint, sampling: Sampling | None = None) -> None:
        self.sampling = sampling or Sampling()
        self.device = checkpoint.device
        self._checkpoint: Checkpoint | None = checkpoint
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def make_voice(self, reference: Path, transcript: str) -> Voice:
        """Make a voice from a recording of it, 1 to 30 s, and the words said in the recording.

        Raises:
            CsmError: the recording or its transcript is not fit.
            OutOfMemory: no room to encode it.
        """
        clip = read_clip(reference, transcript)
        with self._lock:
            network = self._open().model
            codes = self._guarded(lambda: codec.encode(network.codec_model, clip))
        return Voice(transcript.strip(), codes)

    def warm_up(self) -> None:
        """Speak a few frames, so that the first segment does not pay for what is set up once.

        Raises:
            CsmError: the model does not work here.
        """
        longest = (self.sampling.first_end + 1) * self._seconds_a_frame()
        for _ in self.speak(["Warm."], seed=0, max_seconds=longest):
            pass

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        voice: Voice | None = None,
        max_seconds: float = 60.0,
    ) -> Speech:
        """Speak segments; take them from the returned iterator.

        A segment's samples depend on checkpoint, device, voice, text, place, seed and sampling
        alone. Without a voice, the first of the segments that comes out well gives its voice to
        the others; those that came before it are spoken again, so that a narration has one voice.
        The order of the takes is therefore not always that of the segments.

        Args:
            segments: what to say; each at most a few hundred characters, taken literally.
            seed: any non-negative integer.
            voice: whose voice, from ``make_voice`` of this engine.
            max_seconds: no take is longer. Shorter texts have shorter caps of their own.

        Raises:
            ValueError: a segment without text, or a negative seed.
            CsmError: at once or while iterating: the engine is closed, or a segment does not fit
                or cannot be spoken.
            OutOfMemory: while iterating. The engine stays usable.
        """
        if seed < 0 or max_seconds <= 0:
            raise ValueError(
                f"seed must be 0 or more and max_seconds above 0: {seed=} {max_seconds=}"
            )
        for index, segment in enumerate(segments):
            if not segment.strip():
                raise ValueError(f"segment {index} has no text")
        self._open()
        cancelled = threading.Event()
        work = _Work(list(segments), seed, max_seconds, cancelled)
        return Speech(self._takes(work, voice), cancelled)

    def close(self) -> None:
        """Cancel all that is spoken and free the model. Safe to call twice."""
        self._closed.set()
        with self._lock:
            self._checkpoint = None
            _empty_cache(self.device)

    def _takes(self, work: _Work, voice: Voice | None) -> Generator[Take]:
        waiting = list(range(len(work.segments)))
        if voice is None and len(waiting) > 1:
            chosen = self._first_good(work)
            if chosen is None:
                return
            voice = Voice(work.segments[chosen.index], chosen.codes)
            waiting.remove(chosen.index)
            yield chosen
        for index in waiting:
            take = self._take(work, index, voice)
            if take is None:
                return
            yield take

    def _first_good(self, work: _Work) -> Take | None:
        """Draw segments with no voice until one comes out well; else settle for the best of them.

        None if it was cancelled.
        """
        tried: list[Take] = []
        for index in range(min(VOICE_TRIES, len(work.segments))):
            take = self._take(work, index, None)
            if take is None or _gives_a_voice(take, work.segments[index]):
                return take
            tried.append(take)
        return max(tried, key=lambda take: (take.ended, len(take.codes)))

    def _take(self, work: _Work, index: int, voice: Voice | None) -> Take | None:
        """Speak one segment; None if it was cancelled."""
        with self._lock:
            checkpoint = self._open()
            take = self._guarded(lambda: self._speak_one(checkpoint, work, index, voice))
            if take is None and not work.cancelled.is_set():
                # Not the end that a cancelled narration comes to: it would pass for a whole one.
                raise CsmError(CLOSED)
            return take

    def _open(self) -> Checkpoint:
        if self._checkpoint is None or self._closed.is_set():
            raise CsmError(CLOSED)
        return self._checkpoint

    def _seconds_a_frame(self) -> float:
        size: int = self._open().model.config.codec_config.frame_size
        return size / SAMPLE_RATE

    def _guarded(self, work: Callable[[], T]) -> T:
        """Run work on the device and turn what goes wrong into errors that hold none of it."""
        failure: CsmError
        try:
            return work()
        except CsmError:
            raise
        except (torch.OutOfMemoryError, MemoryError):
            failure = OutOfMemory(
                f"the memory of {self.device} did not suffice to speak a segment: free some, "
                "shorten the voice's reference recording or lower the longest segment's seconds"
            )
        except Exception as error:
            if "can't allocate memory" in str(error):
                failure = OutOfMemory("the machine's memory did not suffice to speak a segment")
            else:
                # Only the kind: the rest of the message could hold the text.
                failure = CsmError(
                    f"the model failed on {self.device} ({type(error).__name__}); if it goes on "
                    "failing, load the checkpoint anew or try device cpu"
                )
        # Outside the handlers, so that the failed work's tensors are not held by a traceback.
        _empty_cache(self.device)
        raise failure

    @torch.inference_mode()
    def _speak_one(
        self, checkpoint: Checkpoint, work: _Work, index: int, voice: Voice | None
    ) -> Take | None:
        config = checkpoint.model.config
        text = work.segments[index]
        prompt = build_prompt(checkpoint.tokenizer, text, voice, codebooks=config.num_codebooks)
        cap = self._cap(text, work.max_seconds)
        check_room(prompt, cap, config.max_position_embeddings)
        generator = torch.Generator(self.device).manual_seed(_segment_seed(work.seed, index))
        network = checkpoint.model
        embeddings = _embed(network, prompt, self.device)
        cache = DynamicCache(config=config)
        sound = torch.ones((), dtype=torch.bool, device=self.device)
        frames: list[Tensor] = []
        ended = False
        while len(frames) < cap and not ended:
            if work.cancelled.is_set() or self._closed.is_set():
                return None
            hidden = network.backbone_model(
                inputs_embeds=embeddings, past_key_values=cache, use_cache=True
            ).last_hidden_state[:, -1]
            sound &= hidden.isfinite().all()
            frame = self._frame(
                network, hidden, generator, may_end=len(frames) >= self.sampling.first_end
            )
            ended = not bool(frame.any())
            if not ended:
                frames.append(frame)
                embeddings = network.backbone_model.embed_tokens(frame[:, None])
        codes = torch.cat(frames)
        samples = codec.decode(network.codec_model, codes)
        if not (bool(sound) and np.isfinite(samples).all()):
            raise CsmError(
                "the model computed values that are no numbers: the checkpoint is damaged, or "
                f"{self.device} cannot compute in {checkpoint.dtype}; load the checkpoint anew or "
                "set the device to cpu"
            )
        return Take(index, samples, codes.cpu(), ended)

    def _cap(self, text: str, max_seconds: float) -> int:
        expected = len(text) * SECONDS_PER_CHARACTER
        seconds = min(max_seconds, expected * CAP_FACTOR + CAP_SECONDS)
        return max(1, int(seconds / self._seconds_a_frame()))

    def _frame(
        self, network: Any, hidden: Tensor, generator: torch.Generator, *, may_end: bool
    ) -> Tensor:
        """Draw one frame, int64 ``[1, codebooks]``, from the backbone's state, ``[1, hidden]``."""
        sampling, codes = self.sampling, network.config.codec_config.codebook_size
        code = draw(
            network.lm_head(hidden), sampling, generator, codes=codes, first=0 if may_end else 1
        )
        if sampling.guard_end and not bool(code):
            sampling = Sampling(temperature=0)
        depth = network.depth_decoder
        cache = DynamicCache(config=depth.config)
        drawn = [code]
        # Position 0 is the backbone's state; its id is not looked at.
        ids = torch.stack([torch.zeros_like(code), code], dim=1)
        state: Tensor | None = hidden
        for _ in range(network.config.num_codebooks - 1):
            logits = depth(
                input_ids=ids,
                backbone_last_hidden_state=state,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            code = draw(logits, sampling, generator, codes=codes)
            drawn.append(code)
            ids, state = code[:, None], None
        return torch.stack(drawn, dim=1)


@dataclass(frozen=True, eq=False)
class _Work:
    segments: list[str]
    seed: int
    max_seconds: float
    cancelled: threading.Event


def _embed(network: Any, prompt: Prompt, device: torch.device) -> Tensor:
    """Embed a prompt, ``[1, frames, hidden]``: the sum of the embeddings that count in a frame."""
    ids, used = prompt.ids.to(device), prompt.used.to(device)
    text = network.embed_text_tokens(ids[:, -1]) * used[:, -1:]
    audio = network.backbone_model.embed_tokens(ids[None, :, :-1])[0] * used[:, :1]
    embeddings: Tensor = (text + audio)[None]
    return embeddings


def _segment_seed(seed: int, index: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _gives_a_voice(take: Take, text: str) -> bool:
    seconds = len(take.samples) / SAMPLE_RATE
    shortest = max(VOICE_SECONDS[0], VOICE_SHORTEST * SECONDS_PER_CHARACTER * len(text))
    loud = float(np.sqrt(np.mean(np.square(take.samples)))) >= SILENCE
    return take.ended and loud and shortest <= seconds <= VOICE_SECONDS[1]


def _empty_cache(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
