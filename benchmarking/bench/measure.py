"""Iterates a loader and measures it."""

from __future__ import annotations

import gc
import math
import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from benchmarking.bench.memory import LargestWorker, peak_rss_mib


@dataclass(frozen=True)
class Measurement:
    """What one run of a loader showed.

    Attributes:
        samples: Samples that arrived.
        stopped_early: Whether time was up before all had arrived.
        samples_per_s: After the first wave of batches and before the last, see `steady_rate`: start-up excluded.
        overall_samples_per_s: All samples over all seconds, start-up included.
        first_batch_s: Seconds from ``iter(loader)`` to the first batch.
        wait_p99_s: 99th percentile of the seconds that the consumer waited for a batch, after the first wave.
        cpu_s: CPU seconds of the process and its workers, from ``iter(loader)`` until all workers are gone.
        process_cpu_s: CPU seconds of both since the process's start: imports and the making of the loader included.
        main_rss_mib: Peak resident memory of the main process.
        worker_rss_mib: Peak resident memory of the largest worker process; 0: there was none.
    """

    samples: int
    stopped_early: bool
    samples_per_s: float
    overall_samples_per_s: float
    first_batch_s: float
    wait_p99_s: float
    cpu_s: float
    process_cpu_s: float
    main_rss_mib: float
    worker_rss_mib: float


@dataclass(frozen=True)
class Arrivals:
    """When batches arrived, in seconds since the iteration began, and how long each was waited for."""

    times_s: list[float]
    waits_s: list[float]
    stopped_early: bool


def measure(
    build: Callable[[], Iterable[Any]], *, batches: int, batch_size: int, wave: int, max_s: float
) -> Measurement:
    """Builds a loader, iterates it, and waits until its workers are gone.

    Args:
        build: Returns the loader.
        batches: Batches that it has.
        batch_size: Samples of a batch; all batches are full.
        wave: Batches that are under way at once: the first so many are warm-up.
        max_s: Seconds after the first wave at which the run is cut, at the end of a wave.
    """
    loader = build()
    cpu_before_s = _cpu_s()
    largest_worker = LargestWorker()
    arrivals = consume(loader, batches=batches, wave=wave, max_s=max_s, on_batch=largest_worker.look)
    del loader
    gc.collect()  # what is left of the loader in circles holds its workers
    times_s = arrivals.times_s
    return Measurement(
        samples=len(times_s) * batch_size,
        stopped_early=arrivals.stopped_early,
        samples_per_s=steady_rate(times_s, wave) * batch_size,
        overall_samples_per_s=len(times_s) * batch_size / times_s[-1],
        first_batch_s=times_s[0],
        wait_p99_s=percentile(arrivals.waits_s[wave:] or arrivals.waits_s, 0.99),
        cpu_s=_cpu_s() - cpu_before_s,
        process_cpu_s=_cpu_s(),
        main_rss_mib=peak_rss_mib(),
        worker_rss_mib=largest_worker.peak_mib,
    )


def consume(
    loader: Iterable[Any],
    *,
    batches: int,
    wave: int,
    max_s: float,
    on_batch: Callable[[float], object],
    clock: Callable[[], float] = perf_counter,
) -> Arrivals:
    """Takes batches until there are no more, or until time is up and a wave is whole.

    Args:
        loader: The loader.
        batches: Batches that it has.
        wave: Batches that are under way at once.
        max_s: Seconds after the first wave.
        on_batch: Called after each batch with the seconds since the start; what it takes is no waiting.
        clock: Returns seconds.
    """
    times_s: list[float] = []
    waits_s: list[float] = []
    started = clock()
    asked = 0.0
    for _ in loader:
        now = clock() - started
        times_s.append(now)
        waits_s.append(now - asked)
        on_batch(now)
        whole_waves, rest = divmod(len(times_s), wave)
        is_time_up = whole_waves > 1 and now - times_s[wave - 1] > max_s
        if is_time_up and rest == 0 and len(times_s) < batches:
            return Arrivals(times_s, waits_s, stopped_early=True)
        asked = clock() - started
    return Arrivals(times_s, waits_s, stopped_early=False)


def steady_rate(times_s: Sequence[float], wave: int) -> float:
    """Returns batches per second after the first wave, and before the last where there are three or more.

    Batches that are under way at once arrive at about the same time. From the *end* of one wave to the end of another
    there are as many seconds as the waves between them took; from the first batch of a wave there are fewer. At both
    ends a next wave is under way. After the last wave there is none: its batches had a start that would not be counted.

    Args:
        times_s: When batches arrived; only whole waves count.
        wave: Batches of a wave.
    """
    waves = len(times_s) // wave
    if waves < 2:
        raise ValueError(f"{len(times_s)} batches hold no two waves of {wave}")
    last = (waves - 1 if waves > 2 else waves) * wave - 1
    return (last - wave + 1) / (times_s[last] - times_s[wave - 1])


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value that at least the given share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _cpu_s() -> float:
    """CPU seconds of this process and of its children that were waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
