"""What an HTTP request means in S3's terms: which kind of request it is, on which bucket and key."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from benchmarking.endpoint.http import HttpRequest, MalformedRequestError

CONTROL_BUCKET = "_control"  # no bucket's name may start with an underscore, so nothing is hidden by it


class S3Request:
    """An HTTP request on a bucket or on one of its objects, in path style.

    Attributes:
        http: The request as it came.
        bucket: The bucket's name; empty for the root.
        key: The object's key, percent-decoded; empty for a request on the bucket.
        kind: ``"GET"``, ``"HEAD"``, ``"PUT"`` and ``"DELETE"`` of an object, ``"LIST"`` and ``"BUCKET"`` (HEAD) of a
            bucket, ``"CONTROL"``, or ``"OTHER"``.
        arrived_s: When it came, on a monotonic clock, in seconds.
        serving: Requests that are being served at that moment, this one and refused ones not counted.
    """

    __slots__ = ("arrived_s", "bucket", "http", "key", "kind", "serving")

    def __init__(self, http: HttpRequest, arrived_s: float, serving: int) -> None:
        """Reads bucket and key off the path.

        Raises:
            MalformedRequestError: The path is no UTF-8.
        """
        self.http = http
        self.arrived_s = arrived_s
        self.serving = serving
        bucket, _, key = http.path[1:].partition(b"/")
        try:
            self.bucket = unquote_to_bytes(bucket).decode()
            self.key = unquote_to_bytes(key).decode()
        except UnicodeDecodeError as error:
            raise MalformedRequestError("the path is no percent-encoded UTF-8") from error
        self.kind = self._kind()

    def _kind(self) -> str:
        method = self.http.method
        if self.key:
            return method if method in ("GET", "HEAD", "PUT", "DELETE") else "OTHER"
        if self.bucket == CONTROL_BUCKET:
            return "CONTROL"
        if not self.bucket:
            return "OTHER"
        return {"GET": "LIST", "HEAD": "BUCKET"}.get(method, "OTHER")
