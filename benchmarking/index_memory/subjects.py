"""The two that are compared, and the dataset that has workers touch every key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

from torch.utils.data import DataLoader, Dataset

from benchmarking.index_memory.memory import private_mb
from concurrent_dataloader import DataLoader as ConcurrentDataLoader
from concurrent_dataloader import ScratchDataset

Subject = Literal["ours", "torch"]


class ListDataset(Dataset[str]):
    """What people write: the index file's list as it is."""

    def __init__(self, index: Path) -> None:
        self.keys: list[str] = json.loads(index.read_bytes())

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> str:
        return self.keys[index]


def load(subject: Subject, index: Path) -> ListDataset | ScratchDataset:
    """Returns a dataset over an index file."""
    return ListDataset(index) if subject == "torch" else ScratchDataset(index, None, local_path=index.parent)


class Touched(NamedTuple):
    """What one worker found.

    Attributes:
        arrival: When it was asked for its sample, on the clock of `perf_counter`, which all processes share.
        private_mb: What it alone holds after every worker has touched every key.
    """

    arrival: float
    private_mb: float


@dataclass
class TouchEveryKey(Dataset[Touched]):
    """One sample per worker: the worker reads every key, waits for the others, and looks at its memory.

    Attributes:
        dataset: Whose keys.
        workers: How many workers there are.
        barrier: They meet here before one looks (a page that one of two has touched counts as its own) and after.
    """

    dataset: ListDataset | ScratchDataset
    workers: int
    barrier: Any

    def __len__(self) -> int:
        return self.workers

    def __getitem__(self, index: int) -> Touched:
        arrival = perf_counter()
        _touch(self.dataset.keys)
        self.barrier.wait()
        found = private_mb()
        self.barrier.wait()
        return Touched(arrival, found)


def touch_in_workers(
    subject: Subject, dataset: ListDataset | ScratchDataset, context: BaseContext, workers: int
) -> tuple[float, list[float]]:
    """Has workers of the subject's loader touch every key.

    Returns:
        Seconds until the last worker was at work, and the private memory of each of them in megabytes.
    """
    loader_class = DataLoader if subject == "torch" else ConcurrentDataLoader
    everyone = TouchEveryKey(dataset, workers, context.Barrier(workers))
    start = perf_counter()
    loader = loader_class(everyone, batch_size=None, num_workers=workers, multiprocessing_context=context)
    answers = list(loader)
    return max(each.arrival for each in answers) - start, [each.private_mb for each in answers]


def _touch(keys: Sequence[str]) -> None:
    for at in range(len(keys)):
        keys[at]
