"""The folders that multiprocessing keeps for workers, removed for those that could not do it themselves."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from multiprocessing import current_process, util
from typing import Any

_TOKEN_BYTES = 8  # of chance in a folder's name, which nobody guesses, and no two folders share
_AFTER_ALL = -100  # multiprocessing's own priority for removing such a folder at the exit, when all else has ended


class WorkerFolders:
    """Where each worker of an iterator has its folder for sockets.

    A worker hands its tensors on by a socket in a folder of its own, and removes both when it ends. One that is killed
    cannot, and neither can one that multiprocessing ends at the exit of the interpreter, as it does with the workers
    of an iterator that still lives. So the main process chooses the folders' names, and removes what is left.

    The folder stays the worker's: one that the main process made for all would be left behind where that is killed.

    Args:
        workers: How many there are.
    """

    def __init__(self, workers: int) -> None:
        names = (f"pymp-{secrets.token_urlsafe(_TOKEN_BYTES)}" for _ in range(workers))
        self._paths = [os.path.join(tempfile.gettempdir(), name) for name in names]
        self._at_exit: Any = None

    def make(self, worker_id: int) -> None:
        """Makes the folder of this process, a worker, where multiprocessing will look for it."""
        config = getattr(current_process(), "_config", None)  # what multiprocessing itself keeps the folder's name in
        if config is None or config.get("tempdir"):
            return  # the main process had a folder when the worker was started: they share it, and it removes it
        path = self._paths[worker_id]
        try:
            os.mkdir(path, 0o700)
        except OSError:
            return  # multiprocessing tries to make one, or tells of it, where it needs it
        util.Finalize(None, shutil.rmtree, args=(path, True), exitpriority=_AFTER_ALL)
        config["tempdir"] = path

    def remove_at_exit(self) -> None:
        """Has `remove` called in this process when the interpreter ends and the workers are gone, if not before."""
        self._at_exit = util.Finalize(None, _remove, args=(self._paths,), exitpriority=_AFTER_ALL)

    def remove(self) -> None:
        """Removes what is left; the workers have ended."""
        _remove(self._paths)
        if self._at_exit is not None:
            self._at_exit.cancel()


def _remove(paths: list[str]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
