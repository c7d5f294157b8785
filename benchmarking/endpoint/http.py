"""A minimal HTTP/1.1 reader and writer of headers; pure, without any I/O.

Only what S3 clients send is understood: one request after another, bodies with a length or in chunks.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

MAX_HEAD_BYTES = 64 * 1024  # S3 takes 8 KB of headers; more than this is no S3 client
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class MalformedRequestError(ValueError):
    """The bytes are no request that this server can read."""


class HttpRequest:
    """One request; headers are looked up in the raw bytes, since most are never asked for.

    Attributes:
        method: ``"GET"`` and so on.
        path: The target's path, still percent-encoded.
        query: The target's query string, without the question mark.
        body: The whole body, after the transfer encoding was undone.
        keep_alive: Whether the connection stays open after the answer.
    """

    __slots__ = ("_lower", "_raw", "body", "keep_alive", "method", "path", "query")

    def __init__(self, head: bytes) -> None:
        """Reads the request line.

        Args:
            head: Request line and headers, each with its line end.

        Raises:
            MalformedRequestError: The request line is none of HTTP/1.
        """
        parts = head[: head.find(b"\r\n")].split(b" ")
        if len(parts) != 3 or not parts[1].startswith(b"/") or not parts[2].startswith(b"HTTP/1."):
            raise MalformedRequestError("the request line is not METHOD /path HTTP/1.1")
        method, target, version = parts
        self.method = method.decode("latin-1")
        self.path, _, query = target.partition(b"?")
        self.query = query.decode("latin-1")
        self.body = b""
        self._raw = head
        self._lower = head.lower()
        self.keep_alive = version == b"HTTP/1.1" and b"\r\nconnection: close\r\n" not in self._lower

    def header(self, name: bytes) -> bytes | None:
        """Returns a header's value, or None where it was not sent; ``name`` in lower case."""
        at = self._lower.find(b"\r\n" + name + b":")
        if at < 0:
            return None
        start = at + len(name) + 3
        return self._raw[start : self._raw.find(b"\r\n", start)].strip()

    def length(self, name: bytes) -> int:
        """Returns a header's value as a number of bytes, 0 where it was not sent.

        Raises:
            MalformedRequestError: The value is no number.
        """
        value = self.header(name) or b"0"
        if not value.isdigit():
            raise MalformedRequestError(f"{name.decode()} is no number")
        return int(value)


class ChunkedBody:
    """Undoes chunked encoding piece by piece: HTTP's own and S3's ``aws-chunked`` have the same shape.

    Chunk extensions (S3's signatures) and trailers (S3's checksums) are read over.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._rest = bytearray()
        self._in_trailers = False

    def feed(self, data: bytes | bytearray) -> bytearray | None:
        """Takes more encoded bytes; returns what follows the body once that is complete, else None.

        Raises:
            MalformedRequestError: The bytes are not chunked.
        """
        self._rest += data
        while (line_end := self._rest.find(b"\r\n")) >= 0:
            if self._in_trailers:
                del self._rest[: line_end + 2]
                if line_end == 0:
                    return self._rest
            elif not self._take_chunk(line_end):
                return None
        return None

    def _take_chunk(self, line_end: int) -> bool:
        try:
            size = int(self._rest[:line_end].partition(b";")[0], 16)
        except ValueError as error:
            raise MalformedRequestError("a chunk has no size") from error
        start = line_end + 2
        if size == 0:
            self._in_trailers = True
            del self._rest[:start]
            return True
        if len(self._rest) < start + size + 2:
            return False
        self._parts.append(bytes(self._rest[start : start + size]))
        del self._rest[: start + size + 2]
        return True

    def body(self) -> bytes:
        """Returns the decoded bytes so far."""
        return b"".join(self._parts)


class RequestReader:
    """Cuts the bytes of one connection into requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: HttpRequest | None = None
        self._chunked: ChunkedBody | None = None

    @property
    def pending(self) -> bool:
        """Whether bytes wait that belong to no finished request."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Takes bytes off the wire."""
        self._buffer += data

    def next_request(self) -> HttpRequest | None:
        """Returns the next whole request, or None while it is incomplete.

        Raises:
            MalformedRequestError: The bytes are no HTTP/1.1 request.
        """
        request = self._head
        if request is None:
            request = self._read_head()
            if request is None:
                return None
        if not self._read_body(request):
            self._head = request
            return None
        self._head = self._chunked = None
        return request

    @property
    def waits_for_continue(self) -> bool:
        """Whether a client holds its body back until it is told to go on."""
        head = self._head
        return head is not None and not self._buffer and (head.header(b"expect") or b"").lower() == b"100-continue"

    def _read_head(self) -> HttpRequest | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedRequestError("the headers are too long")
            return None
        request = HttpRequest(bytes(self._buffer[: end + 2]))
        del self._buffer[: end + 4]
        if (request.header(b"transfer-encoding") or b"").lower() == b"chunked":
            self._chunked = ChunkedBody()
        return request

    def _read_body(self, request: HttpRequest) -> bool:
        if self._chunked is not None:
            rest = self._chunked.feed(self._buffer)
            self._buffer = bytearray()
            if rest is None:
                return False
            request.body, self._buffer = self._chunked.body(), rest
            return True
        size = request.length(b"content-length")
        if size:
            if len(self._buffer) < size:
                return False
            request.body = bytes(self._buffer[:size])
            del self._buffer[:size]
        return True


def response_head(status: int, headers: Mapping[str, object]) -> bytes:
    """Returns the status line and headers of an answer, up to and with the empty line."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
