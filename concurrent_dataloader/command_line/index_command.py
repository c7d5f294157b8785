"""``concurrent-dataloader index``: lists a bucket or a folder into an index file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from concurrent_dataloader.command_line.command import EXIT_OK, Command
from concurrent_dataloader.command_line.output import say
from concurrent_dataloader.command_line.place import add_place_arguments, open_place
from concurrent_dataloader.dataset.index_writer import write_index


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("location", help="s3://bucket/prefix, or a local folder")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the index file to write")
    add_place_arguments(parser)


def _run(arguments: Namespace) -> int:
    store, prefix = open_place(arguments.location, arguments)
    count = write_index(arguments.output, store.list(prefix), store.describe(prefix))
    say(f"{arguments.output}: {count:,} keys")
    return EXIT_OK


INDEX = Command("index", "lists a bucket or a folder into an index file", _add_arguments, _run)
