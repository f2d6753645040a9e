"""Each alert fires when it should and not before, by Prometheus' own rule tests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_deploy_alerts import ALERTS, rules

pytestmark = pytest.mark.deploy

ONE = {"instance": "gpu-1:9464"}
_AT = 'instance="gpu-1:9464"'
UP = f"narrator_build_info{{{_AT}}} 1x200"
LOADED = f"narrator_loaded{{{_AT}}} 1x200"
LOADING = f"narrator_loaded{{{_AT}}} 0x200"

#: Alert: series a minute apart that make it fire, when, and its labels and summary; series that
#: must not.
TABLE: dict[str, tuple[list[str], str, dict[str, str], str, list[list[str]]]] = {
    "NarratorAbsent": (
        ["other 1x20"],
        "6m",
        {},
        "No narrator-daemon is being scraped",
        [[UP]],
    ),
    "NarratorRestarts": (
        [UP, f"process_start_time_seconds{{{_AT}}} 1 1 1 2 2 2 3 3 3 4x20"],
        "20m",
        {**ONE},
        "gpu-1:9464 has been started again and again",
        [
            [UP, f"process_start_time_seconds{{{_AT}}} 1x10 2x20"],
            ['process_start_time_seconds{instance="other"} 1 2 3 4 5 6x20'],
        ],
    ),
    "NarratorCrashLoop": (
        ['kube_pod_container_status_restarts_total{container="narrator",pod="p"} 0+1x30'],
        "20m",
        {"container": "narrator", "pod": "p"},
        "p does not stay up",
        [
            ['kube_pod_container_status_restarts_total{container="other",pod="p"} 0+1x30'],
            ['node_systemd_unit_state{name="ssh.service",state="failed"} 1x30'],
            ['node_systemd_unit_state{name="narrator-daemon.service",state="failed"} 0x30'],
        ],
    ),
    "NarratorMustRestart": (
        [f"narrator_live{{{_AT}}} 1 0x10"],
        "4m",
        ONE,
        "gpu-1:9464 hangs",
        [[f"narrator_live{{{_AT}}} 0 1x10"]],
    ),
    "NarratorUnhealthy": (
        [LOADED, f"narrator_healthy{{{_AT}}} 0x30"],
        "12m",
        ONE,
        "gpu-1:9464 is not healthy",
        [[LOADED, f"narrator_healthy{{{_AT}}} 1x30"], [LOADING, f"narrator_healthy{{{_AT}}} 0x30"]],
    ),
    "NarratorNotLoaded": (
        [LOADING],
        "55m",
        ONE,
        "gpu-1:9464 has been loading its model for 50 minutes",
        [[f"narrator_loaded{{{_AT}}} 0x40 1x40"]],
    ),
    "NarratorDependencyDown": (
        [f'narrator_dependency_up{{{_AT},dependency="disk"}} 0x20'],
        "7m",
        {**ONE, "dependency": "disk"},
        "gpu-1:9464 cannot use the disk",
        [[f'narrator_dependency_up{{{_AT},dependency="disk"}} 0x3 1x10']],
    ),
    "NarratorDiskFills": (
        [
            f'narrator_disk_bytes{{{_AT},folder="segments"}} 100x60',
            f'narrator_disk_free_bytes{{{_AT},folder="segments"}} 9x60',
        ],
        "20m",
        {**ONE, "folder": "segments"},
        "The disk of gpu-1:9464 fills up (segments)",
        [
            [
                f'narrator_disk_bytes{{{_AT},folder="segments"}} 100x60',
                f'narrator_disk_free_bytes{{{_AT},folder="segments"}} 50x60',
            ]
        ],
    ),
    "NarratorClockWrong": (
        [f"narrator_clock_offset_seconds{{{_AT}}} -3600x20"],
        "7m",
        ONE,
        "The clock of gpu-1:9464 is off by 1h 0m 0s",
        [[f"narrator_clock_offset_seconds{{{_AT}}} 2x20"]],
    ),
    "NarratorLoopFails": (
        [f'narrator_loop_failures_total{{{_AT},loop="renewer"}} 0+1x40'],
        "30m",
        {**ONE, "loop": "renewer"},
        "The renewer of gpu-1:9464 fails again and again",
        [[f'narrator_loop_failures_total{{{_AT},loop="renewer"}} 0 1 2 3x40']],
    ),
    "NarratorRenewalFails": (
        [f"narrator_url_renewal_failures_total{{{_AT}}} 0+1x40"],
        "30m",
        ONE,
        "gpu-1:9464 cannot renew URLs",
        [[f"narrator_url_renewal_failures_total{{{_AT}}} 0 1x40"]],
    ),
    "NarratorUrlsExpire": (
        [
            f"narrator_url_expiry_seconds{{{_AT}}} 3000x30",
            'narrator_url_expiry_seconds{instance="gpu-2:9464"} 600000x30',
        ],
        "17m",
        {},
        "A narration stops playing within the hour",
        [[f"narrator_url_expiry_seconds{{{_AT}}} 86400x30"], [UP]],
    ),
    "NarratorStreamDown": (
        [LOADED, f"narrator_stream_up{{{_AT}}} 0x20"],
        "12m",
        ONE,
        "gpu-1:9464 has no stream of requests",
        [[LOADING, f"narrator_stream_up{{{_AT}}} 0x20"], [f"narrator_stream_up{{{_AT}}} 1x20"]],
    ),
    "NarratorRequestsWait": (
        [f"narrator_claimable_age_seconds{{{_AT}}} 1200x30"],
        "12m",
        {},
        "A book that could be read has waited 20m 0s",
        [[f"narrator_claimable_age_seconds{{{_AT}}} 600x30"]],
    ),
    "NarratorLimiterHolds": (
        [f'narrator_waiting{{{_AT},reason="limit"}} 140x60'],
        "35m",
        {},
        "140 books wait for their requester's limit",
        [
            [f'narrator_waiting{{{_AT},reason="no_room"}} 140x60'],
            [f'narrator_waiting{{{_AT},reason="limit"}} 40x60'],
        ],
    ),
    "NarratorBooksRefused": (
        [f'narrator_waiting{{{_AT},reason="refused"}} 3x60'],
        "35m",
        {},
        "3 books cannot be claimed: the database refuses the write",
        [[f'narrator_waiting{{{_AT},reason="refused"}} 0x60']],
    ),
    "NarratorSlow": (
        [
            f'narrator_request_to_ready_seconds_bucket{{{_AT},le="600"}} 0x90',
            f'narrator_request_to_ready_seconds_bucket{{{_AT},le="1800"}} 0+1x90',
            f'narrator_request_to_ready_seconds_bucket{{{_AT},le="+Inf"}} 0+1x90',
        ],
        "80m",
        {},
        "One narration in twenty takes more than ten minutes from its request",
        [
            [
                f'narrator_request_to_ready_seconds_bucket{{{_AT},le="60"}} 0+1x90',
                f'narrator_request_to_ready_seconds_bucket{{{_AT},le="600"}} 0+1x90',
                f'narrator_request_to_ready_seconds_bucket{{{_AT},le="+Inf"}} 0+1x90',
            ]
        ],
    ),
    "NarratorBooksFail": (
        [
            f'narrator_books_total{{{_AT},outcome="failed"}} 0+1x70',
            f'narrator_books_total{{{_AT},outcome="published"}} 0+1x70',
        ],
        "61m",
        {},
        "More than a fifth of the books fail",
        [
            [
                f'narrator_books_total{{{_AT},outcome="failed"}} 0+1x70',
                f'narrator_books_total{{{_AT},outcome="published"}} 0+20x70',
            ],
            [
                f'narrator_books_total{{{_AT},outcome="failed"}} 0 1 2x70',
                f'narrator_books_total{{{_AT},outcome="published"}} 0x70',
            ],
        ],
    ),
    "NarratorEngineFails": (
        [f'narrator_failures_total{{{_AT},code="engine_error"}} 0+1x40'],
        "30m",
        {"code": "engine_error"},
        "Attempts go wrong: engine_error",
        [[f'narrator_failures_total{{{_AT},code="no_text"}} 0+1x40']],
    ),
    "NarratorLeasesLost": (
        [f"narrator_lease_losses_total{{{_AT}}} 0+1x40"],
        "30m",
        ONE,
        "gpu-1:9464 loses books that it works on",
        [[f"narrator_lease_losses_total{{{_AT}}} 0 1x40"]],
    ),
    "NarratorUploadsRepeated": (
        [f"narrator_upload_retries_total{{{_AT}}} 0+6x90"],
        "80m",
        ONE,
        "gpu-1:9464 must repeat its uploads",
        [[f"narrator_upload_retries_total{{{_AT}}} 0 1 2x90"]],
    ),
    "NarratorGpuMemoryFull": (
        [
            f"narrator_gpu_memory_used_bytes{{{_AT}}} 98x30",
            f"narrator_gpu_memory_bytes{{{_AT}}} 100x30",
        ],
        "17m",
        ONE,
        "The GPU of gpu-1:9464 is almost full",
        [
            [
                f"narrator_gpu_memory_used_bytes{{{_AT}}} 90x30",
                f"narrator_gpu_memory_bytes{{{_AT}}} 100x30",
            ]
        ],
    ),
}


def _case(series: list[str], alert: str, at: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    inputs = []
    for line in series:
        name, _, values = line.rpartition("} ") if "}" in line else line.partition(" ")
        inputs.append({"series": name + "}" if "}" in line else name, "values": values})
    alerts = [{"eval_time": at, "alertname": alert, "exp_alerts": expected}]
    return {"interval": "1m", "input_series": inputs, "alert_rule_test": alerts}


def _cases() -> list[dict[str, Any]]:
    by_name = {rule["alert"]: rule for rule in rules()}
    cases = []
    for name, (firing, at, labels, summary, quiet) in TABLE.items():
        rule = by_name[name]
        expected = {
            "exp_labels": {**labels, **rule["labels"]},
            "exp_annotations": {**rule["annotations"], "summary": summary},
        }
        cases.append(_case(firing, name, at, [expected]))
        cases += [_case(series, name, at, []) for series in quiet]
    return cases


def test_every_alert_is_in_the_table() -> None:
    assert set(TABLE) == {rule["alert"] for rule in rules()}


def test_each_fires_when_it_should_and_not_otherwise(tmp_path: Path, promtool: Path) -> None:
    file = tmp_path / "alerts.test.yml"
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": _cases()}
    file.write_text(yaml.safe_dump(document))
    checked = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
