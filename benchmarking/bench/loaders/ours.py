"""Our loader, over our datasets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarking.bench.datasets import REGION
from benchmarking.bench.decode import IMAGE_TRANSFORM, decode_bytes
from benchmarking.bench.workloads import BUCKET, KINDS, Workload
from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.options import MAX_AUTO_FETCH_WORKERS

TORCH_PREFETCH_FACTOR = 2  # what torch and we take as batch_pool where nothing is said


@dataclass(frozen=True)
class OurLoader:
    """Our loader.

    Args:
        name: See `LoaderAdapter`.
        reads: From S3 with `S3Dataset`, or from local disk with `ScratchDataset`.
        workers: Number of worker processes; with 0 the process that reads.
        fetch_workers: Samples fetched at once in each; None: the library's default.
        batch_pool: Batches of one worker in flight at once; None: the library's default.
        fetch_impl: ``"threaded"`` or ``"asyncio"``.
    """

    name: str
    reads: Literal["s3", "disk"]
    workers: int
    fetch_workers: int | None
    batch_pool: int | None
    fetch_impl: Literal["threaded", "asyncio"] = "threaded"

    def in_flight(self, batch_size: int) -> int:
        window = (self.batch_pool or TORCH_PREFETCH_FACTOR) * batch_size
        return max(1, self.workers) * min(self.fetch_workers or MAX_AUTO_FETCH_WORKERS, window)

    def wave(self, batch_size: int) -> int:
        return max(1, self.workers) * (self.batch_pool or TORCH_PREFETCH_FACTOR)

    def build(self, workload: Workload) -> Iterable[Any]:
        return DataLoader(
            our_dataset(self.reads, workload),
            batch_size=workload.batch_size,
            sampler=workload.order(),
            num_workers=self.workers,
            num_fetch_workers=self.fetch_workers,
            batch_pool=self.batch_pool,
            fetch_impl=self.fetch_impl,
        )


def our_dataset(reads: Literal["s3", "disk"], workload: Workload) -> Any:
    """Returns our dataset over a workload's objects: images are decoded with Pillow, other bodies are only copied."""
    from concurrent_dataloader import S3Dataset, ScratchDataset

    options: dict[str, Any] = {"index_file": workload.index_file}
    if KINDS[workload.kind].is_image:
        options["transform"] = IMAGE_TRANSFORM
    else:
        options["decoder"] = decode_bytes
    if reads == "disk":
        return ScratchDataset(local_path=workload.folder, **options)
    return S3Dataset(bucket_name=BUCKET, endpoint_url=workload.endpoint_url, region_name=REGION, **options)
