"""What a process frees stays its own, for the next objects, until it has nothing to do."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_KEPT_BYTES = 256 << 20
"""What malloc may keep at the end of a heap: as much as ``"auto"`` lets be in flight."""
_MAPPED_FROM_BYTES = 32 << 20
"""From here on a piece is mapped for itself and goes back when it is freed. glibc allows no more, and comes to that by
itself where pieces of that size are freed."""
_HEAPS = 4
"""Heaps at most. glibc would make eight for each core; what is freed in one is of no use to a thread of another."""

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
"""Environment variables by which a user sets malloc."""


def keep_freed_memory() -> None:
    """Has malloc keep what is freed in this process, instead of giving it back to the system at once.

    A body of 1 MB in new memory costs 256 page faults and as many pages of zeros, more than copying it does. Nothing
    happens without glibc, nor where the user has set malloc by the environment.
    """
    mallopt = _function_of_malloc("mallopt")
    if mallopt is None:
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
    mallopt(_M_ARENA_MAX, _HEAPS)


def give_back_freed_memory() -> None:
    """Gives the system what malloc has kept since `keep_freed_memory`; nothing happens where that does nothing."""
    trim = _function_of_malloc("malloc_trim")
    if trim is not None:
        trim(0)


def _function_of_malloc(name: str) -> Any:
    """Returns a function of glibc's; None where another library is in its place, or the user has set malloc."""
    if sys.platform != "linux" or any(setting in os.environ for setting in USER_SETTINGS):
        return None
    return getattr(ctypes.CDLL(None), name, None)
