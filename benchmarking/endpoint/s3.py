"""S3's answers: objects, ranges, listings and errors, as bytes that are ready to be sent."""

from __future__ import annotations

import re
import time
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarking.endpoint.behaviour import Refusal
from benchmarking.endpoint.http import ChunkedBody, HttpRequest, MalformedRequestError, response_head
from benchmarking.endpoint.listing import list_objects
from benchmarking.endpoint.objects import Bucket, StoredObject
from benchmarking.endpoint.s3_request import S3Request

REGION = "us-east-1"  # what clients assume where nothing is said
BYTE_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")
NO_BODY = memoryview(b"")
SUBRESOURCES = re.compile(r"(?:^|&)(acl|tagging|uploads|uploadId|torrent|attributes)(?:=|&|$)")


class Answer(NamedTuple):
    """An answer, ready to be sent.

    Attributes:
        status: HTTP status.
        head: Status line and headers.
        body: The body.
        whole: Both in one piece, where that was made beforehand; else None.
    """

    status: int
    head: bytes
    body: memoryview = NO_BODY
    whole: bytes | None = None


class S3Service:
    """Answers S3 requests on one bucket; never touches the disk."""

    def __init__(self, bucket_name: str, bucket: Bucket) -> None:
        """Takes the bucket and its name."""
        self._name = bucket_name
        self._bucket = bucket

    def answer(self, request: S3Request, lagging_keys: str | None = None) -> Answer:
        """Returns the answer to a request, an error included.

        Args:
            request: The request.
            lagging_keys: Shell pattern of the keys that a listing shows as they were at the last `forget_changes`.

        Raises:
            MalformedRequestError: A header or the body is not what HTTP and S3 expect.
        """
        http = request.http
        if request.bucket != self._name:
            return refuse(Refusal(404, "NoSuchBucket", "The specified bucket does not exist"), http)
        if http.query and request.key and SUBRESOURCES.search(http.query):
            return _not_implemented(http)
        match request.kind:
            case "GET" | "HEAD":
                return self._read(request)
            case "LIST":
                shown = self._bucket if lagging_keys is None else self._bucket.as_remembered(lagging_keys)
                result = list_objects(self._name, shown, http.query)
                return refuse(result, http) if isinstance(result, Refusal) else xml_answer(200, result)
            case "BUCKET":
                return Answer(200, response_head(200, {"x-amz-bucket-region": REGION, "Content-Length": 0}))
            case "PUT":
                return self._put(request)
            case "DELETE":
                self._bucket.delete(request.key)  # as S3, which says the same of a key that is not there
                return Answer(204, response_head(204, {}))
            case _:
                return _not_implemented(http)

    def forget_changes(self) -> None:
        """Makes the present objects those that a lagging listing shows."""
        self._bucket.remember()

    def _read(self, request: S3Request) -> Answer:
        stored = self._bucket.get(request.key)
        if stored is None:
            return refuse(Refusal(404, "NoSuchKey", "The specified key does not exist."), request.http)
        wanted = request.http.header(b"range")
        span = None if wanted is None else requested_span(wanted, len(stored.body))
        if span is not None:
            return _read_span(stored, *span, request)
        if request.kind == "HEAD":
            return Answer(200, stored.head)
        return Answer(200, stored.head, stored.body, stored.whole)

    def _put(self, request: S3Request) -> Answer:
        http = request.http
        body = http.body
        if (http.header(b"x-amz-content-sha256") or b"").startswith(b"STREAMING-"):
            body = _decode_aws_chunked(http)
        if http.header(b"x-amz-copy-source") is not None:
            return _not_implemented(http)
        stored = StoredObject(body, time.time())
        self._bucket.put(request.key, stored)
        return Answer(200, response_head(200, {"ETag": stored.etag, "Content-Length": 0}))


def refuse(refusal: Refusal, request: HttpRequest | None) -> Answer:
    """Returns an error with S3's XML body; the answer to a HEAD has none."""
    extra = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    if request is not None and request.method == "HEAD":
        return Answer(refusal.status, response_head(refusal.status, {"Content-Length": 0, **extra}))
    resource = escape(request.path.decode("latin-1")) if request is not None else ""
    xml = (
        f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
        f"<Resource>{resource}</Resource><RequestId>0</RequestId></Error>"
    )
    return xml_answer(refusal.status, xml, extra)


def xml_answer(status: int, xml: str, extra: dict[str, str] | None = None) -> Answer:
    """Returns an answer with an XML body."""
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml.encode()
    head = response_head(status, {"Content-Type": "application/xml", "Content-Length": len(body), **(extra or {})})
    return Answer(status, head, memoryview(body), head + body)


def _not_implemented(http: HttpRequest) -> Answer:
    return refuse(Refusal(501, "NotImplemented", "This endpoint does not implement that operation."), http)


def requested_span(value: bytes, size: int) -> tuple[int, int] | None:
    """Returns start (included) and end (excluded) of a Range header's value.

    None means that the whole body is to be sent: the header is none that has to be honoured. A span that is empty
    cannot be satisfied.
    """
    found = BYTE_RANGE.fullmatch(value)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(size - int(found[2]), 0), size
    start, end = int(found[1]), int(found[2]) + 1 if found[2] else size
    return None if found[2] and end <= start else (start, min(end, size))


def _read_span(stored: StoredObject, start: int, end: int, request: S3Request) -> Answer:
    size = len(stored.body)
    if start >= end:
        return refuse(Refusal(416, "InvalidRange", "The requested range is not satisfiable"), request.http)
    headers = {"Content-Length": end - start, "Content-Range": f"bytes {start}-{end - 1}/{size}", **stored.headers()}
    head = response_head(206, headers)
    return Answer(206, head, NO_BODY if request.kind == "HEAD" else stored.body[start:end])


def _decode_aws_chunked(http: HttpRequest) -> bytes:
    decoder = ChunkedBody()
    complete = decoder.feed(http.body) is not None
    body = decoder.body()
    if not complete or len(body) != http.length(b"x-amz-decoded-content-length"):
        raise MalformedRequestError("the aws-chunked body is incomplete")
    return body
