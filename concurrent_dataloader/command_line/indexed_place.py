"""What the commands that read objects have in common: an index, the place that it was made from, and a progress bar."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.command_line.place import add_place_arguments, open_place
from concurrent_dataloader.dataset.index_file import load_index
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage import ObjectStore


def add_indexed_place_arguments(parser: ArgumentParser, threads: int) -> None:
    """Adds an index, its place, and how it is read.

    Args:
        parser: A command's parser.
        threads: Default number of reads at once.
    """
    parser.add_argument("index", metavar="INDEX", help="the index file")
    parser.add_argument(
        "location",
        metavar="PLACE",
        help="what it was made from: s3://bucket (also gs://, az://, https://), or a local folder",
    )
    parser.add_argument("--threads", type=positive, default=threads, metavar="N", help="reads at once (%(default)s)")
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
    add_place_arguments(parser)


def open_indexed_place(arguments: Namespace) -> tuple[ObjectStore, KeyIndex]:
    """Returns the place and the keys.

    Raises:
        OptionError: The place is none.
        FileFormatError: The index is none, or is of another prefix than the place names.
        MissingFileError: There is no such index.
    """
    store, prefix = open_place(arguments.location, arguments, max_concurrency=arguments.threads)
    keys = load_index(arguments.index)
    if prefix:
        for entry, key in enumerate(keys):
            if not key.startswith(prefix):
                raise IndexFileError(
                    f"{arguments.index}: entry {entry} (counted from 0) is {key!r}; expected a key that begins with "
                    f"{prefix!r}, which {arguments.location} names. Keys are those of the whole bucket"
                )
    return store, keys


@contextmanager
def progress_bar(what: str, total: int, arguments: Namespace) -> Iterator[Callable[[int], object]]:
    """Shows a bar on standard error, if that is a terminal; yields what moves it on by a number of objects."""
    hidden = True if arguments.no_progress else None  # None: tqdm looks for the terminal
    with tqdm(desc=what, total=total, unit=" objects", unit_scale=True, disable=hidden) as bar:
        yield bar.update


def positive(text: str) -> int:
    """Reads a whole number from 1 on, for argparse."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)
