"""``concurrent-dataloader cache``: fills the disk cache, tells what is in it, and empties it."""

from __future__ import annotations

import dataclasses
import json
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from concurrent_dataloader.command_line.command import EXIT_FAILED, EXIT_OK, Command
from concurrent_dataloader.command_line.indexed_place import (
    add_indexed_place_arguments,
    open_indexed_place,
    progress_bar,
)
from concurrent_dataloader.command_line.output import say, tell
from concurrent_dataloader.dataset.cache_folder import objects_folder
from concurrent_dataloader.dataset.dataset_files import DEFAULT_CACHE_BYTES
from concurrent_dataloader.storage.cache import CachedStore, cache_stats, clear_cache
from concurrent_dataloader.storage.cache_warm import WARM_THREADS, WarmReport, warm_cache

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(i?)B?", re.IGNORECASE)


def _add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", title="actions", metavar="ACTION", required=True)
    warm = actions.add_parser("warm", help="fetch the objects of an index that are not in the cache yet")
    add_indexed_place_arguments(warm, WARM_THREADS)
    warm.add_argument(
        "--max-bytes",
        type=size_bytes,
        default=DEFAULT_CACHE_BYTES,
        metavar="SIZE",
        help="bound of the whole cache, such as 200GB; the same as cache_max_bytes of the dataset (50GB)",
    )
    stats = actions.add_parser("stats", help="tell what is in the cache")
    stats.add_argument("--json", action="store_true", help="print it as JSON")
    clear = actions.add_parser("clear", help="remove everything from the cache, also while it is used")
    for action in (warm, stats, clear):
        action.add_argument(
            "--cache-dir", type=Path, metavar="FOLDER", help="the cache's folder (objects in the user's cache folder)"
        )


def _run(arguments: Namespace) -> int:
    folder = arguments.cache_dir or objects_folder()
    if arguments.action == "warm":
        return _warm(arguments, folder)
    if arguments.action == "clear":
        removed = clear_cache(folder)
        say(f"{folder}: removed {removed.entries:,} objects, {removed.size_bytes:,} bytes")
        return EXIT_OK
    stats = cache_stats(folder)
    if arguments.json:
        say(json.dumps({"cache_dir": str(folder), **dataclasses.asdict(stats)}))
    else:
        bound = "no bound noted yet" if stats.max_bytes is None else f"at most {stats.max_bytes:,}"
        say(f"{folder}: {stats.entries:,} objects, {stats.size_bytes:,} bytes, {bound}")
    return EXIT_OK


def _warm(arguments: Namespace, folder: Path) -> int:
    store, keys = open_indexed_place(arguments)
    cached = CachedStore(store, cache_dir=folder, max_bytes=arguments.max_bytes)
    with progress_bar("warming", len(keys), arguments) as on_progress:
        report = warm_cache(cached, keys, threads=arguments.threads, on_progress=on_progress)
    say(
        f"{folder}: {report.keys - report.missing:,} of {report.keys:,} keys are in the cache; {report.present:,} were "
        f"there before, {report.fetched:,} objects of {report.fetched_bytes:,} bytes were fetched"
    )
    _tell_what_is_missing(report, arguments)
    return EXIT_FAILED if report.missing else EXIT_OK


def _tell_what_is_missing(report: WarmReport, arguments: Namespace) -> None:
    for failure in report.failures:
        tell(f"not fetched: {failure}")
    if report.failed > len(report.failures):
        tell(f"not fetched: {report.failed - len(report.failures):,} more")
    if report.gave_up:
        tell("given up, since so many objects failed: see concurrent-dataloader check")
    if report.full:
        tell(f"the rest does not fit into {arguments.max_bytes:,} bytes: raise --max-bytes, and cache_max_bytes")
    if report.refused:
        tell("the disk is full, or another process holds the cache: the rest was left out; run it again to go on")
    if report.missing > report.failed and not (report.gave_up or report.full or report.refused):
        tell("some objects are larger than --max-bytes, or made room for others: raise --max-bytes")


def size_bytes(text: str) -> int:
    """Reads a number of bytes such as ``50000000``, ``50MB`` or ``1.5TiB``, for argparse."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not float(found[1]) or (found[3] and not found[2]):
        raise ArgumentTypeError(f"expected a size above 0 such as 500000000, 500MB, 50GB or 1.5TiB, got {text!r}")
    unit = _UNITS[found[2].upper()]
    if found[3]:
        unit = 1024 ** list(_UNITS).index(found[2].upper())
    return max(1, round(float(found[1]) * unit)) if "." in found[1] else int(found[1]) * unit


CACHE = Command("cache", "fills the disk cache, tells what is in it, and empties it", _add_arguments, _run)
