"""A thread that looks after an engine now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watch:
    """Calls ``look`` again and again, after the seconds that it returned, in a daemon thread.

    Args:
        look: Does its work and returns the seconds until it is to be called again. It must not raise.

    Shutdown:
        `close` returns at once; the thread ends when the call that is under way does.
    """

    def __init__(self, look: Callable[[], float]) -> None:
        self._look = look
        self._closed = threading.Event()
        self._started = False

    def start(self) -> None:
        """Starts the thread, once; later calls do nothing."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="fetch-watch", daemon=True).start()

    def close(self) -> None:
        """Ends the thread; idempotent."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(self._look()):
            pass
