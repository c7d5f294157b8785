"""Torch's loader and ours, from S3 and from local disk, measured in turn on the same images."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from torch.utils.data import DataLoader

# The rows take turns, so that a slow moment of the machine hits each of them, and the median drops it.
ROUNDS = 3


@dataclass
class Row:
    """One kind of loader on one kind of storage.

    Attributes:
        name: What it is, for the table.
        storage: Where the images are, for the table.
        loader: Makes a fresh loader.
        samples_per_s: One figure a round: all samples, over the seconds from ``iter(loader)`` to the last batch.
        first_batch_s: One figure a round: seconds from ``iter(loader)`` to the first batch, workers' start included.
    """

    name: str
    storage: str
    loader: Callable[[], DataLoader[Any]]
    samples_per_s: list[float] = field(default_factory=list)
    first_batch_s: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Reads a fresh loader through once and notes both figures."""
        loader = self.loader()
        started = perf_counter()
        first_s, samples = None, 0
        for images, _ in loader:
            if first_s is None:
                first_s = perf_counter() - started
                self.first_batch_s.append(first_s)
            samples += len(images)
        self.samples_per_s.append(samples / (perf_counter() - started))

    @property
    def samples_per_s_median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.samples_per_s)


def measure_in_turn(rows: Sequence[Row]) -> None:
    """Measures every row `ROUNDS` times, each round all of them."""
    for _ in range(ROUNDS):
        for row in rows:
            row.measure()


def table(rows: Sequence[Row]) -> str:
    """Returns the rows' medians as a table in Markdown."""
    names, storages = (max(len(getattr(row, column)) for row in rows) for column in ("name", "storage"))
    lines = [
        f"| {'loader':{names}} | {'images from':{storages}} | samples/s | first batch |",
        f"|{'-' * (names + 2)}|{'-' * (storages + 2)}|----------:|------------:|",
    ]
    for row in rows:
        figures = f"{row.samples_per_s_median:9.1f} | {statistics.median(row.first_batch_s):9.2f} s"
        lines.append(f"| {row.name:{names}} | {row.storage:{storages}} | {figures} |")
    return "\n".join(lines)
