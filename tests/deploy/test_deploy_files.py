"""The files that start daemons: they agree with each other, and with the program's settings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from narrator_daemon import config
from narrator_daemon.cli import app
from narrator_daemon.settings import Daemon, Settings

ROOT = Path(__file__).parent.parent.parent
BASE = ROOT / "deploy/kubernetes/base"
SCALED = ROOT / "deploy/kubernetes/overlays/autoscaled"
UNITS = ["narrator-daemon.service", "narrator-daemon@.service"]

#: Seconds after the grace period in which a daemon says farewell.
FAREWELL = 20

#: Variables that other programs read.
OTHERS = {"HF_HOME", "HF_TOKEN", "CUDA_VISIBLE_DEVICES"}


def _known(variables: dict[str, str]) -> bool:
    """Whether the program takes these variables, whose values may be placeholders."""
    given = {name: value for name, value in variables.items() if name not in OTHERS}
    config.load(None, given)
    return True


def _grace() -> float:
    return float(Daemon.model_fields["grace_seconds"].default)


def _options(command: list[str]) -> list[str]:
    """The command and its options, each one that the program has."""
    found = typer.main.get_command(app)
    name, *rest = command
    sub = found.commands[name]  # type: ignore[attr-defined]
    known = {option for parameter in sub.params for option in parameter.opts}
    return [word for word in rest if word.startswith("--") and word not in known]


def _unit(name: str) -> list[tuple[str, str, str]]:
    section, found = "", []
    for line in (ROOT / "deploy/systemd" / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.append((section, key, value))
    return found


def _service(name: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for section, key, value in _unit(name):
        if section == "Service":
            values.setdefault(key, []).append(value)
    return values


def _seconds(text: str) -> float:
    unit = {"s": 1, "": 1, "min": 60, "m": 60}
    match = re.fullmatch(r"(\d+)(\w*)", text)
    assert match is not None, text
    return float(match[1]) * unit[match[2]]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_the_program_and_lets_it_end(name: str) -> None:
    service = _service(name)
    assert service["Type"] == ["notify"] and _seconds(service["WatchdogSec"][0]) >= 30
    _, *command = service["ExecStart"][0].split()
    assert _options(command) == []
    assert _seconds(service["TimeoutStopSec"][0]) >= _grace() + FAREWELL
    variables = dict(pair.split("=", 1) for pair in service["Environment"])
    assert _known(variables)
    credentials = {pair.split(":")[0] for pair in service["LoadCredential"]}
    named = {Path(value).name for value in variables.values() if value.startswith("%d/")}
    assert named == credentials
    assert service["User"] == ["narrator"]
    user = (ROOT / "deploy/systemd/narrator-daemon.sysusers.conf").read_text()
    assert re.search(r"^u narrator ", user, re.MULTILINE)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_away_little(name: str) -> None:
    service = _service(name)
    assert service["ProtectSystem"] == ["strict"] and service["CapabilityBoundingSet"] == [""]
    assert service["DevicePolicy"] == ["closed"] and service["DeviceAllow"] == ["char-nvidia* rw"]
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
        assert service[key] == ["yes"], key


def test_the_units_differ_in_what_belongs_to_a_gpu_alone() -> None:
    one, many = (
        {(key, value) for _, key, value in _unit(name) if key != "Description"} for name in UNITS
    )
    assert one - many == {("RuntimeDirectory", "narrator-daemon")}
    assert many - one == {
        ("RuntimeDirectory", "narrator-daemon/%i"),
        ("Environment", "CUDA_VISIBLE_DEVICES=%i"),
        ("EnvironmentFile", "-/etc/narrator/gpu-%i.environment"),
    }


def _resources(folder: Path) -> Iterator[dict[str, Any]]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        if (folder / name).is_file():
            yield yaml.safe_load((folder / name).read_text())


def _deployment() -> dict[str, Any]:
    (found,) = [one for one in _resources(BASE) if one["kind"] == "Deployment"]
    return found


def test_the_base_follows_the_schemas_of_kubernetes() -> None:
    kinds = []
    for resource in _resources(BASE):
        kubernetes_validate.validate(resource, "1.30", strict=True)
        kinds.append(resource["kind"])
    assert sorted(kinds) == [
        "Deployment",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "ServiceAccount",
    ]


def test_every_file_is_named_and_every_name_is_there() -> None:
    for folder in (BASE, SCALED):
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        generated = [
            file for maps in kustomization.get("configMapGenerator", []) for file in maps["files"]
        ]
        named = {*kustomization["resources"], *generated}
        assert all((folder / name).exists() for name in named)
        there = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
        assert there == {name for name in named if "/" not in name}


def test_the_pod_runs_the_program_with_settings_that_it_knows() -> None:
    pod = _deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert _options(container["args"]) == []
    assert _known({env["name"]: env.get("value", "placeholder") for env in container["env"]})
    given = tomllib.loads((BASE / "config.toml").read_text())
    settings = Settings.model_validate(given)
    assert pod["terminationGracePeriodSeconds"] >= settings.daemon.grace_seconds + FAREWELL
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        program, *command = container[probe]["exec"]["command"]
        assert program == "narrator-daemon" and _options(command) == []
    assert container["livenessProbe"]["exec"]["command"][-1] == "--live"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    environment = {env["name"]: env.get("value") for env in container["env"]}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert environment["NARRATOR_METRICS__PORT"] == str(ports["metrics"])


def test_the_pod_may_do_little_and_writes_to_volumes_alone() -> None:
    pod = _deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True and not pod["enableServiceLinks"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    environment = {env["name"]: env.get("value") or "" for env in container["env"]}
    for name, writable in (
        ("NARRATOR_DAEMON__STATE_DIR", True),
        ("NARRATOR_KEPT__FOLDER", True),
        ("HF_HOME", True),
        ("NARRATOR_FIREBASE__CREDENTIALS", False),
        ("NARRATOR_WATERMARK__KEY_FILE", False),
    ):
        (mount,) = [m for m in mounts.values() if environment[name].startswith(m["mountPath"])]
        assert mount.get("readOnly", False) is not writable, name


def test_folders_that_must_be_the_daemons_own_are_not_volumes_themselves() -> None:
    # A volume belongs to root and lets its group in, which the daemon refuses.
    (container,) = _deployment()["spec"]["template"]["spec"]["containers"]
    environment = {env["name"]: env.get("value") for env in container["env"]}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert not mounts & {
        environment["NARRATOR_DAEMON__STATE_DIR"],
        environment["NARRATOR_KEPT__FOLDER"],
    }
    made = re.findall(r"install -d (.*) \\", (ROOT / "Dockerfile").read_text())
    assert made == ["-m 700 -o narrator -g narrator"]


def test_everything_selects_the_pods() -> None:
    deployment = _deployment()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one["spec"]["selector"]["matchLabels"]
        for one in (*_resources(BASE), *_resources(SCALED))
        if "selector" in one.get("spec", {})
    ]
    assert len(selectors) == 3 and all(selector == labels for selector in selectors)


def test_the_autoscaler_asks_for_metrics_that_are_exported() -> None:
    scaled = {one["kind"]: one for one in _resources(SCALED)}
    spec = scaled["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"]["name"] == _deployment()["metadata"]["name"]
    # The daemons count the queue: with none, nobody would see a request.
    assert spec["minReplicaCount"] >= 1 and spec["maxReplicaCount"] > spec["minReplicaCount"]
    source = "".join(path.read_text() for path in (ROOT / "narrator_daemon").rglob("*.py"))
    for trigger in spec["triggers"]:
        assert trigger["type"] == "prometheus"
        assert {"serverAddress", "query", "threshold"} == set(trigger["metadata"])
        assert float(trigger["metadata"]["threshold"]) > 0
        for name in re.findall(r"narrator_\w+", trigger["metadata"]["query"]):
            assert f'"{name}"' in source, name
    (endpoint,) = scaled["PodMonitor"]["spec"]["podMetricsEndpoints"]
    (container,) = _deployment()["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}


def test_compose_shows_the_local_firebase_to_this_machine_alone() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    firebase, narrator = services["firebase"], services["narrator"]
    assert all(port.startswith("127.0.0.1:") for port in firebase["ports"])
    assert "ports" not in narrator and narrator["network_mode"] == "service:firebase"
    assert _options([word for word in firebase["command"] if word != "0.0.0.0"]) == []
    assert _known(narrator["environment"])
    settings = config.load(None, narrator["environment"])
    published = {port.split(":")[1] for port in firebase["ports"]}
    urls = [str(settings.storage_emulator), str(settings.firebase.database_url)]
    assert {re.findall(r":(\d+)", url)[0] for url in urls} == published
    assert _seconds(narrator["stop_grace_period"]) >= _grace() + FAREWELL
    variables = dict(re.findall(r"(NARRATOR_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    assert _known(variables) and narrator["read_only"]
    written = {mount.split(":")[0] for mount in narrator["tmpfs"]}
    assert written == {"/tmp", *variables.values()}
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert set(firebase["build"]["args"]) <= arguments


def test_the_image_asks_a_live_daemon_for_its_health() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (command,) = re.findall(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", text)
    program, *rest = yaml.safe_load(command)
    assert program == "narrator-daemon" and rest == ["health", "--live"] and _options(rest) == []
