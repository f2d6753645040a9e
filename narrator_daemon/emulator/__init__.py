"""A Firebase on this machine: Realtime Database and Cloud Storage, for demo, frontends and tests.

    from narrator_daemon.emulator import LocalFirebase

    with LocalFirebase() as firebase:
        os.environ.update(firebase.environment())
        app = firebase_admin.initialize_app(
            options={"databaseURL": firebase.endpoints["database_url"]}
        )

Needs the extra ``emulator``: ``pip install 'narrator-daemon[emulator]'``. It listens on loopback
only unless told otherwise, since the owner's credential is no secret: ``Bearer owner``.
"""

from narrator_daemon.emulator.database.caller import client_token
from narrator_daemon.emulator.database.disk import DamagedDataError
from narrator_daemon.emulator.database.rules import InvalidRulesError
from narrator_daemon.emulator.harness.faults import Fault, Faults, InvalidFaultError
from narrator_daemon.emulator.harness.traffic import Traffic
from narrator_daemon.emulator.server import EmulatorError, Endpoints, LocalFirebase
from narrator_daemon.emulator.serving import serve

__all__ = [
    "DamagedDataError",
    "EmulatorError",
    "Endpoints",
    "Fault",
    "Faults",
    "InvalidFaultError",
    "InvalidRulesError",
    "LocalFirebase",
    "Traffic",
    "client_token",
    "serve",
]
