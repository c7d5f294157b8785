"""S3 through boto3's core: listing, HEAD and uploads for every store, and reading where obstore cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from concurrent_dataloader.storage.attempt_clients import AttemptClients, Limits
from concurrent_dataloader.storage.botocore_answers import announced_length, stay_at_the_endpoint
from concurrent_dataloader.storage.botocore_failures import classify_botocore
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.large_objects import LargeObjects, Part
from concurrent_dataloader.storage.options import S3Options
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.protocol import Level, ObjectInfo, Page
from concurrent_dataloader.storage.ranges import RangesIgnored, size_of_whole
from concurrent_dataloader.storage.retry import Attempt, Retrying, check_length, request_start_s
from concurrent_dataloader.storage.s3_connection import S3Connection, client_settings
from concurrent_dataloader.storage.s3_list_parser import read_listings_fast

T = TypeVar("T")

PAGE_SIZE = 1000  # objects per listing request: the most that S3 answers with


class Boto3Objects:
    """The objects of one bucket, through a boto3 client.

    Args:
        options: Where and how long.
        connection: Endpoint and credentials of this process.
        describe: Names an object for messages.
        renew: See `Retrying`.
    """

    def __init__(
        self,
        options: S3Options,
        connection: ProcessLocal[S3Connection],
        describe: Callable[[str], str],
        renew: Callable[[float], bool],
    ) -> None:
        self._options = options
        self._connection = connection
        self._describe = describe
        self._clients = AttemptClients(self._build_client, options)
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_botocore, renew)
        self._large = LargeObjects(describe)
        self.max_concurrency = options.max_concurrency

    def client(self) -> Any:
        """Returns this process's boto3 client."""
        return self._clients.get()

    def peek(self) -> Any:
        """Returns this process's boto3 client if it has been built, else None."""
        return self._clients.peek()

    def reset(self) -> None:
        """Builds the clients anew when they are next needed."""
        self._clients.reset()

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        if size_bytes is not None and self._large.fits(size_bytes):
            start_s = request_start_s()  # one deadline for all of it
            return self._large.get(
                key,
                size_bytes,
                lambda start, end: self._call(key, lambda attempt: self._read_part(attempt, key, start, end), start_s),
                lambda: self._call(key, lambda attempt: self._read(attempt, Key=key), start_s),
            )
        return self._call(key, lambda attempt: self._read(attempt, Key=key))

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        return await in_daemon_thread(lambda: self.get(key, size_bytes))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        part = self._call(key, lambda attempt: self._read_part(attempt, key, start, end))
        return bytes(part.body)

    def head(self, key: str) -> ObjectInfo:
        request = {"Bucket": self._options.bucket_name, "Key": key}
        answer = self._call(key, lambda attempt: self._clients.get(attempt).head_object(**request))
        return ObjectInfo(key, int(answer["ContentLength"]))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for page in self._pages(prefix):
            yield from _objects(page)

    def list_prefixes(self, prefix: str) -> Level:
        prefixes: list[str] = []
        objects: list[ObjectInfo] = []
        for page in self._pages(prefix, Delimiter="/"):
            prefixes += _prefixes(page)
            objects += _objects(page)
        return prefixes, objects

    def list_page(self, prefix: str, start_after: str, delimiter: str, max_entries: int | None) -> Page:
        request = {"Prefix": prefix, "StartAfter": start_after, "Delimiter": delimiter}
        given = {name: value for name, value in request.items() if value}
        page = self._page(prefix, MaxKeys=min(max_entries or PAGE_SIZE, PAGE_SIZE), **given)
        return Page(_prefixes(page), _objects(page), bool(page.get("IsTruncated")))

    def put(self, key: str, body: bytes) -> None:
        request = {"Bucket": self._options.bucket_name, "Key": key, "Body": body}
        self._call(key, lambda attempt: self._clients.get(attempt).put_object(**request))

    def _read(self, attempt: Attempt, **request: str) -> bytes:
        answer = self._clients.get(attempt).get_object(Bucket=self._options.bucket_name, **request)
        return _read_body(answer, attempt, self._options.read_timeout_s)

    def _read_part(self, attempt: Attempt, key: str, start: int, end: int) -> Part:
        request = {"Bucket": self._options.bucket_name, "Key": key, "Range": f"bytes={start}-{end - 1}"}
        answer = self._clients.get(attempt).get_object(**request)
        size_bytes = size_of_whole(answer.get("ContentRange"), start, end)
        if size_bytes is None:
            answer["Body"].close()  # a body that nobody asked for: not worth reading to keep the connection
            raise RangesIgnored(
                f"{self._describe(key)}: the store does not serve ranges, or another than was asked for"
            )
        body = _read_body(answer, attempt, self._options.read_timeout_s)
        check_length(len(body), min(end, size_bytes) - start)
        return Part(body, answer.get("ETag"), size_bytes)

    def _pages(self, prefix: str, **request: str) -> Iterator[dict[str, Any]]:
        while True:
            page = self._page(prefix, Prefix=prefix, MaxKeys=PAGE_SIZE, **request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _page(self, prefix: str, **request: str | int) -> dict[str, Any]:
        request["Bucket"] = self._options.bucket_name
        page: dict[str, Any] = self._call(prefix, lambda attempt: self._clients.get(attempt).list_objects_v2(**request))
        return page

    def _call(self, key: str, run: Callable[[Attempt], T], start_s: float | None = None) -> T:
        return self._retrying.call(run, lambda: self._describe(key), start_s)

    def _build_client(self, limits: Limits) -> Any:
        from botocore.config import Config

        connection = self._connection.get()
        settings = client_settings(self._options, limits, connection, self.max_concurrency)
        client = connection.create_client(Config(**settings))
        read_listings_fast(client)
        if connection.endpoint_url is not None:
            stay_at_the_endpoint(client)
        if not limits.keep_connections:
            client.meta.events.register("before-send.s3", _close_afterwards)
        return client


def _read_body(answer: dict[str, Any], attempt: Attempt, silence_s: float) -> bytes:
    """Returns the body of an answer, read within the attempt's time and checked against the announced length.

    Piece by piece, since botocore's own time-out is for a silence: a body that drips would take for ever.
    """
    announced = announced_length(answer)
    body, pieces, received = answer["Body"], [], 0
    with body as stream:  # closes the connection unless it goes back to the pool below
        while announced is None or received < announced:
            rest_s = attempt.rest_s
            if rest_s <= 0.0:
                raise TimeoutError(f"{received} bytes arrived in time, {announced} were announced")
            body.set_socket_timeout(min(rest_s, silence_s))
            piece: bytes = stream.read1(None if announced is None else announced - received)
            if not piece:
                break
            pieces.append(piece)
            received += len(piece)
        check_length(received, received if announced is None else announced)
        stream.release_conn()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _close_afterwards(request: Any, **_: Any) -> None:
    """Asks the store to close the connection with the answer; after the signing, which this header is no part of."""
    request.headers["Connection"] = "close"


def _objects(page: dict[str, Any]) -> list[ObjectInfo]:
    return [ObjectInfo(each["Key"], int(each["Size"])) for each in page.get("Contents", [])]


def _prefixes(page: dict[str, Any]) -> list[str]:
    return [each["Prefix"] for each in page.get("CommonPrefixes", [])]
