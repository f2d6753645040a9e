"""Write the copies of alerts and dashboard that Kubernetes' tools want in folders of their own.

    python tools/make_monitoring.py            # writes them
    python tools/make_monitoring.py --check    # exits with 1 when one is not what this makes

Neither kustomize nor Helm reads a file outside of its own folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/narrator-daemon.json"

_RULE_HEAD = """\
# deploy/prometheus/alerts.yml for Prometheus' operator. Made by tools/make_monitoring.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: narrator-daemon
spec:
"""


def files() -> dict[Path, str]:
    """Each file and what belongs into it."""
    alerts = ALERTS.read_text(encoding="utf-8")
    groups = alerts[alerts.index("groups:") :]
    indented = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(True))
    chart = ROOT / "deploy/helm/narrator-daemon/files"
    return {
        ROOT / "deploy/kubernetes/components/monitoring/prometheus-rule.yaml": _RULE_HEAD
        + indented,
        chart / "alerts.yml": alerts,
        chart / "dashboard.json": DASHBOARD.read_text(encoding="utf-8"),
    }


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="write nothing")
    asked = parser.parse_args()
    stale = [
        path for path, text in files().items() if not path.exists() or path.read_text() != text
    ]
    if not asked.check:
        for path, text in files().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    elif stale:
        print("not what tools/make_monitoring.py makes:", *stale, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
