"""The benchmark scripts that need hardware of their own still run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks import csm_gpu, reporting
from csm.engine import bench


def test_the_gpu_script_runs_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (csm_gpu, reporting):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "TRAFFIC", bench.TRAFFIC)
    csm_gpu.main(
        argparse.Namespace(
            tiny=True,
            only=csm_gpu.SECTIONS,
            batches=[2],
            frames=3,
            peer_frames=3,
            rounds=1,
            minutes=0.005,
        )
    )
    found = json.loads((tmp_path / "csm_gpu_tiny.json").read_text())
    (row,) = found["frames"]
    assert 0 < row["ours_ms"] < row["eager_ms"]
    assert row["static_ms"] is not None, capsys.readouterr().out
    assert found["graphs"][0]["graph_equals_eager"]
    assert all(0.5 < row["occupancy"] <= 1 for row in found["engine"])
    assert len(found["growth"]) >= 2
    assert found["about"]["torch"] == torch.__version__
