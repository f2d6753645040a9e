"""Long copies by the poorest codecs: minutes of speech, marked, coded, looked for. See README.md.

The clips of one set end to end, five minutes, so that the voice changes every half minute.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from attacks import RATE, Attack, Sound, codec, noise
from battery import BOOK, BOOKS, KEY, RESULTS
from corpus import load
from held_out import load_held_out
from scipy.signal import resample_poly

from watermark import detect, embed


def narrow(suffix: str, *options: str) -> Attack:
    """An encoder of ffmpeg's that takes 8 kHz only."""
    return codec(suffix, "-ar", "8000", *options)


def codec2(mode: str) -> Attack:
    """Codec 2, by the programs of Debian's ``codec2``."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        pcm = (np.clip(resample_poly(samples, 1, 3), -1, 1) * 32767).astype("<i2")
        with tempfile.TemporaryDirectory() as folder:
            plain, coded, back = (Path(folder) / name for name in ("plain", "coded", "back"))
            plain.write_bytes(pcm.tobytes())
            for command in (["c2enc", mode, plain, coded], ["c2dec", mode, coded, back]):
                subprocess.run([*map(str, command)], check=True, capture_output=True)
            decoded = np.frombuffer(back.read_bytes(), "<i2")
        return decoded.astype(np.float32) / 32768, 8_000

    return attack


def attacks() -> dict[str, Attack]:
    """Copies by name, the best codec first."""
    opus = ("-c:a", "libopus", "-application", "voip", "-b:a")
    return {
        **{f"Opus {rate} kbit/s": codec("ogg", *opus, f"{rate}k") for rate in (12, 8, 6)},
        "Speex 4 kbit/s": narrow("ogg", "-c:a", "libspeex", "-b:a", "3950"),
        "GSM full rate": narrow("gsm", "-c:a", "libgsm"),
        "G.723.1, 6.3 kbit/s": narrow("wav", "-c:a", "g723_1", "-b:a", "6300"),
        **{f"Codec 2, {mode} bit/s": codec2(mode) for mode in ("3200", "2400", "1300", "700C")},
        "MP3 8 kbit/s": codec("mp3", "-ar", "8000", "-c:a", "libmp3lame", "-b:a", "8k"),
        "white noise at 0 dB": noise(0),
        "white noise at -3 dB": noise(-3),
    }


def main() -> None:
    """Run, print each copy's result, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--held-out", action="store_true", help="speech nothing was tuned on")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--only", default="", help="copies whose name holds this")
    arguments = parser.parse_args()
    held = arguments.held_out
    clips = load_held_out(RESULTS / "held-out") if held else load(RESULTS / "clips")
    # No more of eSpeak than of anybody, and none of what a telephone has had already.
    parts = [clip.samples for clip in clips if not clip.name.startswith("telephone")]
    speech = np.concatenate(parts)[: arguments.seconds * RATE]
    marked = embed(speech, RATE, KEY, BOOK)
    rows = []
    for name, attack in {"none, unmarked": None, **attacks()}.items():
        if arguments.only not in name:
            continue
        copy, rate = attack(marked) if attack else (speech, RATE)
        begin = time.process_time()
        found = detect(copy, rate, KEY, BOOKS)
        spent = time.process_time() - begin
        seconds = len(copy) / rate
        rows.append({"copy": name, "found": found.book_index == BOOK, "score": found.score})
        rows[-1] |= {"wrong": found.found and found.book_index != BOOK, "seconds": seconds}
        rows[-1] |= {"cpu_a_minute": spent * 60 / seconds, "held_out": held}
        print(json.dumps(rows[-1]), flush=True)
        (RESULTS / f"low-rates{'-held-out' * held}.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
