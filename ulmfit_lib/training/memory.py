"""Memory that a long run gives back.

Batches of random length ask for large blocks of ever other sizes. Introduced in the chapter *Text
and language models*.
"""

from __future__ import annotations

import ctypes
import sys

LARGE_BLOCK = 4 * 2**20  # bytes from which on a block is asked of the system, and given back
_MMAP_THRESHOLD = -3  # glibc's number for this setting, in malloc.h


def give_large_blocks_back() -> bool:
    """Have the C library return freed blocks of 4 MiB and more to the system at once.

    By default glibc keeps blocks up to a limit that it raises to 32 MiB by
    itself. Where the lengths of batches are random, what it keeps fits no
    later batch: a pre-training run that held 1 GB grew by 0.2 GB in every
    thousand updates. Other systems are left as they are. Introduced in the
    chapter *Text and language models*.

    Returns:
        Whether there was something to set.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, LARGE_BLOCK))
