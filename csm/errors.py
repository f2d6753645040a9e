"""What goes wrong in this package, as its callers are told."""

from __future__ import annotations

from collections.abc import Iterator


class CsmError(Exception):
    """Speech could not be made; the message says why and what to do, free of the spoken text."""


class OutOfMemory(CsmError):
    """The device's memory did not suffice. What the failed work held is free again."""


#: What libraries say where memory is short and the error's type does not: torch of a CPU's memory,
#: CUDA's and HIP's runtime and driver, and cuBLAS, cuDNN and their kin, whose handles take memory
#: of their own when they are first used.
_SHORT_OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "memoryallocation",
    "outofmemory",
    "cublas_status_alloc_failed",
    "cublas_status_not_initialized",
    "cusolver_status_alloc_failed",
    "cusparse_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cudnn_status_not_initialized",
    "not enough memory",
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came after, says that memory did not suffice.

    A capture that ran out of memory fails a second time when it is closed, with an error that only
    says that it was broken off before; the reason is then the error's context.
    """
    return any(_says_so(each) for each in chain(error))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or any(
        kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__
    ):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SHORT_OF_MEMORY)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came from or after, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
