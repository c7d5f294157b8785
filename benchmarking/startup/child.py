"""Times one subject in a process of its own: JSON on stdin says what, the seconds go to stdout as JSON.

The loader's process is fresh each time, as a training script is: nothing that an earlier run has imported, connected or
cached is left in it.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from time import perf_counter
from typing import Any

from benchmarking.startup.subjects import BATCH_SIZE, LOADERS, Order, make_dataset

REPEATS = 5  # of a GET, and of a batch's processing, in one process; their median counts


def time_first_batch(order: Order) -> dict[str, float]:
    """Returns the seconds of making the dataset and the loader, and of ``iter(loader)`` to the first batch."""
    began_s = perf_counter()
    loader = LOADERS[order.subject](order)
    made_s = perf_counter()
    batches = iter(loader)  # held until the time is taken: to let it go ends the workers, which takes some 20 ms
    next(batches)
    return {"made_s": made_s - began_s, "first_batch_s": perf_counter() - made_s}


def time_parts(order: Order) -> dict[str, float]:
    """Returns the seconds of one GET by a client that has made one before, and of decoding and collating one batch."""
    from torch.utils.data import default_collate

    dataset = make_dataset(order)
    bodies = [dataset.fetch(index) for index in range(BATCH_SIZE)]

    def process() -> Any:
        return default_collate([dataset.process(index, body) for index, body in enumerate(bodies)])

    process()  # imports Pillow's plug-ins
    return {
        "round_trip_s": median(_seconds(lambda: dataset.fetch(0)) for _ in range(REPEATS)),
        "processing_s": median(_seconds(process) for _ in range(REPEATS)),
    }


def _seconds(run: Any) -> float:
    began_s = perf_counter()
    run()
    return perf_counter() - began_s


def main() -> None:
    """Reads an order and prints what was timed."""
    order = Order(**json.load(sys.stdin))
    timed = time_first_batch(order) if order.subject in LOADERS else time_parts(order)
    print(json.dumps(timed), flush=True)
