"""The engine kokoro, on a model made by hand and with the real phonemes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from csm.said import Said
from csm.takes.thresholds import Thresholds
from csm.text.lexicon import parse
from narrator_daemon import speech
from narrator_daemon.errors import NarratorError
from narrator_daemon.settings import Kokoro, Settings, Speech, Takes
from narrator_daemon.speech import SpeechError, choosing, judged
from narrator_daemon.speech.kokoro import files, symbols
from narrator_daemon.speech.kokoro_engine import KokoroSpeech
from narrator_daemon.speech.tone import ToneSpeech
from tests.speech import tiny_kokoro

SENTENCES = ["Call me Ishmael.", "Some years ago, never mind how long, I went to sea.", "Why not?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_kokoro.save(tmp_path_factory.mktemp("kokoro"))


@pytest.fixture(scope="module")
def kokoro(folder: Path) -> Iterator[KokoroSpeech]:
    engine = KokoroSpeech(model=str(folder), voice="af_heart", at_once=2)
    engine.load()
    yield engine
    engine.close()


def _spoken(engine: KokoroSpeech, texts: list[str], seed: int = 1) -> dict[int, speech.Spoken]:
    return {one.index: one for one in engine.speak(texts, seed=seed)}


# Symbols


def _plain(texts: object) -> list[str]:
    return [str(text).lower() for text in texts]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One two.", "one two."),
        ("One, two; ten: fix!", "one, two; ten: fik!"),
        ("One - two -- ten—nine", "one—two—ten—nine"),
        ('"One," he said. "Two?"', "“one,” he said. “two?”"),
        ("one (two) ten", "one (two) ten"),
        ("one... two… ten", "one… two… ten"),
        ("  one\n\n two  ", "one two"),
        ("point 3.5 and 1,000", "point . and ,"),
    ],
)
def test_marks_stay_where_they_are(text: str, said: str) -> None:
    assert symbols.phonemes(text, _plain, british=False) == said


@pytest.mark.parametrize(
    ("espeak", "american", "british"),
    [
        ("ˈɪʃme^ɪl", "ˈɪʃmAl", "ˈɪʃmAl"),
        ("t^ʃˈɜːt^ʃ", "ʧˈɜɹʧ", "ʧˈɜːʧ"),
        ("ɡˈo^ʊ", "ɡˈO", "ɡˈoʊ"),
        ("ɡˈə^ʊ", "ɡˈəʊ", "ɡˈQ"),
        ("lˈɪɾə^l", "lˈɪɾᵊl", "lˈɪɾᵊl"),
        ("bˈʌʔn\u0329", "bˈʌtn", "bˈʌtn"),
        # "I" is said with some stress, or not at all; "eye" and "ideal" are as they are.
        ("ænd a^ɪ wʊd", "ænd ˌI wʊd", "ænd ˌI wʊd"),
        ("a^ɪv sˈiːn", "ˌIv sˈin", "ˌIv sˈiːn"),
        ("a^ɪˈæm", "ˌIˈæm", "ˌIˈæm"),
        ("ˈa^ɪ", "ˈI", "ˈI"),
        ("a^ɪdˈiːl", "Idˈil", "Idˈiːl"),
    ],
)
def test_phonemes_are_those_the_model_knows(espeak: str, american: str, british: str) -> None:
    assert symbols.adapted(espeak, False) == american
    assert symbols.adapted(espeak, True) == british


@given(st.text(max_size=200))
def test_whatever_the_text_all_symbols_are_known(text: str) -> None:
    said = symbols.phonemes(text, lambda texts: list(texts), british=False)
    assert set(said) <= symbols.NUMBERS.keys()
    assert "  " not in said and said == said.strip()


@given(st.text(alphabet="ab ,.!", max_size=400), st.integers(1, 50))
def test_long_symbols_are_cut_and_nothing_is_lost(said: str, most: int) -> None:
    said = " ".join(said.split())
    parts = symbols.cut(said, most)
    assert all(0 < len(part) <= most for part in parts)
    assert "".join(parts).replace(" ", "") == said.replace(" ", "")


def test_cuts_are_at_marks_where_there_are_some() -> None:
    assert symbols.cut("aaa. bbb, ccc ddd", 10) == ["aaa. bbb,", "ccc ddd"]


# Speaking


def test_every_segment_is_spoken_with_the_places_of_its_words(kokoro: KokoroSpeech) -> None:
    spoken = _spoken(kokoro, SENTENCES)
    assert sorted(spoken) == [0, 1, 2]
    for index, one in spoken.items():
        assert one.samples.dtype == np.float32 and np.abs(one.samples).max() <= 1
        words = one.word_seconds
        assert words is not None and len(words) == len(SENTENCES[index].split())
        assert list(words) == sorted(words)
        # Behind the symbol at the beginning, and before the one at the end.
        assert words[0] == tiny_kokoro.SAMPLES_A_SYMBOL / speech_rate()
        assert words[-1] < len(one.samples) / speech_rate()


def speech_rate() -> int:
    from csm import SAMPLE_RATE

    return SAMPLE_RATE


def test_the_same_text_gives_the_same_samples_whatever_is_beside_it(kokoro: KokoroSpeech) -> None:
    one = _spoken(kokoro, SENTENCES)
    other = _spoken(kokoro, SENTENCES[::-1])
    for index in range(3):
        assert np.array_equal(one[index].samples, other[2 - index].samples)


def test_another_seed_is_another_take(kokoro: KokoroSpeech) -> None:
    one, other = _spoken(kokoro, SENTENCES, seed=1), _spoken(kokoro, SENTENCES, seed=2)
    assert not np.array_equal(one[0].samples, other[0].samples)


def test_takes_are_judged_by_what_is_usual_for_it(folder: Path) -> None:
    engine = KokoroSpeech(model=str(folder), voice="af_heart")
    assert judged._thresholds(Takes(), engine).sharpest_click == 50
    assert judged._thresholds(Takes(), ToneSpeech()) == Thresholds()


def test_what_is_skipped_is_not_spoken(kokoro: KokoroSpeech) -> None:
    assert [one.index for one in kokoro.speak(SENTENCES, seed=1, skip={0, 2})] == [1]


def test_a_segment_of_more_symbols_than_the_model_takes_is_spoken_whole(
    kokoro: KokoroSpeech,
) -> None:
    text = "a long and winding sentence, " * 40
    one = _spoken(kokoro, [text])[0]
    assert one.word_seconds is not None and len(one.word_seconds) == len(text.split())
    whole = len(one.samples) / tiny_kokoro.SAMPLES_A_SYMBOL
    assert whole > 2 * symbols.MOST_SYMBOLS


def test_exports_that_draw_their_noise_follow_the_seed(tmp_path: Path) -> None:
    tiny_kokoro.save(tmp_path, tiny_kokoro.model(draws=True))
    engine = KokoroSpeech(model=str(tmp_path), voice="af_heart")
    engine.load()
    try:
        first = _spoken(engine, SENTENCES, seed=1)
        again = _spoken(engine, SENTENCES[::-1], seed=1)
        other = _spoken(engine, SENTENCES, seed=2)
    finally:
        engine.close()
    assert np.array_equal(first[0].samples, again[2].samples)
    assert not np.array_equal(first[0].samples, other[0].samples)


def test_exports_of_the_hub_have_other_names_and_may_not_tell_lengths(tmp_path: Path) -> None:
    named = tiny_kokoro.model(symbols="input_ids", sound="waveform", lengths=False)
    engine = KokoroSpeech(model=str(tiny_kokoro.save(tmp_path, named)), voice="af_heart")
    engine.load()
    one = _spoken(engine, SENTENCES)[1]
    engine.close()
    assert len(one.samples) and one.word_seconds is None


def test_speed_and_voice_are_part_of_the_fingerprint(folder: Path) -> None:
    prints = {
        KokoroSpeech(model=str(folder), voice=voice, speed=speed).settings_fingerprint
        for voice in ("af_heart", "bm_george")
        for speed in (1.0, 1.1)
    }
    assert len(prints) == 4


def test_a_faster_voice_takes_less_for_a_character(folder: Path) -> None:
    engine = KokoroSpeech(model=str(folder), voice="af_heart", speed=1.25)
    slow = KokoroSpeech(model=str(folder), voice="af_heart")
    assert engine.pace == pytest.approx(slow.pace / 1.25)


# What goes wrong


def test_a_process_that_dies_is_started_again(kokoro: KokoroSpeech) -> None:
    process = kokoro._espeak._process
    assert process is not None
    process.kill()
    process.wait()
    assert _spoken(kokoro, SENTENCES[:1])[0].samples.size


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\ud800 a", "ไทย", "[[a]]", "<s>x</s>", "a" * 3000]
)
def test_hostile_text_ends_in_sound_or_in_a_told_error(kokoro: KokoroSpeech, text: str) -> None:
    with contextlib.suppress(SpeechError):
        assert _spoken(kokoro, [text])[0].samples.size
    assert _spoken(kokoro, SENTENCES[:1])[0].samples.size


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match=r"holds no onnx/model_quantized\.onnx"):
        KokoroSpeech(model=str(tmp_path), voice="af_heart").load()


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 100])
def test_a_damaged_model_says_so(tmp_path: Path, content: bytes) -> None:
    tiny_kokoro.save(tmp_path, content)
    with pytest.raises(SpeechError, match="cannot be loaded"):
        KokoroSpeech(model=str(tmp_path), voice="af_heart").load()


def test_another_model_says_so(tmp_path: Path) -> None:
    tiny_kokoro.save(tmp_path, tiny_kokoro.model(symbols="pixels"))
    with pytest.raises(SpeechError, match="no export of Kokoro-82M: it takes pixels"):
        KokoroSpeech(model=str(tmp_path), voice="af_heart").load()


def test_a_voice_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    tiny_kokoro.save(tmp_path, None, "af_bella", "bm_lewis")
    with pytest.raises(SpeechError, match=r"no voices/af_heart\.bin.*af_bella, bm_lewis"):
        KokoroSpeech(model=str(tmp_path), voice="af_heart").load()


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 1024 * 4])
def test_a_damaged_voice_says_so(tmp_path: Path, content: bytes) -> None:
    tiny_kokoro.save(tmp_path)
    (tmp_path / "voices/af_heart.bin").write_bytes(content)
    with pytest.raises(SpeechError, match="is no voice of Kokoro"):
        KokoroSpeech(model=str(tmp_path), voice="af_heart").load()


def test_neither_folder_nor_repository_says_so() -> None:
    with pytest.raises(SpeechError, match="there is no folder nowhere"):
        KokoroSpeech(model="nowhere", voice="af_heart").load()


def test_what_was_brought_once_is_found_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / "models--someone--Kokoro"
    tiny_kokoro.save(root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs/main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert files.are_here("someone/Kokoro", None, "af_heart")
    assert not files.are_here("someone/Kokoro", None, "af_bella")
    assert files.model_file("someone/Kokoro", None).parts[-3] == commit
    with pytest.raises(SpeechError, match="HF_HUB_OFFLINE is set"):
        files.voice_file("someone/Kokoro", None, "af_bella")


def test_without_the_extra_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SpeechError, match=r"pip install 'narrator-daemon\[kokoro\]'"):
        KokoroSpeech(model=str(folder), voice="af_heart").load()


def test_it_is_not_spoken_with_before_it_is_loaded(folder: Path) -> None:
    with pytest.raises(SpeechError, match="not loaded"):
        list(KokoroSpeech(model=str(folder), voice="af_heart").speak(["A."], seed=1))


# Voices and names


def test_all_voices_of_the_model_can_be_asked_for(tmp_path: Path) -> None:
    folder = tiny_kokoro.save(tmp_path, None, "af_heart", "bm_george")
    engine = KokoroSpeech(model=str(folder), voice="af_heart", named={"carl": "bm_george"})
    assert engine.voices == ("af_heart", "bm_george", "carl")
    engine.load()
    try:
        george, carl = engine.in_voice("bm_george"), engine.in_voice("carl")
        assert george.settings_fingerprint == carl.settings_fingerprint
        assert george.settings_fingerprint != engine.settings_fingerprint
        heard = [_spoken(one, ["Bath"])[0].samples for one in (engine, george, carl)]  # type: ignore[arg-type]
        # A British voice gets British phonemes.
        assert not np.array_equal(heard[0], heard[1])
        assert np.array_equal(heard[1], heard[2])
        with pytest.raises(KeyError):
            engine.in_voice("af_nobody")
    finally:
        engine.close()


def test_of_the_hubs_model_all_english_voices_can_be() -> None:
    engine = KokoroSpeech(model="someone/Kokoro", voice="af_heart")
    assert len(engine.voices) == 28 and {"af_heart", "bm_lewis"} <= set(engine.voices)
    assert all(Kokoro(voice=voice).voice == voice for voice in engine.voices)


def test_names_are_said_by_their_ipa(kokoro: KokoroSpeech) -> None:
    text = "I met Hermione, Bath's own."
    lexicon = parse("Hermione\t\tˈaɪ.ə\nBath\t\tbɑθ\n")
    plain = kokoro.saying(parse("Emma\t\tɛmə"))
    assert np.array_equal(_spoken(kokoro, [text])[0].samples, _spoken(plain, [text])[0].samples)  # type: ignore[arg-type]
    said = _spoken(kokoro.saying(lexicon), [text])[0]  # type: ignore[arg-type]
    levels = said.samples[600 :: tiny_kokoro.SAMPLES_A_SYMBOL]
    # A level for each symbol, by its number, of which that of the second stress is the highest.
    numbers = np.rint(levels / levels.max() * symbols.NUMBERS["ˌ"]).astype(int).tolist()
    heard = "".join(
        {number: one for one, number in symbols.NUMBERS.items()}.get(n, "|") for n in numbers
    )
    assert "mɛt ˈIə, bɑθs ˈO" in heard.replace("ˌ", "").replace("mˈɛt", "mɛt"), heard
    assert said.word_seconds is not None and len(said.word_seconds) == 5
    assert kokoro.saying(lexicon).settings_fingerprint == kokoro.settings_fingerprint


@pytest.mark.parametrize(
    ("ipa", "american", "british"),
    [
        ("həˈmaɪəni", "həmˈIəni", "həmˈIəni"),
        ("dʒoʊ", "ʤO", "ʤQ"),
        ("dʒəʊ", "ʤO", "ʤQ"),
        ("t\u0361ʃɑːlz", "ʧɑlz", "ʧɑːlz"),
        ("'ga:", "ˈɡa", "ˈɡaː"),
    ],
)
def test_ipa_as_dictionaries_have_it(ipa: str, american: str, british: str) -> None:
    # The stress stands where it is written.
    american, british = (one.replace("mˈ", "ˈm") for one in (american, british))
    assert symbols.from_ipa(ipa, False) == american
    assert symbols.from_ipa(ipa, True) == british


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=40))
def test_whatever_is_given_all_symbols_are_known(before: str, ipa: str, after: str) -> None:
    given_at = [Said(len(before), len(before) + 4, ipa)]
    heard = symbols.phonemes(
        f"{before}Emma{after}", lambda texts: list(texts), british=False, said=given_at
    )
    assert set(heard) <= symbols.NUMBERS.keys()


def test_closing_ends_the_process_and_what_is_said(folder: Path) -> None:
    engine = KokoroSpeech(model=str(folder), voice="af_heart", at_once=1)
    engine.load()
    process = engine._espeak._process
    assert process is not None
    failed = threading.Event()

    def speak() -> None:
        try:
            for _ in engine.speak(["A sentence that is said."] * 10_000, seed=1):
                begun.set()
        except NarratorError:
            failed.set()

    begun = threading.Event()
    thread = threading.Thread(target=speak)
    thread.start()
    assert begun.wait(60)
    engine.close()
    thread.join(60)
    assert failed.is_set() and process.poll() is not None
    engine.close()


def test_the_worker_ends_with_its_input_and_loads_nothing_of_ours(folder: Path) -> None:
    worker = Path(files.__file__).with_name("espeak_worker.py")
    asked = '{"accent": "en-us", "texts": ["hello there"]}\n{"accent": "xx", "texts": ["a"]}\n'
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", worker],
        input=asked,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ready, said, refused = done.stdout.splitlines()
    assert ready == '{"ready": true}' and "h\\u0259l" in said and '"error"' in refused
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not {"narrator_daemon", "csm", "numpy"} & loaded and "json" in loaded


def test_settings_choose_it(folder: Path) -> None:
    settings = Settings(
        speech=Speech(engine="kokoro"), kokoro=Kokoro(model=str(folder), voice="af_heart")
    )
    engine = choosing.create(settings)
    assert engine.name == "kokoro" and engine.pace is not None
    engine.close()


@pytest.mark.parametrize("voice", ["../secret", "jf_alpha", "af_", "af_heart/..", "AF_HEART", ""])
def test_a_voice_is_a_name_and_no_path(voice: str) -> None:
    with pytest.raises(ValidationError):
        Kokoro(voice=voice)


def test_gpl_is_only_loaded_in_the_worker(folder: Path) -> None:
    code = (
        "import sys; from narrator_daemon.speech.kokoro_engine import KokoroSpeech;"
        f"e = KokoroSpeech(model={str(folder)!r}, voice='af_heart'); e.load(); e.close();"
        "sys.exit('espeakng_loader' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


REAL = Path(__file__).parents[2] / ".venv/kokoro"


@pytest.mark.skipif(not REAL.is_dir(), reason="make kokoro brings the real model")
def test_the_real_model_says_words_of_a_plausible_length() -> None:
    engine = KokoroSpeech(model=str(REAL), voice="af_heart")
    engine.load()
    try:
        one = _spoken(engine, ["Call me Ishmael. Some years ago I went to sea."])[0]
    finally:
        engine.close()
    seconds = len(one.samples) / speech_rate()
    assert 2 < seconds < 6
    assert one.word_seconds is not None and len(one.word_seconds) == 10
    assert 0.1 < one.word_seconds[0] < 1
