"""`S3Endpoint`: starts the endpoint's process, speaks to it, and stops it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarking.endpoint.child import CHILD_FLAG, send_order
from benchmarking.endpoint.server import LOOPBACK
from benchmarking.endpoint.settings import EndpointSettings
from benchmarking.endpoint.stats import EndpointStats

START_TIMEOUT_S = 120.0  # reading some gigabytes of objects from a slow disk
CONTROL_TIMEOUT_S = 30.0  # the endpoint answers in a millisecond, unless the machine is swamped
STOP_TIMEOUT_S = 5.0  # SIGTERM ends it within half a second; after this it is killed


class EndpointError(RuntimeError):
    """The endpoint's process did not start, or does not answer."""


class S3Endpoint:
    """An S3 endpoint on the loopback interface, in a process of its own, for as long as a ``with`` block lasts.

    It is a new interpreter (no fork), holds all objects in memory and dies with its parent. Any access key and secret
    will do, unless `EndpointSettings.access_key` says otherwise. Objects that are PUT live in memory only.

    Shutdown: leaving the block (or `close`) stops the process within `STOP_TIMEOUT_S` seconds, cutting what is in
    flight. A forked child of the parent cannot stop it.
    """

    def __init__(
        self, source: Path | str | Mapping[str, bytes], *, bucket: str = "imagenet", port: int = 0, **settings: Any
    ) -> None:
        """Says what is served; nothing runs before `start`.

        Args:
            source: A folder, whose files are served under their paths below it; or bodies by key. Keys may share a
                body, which is then kept once.
            bucket: Name of the only bucket.
            port: Port to listen on; 0: one that is free.
            **settings: Any of `EndpointSettings`, for instance ``latency_s=0.05``.

        Raises:
            ValueError: A setting is out of its range.
            NotADirectoryError: There is no such folder.
        """
        self._source = Path(source).absolute() if isinstance(source, (str, Path)) else source
        if isinstance(self._source, Path) and not self._source.is_dir():
            raise NotADirectoryError(f"the endpoint's folder {self._source} is not there")
        self.bucket = bucket
        self._asked_port = port
        self._settings = EndpointSettings().changed(settings)
        self._port: int | None = None
        self._stop: weakref.finalize[Any, Any] | None = None

    def __enter__(self) -> S3Endpoint:
        """Starts the endpoint."""
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        """Stops the endpoint."""
        self.close()

    def start(self) -> S3Endpoint:
        """Starts the process and waits until it accepts connections.

        Raises:
            EndpointError: It ended or was not ready within `START_TIMEOUT_S`; its own message is on stderr.
        """
        if self._stop is not None and self._stop.alive:
            raise EndpointError("the endpoint is running already")
        process = _spawn()
        self._stop = weakref.finalize(self, _stop_process, process, os.getpid())
        try:
            assert process.stdin is not None
            send_order(process.stdin, self._source, self.bucket, self._asked_port, self._settings)
            self._port = _read_port(process)
        except BaseException as error:  # Ctrl-C included: no process may be left behind
            self.close()
            if isinstance(error, OSError):
                raise EndpointError(
                    "the endpoint's process ended before it was ready; see its message above"
                ) from error
            raise
        return self

    def close(self) -> None:
        """Stops the process; calling it again does nothing."""
        if self._stop is not None:
            self._stop()

    @property
    def url(self) -> str:
        """The endpoint's URL, ``http://127.0.0.1:<port>``."""
        if self._port is None:
            raise EndpointError("the endpoint has no URL before it was started")
        return f"http://{LOOPBACK}:{self._port}"

    def set_latency(self, latency_s: float) -> None:
        """Sets the delay of every GET, HEAD and LIST from now on, in seconds.

        Raises:
            ValueError: It is negative.
        """
        self.configure(latency_s=latency_s)

    def configure(self, **changes: Any) -> None:
        """Changes some of `EndpointSettings`; draws, limits and fault scripts start anew.

        Raises:
            ValueError: A name is unknown or a value is out of its range; nothing is changed then.
        """
        settings = self._settings.changed(changes)
        self._control("POST", {name: getattr(settings, name) for name in changes})
        self._settings = settings

    def stats(self) -> EndpointStats:
        """Returns what has been counted."""
        return self._control("GET")

    def reset_stats(self) -> None:
        """Sets the sums to zero; what is in flight stays counted."""
        self._control("POST", {"reset_stats": True})

    def _control(self, method: str, changes: dict[str, Any] | None = None) -> EndpointStats:
        if self._port is None or self._stop is None or not self._stop.alive:
            raise EndpointError("the endpoint is not running")
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=CONTROL_TIMEOUT_S)
        try:
            body = None if changes is None else json.dumps(changes, default=vars)
            connection.request(method, "/_control", body)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except OSError as error:
            raise EndpointError(f"the endpoint at {self.url} does not answer") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise EndpointError(f"the endpoint refused: {content['error']}")
        return EndpointStats(**content)


def _spawn() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])  # so that the child finds this package wherever it is started
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "benchmarking.endpoint", CHILD_FLAG]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )


def _read_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    deadline_s = time.monotonic() + START_TIMEOUT_S
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))
        if not ready:
            raise EndpointError(f"the endpoint was not ready within {START_TIMEOUT_S:.0f} s")
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            raise EndpointError("the endpoint's process ended before it was ready; see its message above")
        line += piece
    return int(json.loads(line)["port"])


def _stop_process(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked child that drops its copy must not end what the parent still uses
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # an order that the child never read
                pipe.close()
