"""Segments in, takes out: one model, any number of narrations, as many segments at once as fit.

One thread makes frames for all slots and refills those that are free; another turns what is
finished into audio. Callers wait for their takes only.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from csm.checkpoint.loading import Checkpoint
from csm.engine.core import Core, Occupancy
from csm.engine.kernels.choice import Setting
from csm.engine.operands.sampling import Sampling
from csm.engine.script import Script
from csm.engine.streams import VOICE_TRIES, Stream, Take
from csm.engine.voice import Voice, read_clip

__all__ = ["Engine", "Occupancy", "Speech", "Take"]

#: Slots where none are asked for, on a GPU and on a CPU.
GPU_SLOTS, CPU_SLOTS = 32, 1


class Speech(Iterator[Take]):
    """The takes of one narration, as they are finished.

    ``close`` may be called from any thread, also while another waits for the next take: its slots
    are free within a few frames, and the iteration ends. Dropping the object has the same effect.
    """

    def __init__(self, engine: Engine, core: Core, stream: Stream) -> None:
        self._engine = engine  # Kept alive while its takes are wanted.
        self._core = core
        self._stream = stream

    def __next__(self) -> Take:
        return self._core.next_take(self._stream)

    def close(self) -> None:
        """Cancel what is not yet spoken. Safe to call twice."""
        self._core.cancel(self._stream)

    def __del__(self) -> None:
        # The lock is not for finalisers, which run at any point of any thread.
        if not self._stream.over:
            self._core.dropped.append(self._stream)


class Engine:
    """Speaks segments with one checkpoint. Safe to use from several threads at once.

    Narrations that run at once share the slots, each as many as the others while it has segments
    left; the longest segments of a narration go first. A narration whose takes are not taken stops
    being spoken once twice as many are begun as there are slots.

    Where memory does not suffice, the slots are halved, and what was in work begins again.

    Args:
        checkpoint: from ``csm.load_checkpoint``. The engine owns it from here on.
        sampling: how codes are drawn.
        slots: segments that are spoken at once; None is 32 on a GPU and 1 on a CPU.
        kernels: ``auto`` makes frames and audio with a GPU's own kernels where these work, ``off``
            with plain torch.
        int8_depth: hold the weights of the depth decoder's layers, most of what a frame reads, in 8
            bits. Less to read, and other codes; how it sounds is for ears to judge.

    Raises:
        CsmError: the checkpoint asks for what this model does not have.
        OutOfMemory: its weights do not fit as the model holds them.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampling: Sampling | None = None,
        slots: int | None = None,
        *,
        kernels: Setting = "auto",
        int8_depth: bool = False,
    ) -> None:
        if slots is not None and slots < 1:
            raise ValueError(f"slots must be 1 or more, not {slots}")
        self.sampling = sampling or Sampling()
        self.device = checkpoint.device
        preset = GPU_SLOTS if self.device.type == "cuda" else CPU_SLOTS
        self._core = Core(
            checkpoint, self.sampling, slots or preset, kernels=kernels, int8_depth=int8_depth
        )
        weakref.finalize(self, self._core.stop)

    @property
    def kernels(self) -> str:
        """What frames are made of, and why, in a few words for a log."""
        return self._core.kernels

    @property
    def decoder(self) -> str:
        """What turns codes into audio, and why, in a few words for a log."""
        return self._core.decoder

    @property
    def occupancy(self) -> Occupancy:
        """How full it is. Answers at once."""
        return self._core.occupancy

    def make_voice(self, reference: Path, transcript: str) -> Voice:
        """Make a voice from a recording of it and the words said in the recording.

        Raises:
            ValueError: the transcript is no text.
            CsmError: the recording or its transcript is not fit.
            OutOfMemory: no room to encode it.
        """
        if not isinstance(transcript, str):
            raise ValueError(f"a transcript must be a str, not {type(transcript).__name__}")
        clip = read_clip(reference, transcript)
        return Voice(transcript.strip(), self._core.encode(clip))

    def warm_up(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Do what is done once, and speak a few frames, so that the first segment need not wait.

        Args:
            on_progress: called with how many steps are done, and how many there are.

        Raises:
            CsmError: the model does not work here.
            OutOfMemory: there is no memory even for one slot.
        """
        steps = 0

        def tell(done: int, total: int) -> None:
            nonlocal steps
            steps = total
            if on_progress is not None:
                on_progress(done, total + 1)

        tell(0, 0)
        self._core.prepare(tell)
        # As short as can be: until it may end.
        seconds = (self.sampling.first_end + 1) * self._core.scribe.seconds_a_frame
        for _ in self.speak(["Warm."], seed=0, max_seconds=min(seconds, 1.0)):
            pass
        tell(steps + 1, steps)

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        voice: Voice | None = None,
        max_seconds: float = 60.0,
        skip: Collection[int] = (),
    ) -> Speech:
        """Speak segments; take them from the returned iterator, in the order they are finished.

        A segment's codes depend on checkpoint, voice, text, place, seed and sampling, and on the
        arithmetic of device and number of slots. They do not depend on what else is spoken, nor on
        slot or order; on a CPU exactly so.

        Without a voice, the first of the segments that comes out well gives its voice to the
        others; those that were tried before it are spoken again, so that a narration has one voice.

        Args:
            segments: what to say; each at most a few hundred characters, taken literally. One that
                does not fit into the model's positions is spoken in pieces and given as one take.
            seed: any non-negative integer.
            voice: whose voice, from ``make_voice`` of this engine.
            max_seconds: no segment, or piece of one, is longer. Shorter texts have shorter caps of
                their own; see ``Sampling``.
            skip: places of segments that are not spoken, except to find a voice; the others sound
                as if they were.

        Raises:
            ValueError: a segment that is no text or has none; a seed that is negative or no whole
                number; seconds that are no number above 0; a voice with codes that the codec does
                not have.
            CsmError: at once or while iterating: the engine is closed, or a segment does not fit
                or cannot be spoken.
            OutOfMemory: while iterating, where memory does not suffice for a single slot. The
                engine stays usable.
        """
        _check_call(seed, voice, max_seconds)
        self._core.check_open()
        wanted = frozenset(range(len(segments))) - frozenset(skip)
        # Without a voice the first are spoken, wanted or not.
        tries = range(len(segments))[: VOICE_TRIES if voice is None else 0]
        script = Script(self._core.scribe, segments, wanted.union(tries), voice, max_seconds)
        stream = Stream(tuple(segments), seed, voice, script, wanted, self.sampling)
        self._core.add(stream)
        return Speech(self, self._core, stream)

    def close(self) -> None:
        """Cancel all that is spoken and free the model. Safe to call twice, from any thread."""
        self._core.close()


def _check_call(seed: int, voice: Voice | None, max_seconds: float) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, not {seed!r}")
    if not isinstance(max_seconds, int | float) or not 0 < max_seconds < math.inf:
        raise ValueError(f"max_seconds must be a number above 0, not {max_seconds!r}")
    if voice is not None and not isinstance(voice, Voice):
        raise ValueError(f"voice must be one from make_voice, not a {type(voice).__name__}")
