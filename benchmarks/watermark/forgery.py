"""Marks copied onto other speech, and true copies, held against fingerprints. See README.md.

The forger has a marked file and no key: he reads its cells as a detector would, and presses their
signs, as far as they are plain, on another clip. True copies go through what people do to them.
"""

from __future__ import annotations

import json

import numpy as np
from attacks import RATE, Sound, codec, equalised, mixed, music, noise, resampled, room
from battery import BOOK, BOOKS, KEY, RESULTS
from corpus import Clip, load
from held_out import load_held_out
from listening import chain, played, tempo, without_silence
from numpy.typing import NDArray

from watermark import detect, embed
from watermark.detection.acquisition import UNCHANGED, read_cells
from watermark.detection.features import features_of
from watermark.marking.embedding import _Marker, _through
from watermark.marking.fingerprint import Levels, Likeness, fingerprint_of, likeness
from watermark.pattern import BANDS, CELL_SECONDS

#: Of the presses of a forger, dB.
STRENGTH = 3.0


def pressed(marked: Sound, other: Sound) -> Sound:
    """The mark of one sound, as far as it can be read without a key, on another."""
    count = int(len(marked) / RATE / CELL_SECONDS)
    seconds = np.asarray((np.arange(count) + 0.5) * CELL_SECONDS, np.float64)
    read = read_cells(features_of(marked, RATE), UNCHANGED, seconds, np.arange(BANDS))
    plain = np.where(np.abs(read) > 0.2, np.sign(read), 0).astype(np.int8)

    def signs(cells: NDArray[np.intp]) -> NDArray[np.int8]:
        inside = (cells >= 0) & (cells < count)
        return np.where(inside[:, None], plain[np.clip(cells, 0, count - 1)], 0).astype(np.int8)

    return _through(_Marker(RATE, 1, [(signs, STRENGTH)]), other[: len(marked)], RATE)


def held_against(copy: Sound, rate: int, fingerprint: bytes) -> Likeness | None:
    """How alike a copy is to the narration whose mark it bears; None where none is found."""
    found = detect(copy, rate, KEY, BOOKS)
    if found.book_index != BOOK:
        return None
    levels = Levels(rate, found.speed * found.pitch)
    levels.feed(copy)
    return likeness(levels.finish(), fingerprint, found.spans)


COPIES = {
    "none": lambda x: (x, RATE),
    "MP3 48": codec("mp3", "-c:a", "libmp3lame", "-b:a", "48k"),
    "Opus 12": codec("ogg", "-c:a", "libopus", "-b:a", "12k"),
    "8 kHz": resampled(8_000),
    "noise 10 dB": noise(10),
    "music 0 dB": mixed(music, 0),
    "loudspeaker and room": room(0.3, loudspeaker=True),
    "equalised": equalised,
    "tempo 1.25": tempo(1.25),
    "speed 1.25": played(1.25),
    "44.1 kHz as 48": played(48 / 44.1),
    "pauses removed, MP3 64": chain(
        without_silence(0.25, -38), codec("mp3", "-c:a", "libmp3lame", "-b:a", "64k")
    ),
}


def main() -> None:
    """Run, print, write JSON."""
    held = load_held_out(RESULTS / "held-out")
    clips: list[Clip] = [c for c in load(RESULTS / "clips") + held if len(c.samples) > 11.5 * RATE]
    rows = []
    for number, clip in enumerate(clips):
        marked = embed(clip.samples, RATE, KEY, BOOK)
        fingerprint = fingerprint_of(marked, RATE)
        other = np.resize(clips[(number + 7) % len(clips)].samples, len(marked))
        copies = {"forged": lambda m, o=other: (pressed(m, o), RATE), **COPIES}
        for name, attack in copies.items():
            copy, rate = attack(marked)
            found = held_against(copy, rate, fingerprint)
            row = {"clip": clip.name, "copy": name, "mark": found is not None}
            if found:
                row |= {"similarity": found.similarity, "same": found.same}
                row |= {"seconds": found.seconds}
            rows.append(row)
        (RESULTS / "forgery.json").write_text(json.dumps(rows, indent=1))
    for name in ("forged", *COPIES):
        judged = [row for row in rows if row["copy"] == name and row["mark"]]
        likes = [row["similarity"] for row in judged]
        print(
            f"{name}: mark found in {len(judged)} of {len(clips)}, same recording "
            f"{sum(row['same'] is True for row in judged)}, not the same "
            f"{sum(row['same'] is False for row in judged)}, similarity "
            f"{min(likes):.3f} to {max(likes):.3f}"
        )


if __name__ == "__main__":
    main()
