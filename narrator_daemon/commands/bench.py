"""``narrator-daemon bench``: how fast this machine speaks, and how many slots suit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table

from csm.checkpoint import loading, random_weights
from csm.engine import bench
from csm.engine.bench import Found
from narrator_daemon.settings import Settings
from narrator_daemon.speech.csm import as_speech_errors
from narrator_daemon.terminal import plain

#: Numbers of slots that are tried unless told otherwise.
ON_GPU = (1, 8, 32, 64, 128)
ON_CPU = (1, 4, 8)


def run(
    settings: Settings,
    counts: Sequence[int],
    *,
    seconds: float,
    random: bool,
    tell: Callable[[str], object],
) -> Found:
    """Measure with the configured checkpoint, or with random weights of the released size.

    Args:
        settings: of ``speech``, model, revision, device, kernels and int8_depth are what counts.
        counts: numbers of slots to try; none: a usual few.
        seconds: how long each is timed.
        random: make weights, so that none need be there.
        tell: called with what is being done.

    Raises:
        SpeechError: the checkpoint cannot be had, or does not fit.
    """
    with as_speech_errors():
        device = loading.resolve_device(settings.speech.device)
        tell("making weights …" if random else f"loading {settings.speech.model} …")
        if random:
            loaded = random_weights.random_checkpoint(
                random_weights.released_config(),
                device=device,
                dtype=loading.usual_dtype(device),
            )
        else:
            loaded = loading.load_checkpoint(
                settings.speech.model, device=str(device), revision=settings.speech.revision
            )
        tell("measuring …")
        return bench.measure(
            loaded,
            counts or (ON_GPU if device.type == "cuda" else ON_CPU),
            seconds=seconds,
            kernels=settings.speech.kernels,
            int8_depth=settings.speech.int8_depth,
            on_row=lambda row: tell(f"{row.slots} slots: {row.ms_a_frame:.3g} ms a frame …"),
        )


def table(found: Found) -> Table:
    """What was found, for a terminal."""
    title = (
        f"{found.checkpoint}, {found.dtype}, on {found.device}, "
        f"{found.kernels}, codec: {found.decoder}, memory {found.bandwidth_gb_s:.3g} GB/s"
    )
    result = Table(title=plain(title))
    for heading in (
        "slots",
        "ms a frame",
        "audio s/s",
        "of the memory's speed",
        "memory, GiB",
        "a slot, MiB",
    ):
        result.add_column(heading, justify="right")
    for row in found.rows:
        result.add_row(
            str(row.slots),
            _three_digits(row.ms_a_frame),
            _three_digits(row.audio_seconds_a_second),
            f"{row.floor_share:.0%}",
            f"{row.peak_memory_gib:.1f}",
            f"{row.slot_memory_mib:.0f}",
        )
    for count in found.left_out:
        result.add_row(str(count), "does not fit", "", "", "", "")
    return result


def _three_digits(value: float) -> str:
    """At least three significant digits, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
