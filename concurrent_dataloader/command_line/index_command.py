"""``concurrent-dataloader index``: lists a bucket or a folder into index files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.command_line.command import EXIT_OK, Command
from concurrent_dataloader.command_line.output import say, tell
from concurrent_dataloader.command_line.place import add_place_arguments, in_bucket, open_object, open_place
from concurrent_dataloader.command_line.upload import check_upload, upload
from concurrent_dataloader.dataset.credentials_file import DATASET_TYPES
from concurrent_dataloader.dataset.index_maker import (
    index_folders,
    index_objects,
    listed_for,
    path_of_folder,
    with_progress,
)
from concurrent_dataloader.dataset.inventory import Inventory, LocalInventory, StoredInventory
from concurrent_dataloader.dataset.key_filter import KeyFilter
from concurrent_dataloader.dataset.listing import LISTING_THREADS
from concurrent_dataloader.dataset.sorted_runs import in_order
from concurrent_dataloader.storage import S3Store
from concurrent_dataloader.storage.protocol import ObjectInfo

_USUAL_FOLDERS = ",".join(DATASET_TYPES)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "location",
        nargs="?",
        help="s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or a local folder; optional with "
        "--inventory",
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the index file to write")
    _add_choice(parser)
    parser.add_argument(
        "--split",
        nargs="?",
        const=_USUAL_FOLDERS,
        metavar="FOLDERS",
        help="write an index for each of some folders right below the location, in one pass: -o index.json gives "
        f"index-train.json and so on; default of FOLDERS: those of {_USUAL_FOLDERS} that are there",
    )
    parser.add_argument(
        "--inventory",
        metavar="MANIFEST",
        help="take the keys from an S3 Inventory: its manifest.json, s3://... or local",
    )
    parser.add_argument(
        "--upload", metavar="S3_URL", help="also put it to s3://bucket/key, or below s3://bucket/folder/"
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
    add_place_arguments(parser)


def _add_choice(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("which keys")
    group.add_argument("--suffix", action="append", help="only keys that end so, whatever the case; repeatable")
    pattern = "shell pattern for the path below the location, * standing for / too; repeatable"
    group.add_argument("--include", action="append", metavar="PATTERN", help=f"only keys that match: {pattern}")
    group.add_argument("--exclude", action="append", metavar="PATTERN", help="no keys that match; wins over the others")
    group.add_argument("--limit", type=int, metavar="N", help="only the first N keys that match (of each folder)")


def _run(arguments: Namespace) -> int:
    outputs = _outputs(arguments)
    if arguments.upload is not None:
        check_upload(arguments.upload, arguments.split is not None, arguments.location)
    objects, prefix, listed = _source(arguments, list(outputs.values()))
    key_filter = KeyFilter(arguments.suffix, arguments.include, arguments.exclude, prefix=prefix, limit=arguments.limit)
    with closing(objects):
        if arguments.split is None:
            counts = {"": index_objects(arguments.output, objects, key_filter, listed)}
        else:
            counts = index_folders(outputs, objects, key_filter, prefix, listed)
    for folder, path in outputs.items():
        if folder in counts:
            say(f"{path}: {counts[folder]:,} keys")
        elif arguments.split != _USUAL_FOLDERS:
            tell(f"warning: {path} was not written: nothing in folder {folder!r} matches")
    if arguments.upload is not None:
        for folder in counts:
            say(f"uploaded {upload(outputs[folder], arguments)}")
    return EXIT_OK


def _outputs(arguments: Namespace) -> dict[str, Path]:
    """Returns the index files by folder; without --split the one under an empty name."""
    if arguments.split is None:
        return {"": arguments.output}
    folders = arguments.split.split(",")
    if any(not folder or "/" in folder for folder in folders) or len(set(folders)) < len(folders):
        raise OptionError(
            f"--split: expected different names of folders, such as {_USUAL_FOLDERS}, got {arguments.split!r} "
            "(a location has to stand before --split, or after another option)"
        )
    return {folder: path_of_folder(arguments.output, folder) for folder in folders}


def _source(arguments: Namespace, outputs: list[Path]) -> tuple[Generator[ObjectInfo], str, str]:
    """Returns the objects in order, the prefix that they begin with, and what they are listed from."""
    if arguments.inventory is not None:
        return _from_inventory(arguments)
    if arguments.location is None:
        raise OptionError("location: expected s3://bucket/prefix, another store, or a local folder (or --inventory)")
    store, prefix = open_place(
        arguments.location,
        arguments,
        bucket_elsewhere=arguments.upload is not None,
        max_concurrency=LISTING_THREADS,
    )
    return listed_for(outputs, store, prefix, not arguments.no_progress), prefix, store.describe(prefix)


def _from_inventory(arguments: Namespace) -> tuple[Generator[ObjectInfo], str, str]:
    where, bucket_name, prefix = arguments.inventory, None, ""
    if arguments.location is not None:
        if not arguments.location.startswith("s3://"):
            raise OptionError(f"{arguments.location!r} is no bucket of S3; an inventory is one of s3://bucket")
        store, prefix = open_place(arguments.location, arguments)
        bucket_name = store.options.bucket_name if isinstance(store, S3Store) else None
    if in_bucket(where):
        inventory = Inventory(StoredInventory(*open_object(where, arguments, "expected s3://bucket/.../manifest.json")))
    else:
        inventory = Inventory(LocalInventory(Path(where)))
    if bucket_name is not None:
        inventory.check_bucket(bucket_name)
    objects = in_order(with_progress(inventory.objects(prefix), not arguments.no_progress))
    return objects, prefix, f"s3://{inventory.manifest.source_bucket}/{prefix} (inventory {where})"


INDEX = Command("index", "lists a bucket or a folder into an index file", _add_arguments, _run)
