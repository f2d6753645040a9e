"""The process that makes phonemes with eSpeak NG, started by ``narrator_daemon.speech.kokoro``.

eSpeak NG is under the GPL; it is loaded here and nowhere else, in a program of its own that is
driven over pipes (``narrator_daemon.speech.child``). A request is ``{"accent": "en-us", "texts":
[...]}``, its answer ``{"phonemes": [...]}``, or ``{"error": "..."}``. Phonemes are IPA with stress,
and ``^`` between the symbols of one sound.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

import espeakng_loader

#: Of ``speak_lib.h``: nothing is played, and a failure is returned in place of ending the process.
_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_UTF8 = 1
#: IPA, and a tie between the symbols of one sound, which is in the upper bits.
_IPA_TIED = 0x02 | 0x80 | ord("^") << 8


class Espeak:
    """The library, with its data."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = os.fsencode(espeakng_loader.get_data_path())
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT) < 0:
            raise OSError("eSpeak NG finds no data")
        self._to_phonemes = self._library.espeak_TextToPhonemes
        self._to_phonemes.restype = ctypes.c_char_p
        self._to_phonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
        self._accent = ""

    def phonemes(self, accent: str, text: str) -> str:
        """The phonemes of a text, words with spaces between.

        Args:
            accent: eSpeak NG's name of it.
            text: without U+0000, at which the library stops.

        Raises:
            OSError: there is no such accent.
        """
        if accent != self._accent:
            if self._library.espeak_SetVoiceByName(accent.encode()):
                raise OSError(f"eSpeak NG has no accent {accent}")
            self._accent = accent
        rest = ctypes.c_char_p(text.encode("utf-8", "ignore"))
        clauses = []
        # Each call takes one clause, and moves on to the next.
        while rest.value:
            said = self._to_phonemes(ctypes.byref(rest), _UTF8, _IPA_TIED)
            clauses.append((said or b"").decode("utf-8", "ignore").strip())
        return " ".join(filter(None, clauses))


def main() -> None:
    """Answer requests until standard input ends."""
    # The answers keep the pipe to themselves: whatever the library prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        out.write(json.dumps(content).encode() + b"\n")
        out.flush()

    espeak = Espeak()
    answer({"ready": True})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            said = [espeak.phonemes(request["accent"], text) for text in request["texts"]]
        except Exception as error:  # it belongs to one segment; its text stays out of the message
            answer({"error": type(error).__name__})
            continue
        answer({"phonemes": said})


if __name__ == "__main__":
    main()
