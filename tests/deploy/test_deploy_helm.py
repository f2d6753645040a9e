"""The chart, rendered by Helm itself, and held against the manifests of kustomize."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from narrator_daemon.settings import Settings
from tests.deploy.conftest import TOOLS
from tests.deploy.workloads import (
    known,
    narrators,
    pod_of,
    problems_of_schema,
    unknown_options,
)

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy/helm/narrator-daemon"
KUBERNETES = ROOT / "deploy/kubernetes"

BASE = tomllib.loads((KUBERNETES / "base/config.toml").read_text())
VALUES: dict[str, Any] = {"config": BASE}

#: Values, and the folder of manifests that they must be the same as.
SAME: dict[str, dict[str, Any]] = {
    "base": {},
    "overlays/autoscaled": {
        "monitoring": {"enabled": True},
        "autoscaling": {"enabled": True},
    },
    "overlays/shared-models": {"volumes": {"sharedModels": {"enabled": True}}},
    "overlays/node-storage": {"volumes": {"kind": "node", "ephemeral": "36Gi"}},
    "overlays/once": {"workload": "job"},
    "overlays/nightly": {"workload": "cronjob"},
    "overlays/scale-to-zero": {"workload": "scaledjob"},
}

#: Settings that are no section of the file.
OF_NO_SECTION = {"storage_emulator", "databases"}

#: What kustomize calls what the chart names after its release.
_NAMES = {
    "narrator-daemon-queue": "narrator-queue",
    "narrator-daemon-models": "narrator-models",
    "narrator-daemon-1": "narrator-drain",
}

_ASK = """
import json, sys
from helm_python import chart, errors
asked = json.load(sys.stdin)
try:
    with chart.Chart.load(asked["chart"]) as loaded:
        options = {"name": asked["name"], "namespace": asked["namespace"]}
        made = loaded.render(asked["values"], **options)
    lint = chart.lint(asked["chart"], asked["values"], strict=True, kube_version="v1.30.0")
    json.dump({"made": made, "lint": lint["messages"]}, sys.stdout)
except errors.HelmError as error:
    json.dump({"refused": str(error)}, sys.stdout)
"""


def helm(
    values: dict[str, Any], name: str = "narrator-daemon", namespace: str = "narrator"
) -> dict[str, Any]:
    """What Helm makes of the chart, and what its linter says; or why it refuses the values."""
    asked = {"chart": str(CHART), "values": values, "name": name, "namespace": namespace}
    out = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps(asked),
        env={"PYTHONPATH": str(TOOLS / "python"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr
    answer: dict[str, Any] = json.loads(out.stdout)
    return answer


def resources(values: dict[str, Any], name: str = "narrator-daemon") -> list[dict[str, Any]]:
    made = helm({**VALUES, **values}, name)
    assert "refused" not in made, made
    found = []
    for path, text in sorted(made["made"].items()):
        if path.endswith(".yaml"):
            found += [one for one in yaml.safe_load_all(text) if one]
    return found


def refusal(values: dict[str, Any]) -> str:
    return str(helm(values).get("refused", ""))


@pytest.fixture(scope="module")
def chart() -> Callable[[str], list[dict[str, Any]]]:
    """Gives what the chart makes in place of a folder of manifests."""
    made: dict[str, list[dict[str, Any]]] = {}

    def of(folder: str) -> list[dict[str, Any]]:
        return made.setdefault(folder, made.get(folder) or resources(SAME[folder]))

    return of


@pytest.mark.parametrize("folder", SAME)
def test_the_linter_and_the_schemas_find_nothing(
    folder: str, chart: Callable[[str], list[dict[str, Any]]]
) -> None:
    said = [one for one in helm({**VALUES, **SAME[folder]})["lint"] if one["severity"] > 1]
    assert said == []
    assert problems_of_schema(chart(folder)) == []


def test_several_databases_are_a_list() -> None:
    one = BASE["firebase"]
    each = [{**one, "name": "a"}, {**one, "name": "b", "database_url": "https://b.firebaseio.com"}]
    made = resources({"config": {**BASE, "firebase": each}})
    (written,) = (
        found["data"]["config.toml"]
        for found in made
        if found["kind"] == "ConfigMap" and "config.toml" in found["data"]
    )
    assert tomllib.loads(written)["firebase"] == each
    del each[1]["storage_bucket"]
    assert "config.firebase.storage_bucket is required" in refusal(
        {"config": {**BASE, "firebase": each}}
    )


def bare(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without what Helm and kustomize each add in their own way."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            # The order of volumes and variables means nothing; patches change it.
            named = all(isinstance(item, dict) and "name" in item for item in value)
            found = [walk(item) for item in value]
            return sorted(found, key=lambda item: item["name"]) if named else found
        if not isinstance(value, dict):
            return value
        kept = {
            key: walk(item)
            for key, item in value.items()
            if not key.startswith(("app.kubernetes.io/instance", "app.kubernetes.io/name"))
            and key not in ("imagePullPolicy", "checksum/config")
        }
        if "configMap" in kept:
            kept["configMap"] = {**kept["configMap"], "name": "config"}
        if kept.get("claimName") in _NAMES:
            kept["claimName"] = _NAMES[kept["claimName"]]
        return {key: item for key, item in kept.items() if item != {}}

    bared: dict[str, Any] = walk(resource)
    meta = bared.pop("metadata")
    if bared["kind"] == "ConfigMap":
        bared["data"] = tomllib.loads(bared["data"]["config.toml"])
    elif bared["kind"] not in ("Job", "CronJob"):
        bared["name"] = _NAMES.get(meta["name"], meta["name"])
    if bared["kind"] == "ScaledJob":
        (trigger,) = bared["spec"]["triggers"]
        url = trigger["metadata"]["url"]
        trigger["metadata"]["url"] = url.replace("narrator-daemon-queue", "narrator-queue")
    return bared


@pytest.mark.parametrize("folder", SAME)
def test_chart_and_manifests_are_the_same(
    folder: str, chart: Callable[[str], list[dict[str, Any]]], kubectl: Path
) -> None:
    out = subprocess.run(
        [kubectl, "kustomize", KUBERNETES / folder], capture_output=True, text=True, check=True
    )

    def by_kind(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(map(bare, found), key=lambda one: (one["kind"], str(one.get("name"))))

    assert by_kind(chart(folder)) == by_kind(list(yaml.safe_load_all(out.stdout)))


def test_the_program_takes_the_configuration_whatever_is_in_it() -> None:
    everything = Settings().model_dump(mode="json", exclude_none=True, exclude=OF_NO_SECTION)
    everything["limits"]["max_characters"] = 1_000_000
    everything["firebase"] = BASE["firebase"]
    (config,) = [one for one in resources({"config": everything}) if one["kind"] == "ConfigMap"]
    taken = Settings.model_validate(tomllib.loads(config["data"]["config.toml"]))
    assert taken.limits.max_characters == 1_000_000
    assert taken.claims == Settings().claims
    schema = json.loads((CHART / "values.schema.json").read_text())
    sections = schema["properties"]["config"]["propertyNames"]["enum"]
    assert set(sections) == set(Settings.model_fields) - OF_NO_SECTION


def test_a_pod_has_time_for_the_grace_that_is_configured() -> None:
    for grace, patience in ((30, 75), (0.5, 46), (120, 165), (0, 45)):
        config = {**BASE, "daemon": {"grace_seconds": grace}}
        ((_, template),) = narrators(resources({"config": config}))
        assert template["spec"]["terminationGracePeriodSeconds"] == patience


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "config.firebase.project_id is required"),
        ({**VALUES, "replica": 2}, "replica"),
        ({**VALUES, "workload": "daemonset"}, "workload"),
        ({**VALUES, "volumes": {"kind": "disk"}}, "kind"),
        ({"config": {**BASE, "speach": {"engine": "csm"}}}, "speach"),
        ({**VALUES, "autoscaling": {"min": 0}}, "min"),
        ({**VALUES, "monitoring": {"runbooks": "docs"}}, "runbooks"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


def test_the_schema_knows_every_value_and_no_other() -> None:
    def names(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            name: names(one["properties"]) if "properties" in one else None
            for name, one in properties.items()
            if name != "global"
        }

    def given(values: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        return {
            name: given(value, known[name]) if isinstance(known.get(name), dict) else None
            for name, value in values.items()
        }

    schema = names(json.loads((CHART / "values.schema.json").read_text())["properties"])
    assert given(yaml.safe_load((CHART / "values.yaml").read_text()), schema) == schema


def test_with_workload_identity_there_is_no_key_anywhere() -> None:
    annotations = {"iam.gke.io/gcp-service-account": "narrator@p.iam.gserviceaccount.com"}
    for workload in ("deployment", "scaledjob"):
        made = resources(
            {
                "workload": workload,
                "secrets": {"serviceAccountKey": False},
                "serviceAccount": {"annotations": annotations},
            }
        )
        assert "service-account.json" not in json.dumps(made)
        (account,) = [one for one in made if one["kind"] == "ServiceAccount"]
        assert account["metadata"]["annotations"] == annotations
        for template in filter(None, map(pod_of, made)):
            (container,) = template["spec"]["containers"]
            assert known({e["name"]: e.get("value", "x") for e in container.get("env", [])})
            assert unknown_options(container["args"]) == []
        assert problems_of_schema(made) == []


def test_two_releases_in_one_namespace_share_nothing() -> None:
    values = {"workload": "scaledjob", "volumes": {"sharedModels": {"enabled": True}}}
    one, two = (resources(values, name) for name in ("novels", "poems"))
    for a, b in zip(one, two, strict=True):
        assert a["metadata"]["name"] != b["metadata"]["name"]
    for template in filter(None, map(pod_of, one)):
        labels = template["metadata"]["labels"]
        for other in two:
            spec = other.get("spec", {})
            selector = spec.get("selector") or spec.get("podSelector") or {}
            wanted = selector.get("matchLabels", selector)
            assert not wanted or not wanted.items() <= labels.items()


def test_the_alerts_lead_to_where_the_documentation_is() -> None:
    made = resources(
        {"monitoring": {"enabled": True, "dashboard": True, "runbooks": "https://docs.test/a.html"}}
    )
    (rule,) = [one for one in made if one["kind"] == "PrometheusRule"]
    (group,) = rule["spec"]["groups"]
    for alert in group["rules"]:
        assert alert["annotations"]["runbook_url"].startswith("https://docs.test/a.html#narrator")
    # Prometheus' and Grafana's own templates are left to them.
    assert any("{{ $labels.instance }}" in a["annotations"]["summary"] for a in group["rules"])
    (dashboard,) = [one for one in made if one["metadata"]["name"].endswith("-dashboard")]
    shown = json.loads(dashboard["data"]["narrator-daemon.json"])
    assert shown == json.loads((ROOT / "deploy/grafana/narrator-daemon.json").read_text())
    assert "{{outcome}}" in json.dumps(shown)


def test_the_chart_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    meta = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert meta["version"] == meta["appVersion"] == project["version"]


def test_the_copies_are_what_they_are_copied_from() -> None:
    check = [sys.executable, ROOT / "tools/make_monitoring.py", "--check"]
    assert subprocess.run(check, capture_output=True, text=True).stderr == ""
