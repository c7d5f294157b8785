"""The endpoint's own process: serves until it is told to stop, or until its parent is gone."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from benchmarking.endpoint.behaviour import Verdict
from benchmarking.endpoint.chain import build_chain
from benchmarking.endpoint.connection import Connection
from benchmarking.endpoint.http import HttpRequest, response_head
from benchmarking.endpoint.objects import Bucket
from benchmarking.endpoint.s3 import NO_BODY, Answer, S3Service, refuse
from benchmarking.endpoint.s3_request import S3Request
from benchmarking.endpoint.settings import EndpointSettings
from benchmarking.endpoint.stats import Counters

LOOPBACK = "127.0.0.1"  # never another interface: there is no authentication worth the name
BACKLOG = 1024  # hundreds of clients connect in the same moment when a benchmark starts
SEND_BUFFER_BYTES = 512 * 1024  # a 110 KB answer leaves in one system call; the kernel caps it at net.core.wmem_max
PARENT_POLL_S = 0.5  # how late the parent's death may be noticed when a forked worker still holds our stdin open


class EndpointServer:
    """Answers requests with the service's answers, as the settings' behaviours decide."""

    def __init__(self, bucket_name: str, bucket: Bucket, settings: EndpointSettings) -> None:
        """Takes the bucket, its name and the settings at the start."""
        self.counters = Counters()
        self._service = S3Service(bucket_name, bucket)
        self._connections: set[Connection] = set()
        self._use(settings)

    def handle(self, request: S3Request) -> tuple[Verdict, Answer]:
        """Returns how a request is answered, and with what.

        Raises:
            MalformedRequestError: The request is no S3 request.
        """
        verdict = Verdict()
        if request.kind == "CONTROL":
            return verdict, self._control(request.http)
        for behaviour in self._chain:
            behaviour.decide(request, verdict)
        if verdict.refusal is not None:
            return verdict, refuse(verdict.refusal, request.http)
        return verdict, self._service.answer(request, verdict.lagging_keys)

    async def run(self, port: int, stop: asyncio.Event, on_ready: Callable[[int], None]) -> None:
        """Listens on the loopback interface until the event is set.

        Args:
            port: Port to listen on; 0: one that is free.
            stop: Ends it.
            on_ready: Called with the port once connections are accepted.

        Shutdown: once the event is set, all connections are closed at once, whatever is in flight.
        """
        with socket.create_server((LOOPBACK, port), backlog=BACKLOG) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: Connection(self, self._connections), sock=listener, backlog=BACKLOG
            )
            on_ready(listener.getsockname()[1])
            await stop.wait()
            server.close()
            for connection in list(self._connections):
                connection.abort()

    def _use(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._chain = build_chain(settings, self.counters.faults)
        self._service.forget_changes()

    def _control(self, http: HttpRequest) -> Answer:
        if http.method == "POST":
            try:
                self._obey(json.loads(http.body))
            except ValueError as error:
                return _json_answer(400, {"error": str(error)})
        return _json_answer(200, self.counters.as_dict())

    def _obey(self, order: Any) -> None:
        if not isinstance(order, dict):
            raise ValueError("expected a JSON object of settings to change")
        reset_stats = order.pop("reset_stats", False)
        if order:
            self._use(self._settings.changed(order))
        if reset_stats:
            self.counters.reset()


def _json_answer(status: int, value: dict[str, Any]) -> Answer:
    body = json.dumps(value).encode()
    head = response_head(status, {"Content-Type": "application/json", "Content-Length": len(body)})
    return Answer(status, head + body, NO_BODY)


def serve(
    server: EndpointServer,
    port: int,
    on_ready: Callable[[int], None],
    *,
    life_line: int | None = None,
) -> None:
    """Runs a server on an event loop of its own (uvloop's, where that is installed) until it is stopped.

    Args:
        server: The server.
        port: Port to listen on; 0: one that is free.
        on_ready: Called with the port once connections are accepted.
        life_line: A pipe from the parent: once that closes, the server stops, and Ctrl-C is left to the parent.
            None: Ctrl-C stops it.

    Shutdown: SIGTERM and the parent's death stop it too; it takes no longer than `PARENT_POLL_S`.
    """
    gc.freeze()  # a million stored objects are no garbage, so no collection needs to walk them
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(server, port, on_ready, life_line))


async def _serve(server: EndpointServer, port: int, on_ready: Callable[[int], None], life_line: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set if life_line is None else _ignore)
    if life_line is None:
        await server.run(port, stop, on_ready)
        return
    loop.add_reader(life_line, stop.set)
    watch = asyncio.create_task(_watch_parent(os.getppid(), stop))
    await server.run(port, stop, on_ready)
    watch.cancel()


async def _watch_parent(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_S)
    stop.set()


def _ignore() -> None:
    """Leaves Ctrl-C, which reaches the whole process group, to the parent."""


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
