"""S3 through boto3's core: listing, HEAD and uploads for every store, and reading where obstore cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from concurrent_dataloader._base.errors import StorageError
from concurrent_dataloader.storage.botocore_failures import classify_botocore
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.options import S3Options
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.protocol import Level, ObjectInfo, Page
from concurrent_dataloader.storage.retry import Retrying, check_length
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
    """

    def __init__(
        self, options: S3Options, connection: ProcessLocal[S3Connection], describe: Callable[[str], str]
    ) -> None:
        self._options = options
        self._connection = connection
        self._describe = describe
        self._client = ProcessLocal(self._build_client)
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_botocore)
        self.max_concurrency = options.max_concurrency

    def client(self) -> Any:
        """Returns this process's boto3 client."""
        return self._client.get()

    def get(self, key: str) -> bytes:
        return self._call(key, lambda: self._read(Key=key))

    async def aget(self, key: str) -> bytes:
        return await in_daemon_thread(lambda: self.get(key))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        return self._call(key, lambda: self._read(Key=key, Range=f"bytes={start}-{end - 1}"))

    def head(self, key: str) -> ObjectInfo:
        answer = self._call(key, lambda: self.client().head_object(Bucket=self._options.bucket_name, Key=key))
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
        self._call(key, lambda: self.client().put_object(Bucket=self._options.bucket_name, Key=key, Body=body))

    def _read(self, **request: str) -> bytes:
        answer = self.client().get_object(Bucket=self._options.bucket_name, **request)
        if "Range" in request and "ContentRange" not in answer:
            answer["Body"].close()  # a whole body that nobody asked for: not worth reading to keep the connection
            raise StorageError(f"{self._describe(request['Key'])}: the store does not serve ranges")
        body: bytes = answer["Body"].read()
        check_length(len(body), answer.get("ContentLength", len(body)))
        return body

    def _pages(self, prefix: str, **request: str) -> Iterator[dict[str, Any]]:
        while True:
            page = self._page(prefix, Prefix=prefix, MaxKeys=PAGE_SIZE, **request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _page(self, prefix: str, **request: str | int) -> dict[str, Any]:
        bucket = self._options.bucket_name
        page: dict[str, Any] = self._call(prefix, lambda: self.client().list_objects_v2(Bucket=bucket, **request))
        return page

    def _call(self, key: str, attempt: Callable[[], T]) -> T:
        return self._retrying.call(attempt, lambda: self._describe(key))

    def _build_client(self) -> Any:
        from botocore.config import Config

        connection = self._connection.get()
        settings = client_settings(self._options, connection, self.max_concurrency)
        client = connection.session.create_client("s3", config=Config(**settings), **connection.client_arguments())
        read_listings_fast(client)
        return client


def _objects(page: dict[str, Any]) -> list[ObjectInfo]:
    return [ObjectInfo(each["Key"], int(each["Size"])) for each in page.get("Contents", [])]


def _prefixes(page: dict[str, Any]) -> list[str]:
    return [each["Prefix"] for each in page.get("CommonPrefixes", [])]
