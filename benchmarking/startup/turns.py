"""Lets our loader and torch's take turns, each run in a fresh process."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median

from benchmarking.startup.subjects import OURS, PARTS, TORCHS, Order

RUN_TIMEOUT_S = 60.0  # imports, two workers and one batch: a few seconds
MODULE = "benchmarking.startup.child"
# Not -m: under spawn and forkserver a worker imports the main module anew, and this one has none to import.
_COMMAND = [sys.executable, "-c", f"from {MODULE} import main; main()"]


@dataclass
class Result:
    """What was timed for one start method, kind of objects and number of fetch workers, in seconds by round.

    Attributes:
        kind: Name of the kind of objects.
        start_method: How worker processes are started.
        fetch_workers: What our loader was given.
        ours_s: From ``iter(loader)`` to our first batch.
        start_s: The same of torch's own loader, whose samples are there at once.
        round_trip_s: One GET.
        processing_s: Decoding and collating one batch.
        made_s: Importing the package, and making our dataset and loader; no part of what is compared.
    """

    kind: str
    start_method: str
    fetch_workers: int | str
    ours_s: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    round_trip_s: list[float] = field(default_factory=list)
    processing_s: list[float] = field(default_factory=list)
    made_s: list[float] = field(default_factory=list)

    @property
    def bound_s(self) -> float:
        """What the first batch cannot do without, in seconds: the sum of the medians."""
        return median(self.start_s) + median(self.round_trip_s) + median(self.processing_s)

    @property
    def ratio(self) -> float:
        """Our first batch, in multiples of `bound_s`."""
        return median(self.ours_s) / self.bound_s


def start_methods() -> list[str]:
    """Returns the start methods that this system has."""
    return multiprocessing.get_all_start_methods()


def take_turns(template: Order, fetch_workers: Sequence[int | str], rounds: int) -> list[Result]:
    """Returns what was timed, a result for each number of fetch workers; all share the parts of the bound.

    Args:
        template: Says all but the subject and the number.
        fetch_workers: What our loader is given.
        rounds: Rounds, each of which times everything once, in the other direction than the one before.
    """
    results = [Result(template.kind, template.start_method, workers) for workers in fetch_workers]
    orders = [replace(template, subject=TORCHS), replace(template, subject=PARTS)]
    orders += [replace(template, subject=OURS, num_fetch_workers=workers) for workers in fetch_workers]
    for number in range(rounds):
        for order in orders if number % 2 == 0 else reversed(orders):
            _note(run_child(order), order, results)
    return results


def run_child(order: Order) -> dict[str, float]:
    """Returns what a fresh process times.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(
        _COMMAND, input=json.dumps(asdict(order)), capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{order.subject} ({order.kind}, {order.start_method}): exit code {done.returncode}: {last}")
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def _note(timed: dict[str, float], order: Order, results: Sequence[Result]) -> None:
    for result in results:
        if order.subject == TORCHS:
            result.start_s.append(timed["first_batch_s"])
        elif order.subject == PARTS:
            result.round_trip_s.append(timed["round_trip_s"])
            result.processing_s.append(timed["processing_s"])
        elif order.num_fetch_workers == result.fetch_workers:
            result.ours_s.append(timed["first_batch_s"])
            result.made_s.append(timed["made_s"])
