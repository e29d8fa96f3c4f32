"""How this process's memory is kept."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
KEPT = 256 << 20
"""Bytes asked for beyond what is needed, whenever the heap grows."""
LARGEST = 1 << 30
"""Bytes of the largest allocation that comes from the heap, and of what the heap keeps when it is free."""


def keep_freed_memory() -> None:
    """Keep what a batch frees for the next batch of the same size, instead of returning it to the kernel and
    faulting it in again, page by page, at every step. Does nothing where the C library is not glibc."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
        mallopt(M_TOP_PAD, KEPT)
