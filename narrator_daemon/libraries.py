"""Libraries that cannot be imported, told as what they are: a set-up to mend, and no fault of ours.

PyTorch and what stands on it come in builds for each kind of GPU. One that is of another build than
the rest fails in many ways: an import error, a library of the system that is not found, an operator
that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from narrator_daemon import logs
from narrator_daemon.errors import NotInstalled

#: What errors say that come of libraries which do not fit together, whatever their type.
_MISFIT = re.compile(
    r"cannot open shared object file|undefined symbol|operator \S+ does not exist"
    r"|Failed to import|partially initialized|version `\w+_[\d.]+' not found"
    r"|compiled (using|against)|CUDA driver version is insufficient|binary incompatib"
)

#: Characters of the error that are shown.
_LONGEST = 300

#: Libraries that come with an extra, and which.
_EXTRAS = {
    "torch": "csm",
    "torchaudio": "csm",
    "transformers": "csm",
    "tokenizers": "csm",
    "safetensors": "csm",
    "huggingface_hub": "csm",
    "onnxruntime": "kokoro",
}

_ADVICE = (
    "install torch, torchaudio and transformers anew, all from one place (see the page on "
    "installing), and see that they were made for this machine's GPU or CPU"
)


def misfit(error: BaseException, where: str = "") -> NotInstalled | None:
    """What to say of an error that comes of missing or unfit libraries; None for any other.

    Args:
        error: whatever was raised.
        where: the setting or option that asks for them.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and (extra := _EXTRAS.get(cause.name or "")):
            what = f"{cause.name} is not installed, which comes with the extra {extra}"
            advice = f"pip install 'narrator-daemon[{extra}]'"
            return NotInstalled(what, where=where, advice=advice)
        if isinstance(cause, ImportError) or _MISFIT.search(str(cause)):
            first = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            what = f"a library cannot be loaded: {logs.redact(first)[:_LONGEST]}"
            return NotInstalled(what, where=where, advice=_ADVICE)
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def importing(where: str) -> Iterator[None]:
    """Around imports, and calls that import as they go.

    Args:
        where: the setting or option that asks for the libraries.

    Raises:
        NotInstalled: one of them cannot be imported.
    """
    try:
        yield
    except NotInstalled:
        raise
    except Exception as error:
        told = misfit(error, where)
        if told is None:
            raise
        raise told from error
