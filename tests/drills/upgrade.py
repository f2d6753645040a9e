"""A fleet that is upgraded with work in flight: one daemon after the other makes way for a new one.

All are told to stop by SIGTERM, as an orchestrator does, but the last, whose machine dies. Old and
new ones are configured in different ways, so that what they make has different fingerprints, and
may be of different versions.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narrator_daemon.emulator import LocalFirebase
from tests.actors import Frontend, wait_until
from tests.drills.drill import MAX_ATTEMPTS, PATIENCE, await_quiet
from tests.drills.fleet import Fleet
from tests.drills.observer import ClaimSeen, Observer

_SETTINGS = {
    "CLAIMS__RECONCILE_SECONDS": 2,
    "CLAIMS__MAX_ATTEMPTS": MAX_ATTEMPTS,
    "DAEMON__GRACE_SECONDS": 0.5,
    "DAEMON__BOOKS_AT_ONCE": 3,
    "WATERMARK__SELF_CHECK": "false",
    "LIMITS__REQUESTS_PER_MINUTE": 0,
    "FILES__FORMATS": "",
}
#: Another loudness is another narration.
_OLD_SETTINGS: dict[str, object] = {"MASTERING__LOUDNESS_LUFS": -21}

_PARAGRAPHS, _PARAGRAPH_SECONDS = 6, 0.4

#: The program with an engine that takes its time, longer for a book than the grace period: who is
#: stopped has something in work that it gives back. Of whatever version is on the path.
_PROGRAM = f"""
import runpy, time
from narrator_daemon.speech.tone import ToneSpeech
speak = ToneSpeech.speak
def slowly(self, *given, **settings):
    for spoken in speak(self, *given, **settings):
        time.sleep({_PARAGRAPH_SECONDS})
        yield spoken
ToneSpeech.speak = slowly
runpy.run_module("narrator_daemon", run_name="__main__", alter_sys=True)
"""


@dataclass
class Upgraded:
    """What came of an upgrade.

    Attributes:
        seconds: from the first stop until all was quiet.
        counts: claims by how they ended, books that went from an old daemon to a new one.
        violations: what must not be; each begins with its kind and a colon.
    """

    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """For a table."""
        names = ["published", "claims", "given_back", "lost", "handed_over", "second_attempts"]
        return {
            "seconds": round(self.seconds, 1),
            **{name: self.counts[name] for name in names},
            "violations": len(self.violations),
        }


def run(
    folder: Path,
    *,
    daemons: int = 4,
    books: int = 40,
    other: Path | None = None,
    ttl: float = 6.0,
    patience: float = PATIENCE,
) -> Upgraded:
    """Upgrade a fleet, and judge.

    Args:
        folder: an empty one, for the daemons' states and logs.
        daemons: how many run at a time.
        books: how many are narrated; they are asked for bit by bit.
        other: the sources of the old version; None for this one with other settings.
        ttl: seconds that a lease lives.
        patience: seconds for each daemon to be ready, and after the last one for every book.
    """
    result = Upgraded()
    settings = {
        **_SETTINGS,
        "KEPT__FOLDER": folder / "kept",
        "CLAIMS__LEASE_TTL_SECONDS": ttl,
        "CLAIMS__BEAT_SECONDS": ttl / 6,
    }
    with (
        LocalFirebase(keep_alive_seconds=1.0) as firebase,
        Observer(firebase.endpoints["database_host"], MAX_ATTEMPTS, formats=()) as observer,
        Frontend(firebase.endpoints) as frontend,
    ):
        fleet = Fleet(
            firebase.environment(),
            folder,
            settings,
            other,
            other_settings=_settings_of_old(other),
            program=("-c", _PROGRAM),
        )
        try:
            old = [fleet.start(str(slot), of_other=True) for slot in range(daemons)]
            for life in old:
                life.daemon.wait_ready(patience)
            started = time.monotonic()
            for slot, life in enumerate(old):
                _ask(frontend, range(books * slot // daemons, books * (slot + 1) // daemons))
                wait_until(lambda name=life.name: _has_work(observer, name), f"work of {life.name}")
                end = fleet.kill if slot == daemons - 1 else fleet.terminate
                end(str(slot))
                fleet.start(str(slot)).daemon.wait_ready(patience)
            result.violations += await_quiet(observer, patience)
            result.seconds = time.monotonic() - started
            fleet.stop_all()
            result.violations += fleet.bad_ends()
        finally:
            fleet.kill_all()
        result.violations += observer.violations
        _judge(observer, {life.name for life in old}, old[-1].name, books, result)
    return result


def _settings_of_old(other: Path | None) -> dict[str, object]:
    if other is None or "[files]" in (other / "config.toml").read_text():
        return _OLD_SETTINGS
    return {**_OLD_SETTINGS, "FILES__FORMATS": None}


def _ask(frontend: Frontend, numbers: range) -> None:
    """Ask for some books, as all that a frontend does by updates of the root."""
    for number in numbers:
        book = {
            "narrative": "\n\n".join(
                f"This is paragraph {one} of book number {number}." for one in range(_PARAGRAPHS)
            ),
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": {".sv": "timestamp"},
        }
        frontend.node().update({f"books/b{number:03}": book})


def _has_work(observer: Observer, owner: str) -> bool:
    """Whether it has begun something just now, which it cannot finish within the grace period."""
    since = time.monotonic() - 0.5
    return any(
        claim.owner == owner and claim.ended is None and claim.began > since
        for claim in list(observer.claims)
    )


def _judge(observer: Observer, old: set[str], killed: str, books: int, result: Upgraded) -> None:
    """Every book is narrated once, and its attempts are those of one version."""
    counts, violations = result.counts, result.violations
    of_book = defaultdict[str, list[ClaimSeen]](list)
    for claim in observer.claims:
        of_book[claim.book_id].append(claim)
        counts["claims"] += 1
        counts[claim.how] += 1
        if claim.how == "lost" and claim.owner != killed:
            violations.append(f"attempt counted for a stop: {claim}")
    for book_id, claims in of_book.items():
        attempt = 1
        for claim in claims:
            if claim.attempt != attempt:
                violations.append(f"attempts: {book_id}: {attempt} expected, {claim}")
            attempt = claim.attempt + (claim.how == "lost")
        counts["second_attempts"] += claims[-1].attempt > 1
        counts["handed_over"] += claims[0].owner in old and claims[-1].owner not in old
    takes = [book.get("narrativeAudioTake") for book in observer.books().values()]
    if takes != [1] * books or counts["published"] != books:
        violations.append(f"not each once: {counts['published']} of {books}, takes {takes}")
