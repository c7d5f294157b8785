"""An HTTP server on the loopback that answers S3 requests as a test's script says, byte by byte."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"0123456789" * 10

Action = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, with the answers that a script is made of."""

    protocol_version = "HTTP/1.1"
    server: RawS3Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.next_action()(self)

    do_HEAD = do_PUT = do_GET  # noqa: N815 the names that http.server looks up

    def log_message(self, format: str, *args: object) -> None:
        """Keeps stderr quiet."""

    def answer(self, status: int, body: bytes, *, announced: int | None = None, **headers: str) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.send_header("ETag", '"tag"')
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":  # a body would be taken for the next answer on this connection
            self.wfile.write(body)


def whole(request: Request) -> None:
    """The body, or the range of it that the request asks for."""
    asked = request.headers.get("Range")
    if asked is None:
        return request.answer(200, BODY)
    first, _, last = asked.removeprefix("bytes=").partition("-")
    part = BODY[int(first) : int(last) + 1 if last else None]
    span = f"bytes {first}-{int(first) + len(part) - 1}/{len(BODY)}"
    return request.answer(206, part, Content_Range=span)


def whole_whatever_the_range(request: Request) -> None:
    request.answer(200, BODY)


def short(request: Request) -> None:
    """Announces more than it sends, and hangs up."""
    request.answer(200, BODY[:30], announced=len(BODY))
    request.close_connection = True


def reset(request: Request) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()
    request.close_connection = True


def status(code: int, s3_code: str = "SlowDown", message: str = "Please reduce your request rate.") -> Action:
    body = f"<?xml version='1.0'?><Error><Code>{s3_code}</Code><Message>{message}</Message></Error>".encode()
    return lambda request: request.answer(code, b"" if request.command == "HEAD" else body)


class RawS3Server(ThreadingHTTPServer):
    """Serves the script's actions one after another; after the last, ``then`` for ever.

    Attributes:
        seen: Method, path and headers of each request that was answered.
        released: Actions of a test may wait for it; set at the end.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self._lock = threading.Lock()
        self._script: list[Action] = []
        self.then: Action = whole
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def plan(self, *actions: Action, then: Action = whole) -> None:
        self._script, self.then = list(actions), then

    def next_action(self) -> Action:
        with self._lock:
            return self._script.pop(0) if self._script else self.then

    def handle_error(self, request: object, client_address: object) -> None:
        """Keeps stderr quiet: resets are part of the scripts."""

    def __enter__(self) -> RawS3Server:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
