"""What becomes of memory that is not used any more: by the C library, where it is glibc, and by Python."""

import ctypes
import gc
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ["few_to_collect", "give_back_freed_memory", "keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_OTHER_LIBRARY = (AttributeError, OSError, TypeError)


def keep_freed_memory() -> None:
    """Have the memory of a block kept for the next one, for the rest of the process.

    Else much of it goes back to the system and comes anew, a page at a time, which took a sixth of `encode`'s time.
    """
    with suppress(*_OTHER_LIBRARY):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that it takes: blocks are smaller
        mallopt(_M_TRIM_THRESHOLD, 1 << 28)


def give_back_freed_memory() -> None:
    """Have what is kept between pieces that are in use given back, which grows for hours: in under 1 ms."""
    with suppress(*_OTHER_LIBRARY):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def few_to_collect() -> Generator[None]:
    """Have Python's collector of cycles pass over what there is before.

    It looks through all that imports have made, again and again: 3 % of `encode`'s time.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
