"""One client's connection: reads requests, waits out their delays, sends their answers."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable
from typing import Protocol, cast

from benchmarking.endpoint.behaviour import Refusal, Transfer, Verdict
from benchmarking.endpoint.body_writer import BodyWriter
from benchmarking.endpoint.http import CONTINUE, HttpRequest, MalformedRequestError, RequestReader
from benchmarking.endpoint.objects import SMALL_BODY_BYTES
from benchmarking.endpoint.s3 import Answer, refuse
from benchmarking.endpoint.s3_request import S3Request
from benchmarking.endpoint.stats import Counters

WHOLE = Transfer()
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with zero seconds: closing sends RST instead of FIN

DRAIN_POLL_S = 0.001  # nothing tells when the kernel's buffer is empty


class Host(Protocol):
    """What a connection needs of its server."""

    counters: Counters

    def handle(self, request: S3Request) -> tuple[Verdict, Answer]:
        """Returns how a request is answered, and with what."""
        ...


class Connection(asyncio.Protocol):
    """Serves one request after another on a kept connection; what comes meanwhile waits its turn."""

    def __init__(self, host: Host, connections: set[Connection]) -> None:
        """Takes the server and the set of open connections, which this one enters and leaves by itself."""
        self._host = host
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._writer: BodyWriter | None = None
        self._finish: Callable[[], None] | None = None  # set while a request is in flight
        self._keep_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Notes the new connection."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._connections.add(self)
        self._host.counters.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        """Gives up what is in flight."""
        self._connections.discard(self)
        self._host.counters.connections -= 1
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.stop()
            self._writer = None
        self._end_request()

    def data_received(self, data: bytes) -> None:
        """Takes bytes and serves the request that they complete."""
        self._reader.feed(data)
        self._advance()

    def pause_writing(self) -> None:
        """Holds back the body that is being sent."""
        if self._writer is not None:
            self._writer.pause()

    def resume_writing(self) -> None:
        """Goes on with the body that is being sent."""
        # Not from here: asyncio breaks where a transport is closed while it calls this.
        self._loop.call_soon(self._resume)

    def abort(self) -> None:
        """Closes the connection at once, whatever is in flight."""
        self._transport.abort()

    def _resume(self) -> None:
        if self._writer is not None:
            self._writer.resume()

    def _advance(self) -> None:
        try:
            while self._finish is None and not self._transport.is_closing():
                request = self._reader.next_request()
                if request is None:
                    if self._reader.waits_for_continue:
                        self._transport.write(CONTINUE)
                    return
                self._serve(request)
        except MalformedRequestError as error:
            answer = refuse(Refusal(400, "InvalidRequest", str(error)), None)
            self._transport.write(answer.head + bytes(answer.body))
            self._transport.close()

    def _serve(self, http: HttpRequest) -> None:
        counters = self._host.counters
        request = S3Request(http, time.perf_counter(), counters.serving)
        verdict, answer = self._host.handle(request)
        self._keep_alive = http.keep_alive
        if request.kind == "CONTROL":
            self._finish = _nothing
        else:
            refused = verdict.refusal is not None
            counters.begin(request.kind, answer.status, len(answer.body), refused=refused)
            self._finish = counters.end_refused if refused else counters.end_served
        if verdict.delay_s > 0.0:
            self._timer = self._loop.call_later(verdict.delay_s, self._send, answer, verdict.transfer)
        else:
            self._send(answer, verdict.transfer)

    def _send(self, answer: Answer, transfer: Transfer | None) -> None:
        self._timer = None
        if transfer is None and len(answer.body) <= SMALL_BODY_BYTES:
            self._transport.write(answer.whole or b"".join((answer.head, answer.body)))
            self._sent("keep")
            return
        transfer = transfer or WHOLE
        if not transfer.head:
            self._sent(transfer.ending)
            return
        self._transport.write(answer.head)
        body = answer.body if transfer.stop_at is None else answer.body[: transfer.stop_at]
        if transfer.surplus_bytes:
            body = memoryview(bytes(body) + b"\0" * transfer.surplus_bytes)
        self._writer = BodyWriter(
            self._loop, self._transport, transfer.bytes_per_s, lambda: self._sent(transfer.ending)
        )
        self._writer.start(body)

    def _sent(self, ending: str) -> None:
        self._writer = None
        if ending == "hang":
            return  # stays in flight until the client gives up
        self._end_request()
        if ending == "reset":
            self._reset()
        elif ending == "close" or not self._keep_alive:
            self._transport.close()
        elif self._reader.pending:
            self._loop.call_soon(self._advance)  # not from here: the stack would grow with every waiting request

    def _end_request(self) -> None:
        if self._finish is not None:
            finish, self._finish = self._finish, None
            finish()

    def _reset(self) -> None:
        if self._transport.is_closing():
            return
        sock: socket.socket = self._transport.get_extra_info("socket")
        if self._transport.get_write_buffer_size() or _unsent_bytes(sock):
            self._loop.call_later(DRAIN_POLL_S, self._reset)  # a reset would drop what still waits to leave
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()


def _unsent_bytes(sock: socket.socket) -> int:
    """Returns how many bytes the kernel holds that the client has not taken (Linux's SIOCOUTQ)."""
    size: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return size


def _nothing() -> None:
    """Ends a control request, which is not counted."""
