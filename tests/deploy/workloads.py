"""What files that start daemons have in common: commands, variables, pods."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import typer.main

from narrator_daemon import config
from narrator_daemon.cli import app
from narrator_daemon.settings import Daemon

ROOT = Path(__file__).parent.parent.parent

#: Seconds after the grace period in which a daemon says farewell.
FAREWELL = 20

#: Variables that other programs read.
OTHERS = {"HF_HOME", "HF_TOKEN", "CUDA_VISIBLE_DEVICES"}

#: The release of Kubernetes whose schemas resources are held against.
KUBERNETES = "1.30"

_KIBI = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1}


def known(variables: dict[str, str]) -> bool:
    """Whether the program takes these variables, whose values may be placeholders."""
    given = {name: value for name, value in variables.items() if name not in OTHERS}
    config.load(None, given)
    return True


def grace() -> float:
    """``daemon.grace_seconds``, as it is by default."""
    return float(Daemon.model_fields["grace_seconds"].default)


def unknown_options(command: list[str]) -> list[str]:
    """Options of a command that the program does not have.

    Raises:
        KeyError: there is no such command.
    """
    found = typer.main.get_command(app)
    name, *rest = command
    sub = found.commands[name]  # type: ignore[attr-defined]
    there = {option for parameter in sub.params for option in parameter.opts}
    return [word for word in rest if word.startswith("--") and word not in there]


def size(text: str) -> int:
    """Bytes of a quantity of Kubernetes with a binary unit."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * _KIBI[unit]


def pod_of(resource: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template of a workload."""
    spec = resource.get("spec", {})
    template = {
        "Deployment": lambda: spec["template"],
        "Job": lambda: spec["template"],
        "CronJob": lambda: spec["jobTemplate"]["spec"]["template"],
        "ScaledJob": lambda: spec["jobTargetRef"]["template"],
    }.get(resource["kind"])
    return None if template is None else template()


def narrators(resources: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and pod template of each workload that narrates."""
    for resource in resources:
        template = pod_of(resource)
        if template and template["metadata"]["labels"].get("app.kubernetes.io/component") == (
            "narrator"
        ):
            yield resource["kind"], template


def problems_of_schema(resources: list[dict[str, Any]]) -> list[str]:
    """What is wrong with resources by the schemas of Kubernetes, KEDA and Prometheus' operator."""
    wrong, custom = [], []
    for resource in resources:
        if resource["apiVersion"].split("/")[0] in ("keda.sh", "monitoring.coreos.com"):
            custom.append(resource)
            if resource["kind"] == "ScaledJob":
                # KEDA's own schema has the job's as well, and lets unknown keys pass.
                job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}
                resource = {**job, "spec": resource["spec"]["jobTargetRef"]}
            else:
                continue
        try:
            kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{resource['kind']}: {error}")
    asked = subprocess.run(
        ["node", ROOT / "tests/deploy/schemas/validate.mjs"],
        input=json.dumps(custom),
        capture_output=True,
        text=True,
        check=True,
    )
    found = zip(custom, json.loads(asked.stdout), strict=True)
    return wrong + [f"{resource['kind']}: {text}" for resource, text in found if text]
