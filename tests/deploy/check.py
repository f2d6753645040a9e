"""Checks with other tools: systemd-analyze on the units, kubectl on the manifests, and workflows.

make deploy-check
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).parent.parent.parent

#: The exposure that `systemd-analyze security` may find, in tenths; a bare unit has nearly 100.
MOST_EXPOSURE = 15


def check_unit(source: Path, folder: Path) -> list[str]:
    """What systemd finds wrong with a unit.

    Args:
        source: the unit.
        folder: where a copy of it is looked at that starts a program which is there.
    """
    name = source.name.replace("@.", "@0.")
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", source.read_text(), flags=re.MULTILINE)
    copy = folder / name
    copy.write_text(unit)
    # Unknown keys are said on stderr, with exit status 0.
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True
    )
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", copy],
        capture_output=True,
        text=True,
    )
    print(*re.findall(r"→ (.*)", judged.stdout))
    wrong = [verified.stderr] if verified.returncode or verified.stderr else []
    return wrong + ([judged.stdout] if judged.returncode else [])


def check_kustomization(folder: Path) -> list[str]:
    """What is wrong with the manifests that kubectl makes of a folder.

    The custom resources of KEDA and Prometheus have no schema here, and are left out.
    """
    made = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    if made.returncode:
        return [made.stderr]
    wrong, checked = [], 0
    for resource in yaml.safe_load_all(made.stdout):
        if resource["apiVersion"].split("/")[0] in ("keda.sh", "monitoring.coreos.com"):
            continue
        checked += 1
        try:
            kubernetes_validate.validate(resource, "1.30", strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{folder.name}: {resource['kind']}: {error}")
    print(f"{folder.name}: {checked} resources")
    return wrong


#: What is looked at by schemas that check-jsonschema carries.
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "dependabot": ".github/dependabot.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "compose-spec": "compose.yaml",
}


def check_github() -> list[str]:
    """What is wrong with the files for GitHub: their shape, and what zizmor calls unsafe."""
    tools = Path(sys.executable).parent
    commands: list[list[str | Path]] = [
        [tools / "zizmor", "--offline", "--quiet", ROOT / ".github"],
        [tools / "pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml"],
    ]
    for schema, pattern in SCHEMAS.items():
        files = sorted(ROOT.glob(pattern))
        checker = [tools / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
        commands.append([*checker, *files])
    wrong = []
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            wrong.append(done.stdout + done.stderr)
    print(f"GitHub: {len(commands)} checks")
    return wrong


def main() -> int:
    wrong = check_github()
    units = sorted((ROOT / "deploy/systemd").glob("*.service"))
    with tempfile.TemporaryDirectory() as folder:
        for unit in units:
            wrong += check_unit(unit, Path(folder))
    folders = [ROOT / "deploy/kubernetes/base", ROOT / "deploy/kubernetes/overlays/autoscaled"]
    for kustomization in folders:
        wrong += check_kustomization(kustomization)
    print(*wrong, sep="\n")
    checks = len(units) + len(folders) + len(SCHEMAS) + 2
    print(f"{checks - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
