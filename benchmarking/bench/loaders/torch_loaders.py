"""torch's own loader, over the datasets that users write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.data import DataLoader

from benchmarking.bench.datasets import Boto3Objects, DiskObjects, ObstoreObjects, ThreadPoolObjects
from benchmarking.bench.workloads import Workload

SOURCES = {"boto3": Boto3Objects, "obstore": ObstoreObjects, "disk": DiskObjects}


@dataclass(frozen=True)
class TorchLoader:
    """torch's loader over one of the sources: one read at a time in each worker.

    Args:
        name: See `LoaderAdapter`.
        source: A name of `SOURCES`.
        workers: Number of worker processes; with 0 the process that reads.
    """

    name: str
    source: Literal["boto3", "obstore", "disk"]
    workers: int

    @property
    def reads(self) -> Literal["s3", "disk"]:
        return "disk" if self.source == "disk" else "s3"

    def in_flight(self, batch_size: int) -> int:
        return max(1, self.workers)

    def wave(self, batch_size: int) -> int:
        return max(1, self.workers)

    def build(self, workload: Workload) -> Iterable[Any]:
        return torch_loader(SOURCES[self.source](workload), workload, self.workers)


@dataclass(frozen=True)
class ThreadPoolLoader:
    """torch's loader over a dataset with ``__getitems__`` and a pool of threads: concurrent within a batch only."""

    name: str
    workers: int
    threads: int
    reads: Literal["s3"] = "s3"

    def in_flight(self, batch_size: int) -> int:
        return self.workers * min(self.threads, batch_size)

    def wave(self, batch_size: int) -> int:
        return self.workers

    def build(self, workload: Workload) -> Iterable[Any]:
        return torch_loader(ThreadPoolObjects(workload, self.threads), workload, self.workers)


def torch_loader(
    dataset: Any, workload: Workload, workers: int, collate: Callable[[list[Any]], Any] | None = None
) -> DataLoader[Any]:
    """Returns torch's loader over a dataset, in the workload's order and batches; ``collate`` None: torch's own."""
    return DataLoader(
        dataset,
        batch_size=workload.batch_size,
        sampler=workload.order(),
        num_workers=workers,
        collate_fn=collate,
    )
