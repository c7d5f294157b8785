"""The datasets that a user writes by hand for torch's loader, one per client; each is also two-phase.

The same dataset under two loaders shows the difference between the loaders alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarking.bench.decode import decoder_of
from benchmarking.bench.workloads import BUCKET, KINDS, Workload

REGION = "us-east-1"  # any will do: the endpoint verifies no signature
ACCESS_KEY = SECRET_KEY = "benchmark"
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What every loader's process finds in its environment: the user's own credentials stay out of it."""


class Objects:
    """A map-style dataset over a workload's objects; subclasses say how a body is read.

    Clients are made at the first fetch, in the worker process: they survive no fork.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._keys = workload.keys
        self._decode = decoder_of(KINDS[workload.kind])

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Any:
        return self.process(index, self.fetch(index))

    def fetch(self, index: int) -> Any:
        """Returns the object's body."""
        raise NotImplementedError

    def process(self, index: int, raw: Any) -> Any:
        """Returns the sample made of a body."""
        return self._decode(raw)


class DiskObjects(Objects):
    """Reads files below the workload's folder."""

    def fetch(self, index: int) -> bytes:
        """Returns the file's bytes."""
        return Path(self._workload.folder, self._keys[index]).read_bytes()


class Boto3Objects(Objects):
    """Reads with boto3, as most of the datasets on S3 do."""

    @cached_property
    def _client(self) -> Any:
        import boto3

        return boto3.client("s3", endpoint_url=self._workload.endpoint_url, region_name=REGION)

    def fetch(self, index: int) -> bytes:
        """Returns the object's bytes."""
        body: bytes = self._client.get_object(Bucket=BUCKET, Key=self._keys[index])["Body"].read()
        return body


class ObstoreObjects(Objects):
    """Reads with obstore."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._stores: list[Any] = []
        self._lock = threading.Lock()

    def fetch(self, index: int) -> Any:
        """Returns the object's bytes, in obstore's buffer."""
        return self._store().get(self._keys[index]).bytes()

    def _store(self) -> Any:
        if not self._stores:
            with self._lock:
                if not self._stores:
                    self._stores.append(make_store(self._workload.endpoint_url))
        return self._stores[0]


class ThreadPoolObjects(ObstoreObjects):
    """What a sceptic writes in ten lines: ``__getitems__`` with a pool of threads."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload)
        self._threads = threads

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Returns the samples of a batch."""
        get: Callable[[int], Any] = self.__getitem__
        return list(self._pool.map(get, indices))


def make_store(endpoint_url: str) -> Any:
    """Returns an obstore client of the endpoint."""
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        endpoint=endpoint_url,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
