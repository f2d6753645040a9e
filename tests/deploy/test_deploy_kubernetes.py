"""The manifests, as kustomize makes them and as they lie in their files."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from narrator_daemon.settings import Settings
from narrator_daemon.speech.feeding import most_books_at_once
from tests.deploy.metric_names import unknown
from tests.deploy.workloads import (
    FAREWELL,
    known,
    narrators,
    pod_of,
    problems_of_schema,
    size,
    unknown_options,
)

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
FOLDERS = ["base", *(f"overlays/{name}" for name in OVERLAYS)]

Rendered = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rendered(kubectl: Path) -> Rendered:
    """Gives what kustomize makes of a folder."""
    made: dict[str, list[dict[str, Any]]] = {}

    def render(folder: str) -> list[dict[str, Any]]:
        if folder not in made:
            out = subprocess.run(
                [kubectl, "kustomize", KUBERNETES / folder], capture_output=True, text=True
            )
            assert out.returncode == 0 and not out.stderr, out.stderr
            made[folder] = list(yaml.safe_load_all(out.stdout))
        return made[folder]

    return render


def settings_of(resources: list[dict[str, Any]]) -> Settings:
    (found,) = [one for one in resources if one["kind"] == "ConfigMap"]
    return Settings.model_validate(tomllib.loads(found["data"]["config.toml"]))


def test_every_file_is_named_and_every_name_is_there() -> None:
    folders = [path.parent for path in KUBERNETES.rglob("kustomization.yaml")]
    assert len(folders) > 10
    for folder in folders:
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        generated = [
            file for maps in kustomization.get("configMapGenerator", []) for file in maps["files"]
        ]
        named = [
            *kustomization.get("resources", []),
            *kustomization.get("components", []),
            *kustomization.get("configurations", []),
            *generated,
        ]
        assert all((folder / name).exists() for name in named), folder
        there = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
        assert there == {name for name in named if "/" not in name}, folder
    used = {
        (folder / name).resolve()
        for folder in folders
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text()).get(
            "components", []
        )
    }
    assert used == set((KUBERNETES / "components").iterdir())


@pytest.mark.deploy
@pytest.mark.parametrize("folder", FOLDERS)
def test_it_follows_the_schemas(folder: str, rendered: Rendered) -> None:
    assert problems_of_schema(rendered(folder)) == []


@pytest.mark.deploy
def test_what_each_folder_is_made_of(rendered: Rendered) -> None:
    kinds = {folder: sorted(one["kind"] for one in rendered(folder)) for folder in FOLDERS}
    base = ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"]
    jobs = ["ConfigMap", "NetworkPolicy", "ServiceAccount"]
    assert kinds == {
        "base": base,
        "overlays/autoscaled": sorted([*base, "PodMonitor", "PrometheusRule", "ScaledObject"]),
        "overlays/node-storage": base,
        "overlays/shared-models": sorted([*base, "PersistentVolumeClaim"]),
        "overlays/once": sorted([*jobs, "Job"]),
        "overlays/nightly": sorted([*jobs, "CronJob"]),
        "overlays/scale-to-zero": sorted(
            [*jobs, "ScaledJob", "Deployment", "NetworkPolicy", "Service"]
        ),
    }


def _pods(resources: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = list(narrators(resources))
    assert len(found) == 1
    return iter(found)


@pytest.mark.deploy
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_pod_runs_the_program_with_settings_that_it_knows(
    folder: str, rendered: Rendered
) -> None:
    settings = settings_of(rendered(folder))
    for kind, template in _pods(rendered(folder)):
        pod = template["spec"]
        (container,) = pod["containers"]
        assert unknown_options(container["args"]) == []
        assert ("--drain" in container["args"]) == (kind != "Deployment")
        variables = {env["name"]: env.get("value", "placeholder") for env in container["env"]}
        assert known(variables)
        assert pod["terminationGracePeriodSeconds"] >= settings.daemon.grace_seconds + FAREWELL
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert variables["NARRATOR_METRICS__PORT"] == str(ports["metrics"])
        assert not container["image"].endswith((":latest", "narrator-daemon"))


@pytest.mark.deploy
@pytest.mark.parametrize("folder", FOLDERS)
def test_no_outage_of_firebase_restarts_a_pod(folder: str, rendered: Rendered) -> None:
    for kind, template in _pods(rendered(folder)):
        (container,) = template["spec"]["containers"]
        probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
        assert set(probes) == {"startupProbe", "livenessProbe"} | (
            {"readinessProbe"} if kind == "Deployment" else set()
        )
        for name, probe in probes.items():
            what = "--ready" if name == "readinessProbe" else "--live"
            assert probe["exec"]["command"] == ["narrator-daemon", "health", what], name


@pytest.mark.deploy
def test_a_slow_first_download_is_no_failed_rollout(rendered: Rendered) -> None:
    (deployment,) = [one for one in rendered("base") if one["kind"] == "Deployment"]
    assert deployment["spec"]["progressDeadlineSeconds"] >= 45 * 60


@pytest.mark.deploy
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pod_may_do_little_and_writes_to_volumes_alone(
    folder: str, rendered: Rendered
) -> None:
    templates = [pod_of(one) for one in rendered(folder)]
    for template in filter(None, templates):
        pod = template["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True and not pod["enableServiceLinks"]
        assert not pod["automountServiceAccountToken"]
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
            if name not in environment:
                assert container["name"] == "queue"
                continue
            (mount,) = [m for m in mounts.values() if environment[name].startswith(m["mountPath"])]
            assert mount.get("readOnly", False) is not writable, name
        # A volume belongs to root and lets its group in, which the daemon refuses.
        assert not {mount["mountPath"] for mount in mounts.values()} & {
            environment.get("NARRATOR_DAEMON__STATE_DIR"),
            environment.get("NARRATOR_KEPT__FOLDER"),
        }


def _volumes(pod: dict[str, Any]) -> Iterator[tuple[str, bool, int]]:
    """Name, whether it lies on the node's own disk, and bytes of each that holds data."""
    for volume in pod["volumes"]:
        if "emptyDir" in volume:
            yield volume["name"], True, size(volume["emptyDir"]["sizeLimit"])
        elif "ephemeral" in volume:
            spec = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
            yield volume["name"], False, size(spec["resources"]["requests"]["storage"])


@pytest.mark.deploy
@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_room_for_all_that_may_lie_on_the_volumes(folder: str, rendered: Rendered) -> None:
    settings = settings_of(rendered(folder))
    for _, template in _pods(rendered(folder)):
        pod = template["spec"]
        volumes = {name: (on_node, most) for name, on_node, most in _volumes(pod)}
        # config.toml says what a text takes while it is in work; a fifth is the file system's.
        books = most_books_at_once(settings)
        work = settings.limits.max_characters / 100_000 * 1e9 * books
        assert volumes["segments"][1] >= 1.2 * (settings.kept.max_gigabytes * 1e9 + work)
        if "models" in volumes:
            assert volumes["models"][1] >= 1.5 * 7.1e9
        (container,) = pod["containers"]
        on_node = sum(most for on_node, most in volumes.values() if on_node)
        for bound in ("requests", "limits"):
            # And half a gigabyte of logs.
            given = size(container["resources"][bound]["ephemeral-storage"])
            assert given >= on_node + 2**29, bound


@pytest.mark.deploy
def test_a_refused_configuration_ends_a_job_and_a_lost_node_does_not(rendered: Rendered) -> None:
    for overlay in ("once", "nightly", "scale-to-zero"):
        for resource in rendered(f"overlays/{overlay}"):
            spec = {
                "Job": lambda spec: spec,
                "CronJob": lambda spec: spec["jobTemplate"]["spec"],
                "ScaledJob": lambda spec: spec["jobTargetRef"],
            }.get(resource["kind"])
            if spec is None:
                continue
            job = spec(resource["spec"])
            assert job["template"]["spec"]["restartPolicy"] == "Never"
            refused, lost = job["podFailurePolicy"]["rules"]
            assert (refused["action"], lost["action"]) == ("FailJob", "Ignore")
            assert refused["onExitCodes"]["values"] == [2]
            (container,) = job["template"]["spec"]["containers"]
            assert refused["onExitCodes"]["containerName"] == container["name"]


@pytest.mark.deploy
@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_selects_pods_that_there_are(folder: str, rendered: Rendered) -> None:
    resources = rendered(folder)
    templates = [pod_of(one) for one in resources]
    labels = [template["metadata"]["labels"] for template in filter(None, templates)]
    ports = {
        port["name"]
        for template in filter(None, templates)
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    }
    selected = 0
    for resource in resources:
        spec = resource.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector:
            assert selector.get("matchLabels", selector) in labels, resource["kind"]
            selected += 1
        for rule in spec.get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= ports
        for endpoint in spec.get("podMetricsEndpoints", []):
            assert endpoint["port"] in ports
        for template in filter(None, [pod_of(resource)]):
            for constraint in template["spec"].get("topologySpreadConstraints", []):
                assert constraint["labelSelector"]["matchLabels"] == template["metadata"]["labels"]
    assert selected >= 1


@pytest.mark.deploy
def test_the_autoscaler_asks_for_metrics_that_are_exported(rendered: Rendered) -> None:
    scaled = {one["kind"]: one for one in rendered("overlays/autoscaled")}
    spec = scaled["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"]["name"] == scaled["Deployment"]["metadata"]["name"]
    assert "replicas" not in scaled["Deployment"]["spec"]
    # The daemons count the queue: with none, nobody would see a request.
    assert spec["minReplicaCount"] >= 1 and spec["maxReplicaCount"] > spec["minReplicaCount"]
    for trigger in spec["triggers"]:
        assert trigger["type"] == "prometheus"
        assert {"serverAddress", "query", "threshold"} == set(trigger["metadata"])
        assert float(trigger["metadata"]["threshold"]) > 0
        assert unknown(trigger["metadata"]["query"]) == []


@pytest.mark.deploy
def test_the_queue_is_asked_where_it_answers(rendered: Rendered) -> None:
    resources = rendered("overlays/scale-to-zero")
    (scaled,) = [one for one in resources if one["kind"] == "ScaledJob"]
    (service,) = [one for one in resources if one["kind"] == "Service"]
    (counting,) = [one for one in resources if one["kind"] == "Deployment"]
    (container,) = counting["spec"]["template"]["spec"]["containers"]
    assert unknown_options(container["args"]) == []
    assert container["args"][container["args"].index("--serve") + 1] == str(
        container["ports"][0]["containerPort"]
    )
    (trigger,) = scaled["spec"]["triggers"]
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert trigger["metadata"]["url"] == f"http://{name}.narrator:{port}/queue"
    assert trigger["metadata"]["valueLocation"] == "work"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    # The image of the jobs: it is named once.
    (narrator,) = [template for _, template in narrators(resources)]
    assert container["image"] == narrator["spec"]["containers"][0]["image"]
    (config,) = [one for one in resources if one["kind"] == "ConfigMap"]
    for template in (counting["spec"]["template"], narrator):
        named = [v["configMap"]["name"] for v in template["spec"]["volumes"] if "configMap" in v]
        assert named == [config["metadata"]["name"]]


def test_the_rule_of_the_operator_is_the_file_of_alerts() -> None:
    rule = yaml.safe_load((KUBERNETES / "components/monitoring/prometheus-rule.yaml").read_text())
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert rule["spec"] == alerts


def test_nothing_in_the_cluster_says_a_name_of_a_registry() -> None:
    text = "".join(path.read_text() for path in KUBERNETES.rglob("*.yaml"))
    assert set(re.findall(r"image: (\S+)", text)) == {"narrator-daemon"}
