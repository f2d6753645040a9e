"""What a claim is for: narrated, signed and uploaded, ready to be published."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from narrator_daemon.catalogue import (
    FILE_BYTES,
    INPUT_HASH,
    PATH,
    TAKE,
    TEXT_HASH,
    is_count,
    retake_of,
)
from narrator_daemon.claims.book import text_hash
from narrator_daemon.claims.outcome import Publication
from narrator_daemon.claims.register import FileDigest
from narrator_daemon.claims.work import Work
from narrator_daemon.cover import BadCover
from narrator_daemon.credentials.wav import Finished
from narrator_daemon.daemon import finishing
from narrator_daemon.daemon.delivery import Delivery
from narrator_daemon.daemon.job_context import JobContext
from narrator_daemon.daemon.traces import Trace
from narrator_daemon.narration.beginning import Beginning
from narrator_daemon.narration.captions import captions_of
from narrator_daemon.narration.companions import FORMS, About, Companion, asked_for, line
from narrator_daemon.narration.manner import Manner
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import kept_name, narrate, seed_of
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.progress import Progress
from narrator_daemon.narration.retake import Retake
from narrator_daemon.notice import notice_for
from narrator_daemon.speech import SpeechEngine


@dataclass(frozen=True)
class Made:
    """What is there to be published.

    Attributes:
        publication: names all that was uploaded.
        enter: enters it in the register; raises ``Unavailable``, and ``NodeRefused`` where the
            database takes no such entry.
    """

    publication: Publication
    enter: Callable[[], None]


class Making:
    """Makes one claim's files.

    Args:
        context: what to work with.
        work: the claim.
        delivery: of its files.
        trace: of the claim.
        log: bound to it.
        get_anywhere: told that something was done; raises ``Stopped`` where nobody wants it.
        show_progress: told how far the narration is; raises the same.
        attempt: does what is good to have done and nothing depends on.

    Attributes:
        facts: what it took so far, as JSON values.
    """

    def __init__(
        self,
        context: JobContext,
        work: Work,
        delivery: Delivery,
        trace: Trace,
        log: Any,
        *,
        get_anywhere: Callable[[], None],
        show_progress: Callable[[Progress], None],
        attempt: Callable[[Callable[[], object]], None],
    ) -> None:
        self.facts: dict[str, Any] = {}
        self._work = work
        self._context = context
        self._delivery = delivery
        self._trace = trace
        self._log = log
        self._get_anywhere = get_anywhere
        self._show_progress = show_progress
        self._attempt = attempt
        #: What reads this book, in its voice: kept segments are named by it.
        self._reader: SpeechEngine = context.engine
        self._kept_name: str | None = None

    def make(self) -> Made:
        """Narrate the book and upload what was made of it.

        Raises:
            Stopped: nobody wants it any more.
            Unnarratable: the book's own fault.
            SpeechError: the engine's.
            Unavailable: storage or database did not answer, or refuse it.
            CannotSign: the signer fails.
            EncodingFailed: a companion cannot be written.
            OSError: the disk is full or fails.
        """
        context = self._context
        with ExitStack() as files:

            def scratch() -> BinaryIO:
                return files.enter_context(context.kept.scratch())

            wav, companions = scratch(), asked_for(context.settings.files, scratch)
            beginning = self._beginning(scratch)
            manners = context.manners
            manner = manners.of(self._work.book) if manners else Manner()
            if manners:
                self._reader = manners.reader(manner.voice)
            narration, file, index = self._narrate(manner, wav, companions, beginning, scratch)
            published = self._upload(wav, narration, companions)
            beside = {one.form.name: _digest(one) for one in companions}
        return Made(
            published,
            lambda: context.register.enter(
                self._work,
                published.path,
                file,
                narration.duration_seconds,
                index,
                narration.sound,
                manner.voice,
                beside,
            ),
        )

    def keep_segments(self) -> None:
        """Let the segments of what is published stay, in the place of the take's before it."""
        if self._kept_name:
            self._context.kept.publish(self._kept_name)
            if (replaced := self._published_seed()) is not None:
                self._context.kept.remove(kept_name(self._reader, replaced))

    def forget_segments(self) -> None:
        """Remove the segments: nobody will go on from them."""
        if self._kept_name:
            self._context.kept.remove(self._kept_name)

    def _beginning(self, scratch: Callable[[], BinaryIO]) -> Beginning | None:
        """The beginning, where the book is so long that it is worth hearing before the rest."""
        files, text = self._context.settings.files, self._context.claims.text(self._work.book)
        least = files.preview_from_characters
        if not least or not isinstance(text, str) or len(text) < least:
            return None
        companion = Companion(FORMS["m4a"], files.m4a_kbits, scratch())

        def show(seconds: float) -> None:
            self._attempt(lambda: self._show_beginning(companion, seconds))

        return Beginning(files.preview_seconds, companion, show)

    def _show_beginning(self, companion: Companion, seconds: float) -> None:
        preview = self._delivery.upload_preview(companion, seconds)
        seen = self._context.claims.show_preview(self._work, preview)
        since_claim = round(time.monotonic() - self._work.claimed_at, 3)
        self.facts["previewAfterSeconds"] = since_claim
        self._log.info(
            "beginning_shown", verdict=seen.verdict.value, seconds=seconds, after=since_claim
        )

    def _narrate(
        self,
        manner: Manner,
        wav: BinaryIO,
        companions: Sequence[Companion],
        beginning: Beginning | None,
        scratch: Callable[[], BinaryIO],
    ) -> tuple[Narration, Finished, int]:
        context, settings = self._context, self._context.settings
        is_new = PATH not in self._work.book and self._work.claim.attempt == 1
        index = context.allot(self._work.book_id, is_new)
        mark = Mark(
            context.key,
            index,
            settings.watermark.strength_db,
            settings.watermark.self_check,
            settings.watermark.public,
        )
        seed = seed_of(self._work.claim.input_hash, self._work.claim.take)
        self._kept_name = kept_name(self._reader, seed)
        narration = narrate(
            context.claims.text(self._work.book),
            wav,
            engine=self._reader,
            lexicon=manner.lexicon,
            cast=manner.asked_cast,
            pause_marks=settings.text.pause_marks,
            reader=context.manners.reader if context.manners else None,
            limits=context.limits(),
            seed=seed,
            mark=mark,
            kept=context.kept,
            retake=self._retake(),
            loudness_lufs=settings.mastering.loudness_lufs,
            pauses=settings.pauses,
            words=settings.files.captions,
            companions=companions,
            about=self._about() if companions else About(),
            beginning=beginning,
            notice=notice_for(settings.credentials, self._work.book),
            on_progress=self._show_progress,
            on_step=self._trace.add,
            stopped=lambda: self._work.stopped is not None,
        )
        started = context.clock()
        with self._trace.step("credentials"):
            made = context.credentials.made(
                book_id=self._work.book_id,
                index=index,
                claim=self._work.token,
                take=self._work.claim.take,
                input_hash=self._work.claim.input_hash,
            )
            file = finishing.sign(context.credentials, made, wav, companions, scratch)
        narration.facts["secondsByStep"]["credentials"] = round(context.clock() - started, 3)
        self.facts |= {**narration.facts, "audioSeconds": narration.duration_seconds}
        if mark.self_check and companions:
            self.facts["companionScores"] = self._scores(companions, mark)
        self._log.info("narrated", seconds=narration.facts["secondsByStep"])
        return replace(narration, size=file.size), file, index

    def _retake(self) -> Retake | None:
        """Which segments are to be read anew, and beside those of which take."""
        book, numbers = self._work.book, retake_of(self._work.book)
        if numbers is None:
            return None
        published = self._published_seed()
        same_text = book.get(TEXT_HASH) == self._context.claims.text_digest(book)
        if published is None or not same_text:
            return Retake(numbers, None, 0)
        return Retake(numbers, kept_name(self._reader, published), published)

    def _published_seed(self) -> int | None:
        """The seed of the take that is published; None where none is, or it cannot be told."""
        made_from, take = self._work.book.get(INPUT_HASH), self._work.book.get(TAKE)
        if not isinstance(made_from, str) or not made_from.isascii() or not is_count(take, 1):
            return None
        return seed_of(made_from, take)

    def _about(self) -> About:
        """What the book says of itself; a cover that cannot be used is told and left out."""
        book, names = self._work.book, self._context.settings.books
        cover = None
        try:
            cover = self._context.cover(book.get(names.cover_field))
        except BadCover as error:
            self.facts["coverLeftOut"] = str(error)
            self._log.warning("cover_left_out", why=str(error))
        title, author = (line(book.get(name)) for name in (names.title_field, names.author_field))
        return About(title, author, cover)

    def _scores(self, companions: Sequence[Companion], mark: Mark) -> dict[str, float]:
        """The score of the mark in each file, by format."""
        started = self._context.clock()
        with self._trace.step("companion_check"):
            scores = finishing.scores(companions, mark, self._get_anywhere)
        self.facts["secondsByStep"]["companion_check"] = round(self._context.clock() - started, 3)
        return scores

    def _upload(
        self, wav: BinaryIO, narration: Narration, companions: Sequence[Companion]
    ) -> Publication:
        text = str(self._context.claims.text(self._work.book))
        made = captions_of(narration, text) if self._context.settings.files.captions else None
        started = self._context.clock()
        with self._trace.step("upload"):
            stored = self._delivery.upload(wav, narration.size)
            files = self._delivery.upload_beside(companions)
            captions = self._delivery.upload_captions(made) if made else {}
        seconds = round(self._context.clock() - started, 3)
        self.facts["secondsByStep"]["upload"] = seconds
        beside = {name: record[FILE_BYTES] for name, record in {**files, **captions}.items()}
        self._log.info("uploaded", bytes=narration.size, beside=beside, seconds=seconds)
        return Publication(
            url=stored.url,
            url_expires_at=stored.url_expires_at,
            duration_seconds=narration.duration_seconds,
            path=stored.path,
            text_hash=text_hash(text),
            files=files,
            captions=captions,
        )


def _digest(companion: Companion) -> FileDigest:
    companion.file.seek(0)
    digest = hashlib.sha256()
    while block := companion.file.read(1 << 20):
        digest.update(block)
    return FileDigest(companion.file.tell(), digest.hexdigest())
