"""Azure's blob service on the loopback, as far as reading, writing and listing go; it checks no signature."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE_SIZE = 3  # entries in one answer to a listing: small, so that tests page

_BLOB = (
    "<Blob><Name>{name}</Name><Properties><Last-Modified>Wed, 21 Oct 2015 07:28:00 GMT</Last-Modified>"
    "<Content-Length>{size}</Content-Length><Content-Type>x</Content-Type><Etag>tag</Etag></Properties></Blob>"
)


class Request(BaseHTTPRequestHandler):
    """One request to the blob service."""

    protocol_version = "HTTP/1.1"
    server: FakeAzure

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        container, _, key = parts.path.removeprefix("/").partition("/")
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if container != self.server.container:
            self._answer(404, b"<Error><Code>ContainerNotFound</Code><Message>no such container</Message></Error>")
        elif not key:
            self._list({name: values[0] for name, values in parse_qs(parts.query).items()})
        else:
            self._read(unquote(key))

    do_HEAD = do_GET  # noqa: N815 the name that http.server looks up

    def do_PUT(self) -> None:
        key = unquote(urlsplit(self.path).path).split("/", 2)[2]
        self.server.blobs[key] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(201, b"")

    def log_message(self, format: str, *args: object) -> None:
        """Keeps stderr quiet."""

    def _read(self, key: str) -> None:
        body = self.server.blobs.get(key)
        if body is None:
            return self._answer(404, b"<Error><Code>BlobNotFound</Code><Message>no such blob</Message></Error>")
        asked = self.headers.get("x-ms-range") or self.headers.get("Range")
        if asked is None:
            return self._answer(200, body)
        first, last = asked.removeprefix("bytes=").split("-")
        part = body[int(first) : int(last) + 1]
        if not part:
            return self._answer(416, b"<Error><Code>InvalidRange</Code><Message>past the end</Message></Error>")
        return self._answer(206, part, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}")

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        entries: dict[str, str] = {}
        for key in sorted(self.server.blobs, key=str.encode):
            if key.startswith(prefix):
                folder, slash, _ = key[len(prefix) :].partition(delimiter or "/")
                name = prefix + folder + slash if delimiter and slash else key
                blob = _BLOB.format(name=escape(key), size=len(self.server.blobs[key]))
                entries[name] = blob if name == key else f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        start = int(query.get("marker", 0))
        page = "".join(list(entries.values())[start : start + PAGE_SIZE])
        more = str(start + PAGE_SIZE) if start + PAGE_SIZE < len(entries) else ""
        listing = f"<EnumerationResults><Blobs>{page}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
        self._answer(200, listing.encode())

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        known: dict[str, Any] = {
            "Content-Length": len(body),
            "ETag": '"tag"',
            "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT",
        }
        for name, value in (known | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":  # a body would be taken for the next answer on this connection
            self.wfile.write(body)


class FakeAzure(ThreadingHTTPServer):
    """One container, for as long as a ``with`` block lasts.

    Attributes:
        blobs: Bodies by key.
        seen: Method, path and headers of each GET and HEAD.
    """

    daemon_threads = True

    def __init__(self, container: str = "container") -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.container = container
        self.blobs: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> FakeAzure:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()
