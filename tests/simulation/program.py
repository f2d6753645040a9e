"""The program as it is simulated: its own modules, and what stands in for other rooms.

The engine and the pipeline behind it are a stub that waits, notices that it is to stop, and fails
as it is told to. Files, signatures, the state folder and the disk are in memory. Times that are
hours in production are seconds here, so that they play a part in a history of a minute.
"""

from __future__ import annotations

import errno
import io
import json
import traceback
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from firebase_admin import db
from google.auth import crypt
from google.oauth2 import service_account

from narrator_daemon import addresses
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.credentials.wav import Finished
from narrator_daemon.daemon import (
    assembly,
    dependencies,
    desk,
    disk,
    forecaster,
    job,
    making,
    trial,
    worker,
)
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books, service_clock, storage, subscription
from narrator_daemon.firebase import project as projects
from narrator_daemon.housekeeping import reaper, reconciler, sweep, turns
from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.accepting import Unnarratable
from narrator_daemon.narration.captions import Captions
from narrator_daemon.narration.narrate import Narration, Stopped, check_text, kept_name
from narrator_daemon.narration.progress import Progress
from narrator_daemon.queue import batches, budgets, picking, requesters
from narrator_daemon.settings import Limits, Settings
from narrator_daemon.speech import SpeechError
from tests.simulation import faults
from tests.simulation.bucket import Bucket
from tests.simulation.limits import (
    BATCH_LOOK_SECONDS,
    DAY_SECONDS,
    FAREWELL_SECONDS,
    FORECAST_SECONDS,
    STEADY_CHARACTERS,
    STEADY_SECONDS,
    WINDOW_BOOKS,
    WINDOW_SECONDS,
)
from tests.simulation.plan import ENDLESS, FAILS, KILLS
from tests.simulation.scheduler import Process, current
from tests.simulation.seams import Seams
from tests.simulation.stream import SILENCE_SECONDS
from tests.simulation.wire import Client, Wire

if TYPE_CHECKING:
    from tests.simulation.world import World

#: What the trial reads.
_TRIAL = trial._TEXT


class Here:
    """The history that runs now."""

    world: World


class _Signer(crypt.Signer):  # type: ignore[misc]
    """Signs everything alike."""

    key_id = "key"

    def sign(self, _message: bytes) -> bytes:
        return b"signed"


class SimulatedProject(projects.Project):
    """A connection to the services of a history."""

    def __init__(self, world: World, settings: Settings, process: Process, *, old: bool) -> None:
        wire = Wire(world, process, old=old)
        self._books = settings.books.path.split("/")
        self._beside = projects.beside(settings.books.path)
        self.database_clock = service_clock.ServiceClock()
        self.bucket_clock = service_clock.ServiceClock(self.database_clock.now)
        self.catalogue = addresses.catalogue(
            str(settings.firebase.database_url), settings.books.path
        )
        self.storage_emulator = None
        self.bucket_name = str(settings.firebase.storage_bucket)
        self.credentials = service_account.Credentials(
            _Signer(), "narrator@demo.iam.gserviceaccount.com", "https://oauth2.googleapis.com"
        )
        self._client = Client(wire, self.database_clock)
        self.bucket: Any = Bucket(world.objects, wire)
        self.app = None

    def reference(self, *keys: str) -> Any:
        return db.Reference(client=self._client, path="/" + "/".join(keys))

    def stream_request(self) -> tuple[str, dict[str, str], dict[str, str]]:
        return "", {}, {}


class Engine:
    """A voice without sound."""

    name = "tone"
    device = "cpu"
    pace = None

    def __init__(self, voice: str) -> None:
        self.settings_fingerprint = voice

    def load(self) -> None:
        current()
        Here.world.scheduler.sleep(0.2)

    def close(self) -> None:
        pass


class Kept:
    """Kept segments, of which there are names alone."""

    folder = None

    def __init__(self, _settings: object) -> None:
        pass

    def scratch(self) -> io.BytesIO:
        return io.BytesIO()

    def publish(self, _name: str) -> None:
        pass

    def remove(self, name: str) -> None:
        kept = Here.world.kept
        for token in [token for token, made in kept.items() if made == name]:
            del kept[token]

    def make_room(self, _count: int) -> None:
        pass


class Disk:
    """A disk that a history may fill."""

    def __init__(self, *_: object) -> None:
        pass

    def look(self) -> None:
        process = current().process
        if process is not None and Here.world.is_full(process):
            raise Unavailable(disk.NAME, "there is no room for a book")

    check = look


class Credentials:
    """Puts nothing into files."""

    def __init__(self, *_: object) -> None:
        pass

    def made(self, **_: object) -> None:
        return None

    def add(self, wav: io.BytesIO, _made: object) -> Finished:
        return Finished(len(wav.getvalue()), "0" * 64, "0" * 64)

    def add_to_compressed(self, *_: object) -> None:
        pass

    def check(self) -> None:
        pass


class Gauges:
    """Health is another room's."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def read(self, _phase: str) -> Any:
        return types.SimpleNamespace(as_record=dict)


class StateFolder:
    """A state folder in memory."""

    def __init__(self, _folder: object) -> None:
        pass

    def __enter__(self) -> StateFolder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, _record: object) -> None:
        pass


class Manager:
    """No service manager."""

    def tell(self, _condition: object) -> None:
        pass


def narrate(
    text: object,
    out: io.BytesIO,
    *,
    engine: Any,
    limits: Limits,
    seed: int,
    beginning: Any = None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    stopped: Callable[[], bool] = lambda: False,
    **_: object,
) -> Narration:
    """Takes some time, and writes what it was given in place of what it would say."""
    world, task = Here.world, current()
    process = task.process
    assert process is not None
    own, began_at = text == _TRIAL, world.scheduler.now
    said = check_text(text, limits)
    segments = 1 if own else task.dice.choice(world.plan.segments)
    if world.plan.steady:
        segments = 1 + len(said) // STEADY_CHARACTERS
    for segment in range(segments):
        if stopped():
            raise Stopped
        if not own:
            token = on_progress.__self__.work.token  # type: ignore[attr-defined]
            world.kept[token] = kept_name(engine, seed)
            world.checker.claims.works(token)
        takes = task.dice.choice((0.1, 0.4, 1.0, 2.0))
        world.scheduler.sleep(STEADY_SECONDS if world.plan.steady else takes)
        if not own:
            _go_wrong(world, said, process, token)
        if world.is_broken(process):
            if own:
                world.checker.claims.tried(process, began_at, passed=False)
            else:
                world.checker.claims.failed(token)
            raise SpeechError("engine_error", "The engine is broken.")
        if beginning is not None and segment == 0:
            beginning.companion.file.write(b"beginning")
            beginning.show(beginning.seconds)
        on_progress(Progress("speech", (segment + 1) / (segments + 1)))
    out.write(json.dumps({"text": said, "seed": seed}).encode())
    if own:
        world.checker.claims.tried(process, began_at, passed=True)
    if said == ENDLESS:
        raise Unnarratable(Failure(ErrorCode.TEXT_TOO_LONG, "It is too long when it is read."))
    facts: dict[str, Any] = {
        "secondsByStep": {},
        "segments": segments,
        "characters": len(said),
    }
    return Narration(len(out.getvalue()), 2.0 * segments, (), facts)


def _go_wrong(world: World, text: str, process: Process, token: str) -> None:
    task = current()
    kind = world.faults.at(task, faults.SPEECH, world.plan.speech_rate)
    if text == KILLS:
        kind = "crash"
    elif text == FAILS:
        kind = "engine error"
    if kind in ("engine error", "out of memory", "stumbles"):
        world.checker.claims.failed(token)
        if kind == "stumbles":
            raise ValueError("a fault of the program's own")
        raise SpeechError(kind.replace(" ", "_"), "The engine failed.")
    if kind == "disk full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "hangs":
        world.checker.claims.hangs(token)
        world.scheduler.sleep(1e6)
    if kind == "stalls":
        world.checker.claims.hangs(token)
        world.scheduler.sleep(task.dice.choice((5.0, 20.0)))
    if kind == "crash":
        world.crash(process)
    if kind == "pause":
        world.pause(process, task.dice.choice((0.4, 1.1, 1.6, 2.5)))
        world.scheduler.sleep(0.0)


#: Tracebacks that the log of a daemon may hold, as the engine stumbles.
_EXPECTED = {"narration_failed", "trial_failed"}


class _Quiet:
    """A logger that keeps what is said while a history is told."""

    def __init__(self, bound: dict[str, object] | None = None) -> None:
        self._bound = bound or {}

    def bind(self, **more: object) -> _Quiet:
        return _Quiet({**self._bound, **more})

    def _say(self, event: str, **more: object) -> None:
        world = Here.world
        if world.tell is not None:
            world.say(f"log {event}", **self._bound, **more)

    info = warning = error = debug = _say

    def exception(self, event: str, **more: object) -> None:
        self._say(event, **more)
        if event not in _EXPECTED:
            Here.world.checker.demand(False, "error", f"{event}: {traceback.format_exc()}")


def install(seams: Seams, modules: list[types.ModuleType]) -> None:
    """Put stand-ins for the other rooms in place, and times that fit a short history."""
    for module in modules:
        if hasattr(module, "_log"):
            seams.set(module, "_log", _Quiet())
    seams.set(assembly, "Disk", Disk)
    seams.set(assembly, "KeptSegments", Kept)
    seams.set(assembly, "FileCredentials", Credentials)
    seams.set(assembly, "signer_of", lambda *_, **__: None)
    for module in (assembly, desk):
        seams.set(
            module,
            "keys",
            types.SimpleNamespace(
                require=lambda _settings: DEMO_KEY, DEMO_KEY=b"", fingerprint=lambda _key: "key"
            ),
        )
    seams.set(desk, "Gauges", Gauges)
    seams.set(desk, "AudioStore", storage.AudioStore)
    seams.set(worker, "StateFolder", StateFolder)
    seams.set(making, "narrate", narrate)
    seams.set(trial, "narrate", narrate)
    for module in (making, trial):
        seams.set(module, "captions_of", lambda *_: Captions({"vtt": b"WEBVTT"}))
    seams.set(subscription, "_Session", lambda: Here.world.streams.session())
    seams.set(worker, "_FAREWELL_SECONDS", FAREWELL_SECONDS)
    seams.set(desk, "_SWEEP_SECONDS", 20.0)
    seams.set(desk, "_SWEEP_AGAIN_SECONDS", 5.0)
    seams.set(desk, "SAY_SECONDS", 1e5)
    for module in (desk, batches):
        seams.set(module, "LOOK_SECONDS", BATCH_LOOK_SECONDS)
    seams.set(forecaster, "_LEAST_SECONDS", 1.0)
    for module in (desk, forecaster):
        seams.set(module, "FORECAST_SECONDS", FORECAST_SECONDS)
    sweeper = desk.Sweeper
    seams.set(
        desk,
        "Sweeper",
        lambda *given, **named: sweeper(
            *given, least_age_seconds=Here.world.plan.sweep_seconds / 4, **named
        ),
    )
    seams.set(sweep, "MOST_OBJECTS", sweep.MOST_OBJECTS)
    seams.set(storage, "GIVE_UP_SECONDS", 6.0)
    seams.set(subscription, "SILENCE_SECONDS", SILENCE_SECONDS)
    seams.set(turns, "HOLD_MS", 4_000)
    seams.set(budgets, "DAY_MS", DAY_SECONDS * 1000)
    seams.set(picking, "_BUDGET_PAUSE_SECONDS", 3.0)
    seams.set(books, "WINDOW", WINDOW_BOOKS)
    seams.set(books.is_complete, "__defaults__", (WINDOW_BOOKS,))
    seams.set(reconciler, "WINDOW", WINDOW_BOOKS)
    seams.set(reconciler, "MOST", 4 * WINDOW_BOOKS)
    seams.set(requesters, "_WINDOW_MS", WINDOW_SECONDS * 1000)
    seams.set(dependencies, "_LOOK_SECONDS", 1.0)
    seams.set(reaper, "_LONGEST_SECONDS", 3.0)
    seams.set(reconciler, "LEAST_PAUSE_SECONDS", 2.0)
    seams.set(job, "_LOG_PROGRESS_SECONDS", 1e5)
    memoised(seams, service_clock, "parsedate_to_datetime")


def memoised(seams: Seams, module: Any, name: str) -> None:
    """Reckon what is asked again and again once."""
    call = getattr(module, name)
    known: dict[Any, Any] = {}

    def remembered(given: Any) -> Any:
        if given not in known:
            known[given] = call(given)
        return known[given]

    seams.set(module, name, remembered)


def start(world: World, process: Process, settings: Settings, voice: str, *, old: bool) -> Any:
    """A worker, ready to work."""
    project = SimulatedProject(world, settings, process, old=old)
    world.projects[process.name] = project
    engine: Any = Engine(voice)
    # Of every history its own; it is put back with the rest.
    desk._SWEEP_SECONDS = world.plan.sweep_seconds
    sweep.MOST_OBJECTS = world.plan.sweep_most
    made = assembly.parts(settings, engine, [project])
    manager: Any = Manager()
    return worker.Worker(settings, made, manager)
