"""Measures one subject in a process of its own: JSON on stdin says what to do, the figures go to stdout."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import pickle
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarking.index_memory.memory import forget_peak, peak_mb, resident_mb
from benchmarking.index_memory.subjects import load, touch_in_workers

_READS = 200_000  # keys read at random to time one read


@dataclass(frozen=True)
class Figures:
    """What one run of one subject cost.

    Attributes:
        before_mb: The process's resident set before the index was loaded: Python, torch, the library.
        load_s: Seconds to load the index.
        peak_mb: Largest resident set meanwhile.
        after_mb: Resident set after it.
        after_file_mb: What of that are pages of files, shared by all processes.
        pickle_bytes: Length of the pickled dataset.
        pickle_ms: Time to pickle it, in milliseconds.
        read_ns: Time to read one key at random, in nanoseconds.
        start_s: Seconds until all workers were at work; None without workers.
        worker_mb: Private memory of the worker that has most, after all touched every key; None without workers.
    """

    before_mb: float
    load_s: float
    peak_mb: float
    after_mb: float
    after_file_mb: float
    pickle_bytes: int
    pickle_ms: float
    read_ns: float
    start_s: float | None = None
    worker_mb: float | None = None


def measure(order: dict[str, Any]) -> Figures:
    """Loads an index, measures what that costs, and has workers touch every key.

    Args:
        order: ``subject``, ``index`` (the file), ``method`` (``"fork"``, ``"spawn"``, or None for no workers) and
            ``workers`` (how many).
    """
    before, _ = resident_mb()
    forget_peak()
    start = perf_counter()
    dataset = load(order["subject"], Path(order["index"]))
    load_s = perf_counter() - start
    peak, (after, after_file) = peak_mb(), resident_mb()
    start_s = worker_mb = None
    if order["method"]:
        context = multiprocessing.get_context(order["method"])
        start_s, private = touch_in_workers(order["subject"], dataset, context, order["workers"])
        worker_mb = max(private)
    start = perf_counter()
    pickled = len(pickle.dumps(dataset))
    pickle_ms = (perf_counter() - start) * 1e3
    read_ns = _time_of_a_read(dataset.keys)
    return Figures(before, load_s, peak, after, after_file, pickled, pickle_ms, read_ns, start_s, worker_mb)


def _time_of_a_read(keys: Sequence[str]) -> float:
    positions = random.Random(0).choices(range(len(keys)), k=_READS)
    start = perf_counter()
    for at in positions:
        keys[at]
    return (perf_counter() - start) / _READS * 1e9


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(measure(json.load(sys.stdin)))), flush=True)
