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
        samples: How many samples a round reads.
    """

    name: str
    storage: str
    loader: Callable[[], DataLoader[Any]]
    samples_per_s: list[float] = field(default_factory=list)
    first_batch_s: list[float] = field(default_factory=list)
    samples: int = 0

    def measure(self) -> None:
        """Reads the loader through once and notes both figures."""
        loader = self.loader()
        started = perf_counter()
        first, self.samples = 0.0, 0
        for images, _ in loader:
            first = first or perf_counter() - started
            self.samples += len(images)
        self.samples_per_s.append(self.samples / (perf_counter() - started))
        self.first_batch_s.append(first)


def measure_in_turn(rows: Sequence[Row]) -> None:
    """Measures every row `ROUNDS` times, each round all of them."""
    for _ in range(ROUNDS):
        for row in rows:
            row.measure()


def table(rows: Sequence[Row]) -> str:
    """Returns the rows' medians as a table in Markdown."""
    name_width = max(len(row.name) for row in rows)
    storage_width = max(len(row.storage) for row in rows)
    lines = [
        f"| {'loader':{name_width}} | {'images from':{storage_width}} | samples/s | first batch | samples read |",
        f"|{'-' * (name_width + 2)}|{'-' * (storage_width + 2)}|----------:|------------:|-------------:|",
    ]
    for row in rows:
        rate, first = statistics.median(row.samples_per_s), statistics.median(row.first_batch_s)
        words = f"{row.name:{name_width}} | {row.storage:{storage_width}}"
        lines.append(f"| {words} | {rate:9.1f} | {first:9.2f} s | {row.samples:12d} |")
    return "\n".join(lines)
