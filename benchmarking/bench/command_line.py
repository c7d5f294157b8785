"""The benchmark's options, and the workloads that they ask for."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import ANY_WORKERS, STANDARD, make_loaders
from benchmarking.bench.workloads import KINDS, SMALLEST, Workload

STANDARD_KINDS, STANDARD_LATENCIES_MS = ["8kb", "jpeg"], [0.0, 100.0]
PEERS_LATENCIES_MS = [0.0, 30.0, 100.0]
LARGEST, LARGEST_LATENCIES_MS = "64mb", [30.0]  # with --peers: a GET takes so long that others would show the same
SLOW_SHARE = 0.01  # of the GETs, with --tail
MAX_REQUESTS_PER_S = 1000.0  # with --throttle: well below what a concurrent loader asks for
TROUBLED_LATENCY_MS = 30.0  # of the workloads with a slow tail or a throttle, as in the targets

EPILOG = """\
The defaults: kinds 8kb and jpeg, latencies 0 and 100, the standard loaders. With --peers: all kinds, latencies 0, 30
and 100 (64mb: 30), --tail and --throttle for 8kb, and all loaders that are installed. With --quick: 8kb alone. What is
given goes first, and for all kinds.
"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options, with their defaults filled in."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _fill_in(options)
    settings = (options.rounds, options.seconds, options.fetch_workers, options.batch_pool)
    if not all(0 < value < math.inf for value in settings):
        parser.error("rounds, seconds, fetch workers and the batch pool must be positive")
    if options.workers < 0:
        parser.error("--workers must be zero or more")
    if options.workers == 0 and (others := [name for name in options.loaders if name not in ANY_WORKERS]):
        parser.error(f"--workers 0 is for {', '.join(ANY_WORKERS)}, not for {', '.join(others)}")
    if not all(0 <= latency_ms < math.inf for latency_ms in options.latencies_ms):
        parser.error("a latency must be zero or more milliseconds")
    if options.tail is not None and not 0 < options.tail <= 1:
        parser.error(f"--tail must be above 0 and at most 1, a share of the GETs, got {options.tail:g}")
    if options.throttle is not None and not 0 < options.throttle < math.inf:
        parser.error(f"--throttle must be a positive number of requests per second, got {options.throttle:g}")
    if not list(workloads_of(options, Path(), "")):
        parser.error("no workload: no latency, no --tail, and no --throttle below what a kind reaches anyway")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.bench", description="Measures loaders side by side.", epilog=EPILOG
    )
    add = parser.add_argument
    add("--peers", action="store_true", help="all loaders and all workloads")
    add("--kinds", nargs="+", choices=list(KINDS), help="kinds of objects")
    add("--latencies-ms", nargs="*", type=float, metavar="MS", help="added to each GET, in milliseconds")
    tail_help = f"also with this share of the GETs a second slower, at {TROUBLED_LATENCY_MS:.0f} ms ({SLOW_SHARE:g})"
    add("--tail", nargs="?", type=float, const=SLOW_SHARE, metavar="SHARE", help=tail_help)
    throttle_help = f"also with 503 above this many requests per second, at {TROUBLED_LATENCY_MS:.0f} ms"
    throttle_help += f" ({MAX_REQUESTS_PER_S:g})"
    add("--throttle", nargs="?", type=float, const=MAX_REQUESTS_PER_S, metavar="RATE", help=throttle_help)
    loaders = list(make_loaders(Knobs()))
    add("--loaders", nargs="+", choices=loaders, metavar="LOADER", help=f"loaders to run: {', '.join(loaders)}")
    add("--rounds", type=int, help="rounds; in each every loader runs once on every workload (3)")
    add("--seconds", type=float, help="length of a run, about; slow loaders take two waves of batches (2)")
    workers_help = "worker processes of each loader whose name has no number (2); 0 for torch-disk and ours"
    add("--workers", type=int, default=2, help=workers_help)
    add("--fetch-workers", type=int, default=128, help="samples fetched at once in each worker (128)")
    add("--batch-pool", type=int, default=4, help="batches of one worker in flight at once, for ours (4)")
    output_help = "folder for the JSON file with all runs (bench-results)"
    add("--output", type=Path, default=Path("bench-results"), help=output_help)
    add("--quick", action="store_true", help="one round of a second each on 8 KB objects: no figures to keep")
    return parser


def _fill_in(options: argparse.Namespace) -> None:
    loaders = list(make_loaders(Knobs()))
    kinds = list(KINDS) if options.peers else STANDARD_KINDS
    defaults = {
        "kinds": ["8kb"] if options.quick else kinds,
        "latencies_ms": PEERS_LATENCIES_MS if options.peers else STANDARD_LATENCIES_MS,
        "loaders": loaders if options.peers else list(STANDARD),
        "rounds": 1 if options.quick else 3,
        "seconds": 1.0 if options.quick else 2.0,
        "tail": SLOW_SHARE if options.peers else None,
        "throttle": MAX_REQUESTS_PER_S if options.peers else None,
    }
    options.given = [name for name in defaults if getattr(options, name) is not None]
    for name in defaults.keys() - set(options.given):
        setattr(options, name, defaults[name])
    options.loaders = [name for name in loaders if name in options.loaders]  # in the order of reports, each once


def workloads_of(options: argparse.Namespace, folder: Path, endpoint_url: str) -> Iterator[Workload]:
    """Yields the workloads that are asked for, kind by kind; how many samples a run takes depends on the loader.

    A throttle above what a kind of objects reaches anyway changes nothing, and is left out; so are, unless they were
    asked for, other latencies than one for the largest objects, and a slow tail of any but the smallest.
    """
    for name in options.kinds:
        is_large = options.peers and name == LARGEST and "latencies_ms" not in options.given
        has_tail = options.tail is not None and (name == SMALLEST or "tail" in options.given)

        def workload(latency_ms: float, name: str = name, **trouble: float) -> Workload:
            size = KINDS[name].batch_size
            return Workload(name, latency_ms / 1000, size, 0, 0, str(folder), endpoint_url, **trouble)

        yield from map(workload, LARGEST_LATENCIES_MS if is_large else options.latencies_ms)
        if has_tail:
            yield workload(TROUBLED_LATENCY_MS, tail_fraction=options.tail)
        if options.throttle is not None and options.throttle < KINDS[name].s3_samples_per_s:
            yield workload(TROUBLED_LATENCY_MS, max_requests_per_s=options.throttle)
