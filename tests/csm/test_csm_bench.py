"""The benchmark that operators run, on a tiny checkpoint and through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import csm
from csm import OutOfMemory
from csm.checkpoint import random_weights
from csm.engine import bench
from csm.engine.bench import Row
from narrator_daemon.cli import app


@pytest.fixture(autouse=True)
def _little_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TRAFFIC", 2**22)


def test_rows_are_there_for_what_fits(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = 2**20 * 1.2
    monkeypatch.setattr(bench, "free_memory", lambda _: bench.DECODING + 3 * slot)
    shown: list[Row] = []
    checkpoint = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32)
    found = bench.measure(checkpoint, [4, 1, 2], seconds=0.05, on_row=shown.append)
    assert [row.slots for row in found.rows] == [1, 2] and found.left_out == [4]
    assert shown == found.rows
    assert found.suggested_slots in {1, 2}
    for row in found.rows:
        assert row.ms_a_frame > 0 and 0 < row.floor_share < 1
        # As fast as its frames and their decoding.
        whole = (row.ms_a_frame + row.decode_ms_a_frame) / 1e3
        assert row.audio_seconds_a_second == pytest.approx(row.slots * 0.08 / whole)
        assert row.slot_memory_mib == pytest.approx(slot / 2**20, rel=0.1)


def test_nothing_fits(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "free_memory", lambda _: 1000)
    checkpoint = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32)
    with pytest.raises(OutOfMemory, match=r"2 slots do not fit .* ask for fewer"):
        bench.measure(checkpoint, [2, 8], seconds=0.05)


def test_what_runs_out_of_memory_is_left_out(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(bench.Slots):
        def __init__(self, model: object, count: int) -> None:
            if count > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(model, count)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "Slots", Greedy)
    checkpoint = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32)
    found = bench.measure(checkpoint, [1, 2], seconds=0.05)
    assert [row.slots for row in found.rows] == [1] and found.left_out == [2]


def write_config(tiny: Path, folder: Path) -> str:
    (folder / "my.toml").write_text(f'[speech]\nmodel = "{tiny}"\ndevice = "cpu"\n')
    return str(folder / "my.toml")


def test_the_command(tiny: Path, tmp_path: Path) -> None:
    words = ("--config", write_config(tiny, tmp_path), "--slots", "1,2", "--seconds", "0.1")
    done = CliRunner().invoke(app, ["bench", *words, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["checkpoint"] == str(tiny) and found["dtype"] == "bfloat16"
    assert [row["slots"] for row in found["rows"]] == [1, 2]
    assert found["bandwidth_gb_s"] > 0.1


def test_a_table_for_people(tiny: Path, tmp_path: Path) -> None:
    words = ("--config", write_config(tiny, tmp_path), "--slots", "1", "--seconds", "0.1")
    done = CliRunner().invoke(app, ["bench", *words])
    assert done.exit_code == 0, done.output
    assert "suggested: speech.slots = 1" in done.output and "audio s/s" in done.output


def test_random_weights_need_no_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = csm.load_checkpoint(str(tiny), device="cpu", dtype=torch.float32).config
    monkeypatch.setattr(random_weights, "released_config", lambda: small)
    config = write_config(tmp_path / "nothing", tmp_path)
    words = ("--config", config, "--random", "--slots", "2", "--seconds", "0.1", "--json")
    done = CliRunner().invoke(app, ["bench", *words])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["checkpoint"] == "random weights" and found["rows"][0]["slots"] == 2


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    config = write_config(tmp_path / "nothing", tmp_path)
    done = CliRunner().invoke(app, ["bench", "--config", config])
    assert done.exit_code == 2 and "no folder" in done.output


@pytest.mark.parametrize("slots", ["0", "1,", "x", "-1", "1000", "1.5"])
def test_slots_that_are_none(slots: str) -> None:
    done = CliRunner().invoke(app, ["bench", "--slots", slots])
    assert done.exit_code == 2
    assert "must be numbers from 1 to 512" in " ".join(done.output.split())
