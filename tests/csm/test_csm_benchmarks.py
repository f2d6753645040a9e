"""The benchmark scripts that need hardware of their own still run; what they compute without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import csm_bare, csm_gpu, csm_launches, reporting
from csm.checkpoint.random_weights import released_config
from csm.engine import bench

ROOT = Path(__file__).parents[2]
#: A process in which nothing can be imported that a bare machine does not have.
BARE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import importlib.util
import runpy
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {absent} else found(name)
sys.argv[1:] = "--tiny --batches 2 --frames 2 --only checks frames engine peers".split()
runpy.run_module("benchmarks.csm_gpu", run_name="__main__", alter_sys=True)
"""
ABSENT = {
    "transformers", "tokenizers", "safetensors", "huggingface_hub", "triton", "scipy", "soundfile",
    "torchaudio", "firebase_admin", "pydantic", "narrator_daemon",
}  # fmt: skip


def peer_here(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """What the script prints in a process of its own, whose imports would take the longest."""
    module, *words = command[2:]
    assert command[:2] == [sys.executable, "-m"] and module == csm_gpu.__name__
    given = csm_gpu.parser().parse_args(words)
    assert given.peer and given.tiny
    seconds = csm_gpu.peer_seconds(given.peer, static=given.static, tiny=True, device="cpu")
    return subprocess.CompletedProcess(command, 0, f"{seconds}\n")


def test_the_gpu_script_runs_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reporting, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "TRAFFIC", bench.TRAFFIC)
    here = SimpleNamespace(run=peer_here, SubprocessError=subprocess.SubprocessError)
    monkeypatch.setattr(csm_gpu, "subprocess", here)
    words = ["--tiny", "--batches", "2", "--frames", "2", "--growth", "0.0005"]
    found = csm_gpu.main(csm_gpu.parser().parse_args(words))
    assert json.loads((tmp_path / "csm_gpu_tiny.json").read_text())["table"] == found["table"]
    (row,) = found["table"]
    assert row["ours_ms"] > 0 and row["eager_ms"] > 0, capsys.readouterr().out
    assert row["static_ms"] > 0 and row["plain_ms"] > 0 and row["begin_ms"] > 0
    assert 0.3 < row["occupancy"] <= 1 and row["engine_audio_s_a_s"] > 0
    passed = {check["check"]: check["passed"] for check in found["checks"]}
    assert passed.pop("kernels are used") is False  # On a CPU.
    assert len(passed) == 13 and False not in passed.values()
    assert passed["graph equals eager"] and passed["neighbours change no code"]
    assert {row["operation"] for row in found["kernels"]} >= {"draw, next row", "end of a frame"}
    assert all(row["ours_us"] > 0 for row in found["kernels"])
    assert all(row["ours_us"] > 0 and row["theirs_us"] > 0 for row in found["codec"])
    assert len(found["growth"]) == 11
    assert found["about"]["torch"] == torch.__version__


def test_the_gpu_script_needs_torch_alone(tmp_path: Path) -> None:
    """It lies in a folder of its own there, so that what it writes does, too."""
    (tmp_path / "csm").symlink_to(ROOT / "csm")
    (tmp_path / "benchmarks").mkdir()
    for file in (ROOT / "benchmarks").glob("*.py"):
        (tmp_path / "benchmarks" / file.name).write_text(file.read_text())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BARE.format(absent=ABSENT)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "benchmarks/results/csm_gpu_tiny.json").read_text())
    assert found["table"][0]["ours_ms"] > 0 and "engine" not in found
    assert found["about"]["transformers"] is None and found["about"]["triton"] is None


def test_the_bare_configuration_is_the_released_one() -> None:
    def same(bare: object, released: object) -> None:
        for name, value in vars(bare).items():
            if name in ("depth_decoder_config", "codec_config"):
                same(value, getattr(released, name))
            elif name == "rope_parameters":
                assert value == {key: getattr(released, name)[key] for key in value}
            else:
                assert value == getattr(released, name), name

    same(csm_bare.config(), released_config())


def test_what_a_frame_launches() -> None:
    model = csm_launches.meta_model(csm_launches.H100)
    # A single slot's small products norm their row themselves.
    for batch, count in ((1, 906), (64, 1079)):
        found = csm_launches.launches(model, batch)
        assert len(found) == count
        # All of them are kernels of ours, and all may begin before the last one ends.
        assert all(launch.kernel is not None for launch in found)
        assert all(launch.options["dependent"] for launch in found)
        # Depth attention reads the cache before it waits. The kernel before it lets it begin only
        # after its own wait, as a norm's does not.
        names = [launch.name for launch in found]
        before = {one for one, then in pairwise(names) if then == "depth_attention_kernel"}
        assert before <= {"product_kernel", "row_product_kernel"}


@pytest.fixture(scope="module")
def compiled() -> list[dict[str, Any]]:
    """One of each kind, at the released size; in a process whose Triton is not an interpreter."""
    script = (
        "import json\nfrom benchmarks import csm_kernels\n"
        "print(json.dumps(csm_kernels.table([64], [80, 89, 90], int8=True, each_kind_once=True)))"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize("target", [80, 89, 90])
def test_kernels_compile_without_spills(target: int, compiled: list[dict[str, Any]]) -> None:
    rows = [row for row in compiled if row["target"] == f"sm_{target}"]
    kernels = {row["kernel"] for row in rows}
    assert kernels == {
        "product", "norm", "decode_attention", "depth_attention", "draw", "finish", "convolution"
    }  # fmt: skip
    # Norm, gate, sum, scales, and what is left: each both plain and of 8 bits.
    assert len(rows) >= 10
    for row in rows:
        assert row["spilled_bytes"] == 0 and row["registers"] <= 255, row
        assert row["shared_bytes"] <= row["most_shared_bytes"], row
        multiplies = row["kernel"].endswith(("product", "attention", "convolution"))
        assert (row["matrix"] > 0) == multiplies, row
        # On sm_90 each waits for the kernel before it, and lets the next begin.
        assert row["dependent"] == (target == 90), row
