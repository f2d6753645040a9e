"""The detector page in Chromium: seconds from the choice of a file until all layers are told.

    python -m benchmarks.detector_page [--rounds 3]

Signed files with the public mark, 1 and 10 minutes, WAV and M4A, on a page that is loaded anew for the
first of each and has c2pa's library loaded for the next. A file without the mark takes longest, as other
paces are tried: plain ones are told, too. CPU seconds are those of all of Chromium's processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Page, sync_playwright

from narrator_daemon.emulator import LocalFirebase
from tests.actors import ROOT
from tests.credentials.signed_files import made

_PLAIN = ROOT / "tests" / "data" / "public_mark" / "plain.wav"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    chromium = shutil.which("chromium")
    assert chromium is not None
    print("| file | MB | s, page just loaded | s, the next | CPU s, the next |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name, LocalFirebase() as firebase:
        folder = Path(name)
        for minutes in (1, 10):
            signed = [made(folder, form, seconds=60 * minutes) for form in ("wav", "m4a")]
            plain = folder / "unmarked.wav"
            sound, rate = soundfile.read(_PLAIN, dtype="int16")
            soundfile.write(plain, np.resize(sound, 60 * minutes * rate), rate)
            for path in (*signed, plain):
                first, second, cpu = _measured(chromium, firebase, path, rounds)
                size = path.stat().st_size / 1e6
                print(
                    f"| {minutes} min, {path.name} | {size:.1f} | {first:.2f} | {second:.2f} | "
                    f"{cpu:.2f} |",
                    flush=True,
                )


def _measured(
    chromium: str, firebase: LocalFirebase, path: Path, rounds: int
) -> tuple[float, float, float]:
    address = firebase.page_url.partition("?")[0] + "detector.html"
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(rounds):
            page = browser.new_page()
            page.goto(address)
            first = _seconds(page, path)
            before = _cpu()
            second = _seconds(page, path)
            rows.append((first, second, _cpu() - before))
            page.close()
        browser.close()
    first, second, cpu = (statistics.median(each) for each in zip(*rows, strict=True))
    return first, second, cpu


def _seconds(page: Page, path: Path) -> float:
    page.set_input_files("#file", [])
    started = time.perf_counter()
    page.set_input_files("#file", path)
    page.wait_for_selector("#verdict[data-state=busy]", state="attached")
    page.wait_for_selector("#verdict:not([data-state=busy])", timeout=300_000)
    return time.perf_counter() - started


def _cpu() -> float:
    """Seconds of all processes called Chromium below this one."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        fields = rest.split()
        if "(chromium" in head and os.getpgid(int(stat.parent.name)) == _group():
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _group() -> int:
    return os.getpgrp()


if __name__ == "__main__":
    main()
