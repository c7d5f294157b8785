"""A process of its own for each run, forked from a server that has imported once what every run needs.

A fresh interpreter would spend two seconds on importing torch and torchvision: as long as most runs take.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.bench.measure import Measurement

_FORK_SERVER = multiprocessing.get_context("forkserver")

RunOrder = Callable[[dict[str, Any]], Measurement]


def run_child(run_order: RunOrder, order: dict[str, Any], timeout_s: float) -> tuple[Measurement | None, str]:
    """Runs an order in a process of its own; returns the measurement, or why there is none.

    Args:
        run_order: A function of a module, which the server imports before it forks.
        order: What it is called with.
        timeout_s: Seconds after which the process and all its workers are killed.

    Shutdown: the process has ended when this returns. The server ends with this process.
    """
    _FORK_SERVER.set_forkserver_preload([run_order.__module__])  # without effect once the server runs
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log") as log:
        receiver, sender = _FORK_SERVER.Pipe(duplex=False)
        process = _FORK_SERVER.Process(target=_run, args=(run_order, order, sender, log.name))
        process.start()
        sender.close()
        try:
            measurement = _receive(receiver, process, monotonic() + timeout_s)
        finally:  # Ctrl-C included: no worker may be left behind
            receiver.close()
            is_late = process.exitcode is None
            if process.exitcode != 0:
                _kill(process)
        if is_late:
            return None, f"not done after {timeout_s:.0f} s"
        if measurement is None:
            lines = Path(log.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return None, f"exit code {process.exitcode}: {(lines or ['no message'])[-1]}"
        return measurement, ""


def _receive(receiver: Connection, process: ForkServerProcess, deadline_s: float) -> Measurement | None:
    """Returns what the process sends, and waits for its end; None: it sent nothing."""
    multiprocessing.connection.wait([receiver, process.sentinel], max(0.0, deadline_s - monotonic()))
    measurement: Measurement | None = None
    with contextlib.suppress(EOFError):
        if receiver.poll():
            measurement = receiver.recv()
    process.join(max(0.0, deadline_s - monotonic()))
    return measurement if process.exitcode == 0 else None


def _kill(process: ForkServerProcess) -> None:
    """Ends a process and its workers. They have a session of their own, unless it had no time to open one yet."""
    if process.pid is not None:
        process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _run(run_order: RunOrder, order: dict[str, Any], sender: Connection, log: str) -> None:
    os.setsid()
    os.environ.update(AWS_ENVIRONMENT)
    multiprocessing.set_start_method(None, force=True)  # the default's again, for workers
    with open(log, "wb") as file:
        for stream in (1, 2):  # whatever the loaders say; the last line goes into the report if they fail
            os.dup2(file.fileno(), stream)
    gc.collect()  # writes to every page that collections touch, so that none is copied while the clock runs
    sender.send(run_order(order))
