"""Peers that read raw objects: litData, SPDL, torchdata.nodes and s3torchconnector, each as its documentation has it.

Their packages are the extra ``bench``; they are imported when a loader is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.data import default_collate

from benchmarking.bench.datasets import ACCESS_KEY, REGION, SECRET_KEY, ObstoreObjects
from benchmarking.bench.decode import decoder_of
from benchmarking.bench.loaders.torch_loaders import torch_loader
from benchmarking.bench.workloads import BUCKET, KINDS, Workload

DECODE_THREADS = 2  # of the machine's cores; more do not decode faster


@dataclass(frozen=True)
class LitData:
    """litData's `StreamingRawDataset` under torch's loader: concurrent within a batch."""

    workers: int
    downloads: int
    name: str = "litdata"
    reads: Literal["s3"] = "s3"
    ordered: bool = True
    package: str | None = "litdata"

    def in_flight(self, batch_size: int) -> int:
        return self.workers * min(self.downloads, batch_size)

    def wave(self, batch_size: int) -> int:
        return self.workers

    def build(self, workload: Workload) -> Iterable[Any]:
        from litdata.raw import StreamingRawDataset
        from litdata.raw.indexer import BaseIndexer, FileMetadata
        from litdata.streaming import downloader

        class KnownKeys(BaseIndexer):  # type: ignore[misc]
            """Neither lists the bucket nor writes an index into it."""

            def discover_files(self, input_dir: str, storage_options: Any) -> list[Any]:
                size = KINDS[workload.kind].size_bytes
                return [FileMetadata(f"s3://{BUCKET}/{key}", size) for key in workload.keys]

            def build_or_load_index(self, input_dir: str, *_: Any, **__: Any) -> list[Any]:
                return self.discover_files(input_dir, None)

        downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # it has no option for that
        dataset = StreamingRawDataset(
            f"s3://{BUCKET}/{workload.kind}/",
            indexer=KnownKeys(),
            storage_options={
                "endpoint_url": workload.endpoint_url,
                "aws_access_key_id": ACCESS_KEY,
                "aws_secret_access_key": SECRET_KEY,
                "region_name": REGION,
            },
            transform=decoder_of(workload.kind),
            max_concurrent_downloads=self.downloads,
        )
        return torch_loader(dataset, workload, self.workers)


@dataclass(frozen=True)
class Spdl:
    """SPDL's pipeline of threads in one process; by its default, samples come as they are done."""

    downloads: int
    name: str = "spdl"
    reads: Literal["s3"] = "s3"
    ordered: bool = False
    package: str | None = "spdl.pipeline"

    def in_flight(self, batch_size: int) -> int:
        return self.downloads

    def wave(self, batch_size: int) -> int:
        return -(-self.downloads // batch_size)

    def build(self, workload: Workload) -> Iterable[Any]:
        return self._iterate(workload)

    def _iterate(self, workload: Workload) -> Iterable[Any]:
        from spdl.pipeline import PipelineBuilder

        dataset, decode = ObstoreObjects(workload), decoder_of(workload.kind)
        pipeline = (
            PipelineBuilder()
            .add_source(workload.order())
            .pipe(dataset.fetch, concurrency=self.downloads)
            .pipe(decode, concurrency=DECODE_THREADS)
            .aggregate(workload.batch_size)
            .pipe(default_collate)
            .add_sink(3)
            .build(num_threads=self.downloads + DECODE_THREADS + 1)
        )
        with pipeline.auto_stop():
            yield from pipeline.get_iterator()


@dataclass(frozen=True)
class TorchdataNodes:
    """torchdata's nodes: a parallel mapper of threads in one process, in order."""

    threads: int
    name: str = "nodes"
    reads: Literal["s3"] = "s3"
    ordered: bool = True
    package: str | None = "torchdata.nodes"

    def in_flight(self, batch_size: int) -> int:
        return self.threads

    def wave(self, batch_size: int) -> int:
        return -(-self.threads // batch_size)

    def build(self, workload: Workload) -> Iterable[Any]:
        from torchdata.nodes import Batcher, IterableWrapper, Loader, Mapper, ParallelMapper, Prefetcher

        samples = ParallelMapper(
            IterableWrapper(workload.order()), ObstoreObjects(workload).__getitem__, self.threads, in_order=True
        )
        batches = Mapper(Batcher(samples, workload.batch_size), default_collate)
        loader: Iterable[Any] = Loader(Prefetcher(batches, prefetch_factor=2))
        return loader


@dataclass(frozen=True)
class S3TorchConnector:
    """AWS's `S3MapDataset` under torch's loader: one read at a time in each worker."""

    workers: int
    reads: Literal["s3"] = "s3"
    ordered: bool = True
    package: str | None = "s3torchconnector"

    @property
    def name(self) -> str:
        return f"s3torchconnector-w{self.workers}"

    def in_flight(self, batch_size: int) -> int:
        return self.workers

    def wave(self, batch_size: int) -> int:
        return self.workers

    def build(self, workload: Workload) -> Iterable[Any]:
        from s3torchconnector import S3ClientConfig, S3MapDataset

        decode = decoder_of(workload.kind)
        dataset = S3MapDataset.from_objects(
            [f"s3://{BUCKET}/{key}" for key in workload.keys],
            region=REGION,
            endpoint=workload.endpoint_url,
            transform=lambda reader: decode(reader.read()),
            s3client_config=S3ClientConfig(force_path_style=True),
        )
        return torch_loader(dataset, workload, self.workers)
