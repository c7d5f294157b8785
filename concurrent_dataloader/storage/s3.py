"""The S3 store: picks the client that reads, and leaves listing, HEAD and uploads to boto3."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from concurrent_dataloader.storage import obstore_process
from concurrent_dataloader.storage.attempt_clients import Limits
from concurrent_dataloader.storage.fork_imports import import_before_fork
from concurrent_dataloader.storage.obstore_objects import ObstoreObjects, addressable
from concurrent_dataloader.storage.options import S3Options
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.protocol import Level, ObjectInfo, Page
from concurrent_dataloader.storage.ranges import check_range
from concurrent_dataloader.storage.renewal import Renewal
from concurrent_dataloader.storage.s3_aiobotocore import AiobotocoreObjects, require_aiobotocore
from concurrent_dataloader.storage.s3_boto3 import Boto3Objects
from concurrent_dataloader.storage.s3_connection import S3Connection, connect, endpoint_of_environment, is_newer
from concurrent_dataloader.storage.s3_obstore import build_s3_store, locate_on_aws

logger = logging.getLogger(__name__)


class S3Store:
    """An `ObjectStore` over one bucket of S3 or of an S3-compatible store.

    Objects are read through ``options.client``. boto3 reads instead where obstore must not: keys that obstore would
    change (``a//b``, ``/a``, ``a/``), and processes that were forked after their parent had used obstore; the latter is
    said once, in a warning. ``aiobotocore`` serves `aget`; without an event loop boto3 reads.

    Args:
        options: Where the bucket lies and for how long to try.

    Raises:
        OptionError: ``options.client`` is not installed.

    Credentials that the store refuses as expired are looked for anew, once, in the whole AWS chain; the request is then
    made again with what was found.

    Shutdown:
        Nothing has to be closed but aiobotocore's client, by `aclose` on its event loop.
    """

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._connection: ProcessLocal[S3Connection] = ProcessLocal(self._connect)
        self._renewal = ProcessLocal(lambda: Renewal(self._find_credentials))
        self._boto3 = Boto3Objects(options, self._connection, self._describe_request, self._renew)
        self._place: ProcessLocal[tuple[str, str]] = ProcessLocal(self._locate)
        self._obstore = ObstoreObjects(self._build_obstore, options, self._describe_request, self._renew)
        self._aiobotocore = AiobotocoreObjects(options, self._connection, self._describe_request, self._renew)
        if options.client == "aiobotocore":
            require_aiobotocore()
        import_before_fork("botocore.session")  # not obstore: whose tokio threads it sees, obstore_process cannot tell

    @property
    def options(self) -> S3Options:
        """The configuration that the store was made with."""
        return self._options

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        return self._reader(key).get(key, size_bytes)

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        reader = self._aiobotocore if self._options.client == "aiobotocore" else self._reader(key)
        return await reader.aget(key, size_bytes)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        check_range(start, end)
        return self._reader(key).get_range(key, start, end)

    def head(self, key: str) -> ObjectInfo:
        return self._boto3.head(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._boto3.list(prefix)

    def list_prefixes(self, prefix: str = "") -> Level:
        return self._boto3.list_prefixes(prefix)

    def list_page(
        self, prefix: str, start_after: str = "", delimiter: str = "", max_entries: int | None = None
    ) -> Page:
        return self._boto3.list_page(prefix, start_after, delimiter, max_entries)

    def put(self, key: str, body: bytes) -> None:
        self._boto3.put(key, body)

    def describe(self, key: str) -> str:
        connection = self._connection.peek()
        endpoint_url = self._options.endpoint_url or (connection.endpoint_url if connection else None)
        place = f" (endpoint {endpoint_url})" if endpoint_url else ""
        return f"s3://{self._options.bucket_name}/{key}{place}"

    def identity(self) -> str:
        """Returns a name that no other store shares, for instance because the environment names another endpoint.

        Unlike `describe` it does not depend on whether there has been a request. It reads the AWS configuration and
        sends nothing.
        """
        endpoint_url = self._options.endpoint_url or endpoint_of_environment()
        return f"s3://{self._options.bucket_name} (endpoint {(endpoint_url or 'AWS').rstrip('/')})"

    def set_max_concurrency(self, requests: int) -> None:
        self._boto3.max_concurrency = self._aiobotocore.max_concurrency = requests

    async def aclose(self) -> None:
        await self._aiobotocore.aclose()

    def __reduce__(self) -> tuple[type[S3Store], tuple[S3Options]]:
        return S3Store, (self._options,)

    def __repr__(self) -> str:
        return f"S3Store({self._options!r})"

    def _reader(self, key: str) -> Boto3Objects | ObstoreObjects:
        if self._options.client == "obstore" and addressable(key) and obstore_process.usable():
            return self._obstore
        return self._boto3

    def _build_obstore(self, limits: Limits) -> Any:
        return build_s3_store(self._options, limits, self._connection.get(), self._place.get)

    def _describe_request(self, key: str) -> str:
        """Like `describe`, for the error of a request: names AWS's own endpoint too, which no option does."""
        described, connection = self.describe(key), self._connection.peek()
        if self._options.endpoint_url or connection is None or connection.endpoint_url:
            return described  # which names it, or nothing has been resolved yet
        place, client = self._place.peek(), self._boto3.peek()
        endpoint_url = place[0] if place else client.meta.endpoint_url if client else "AWS"
        return f"{described} (endpoint {endpoint_url})"

    def _renew(self, begun_s: float) -> bool:
        return self._renewal.get()(begun_s)

    def _find_credentials(self) -> bool:
        """Asks the AWS chain anew: botocore reads a file once, and others may have written newer keys to it since."""
        if self._options.unsigned:
            return False
        found = connect(self._options)
        if not is_newer(found, self._connection.get()):
            return False
        self._connection.replace(found)
        for objects in (self._boto3, self._obstore, self._aiobotocore):
            objects.reset()
        logger.info("s3://%s: new credentials in place of expired ones", self._options.bucket_name)
        return True

    def _locate(self) -> tuple[str, str]:
        return locate_on_aws(self._boto3.client(), self._options)

    def _connect(self) -> S3Connection:
        return connect(self._options)
