"""The units, as they lie in their files and as systemd reads them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.workloads import FAREWELL, grace, known, unknown_options

ROOT = Path(__file__).parent.parent.parent
SYSTEMD = ROOT / "deploy/systemd"
UNITS = ["narrator-daemon.service", "narrator-daemon@.service"]

#: The exposure that `systemd-analyze security` may find, in tenths; a bare unit has nearly 100.
MOST_EXPOSURE = 15


def _unit(name: str) -> list[tuple[str, str, str]]:
    section, found = "", []
    for line in (SYSTEMD / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.append((section, key, value))
    return found


def _section(name: str, section: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for found, key, value in _unit(name):
        if found == section:
            values.setdefault(key, []).append(value)
    return values


def _seconds(text: str) -> float:
    unit = {"s": 1, "": 1, "min": 60, "m": 60}
    match = re.fullmatch(r"(\d+)(\w*)", text)
    assert match is not None, text
    return float(match[1]) * unit[match[2]]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_the_program_and_lets_it_end(name: str) -> None:
    service = _section(name, "Service")
    assert service["Type"] == ["notify"] and _seconds(service["WatchdogSec"][0]) >= 30
    _, *command = service["ExecStart"][0].split()
    assert unknown_options(command) == []
    assert _seconds(service["TimeoutStopSec"][0]) >= grace() + FAREWELL
    variables = dict(pair.split("=", 1) for pair in service["Environment"])
    assert known(variables)
    credentials = {pair.split(":")[0] for pair in service["LoadCredential"]}
    named = {Path(value).name for value in variables.values() if value.startswith("%d/")}
    assert named == credentials
    assert service["User"] == ["narrator"]
    user = (SYSTEMD / "narrator-daemon.sysusers.conf").read_text()
    assert re.search(r"^u narrator ", user, re.MULTILINE)


@pytest.mark.parametrize("name", UNITS)
def test_a_configuration_that_is_refused_is_not_tried_for_ever(name: str) -> None:
    service, unit = _section(name, "Service"), _section(name, "Unit")
    assert service["RestartPreventExitStatus"] == ["2"]
    # What fails otherwise is tried again for as long as it takes, and less and less often.
    assert service["Restart"] == ["always"] and unit["StartLimitIntervalSec"] == ["0"]
    assert _seconds(service["RestartSec"][0]) >= 5
    assert _seconds(service["RestartMaxDelaySec"][0]) > _seconds(service["RestartSec"][0])
    assert int(service["RestartSteps"][0]) > 0


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_away_little(name: str) -> None:
    service = _section(name, "Service")
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


@pytest.mark.deploy
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_and_little_exposed(
    name: str, tmp_path: Path, systemd_analyze: Path
) -> None:
    text = (SYSTEMD / name).read_text()
    # A copy that starts a program which is there.
    copy = tmp_path / name.replace("@.", "@0.")
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    verified = subprocess.run(
        [systemd_analyze, "verify", "--man=no", copy], capture_output=True, text=True
    )
    # Unknown keys are said on stderr, with exit status 0. These came with systemd 254, and are
    # passed over by an older one.
    said = [
        line
        for line in verified.stderr.splitlines()
        if not re.search(r"Unknown key (name )?'Restart(Steps|MaxDelaySec)'", line)
    ]
    assert (verified.returncode, said) == (0, [])
    judged = subprocess.run(
        [systemd_analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", copy],
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout
