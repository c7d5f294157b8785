"""Looks for new credentials once the store says that the old ones have expired: once for all threads and tasks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from concurrent_dataloader._base.errors import ConcurrentDataLoaderError

logger = logging.getLogger(__name__)

PAUSE_S = 5.0  # seconds: each look reads files, and may ask an instance's role or start a process


class Renewal:
    """Renews what is built of credentials; its lock makes one thread look and the others wait for what it finds.

    Args:
        find: Puts newer credentials in place; returns False where there are none.
    """

    def __init__(self, find: Callable[[], bool]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._tried_s = self._renewed_s = -math.inf

    def __call__(self, begun_s: float) -> bool:
        """Returns whether an attempt that began then, in seconds of ``time.monotonic``, is worth another."""
        with self._lock:
            if self._renewed_s > begun_s:  # another thread has been here meanwhile
                return True
            if time.monotonic() - self._tried_s < PAUSE_S:
                return False
            self._tried_s = time.monotonic()
            try:
                found = self._find()
            except ConcurrentDataLoaderError as error:  # there are none at all by now; the store's refusal says more
                logger.info("no new credentials: %s", error)
                return False
            if found:
                self._renewed_s = time.monotonic()
            return found
