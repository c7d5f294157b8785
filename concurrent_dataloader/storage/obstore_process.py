"""Whether this process may use obstore: its runtime is process-wide, and a forked child that uses it hangs for ever."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from concurrent_dataloader.storage.process_local import generation

logger = logging.getLogger(__name__)

_used_in: int | None = None  # the process that started the runtime, as `generation` counts them
_warned_in: int | None = None


def mark_used() -> None:
    """To be called before the first request: from then on, children forked from this process keep off obstore."""
    global _used_in
    if _used_in is None:
        _used_in = generation()


def survives() -> bool:
    """Returns False where a parent started obstore's runtime before it forked this process."""
    return _used_in in (None, generation())


def usable() -> bool:
    """Like `survives`, and says once per process that boto3 reads instead."""
    global _warned_in
    if survives():
        return True
    if _warned_in != generation():
        _warned_in = generation()
        logger.warning(
            "Process %d was forked after its parent had used obstore, which does not survive a fork: reading through "
            "boto3 instead, at several times the CPU. Read nothing before the workers start, or use "
            'multiprocessing_context="spawn" or "forkserver".',
            os.getpid(),
        )
    return False


def _notice_other_users() -> None:
    """Before a fork: notices a runtime that was started by somebody else's use of obstore, by its threads' name."""
    if _used_in is None and "obstore" in sys.modules and "tokio-rt-worker" in _thread_names():
        mark_used()


def _thread_names() -> list[str]:
    try:
        return [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    except OSError:  # no /proc, or a thread that ended while we looked
        return []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_notice_other_users)
