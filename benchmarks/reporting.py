"""How the benchmarks keep and show their results."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered)) - 1)]


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table and keep them as JSON."""
    RESULTS.mkdir(exist_ok=True)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    document = {"benchmark": name, "machine": machine, "at": time.time(), "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    headings = list(rows[0])
    widths = [max(len(h), *(len(_shown(row[h])) for row in rows)) for h in headings]
    print(f"{name} on {machine}")
    print("  ".join(h.ljust(w) for h, w in zip(headings, widths, strict=True)))
    for row in rows:
        cells = [_shown(row[h]).ljust(w) for h, w in zip(headings, widths, strict=True)]
        print("  ".join(cells))


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(values))
