"""What the machine allows: the storage client without any loader."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarking.bench.datasets import ObstoreObjects
from benchmarking.bench.workloads import Workload


@dataclass(frozen=True)
class ClientAlone:
    """obstore in as many processes and threads as our loader has, with bodies dropped as they come: the client's limit.

    Each "batch" is the number of bodies that it stands for.
    """

    name: str
    workers: int
    threads: int
    reads: Literal["s3"] = "s3"

    def in_flight(self, batch_size: int) -> int:
        return self.workers * self.threads

    def wave(self, batch_size: int) -> int:
        return -(-self.in_flight(batch_size) // batch_size)

    def build(self, workload: Workload) -> Iterable[int]:
        return _ClientAlone(workload, self.workers, self.threads)


class _ClientAlone:
    def __init__(self, workload: Workload, workers: int, threads: int) -> None:
        self._workload, self._workers, self._threads = workload, workers, threads

    def __iter__(self) -> Iterator[int]:
        context = multiprocessing.get_context("fork")
        batches = context.SimpleQueue()
        order, size = self._workload.order(), self._workload.batch_size
        shares = [order[worker :: self._workers] for worker in range(self._workers)]
        processes = [
            context.Process(target=_read_share, args=(self._workload, share, self._threads, batches), daemon=True)
            for share in shares
        ]
        for process in processes:
            process.start()
        try:
            for _ in range(sum(len(share) // size for share in shares)):  # a share's rest is no batch
                yield batches.get()
        finally:
            for process in processes:
                process.terminate()
                process.join()


def _read_share(workload: Workload, indices: list[int], threads: int, batches: Any) -> None:
    dataset = ObstoreObjects(workload)
    todo, done = iter(indices), itertools.count(1)  # both are safe to share under the interpreter's lock

    def read() -> None:
        for index in todo:
            dataset.fetch(index)
            if next(done) % workload.batch_size == 0:
                batches.put(workload.batch_size)

    pool = [threading.Thread(target=read, daemon=True) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    threading.Event().wait()  # what is in the pipe must be read before this process goes; the parent ends it
