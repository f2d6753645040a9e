"""What the threads of an engine share: one makes frames for all slots, one turns codes into audio.

It outlives the engine that a caller has let go.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from csm.checkpoint.loading import Checkpoint
from csm.engine import codec, device
from csm.engine.batch import Batch, Finished
from csm.engine.failures import attempt, no_numbers
from csm.engine.kernels.choice import Setting
from csm.engine.model import Model
from csm.engine.operands.sampling import Sampling
from csm.engine.script import Scribe
from csm.engine.streams import Job, Stream, Streams, Take
from csm.errors import CsmError, OutOfMemory

CLOSED = "the speech engine is closed: load the checkpoint again"
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


class Core:
    """Streams in, takes out.

    Args:
        checkpoint: its tensors are moved into the model.
        sampling: how codes are drawn.
        slots: segments that are spoken at once.
        kernels: see ``Model``.
        int8_depth: see ``Model``.

    Raises:
        CsmError: the checkpoint asks for what the model does not have.
        OutOfMemory: its weights do not fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampling: Sampling,
        slots: int,
        *,
        kernels: Setting = "auto",
        int8_depth: bool = False,
    ) -> None:
        self.dropped: deque[Stream] = deque()
        self.scribe = Scribe(checkpoint.config, checkpoint.tokenizer, sampling)
        self._checkpoint: Checkpoint | None = checkpoint
        self._sampling, self._slots = sampling, slots
        self._device, self._dtype = checkpoint.device, checkpoint.dtype
        made = self._attempt(
            lambda: self._on(
                lambda: (
                    Model(checkpoint, kernels=kernels, int8_depth=int8_depth),
                    codec.choose_decoder(kernels, checkpoint.codec),
                )
            )
        )
        if isinstance(made, CsmError):
            raise made
        self._model: Model | None
        self._decoder: codec.Decoder | None
        self._model, self._decoder = made
        #: What frames are made of, and what decodes them.
        self.kernels, self.decoder = made[0].kernels.about, made[1].about
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
        # The audio is made beside the frames, of which others wait.
        self._frames_stream = device.stream(self._device, device.FRAMES_PRIORITY)
        self._codec_stream = device.stream(self._device, device.CODEC_PRIORITY)
        self._threads = [
            threading.Thread(
                target=self._repeat, args=(turn, stream), name=f"csm {name}", daemon=True
            )
            for name, turn, stream in (
                ("frames", self._frames_turn, self._frames_stream),
                ("audio", self._audio_turn, self._codec_stream),
            )
        ]
        for thread in self._threads:
            thread.start()

    # What callers ask for.

    @property
    def occupancy(self) -> Occupancy:
        """How full it is."""
        with self._changed:
            batch, (frames, slot_frames) = self._batch, self._past
            return Occupancy(
                slots=self._slots,
                occupied=len(batch.jobs) if batch else 0,
                waiting=len(self._streams.all()),
                frames=frames + (batch.frames if batch else 0),
                slot_frames=slot_frames + (batch.slot_frames if batch else 0),
            )

    def check_open(self) -> Checkpoint:
        """The checkpoint.

        Raises:
            CsmError: it is closed.
        """
        checkpoint = self._checkpoint
        if checkpoint is None or self._closed:
            raise CsmError(CLOSED)
        return checkpoint

    def add(self, stream: Stream) -> None:
        """Speak one more."""
        with self._changed:
            self.check_open()
            if not stream.over:
                self._streams.add(stream)
                self._changed.notify_all()

    def next_take(self, stream: Stream) -> Take:
        """Wait for a stream's next take.

        Raises:
            StopIteration: there is none.
            CsmError: it cannot be spoken, or all is closed.
        """
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
                self.check_open()
                self._changed.wait()

    def cancel(self, stream: Stream) -> None:
        """Speak no more of it."""
        with self._changed:
            stream.stop()
            self._streams.remove(stream)
            self._changed.notify_all()

    def encode(self, clip: NDArray[np.float32]) -> torch.Tensor:
        """Codes of a clip, int64 ``[frames, codebooks]``."""
        checkpoint = self.check_open()

        def encode() -> torch.Tensor:
            with self._codec:
                return self._on(lambda: codec.encode(checkpoint.codec, clip))

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
        """The same, and wait for it."""
        self.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _command(self, work: Callable[[], object]) -> None:
        """Do something on the thread of the frames, between two of them."""
        future: Future[None] = Future()
        with self._changed:
            self.check_open()
            self._commands.append((work, future))
            self._changed.notify_all()
        try:
            future.result()
        except CancelledError:
            raise CsmError(CLOSED) from None

    # The thread of the frames.

    def _repeat(self, turn: Callable[[], bool], stream: torch.cuda.Stream | None) -> None:
        with device.on(self._device), torch.cuda.stream(stream):
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
        if self._batch is not None and self._batch.busy:
            return True
        return self._may_begin() and any(
            stream.has_work(self._room) for stream in self._streams.all()
        )

    def _may_begin(self) -> bool:
        # What is finished waits for its audio in the device's memory, which is not without end.
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
            # Nothing is asked of the device yet: what goes wrong is this segment's own.
            failure = self._attempt(partial(batch.begin, begun))
            if isinstance(failure, CsmError):
                self._fail({begun.stream}, failure)
        if not batch.busy:
            return
        batch.run()
        finished, damaged = batch.finished()
        self._begin_anew(damaged)
        with self._changed:
            self._undecoded.extend(finished)
            self._changed.notify_all()

    def _make_batch(self, on_progress: Callable[[int, int], None]) -> Batch:
        model = self._model
        if model is None:
            raise CsmError(CLOSED)
        self._batch = Batch(model, self.scribe, self._sampling, self._slots, on_progress)
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
            self._batch.close()
        self._batch = None
        _empty_cache(self._device)

    def _let_all_go(self) -> None:
        self._checkpoint = self._model = self._decoder = None
        self._let_batch_go()
        for _, future in self._commands:
            future.cancel()
        self._commands.clear()
        self._undecoded.clear()

    def _begin_anew(self, damaged: Collection[Job]) -> None:
        """Speak again what came to no numbers; where it did so before, its book fails."""
        with self._changed:
            # Once may have been the device's fault, twice is the checkpoint's.
            hopeless = {job.stream for job in damaged if not job.stream.try_again(job)}
            self._changed.notify_all()
        self._fail(hopeless, no_numbers(self._device, self._dtype))

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
            decoder = self._decoder
            if self._closed or decoder is None:
                return False
            some = DECODED_AT_ONCE if self._device.type == "cuda" else 1
            batch = [self._undecoded.popleft() for _ in range(min(some, len(self._undecoded)))]
            self._decoding = len(batch)
        wanted = [finished for finished in batch if finished.job.wanted]
        if wanted:
            self._decode(decoder, wanted)
        with self._changed:
            self._decoding = 0
            self._changed.notify_all()
        return True

    def _decode(self, decoder: codec.Decoder, batch: list[Finished]) -> None:
        """Turn codes into audio and give it to its streams."""

        def decode() -> list[tuple[torch.Tensor, NDArray[np.float32]]]:
            with self._codec:
                for finished in batch:
                    if finished.drawn is not None:
                        finished.drawn.wait()
                codes = [finished.codes.long() for finished in batch]
                audio = codec.decode_batch(decoder, codes)
                return [(each.cpu(), samples) for each, samples in zip(codes, audio, strict=True)]

        decoded = self._attempt(decode)
        if not isinstance(decoded, CsmError):
            for finished, (codes, samples) in zip(batch, decoded, strict=True):
                self._deliver(finished, codes, samples)
        elif len(batch) > 1:
            # What does not fit together, or is not fit, may be so one by one.
            for finished in batch:
                self._decode(decoder, [finished])
        elif isinstance(decoded, OutOfMemory) and self._slots > 1:
            try:
                self._command(lambda: self._recover(decoded))
            except CsmError:
                return  # Closed meanwhile.
            self._decode(decoder, batch)
        else:
            self._fail({batch[0].job.stream}, decoded)

    def _deliver(
        self, finished: Finished, codes: torch.Tensor, samples: NDArray[np.float32]
    ) -> None:
        job = finished.job
        if not np.isfinite(samples).all():
            self._begin_anew([job])
            return
        take = Take(job.index, samples, codes, finished.ended, finished.ran_away)
        with self._changed:
            job.stream.deliver(job, take)
            self._changed.notify_all()

    # On the device.

    def _attempt(self, work: Callable[[], T]) -> T | CsmError:
        return attempt(work, self._device, self._slots)

    def _on(self, work: Callable[[], T]) -> T:
        with device.on(self._device):
            return work()


def _empty_cache(place: torch.device) -> None:
    if place.type == "cuda":
        # A device that is lost says so here too, and those who wait must still be told.
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
