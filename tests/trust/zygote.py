"""Runs each scenario of `scenarios` in a process of its own, without paying for the import of torch each time.

As a script it is a process that has imported everything and started nothing. It forks a child for each scenario that it
is asked for. The child leads a session of its own, so that all that descends from it can be found, and ends as any
script does: by an exception, a signal, or at the end of its function, with all of the interpreter's exit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LOOK_AGAIN_S = 0.02


class Zygote:
    """The process that scenarios are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, scenario: str, **arguments: Any) -> Run:
        """Starts a scenario, whose output goes to files in the folder."""
        folder.mkdir()
        for name in ("stdout", "stderr"):
            (folder / name).touch()
        self._send({"scenario": scenario, "arguments": arguments, "folder": str(folder)})
        return Run(int(self._receive()), folder, self._wait)

    def close(self) -> None:
        with self._process:  # closes its pipes, and so ends it
            pass

    def _wait(self, pid: int) -> int | None:
        self._send({"wait": pid})
        return self._receive()

    def _send(self, order: dict[str, Any]) -> None:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> Any:
        return json.loads(self._process.stdout.readline())


class Run:
    """A scenario that runs, or has run."""

    def __init__(self, pid: int, folder: Path, wait: Callable[[int], int | None]) -> None:
        self.pid, self._folder, self._wait = pid, folder, wait
        self._code: int | None = None

    @property
    def stdout(self) -> str:
        return (self._folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text()

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        """Waits until the scenario has printed a text."""
        assert _until(lambda: text in self.stdout, timeout_s), self.stdout + self.stderr

    def exit_code(self, timeout_s: float) -> int:
        """Waits for the end and returns the exit code, negative for a signal; fails if it does not come in time."""
        assert self.has_ended_after(timeout_s), f"runs after {timeout_s} s: {self.stdout}{self.stderr}"
        assert self._code is not None
        return self._code

    def has_ended_after(self, timeout_s: float) -> bool:
        """Waits for the end, and returns whether it has come in time."""
        return _until(self._has_ended, timeout_s)

    def _has_ended(self) -> bool:
        if self._code is None:
            self._code = self._wait(self.pid)
        return self._code is not None

    def family(self) -> list[int]:
        """Returns what runs of the scenario: itself and all that descends from it, wherever it hangs by now."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._owns(entry)]

    def orphans_after(self, timeout_s: float) -> list[int]:
        """Returns which processes of the scenario are left after so many seconds."""
        _until(lambda: not self.family(), timeout_s)
        return self.family()

    def kill_family(self) -> None:
        """Ends what is left."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _owns(self, process: Path) -> bool:
        try:
            state, _, _, session, *_ = (process / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return int(session) == self.pid and state != "Z"


def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Polls what only the kernel and files can tell."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_LOOK_AGAIN_S)
    return True


def _serve() -> tuple[str, dict[str, Any]] | None:
    """Answers orders until there are no more; returns in each child, with the scenario that it is to run."""
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], os.WNOHANG)
            _answer(os.waitstatus_to_exitcode(status) if pid else None)
            continue
        pid = os.fork()
        if not pid:
            _become_a_process_of_its_own(Path(order["folder"]))
            return order["scenario"], order["arguments"]
        _answer(pid)
    return None


def _answer(value: int | None) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _become_a_process_of_its_own(folder: Path) -> None:
    os.setsid()
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


if __name__ == "__main__":
    import scenarios

    chosen = _serve()
    if chosen is not None:
        getattr(scenarios, chosen[0])(**chosen[1])
