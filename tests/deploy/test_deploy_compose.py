"""The containers on one machine: compose, and the image's own health check."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from narrator_daemon import config
from tests.deploy.workloads import FAREWELL, grace, known, unknown_options

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_compose_shows_the_local_firebase_to_this_machine_alone() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    firebase, narrator = services["firebase"], services["narrator"]
    assert all(port.startswith("127.0.0.1:") for port in firebase["ports"])
    assert "ports" not in narrator and narrator["network_mode"] == "service:firebase"
    assert unknown_options([word for word in firebase["command"] if word != "0.0.0.0"]) == []
    assert known(narrator["environment"])
    settings = config.load(None, narrator["environment"])
    published = {port.split(":")[1] for port in firebase["ports"]}
    urls = [str(settings.storage_emulator), str(settings.firebase.database_url)]
    assert {re.findall(r":(\d+)", url)[0] for url in urls} == published
    patience = re.fullmatch(r"(\d+)s", narrator["stop_grace_period"])
    assert patience is not None and int(patience[1]) >= grace() + FAREWELL
    variables = dict(re.findall(r"(NARRATOR_\w+)=(\S+)", DOCKERFILE))
    assert known(variables) and narrator["read_only"]
    written = {mount.split(":")[0] for mount in narrator["tmpfs"]}
    assert written == {"/tmp", *variables.values()}
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(firebase["build"]["args"]) <= arguments


def test_the_image_asks_a_live_daemon_for_its_health() -> None:
    (command,) = re.findall(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", DOCKERFILE)
    program, *rest = yaml.safe_load(command)
    assert program == "narrator-daemon" and rest == ["health", "--live"]
    assert unknown_options(rest) == []


def test_folders_that_must_be_the_daemons_own_are_made_so() -> None:
    made = re.findall(r"install -d (.*) \\", DOCKERFILE)
    assert made == ["-m 700 -o narrator -g narrator"]
