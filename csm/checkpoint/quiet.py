"""Keeping the libraries that load models from writing to standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from csm.checkpoint.transformers_parts import transformers_logging


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the libraries: their bars off a terminal, their loading reports always."""
    hub_shown = not are_progress_bars_disabled()
    transformers_shown = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    # Ours is the bar of the weights; transformers' would be that of the codec alone.
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if hub_shown:
            enable_progress_bars()
        if transformers_shown:
            transformers_logging.enable_progress_bar()
