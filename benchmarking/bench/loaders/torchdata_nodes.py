"""torchdata.nodes: torch's own building blocks for threads, in one process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.data import default_collate

from benchmarking.bench.datasets import ObstoreObjects
from benchmarking.bench.workloads import Workload

PREFETCHED_BATCHES = 2  # what torch's loader has ready for each worker


@dataclass(frozen=True)
class TorchdataNodesLoader:
    """`ParallelMapper` calls the data set's ``__getitem__`` in threads, in order; then batches are collated.

    Args:
        name: See `LoaderAdapter`.
        threads: Samples that are made at once.
    """

    name: str
    threads: int
    reads: Literal["s3"] = "s3"

    def in_flight(self, batch_size: int) -> int:
        return self.threads

    def wave(self, batch_size: int) -> int:
        return -(-2 * self.threads // batch_size)  # its mapper lets twice as many samples out as it has threads

    def build(self, workload: Workload) -> Iterable[Any]:
        from torchdata import nodes

        samples = nodes.ParallelMapper(
            nodes.IterableWrapper(workload.order()),
            ObstoreObjects(workload).__getitem__,
            num_workers=self.threads,
            in_order=True,
            method="thread",
        )
        batches = nodes.Mapper(nodes.Batcher(samples, workload.batch_size), default_collate)
        loader: Iterable[Any] = nodes.Loader(nodes.Prefetcher(batches, PREFETCHED_BATCHES))
        return loader
