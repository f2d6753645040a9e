"""Segments in, takes out: one model, any number of narrations, as many segments at once as fit.

One thread makes frames for all slots and refills those that are free; another turns what is
finished into audio. Callers wait for their takes only.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from csm.audio import SAMPLE_RATE
from csm.checkpoint.loading import Checkpoint
from csm.engine import codec
from csm.engine.batch import Batch, Finished
from csm.engine.model import Model
from csm.engine.sampling import Sampling
from csm.engine.streams import Stream, Streams, Take
from csm.engine.voice import Voice, read_clip
from csm.errors import CsmError, OutOfMemory

__all__ = ["Engine", "Occupancy", "Speech", "Take"]

CLOSED = "the speech engine is closed: load the checkpoint again"
#: Slots where none are asked for, on a GPU and on a CPU.
GPU_SLOTS, CPU_SLOTS = 32, 1
#: Finished segments that are turned into audio at once on a GPU.
DECODED_AT_ONCE = 8
#: Seconds after which a narration that was dropped without being closed is noticed.
DROPPED_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class Occupancy:
    """How full an engine is and was.

    Attributes:
        slots: segments that it can speak at once. Fewer than at first where memory did not suffice.
        occupied: segments that it is speaking.
        waiting: streams that are open.
        frames: steps that it has made for all slots at once, since it was made.
        slot_frames: of all slots in these steps, those that were occupied.
    """

    slots: int
    occupied: int
    waiting: int
    frames: int
    slot_frames: int


class Speech(Iterator[Take]):
    """The takes of one narration, as they are finished.

    ``close`` may be called from any thread, also while another waits for the next take: its slots
    are free within a few frames, and the iteration ends. Dropping the object has the same effect.
    """

    def __init__(self, engine: Engine, core: _Core, stream: Stream) -> None:
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

    Raises:
        CsmError: the checkpoint asks for what this model does not have.
        OutOfMemory: its weights do not fit as the model holds them.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampling: Sampling | None = None,
        slots: int | None = None,
    ) -> None:
        if slots is not None and slots < 1:
            raise ValueError(f"slots must be 1 or more, not {slots}")
        self.sampling = sampling or Sampling()
        self.device = checkpoint.device
        preset = GPU_SLOTS if self.device.type == "cuda" else CPU_SLOTS
        self._core = _Core(checkpoint, self.sampling, slots or preset)
        weakref.finalize(self, self._core.stop)

    @property
    def occupancy(self) -> Occupancy:
        """How full it is. Answers at once."""
        return self._core.occupancy

    def make_voice(self, reference: Path, transcript: str) -> Voice:
        """Make a voice from a recording of it and the words said in the recording.

        Raises:
            CsmError: the recording or its transcript is not fit.
            OutOfMemory: no room to encode it.
        """
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
        seconds = (self.sampling.first_end + 1) * self._core.seconds_a_frame
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
            ValueError: a segment without text, or a negative seed.
            CsmError: at once or while iterating: the engine is closed, or a segment does not fit
                or cannot be spoken.
            OutOfMemory: while iterating, where memory does not suffice for a single slot. The
                engine stays usable.
        """
        if seed < 0 or max_seconds <= 0:
            raise ValueError(
                f"seed must be 0 or more and max_seconds above 0: {seed=} {max_seconds=}"
            )
        for index, segment in enumerate(segments):
            if not segment.strip():
                raise ValueError(f"segment {index} has no text")
        wanted = frozenset(range(len(segments))) - frozenset(skip)
        stream = Stream(tuple(segments), seed, voice, max_seconds, wanted, self.sampling)
        self._core.add(stream)
        return Speech(self, self._core, stream)

    def close(self) -> None:
        """Cancel all that is spoken and free the model. Safe to call twice, from any thread."""
        self._core.close()


class _Core:
    """What the threads of an engine share. It outlives the engine that a caller has let go."""

    def __init__(self, checkpoint: Checkpoint, sampling: Sampling, slots: int) -> None:
        self.dropped: deque[Stream] = deque()
        self.seconds_a_frame: float = checkpoint.config.codec_config.frame_size / SAMPLE_RATE
        self._checkpoint: Checkpoint | None = checkpoint
        self._sampling, self._slots = sampling, slots
        self._device, self._dtype = checkpoint.device, checkpoint.dtype
        model = self._attempt(lambda: Model(checkpoint))
        if isinstance(model, CsmError):
            raise model
        self._model: Model | None = model
        self._batch: Batch | None = None
        #: Of batches that are gone: frames, and slots that were occupied in them.
        self._past = (0, 0)
        self._streams = Streams()
        self._commands: deque[tuple[Callable[[], object], Future[None]]] = deque()
        self._undecoded: deque[Finished] = deque()
        self._decoding = 0
        self._closed = False
        # Of all the above. Reentrant, as finalisers may close an engine at any point.
        self._changed = threading.Condition(threading.RLock())
        self._codec = threading.Lock()
        # The audio is made beside the frames.
        self._side = (
            torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            if self._device.type == "cuda"
            else None
        )
        self._threads = [
            threading.Thread(target=self._repeat, args=(turn,), name=f"csm {name}", daemon=True)
            for name, turn in (("frames", self._frames_turn), ("audio", self._audio_turn))
        ]
        for thread in self._threads:
            thread.start()

    # What callers ask for.

    @property
    def occupancy(self) -> Occupancy:
        with self._changed:
            batch, (frames, slot_frames) = self._batch, self._past
            return Occupancy(
                slots=self._slots,
                occupied=len(batch.jobs) if batch else 0,
                waiting=len(self._streams.all()),
                frames=frames + (batch.frames if batch else 0),
                slot_frames=slot_frames + (batch.slot_frames if batch else 0),
            )

    def add(self, stream: Stream) -> None:
        with self._changed:
            self._check_open()
            if not stream.over:
                self._streams.add(stream)
                self._changed.notify_all()

    def next_take(self, stream: Stream) -> Take:
        with self._changed:
            while True:
                take = stream.take()
                if stream.over:
                    self._streams.remove(stream)
                if take is not None:
                    self._changed.notify_all()
                    return take
                if stream.over:
                    raise StopIteration
                if stream.error is not None:
                    raise type(stream.error)(*stream.error.args)
                self._check_open()
                self._changed.wait()

    def cancel(self, stream: Stream) -> None:
        with self._changed:
            stream.stop()
            self._streams.remove(stream)
            self._changed.notify_all()

    def encode(self, clip: NDArray[np.float32]) -> torch.Tensor:
        with self._changed:
            checkpoint = self._check_open()

        def encode() -> torch.Tensor:
            with self._codec:
                return codec.encode(checkpoint.codec, clip)

        made = self._attempt(encode)
        if isinstance(made, CsmError):
            raise made
        return made

    def prepare(self, on_progress: Callable[[int, int], None]) -> None:
        """Make the slots, on the thread that will use them."""

        def make() -> None:
            while self._batch is None:
                failure = self._attempt(lambda: self._make_batch(on_progress))
                if isinstance(failure, OutOfMemory) and self._slots > 1:
                    self._halve()
                elif isinstance(failure, CsmError):
                    raise failure

        self._command(make)

    def stop(self) -> None:
        """Let the threads end; the one of the frames then lets everything go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        self.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _check_open(self) -> Checkpoint:
        if self._checkpoint is None or self._closed:
            raise CsmError(CLOSED)
        return self._checkpoint

    def _command(self, work: Callable[[], object]) -> None:
        """Do something on the thread of the frames, between two of them."""
        future: Future[None] = Future()
        with self._changed:
            self._check_open()
            self._commands.append((work, future))
            self._changed.notify_all()
        try:
            future.result()
        except CancelledError:
            raise CsmError(CLOSED) from None

    # The thread of the frames.

    def _repeat(self, turn: Callable[[], bool]) -> None:
        while turn():
            pass

    def _frames_turn(self) -> bool:
        with self._changed:
            while not (self._closed or self._commands or self._has_work()):
                # Only narrations that were dropped are not announced.
                self._changed.wait(DROPPED_SECONDS if self._streams.all() else None)
            if self._closed:
                self._let_all_go()
                return False
            command = self._commands.popleft() if self._commands else None
        if command is not None:
            work, future = command
            failure = self._attempt(work)
            if isinstance(failure, CsmError):
                future.set_exception(failure)
            else:
                future.set_result(None)
            return True
        failure = self._attempt(self._work)
        if isinstance(failure, CsmError):
            self._recover(failure)
        return True

    def _has_work(self) -> bool:
        while self.dropped:
            self.cancel(self.dropped.popleft())
        if self._batch is not None and self._batch.jobs:
            return True
        return self._may_begin() and any(
            stream.has_work(self._room) for stream in self._streams.all()
        )

    def _may_begin(self) -> bool:
        # What is finished waits for its audio in the host's memory, which is not without end.
        return len(self._undecoded) + self._decoding < self._room

    @property
    def _room(self) -> int:
        return 2 * self._slots

    def _work(self) -> None:
        """Refill the free slots, make some frames, and pass on what is finished."""
        batch = self._batch or self._make_batch(lambda _done, _total: None)
        for job in batch.jobs:
            if not job.wanted:
                batch.abandon(job)
        while batch.free:
            with self._changed:
                begun = self._streams.next_job(self._room) if self._may_begin() else None
            if begun is None:
                break
            try:
                batch.begin(begun)
            except CsmError as error:
                self._fail({begun.stream}, error)
        if not batch.jobs:
            return
        batch.run()
        finished, damaged = batch.finished()
        self._fail({job.stream for job in damaged}, self._no_numbers())
        with self._changed:
            self._undecoded.extend(finished)
            self._changed.notify_all()

    def _make_batch(self, on_progress: Callable[[int, int], None]) -> Batch:
        checkpoint, model = self._checkpoint, self._model
        if checkpoint is None or model is None:
            raise CsmError(CLOSED)
        self._batch = Batch(
            model, checkpoint.config, checkpoint.tokenizer, self._sampling, self._slots, on_progress
        )
        return self._batch

    def _recover(self, failure: CsmError) -> None:
        """After a failure of the frames: go on with less, or tell those whom it concerns."""
        with self._changed:
            jobs = self._batch.jobs if self._batch else []
            if isinstance(failure, OutOfMemory) and self._slots > 1:
                for job in jobs:
                    job.stream.put_back(job)
                self._halve()
                return
            concerned = {job.stream for job in jobs}
            self._let_batch_go()
        # Where not even the slots could be made, it concerns all.
        self._fail(concerned or set(self._streams.all()), failure)

    def _halve(self) -> None:
        self._let_batch_go()
        self._slots = max(1, self._slots // 2)

    def _let_batch_go(self) -> None:
        if self._batch is not None:
            frames, slot_frames = self._past
            self._past = (frames + self._batch.frames, slot_frames + self._batch.slot_frames)
        self._batch = None
        _empty_cache(self._device)

    def _let_all_go(self) -> None:
        self._checkpoint = self._model = None
        self._let_batch_go()
        for _, future in self._commands:
            future.cancel()
        self._commands.clear()
        self._undecoded.clear()

    def _fail(self, streams: Collection[Stream], error: CsmError) -> None:
        with self._changed:
            for stream in streams:
                stream.stop(error)
                self._streams.remove(stream)
            self._changed.notify_all()

    # The thread of the audio.

    def _audio_turn(self) -> bool:
        with self._changed:
            while not (self._closed or self._undecoded):
                self._changed.wait()
            if self._closed:
                return False
            some = DECODED_AT_ONCE if self._device.type == "cuda" else 1
            batch = [self._undecoded.popleft() for _ in range(min(some, len(self._undecoded)))]
            self._decoding = len(batch)
            checkpoint = self._check_open()
        wanted = [finished for finished in batch if finished.job.wanted]
        if wanted:
            self._decode(checkpoint, wanted)
        with self._changed:
            self._decoding = 0
            self._changed.notify_all()
        return True

    def _decode(self, checkpoint: Checkpoint, batch: list[Finished]) -> None:
        """Turn codes into audio and give it to its streams."""

        def decode() -> list[NDArray[np.float32]]:
            with self._codec, torch.cuda.stream(self._side):
                codes = [finished.codes.to(self._device) for finished in batch]
                return codec.decode_batch(checkpoint.codec, codes)

        decoded = self._attempt(decode)
        if not isinstance(decoded, CsmError):
            for finished, samples in zip(batch, decoded, strict=True):
                self._deliver(finished, samples)
        elif len(batch) > 1:
            # What does not fit together, or is not fit, may be so one by one.
            for finished in batch:
                self._decode(checkpoint, [finished])
        elif isinstance(decoded, OutOfMemory) and self._slots > 1:
            try:
                self._command(lambda: self._recover(decoded))
            except CsmError:
                return  # Closed meanwhile.
            self._decode(checkpoint, batch)
        else:
            self._fail({batch[0].job.stream}, decoded)

    def _deliver(self, finished: Finished, samples: NDArray[np.float32]) -> None:
        job = finished.job
        if not np.isfinite(samples).all():
            self._fail({job.stream}, self._no_numbers())
            return
        with self._changed:
            job.stream.deliver(job, Take(job.index, samples, finished.codes, finished.ended))
            self._changed.notify_all()

    # What goes wrong.

    def _attempt(self, work: Callable[[], T]) -> T | CsmError:
        """Do work on the device; give what goes wrong as an error that holds none of it."""
        try:
            return work()
        except CsmError as error:
            return type(error)(*error.args)
        except (torch.OutOfMemoryError, MemoryError):
            pass
        except Exception as error:
            if "can't allocate memory" not in str(error):
                # Only the kind: the rest of the message could hold the text.
                return CsmError(
                    f"the model failed on {self._device} ({type(error).__name__}); if it goes on "
                    "failing, load the checkpoint anew or try device cpu"
                )
        return OutOfMemory(
            f"the memory of {self._device} did not suffice to speak, with {self._slots} "
            f"{'slot' if self._slots == 1 else 'slots'}: free some, set speech.slots lower where "
            "other programs need it too, or shorten the voice's reference recording"
        )

    def _no_numbers(self) -> CsmError:
        return CsmError(
            "the model computed values that are no numbers: the checkpoint is damaged, or "
            f"{self._device} cannot compute in {self._dtype}; load the checkpoint anew or "
            "set the device to cpu"
        )


def _empty_cache(device: torch.device) -> None:
    if device.type == "cuda":
        # A device that is lost says so here too, and those who wait must still be told.
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
