"""s3torchconnector: AWS's own data set and client under torch's loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarking.bench.datasets import REGION
from benchmarking.bench.decode import decoder_of
from benchmarking.bench.loaders.torch_loaders import torch_loader
from benchmarking.bench.workloads import BUCKET, KINDS, Workload


@dataclass(frozen=True)
class S3ConnectorLoader:
    """Its map-style data set with its default reader: one read at a time in each worker.

    Args:
        name: See `LoaderAdapter`.
        workers: Number of worker processes.
    """

    name: str
    workers: int
    reads: Literal["s3"] = "s3"

    def in_flight(self, batch_size: int) -> int:
        return self.workers

    def wave(self, batch_size: int) -> int:
        return self.workers

    def build(self, workload: Workload) -> Iterable[Any]:
        from s3torchconnector import S3ClientConfig, S3MapDataset

        dataset = S3MapDataset.from_objects(
            [f"s3://{BUCKET}/{key}" for key in workload.keys],
            region=REGION,
            endpoint=workload.endpoint_url,
            transform=_ReadAndDecode(decoder_of(KINDS[workload.kind])),
            s3client_config=S3ClientConfig(force_path_style=True),  # the endpoint has no name for each bucket
        )
        return torch_loader(dataset, workload, self.workers)


@dataclass(frozen=True)
class _ReadAndDecode:
    """Its transform; a class, so that it can be pickled for workers that are spawned."""

    decode: Callable[[Any], Any]

    def __call__(self, reader: Any) -> Any:
        return self.decode(reader.read())
