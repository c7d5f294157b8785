"""Tensors that a worker has sent and that nobody fetches any more."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

_log = logging.getLogger(__name__)
_SHARER = "multiprocessing.resource_sharer"


def be_silent_of_unfetched_tensors() -> None:
    """Keeps a worker from printing that the main process has broken off the fetching of a tensor.

    The main process fetches the memory of each tensor from a thread of the worker that has sent it. Where Ctrl-C, or
    the end of the program, comes amid that, the thread hands the broken connection to ``sys.excepthook``, and a second
    traceback stands beside the one that matters. The main process knows of it: it has closed the connection. All else
    is printed as before.
    """
    shown_before = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, (ConnectionError, EOFError)) and _begins_in_the_sharer(traceback):
            _log.debug("a tensor was not fetched to the end: %r", error)
        else:
            shown_before(kind, error, traceback)

    sys.excepthook = show


def _begins_in_the_sharer(traceback: TracebackType | None) -> bool:
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__") == _SHARER
