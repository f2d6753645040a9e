import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from csm import SAMPLE_RATE
from narrator_daemon.speech import SpeechError
from narrator_daemon.speech.piper import PiperSpeech

SENTENCES = ["Call me Ishmael.", "It was a bright cold day.", "The clocks were striking."]


@pytest.fixture(scope="module")
def piper() -> Iterator[PiperSpeech]:
    engine = PiperSpeech(processes=1)
    engine.load()
    yield engine
    engine.close()


def children(parent: int) -> set[int]:
    found = [path.read_text().split() for path in Path(f"/proc/{parent}/task").glob("*/children")]
    pids = {int(pid) for pids in found for pid in pids}
    return {pid for pid in pids if b"piper_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


def test_it_speaks_every_segment(piper: PiperSpeech) -> None:
    spoken = {part.index: part.samples for part in piper.speak(SENTENCES, seed=1)}
    assert sorted(spoken) == [0, 1, 2]
    for text, samples in zip(SENTENCES, map(spoken.__getitem__, range(3)), strict=True):
        assert samples.dtype == np.float32
        assert np.max(np.abs(samples)) <= 1.0
        assert np.sqrt(np.mean(samples**2)) > 0.02
        assert 0.03 < len(samples) / SAMPLE_RATE / len(text) < 0.15


def test_the_same_seed_gives_the_same_samples_in_another_process(piper: PiperSpeech) -> None:
    first = next(piper.speak(SENTENCES[:1], seed=5)).samples
    other = PiperSpeech(processes=1)
    try:
        list(other.speak(SENTENCES[1:2], seed=8))
        assert np.array_equal(next(other.speak(SENTENCES[:1], seed=5)).samples, first)
    finally:
        other.close()
    again = next(piper.speak(SENTENCES[:1], seed=6)).samples
    assert len(again) != len(first) or not np.array_equal(again, first)


def test_several_threads_may_speak_at_once(piper: PiperSpeech) -> None:
    results: dict[int, list[int]] = {}

    def speak(number: int) -> None:
        results[number] = [part.index for part in piper.speak(SENTENCES[:2], seed=number)]

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {number: sorted(indices) for number, indices in results.items()} == {
        number: [0, 1] for number in range(3)
    }


def test_closing_the_iterator_frees_the_engine(piper: PiperSpeech) -> None:
    # All of them would take a quarter of an hour.
    spoken = piper.speak(["This is a rather long sentence that takes a while."] * 4000, seed=1)
    next(spoken)
    spoken.close()
    answered: list[int] = []
    thread = threading.Thread(
        target=lambda: answered.append(next(piper.speak(SENTENCES[:1], seed=1)).index)
    )
    thread.start()
    thread.join(60)
    assert answered == [0]


def test_a_dead_process_fails_its_segment_and_is_started_again(piper: PiperSpeech) -> None:
    next(piper.speak(SENTENCES[:1], seed=1))
    (child,) = children(os.getpid())
    errors: list[SpeechError] = []

    def speak() -> None:
        try:
            list(piper.speak(["A long and winding sentence, " * 9] * 3, seed=1))
        except SpeechError as error:
            errors.append(error)

    thread = threading.Thread(target=speak)
    before = cpu_ticks(child)
    thread.start()
    wait_until(lambda: cpu_ticks(child) > before + 10)
    os.kill(child, signal.SIGKILL)
    thread.join(30)
    assert [error.code for error in errors] == ["engine_error"]
    assert "started again" in str(errors[0])
    assert next(piper.speak(SENTENCES[:1], seed=1)).samples.size
    assert children(os.getpid()).isdisjoint({child})


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("text", ["", "…", "[[", "<|AUDIO|>", "漢字", "\ud800", '{"seed": 1}\n'])
def test_odd_text_is_spoken_or_refused_and_harms_nothing(piper: PiperSpeech, text: str) -> None:
    (child,) = children(os.getpid())
    with contextlib.suppress(SpeechError):
        assert next(piper.speak([text], seed=1)).samples.size
    assert next(piper.speak(SENTENCES[:1], seed=1)).samples.size
    assert children(os.getpid()) == {child}


def test_double_brackets_are_not_phonemes(piper: PiperSpeech) -> None:
    plain = next(piper.speak(["hello there you"], seed=3)).samples
    bracketed = next(piper.speak(["[[ hello there you ]]"], seed=3)).samples
    assert len(bracketed) > 0.6 * len(plain)


def test_the_processes_end_with_their_parent() -> None:
    code = (
        "from narrator_daemon.speech.piper import PiperSpeech; engine = PiperSpeech(processes=1);"
        "engine.load(); print('ready', flush=True); list(engine.speak(['word ' * 60] * 99, seed=1))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    (child,) = children(parent.pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_process_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NARRATOR_WATERMARK_KEY", "HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, "deadbeef")
    engine = PiperSpeech()
    engine.load()
    try:
        found = children(os.getpid())
        assert found
        for child in found:
            assert b"deadbeef" not in Path(f"/proc/{child}/environ").read_bytes()
    finally:
        engine.close()


def test_close_ends_the_process_and_may_be_called_twice() -> None:
    engine = PiperSpeech(processes=1)
    before = children(os.getpid())
    engine.load()
    (child,) = children(os.getpid()) - before
    engine.close()
    engine.close()
    assert not is_running(child)


def test_a_process_that_does_not_start_says_how_to_see_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(
        SpeechError, match=r"did not start .* to see why, run: /bin/false"
    ) as raised:
        PiperSpeech(processes=1).load()
    assert raised.value.code == "engine_error"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SpeechError, match=r"pip install 'narrator-daemon\[preview\]'"):
        PiperSpeech(processes=1).load()
    with pytest.raises(SpeechError, match=r"narrator-daemon\[preview\]"):
        _ = PiperSpeech(processes=1).settings_fingerprint


def test_the_fingerprint_names_voice_and_versions() -> None:
    fingerprint = PiperSpeech().settings_fingerprint
    assert "en_US-joe-medium" in fingerprint
    assert metadata.version("piper-tts") in fingerprint


def test_the_daemon_never_imports_piper() -> None:
    code = (
        "import sys; from narrator_daemon.speech.piper import PiperSpeech;"
        "list(PiperSpeech(processes=1).speak(['One.'], seed=1));"
        "sys.exit(any(name in sys.modules for name in ('piper', 'onnxruntime', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_imports_nothing_of_what_judges_takes() -> None:
    code = (
        "import sys; import narrator_daemon.speech.phoneme_words;"
        "sys.exit(', '.join({'scipy', 'csm.takes', 'pydantic'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
