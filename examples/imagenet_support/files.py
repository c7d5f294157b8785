"""Checks before a run that every file is there, and says how to make those that are not."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from concurrent_dataloader.dataset.credentials_file import DatasetType, download_entry, load_credentials_file

_TRAIN_CLASSES = """write it: {"n01440764": {"id": 1, "name": "tench"}, ...}
      The key is what comes before the last "_" in an image's file name."""
_VAL_CLASSES = """write it: {"0": 490, "1": 361, ...}
      From the number in an image's file name, less one, to its class id."""
_CREDENTIALS = """write it: {"bucket_name": "...", "endpoint_url": "https://...",
                 "aws_access_key_id": "...", "aws_secret_access_key": "..."}
      Leave out the endpoint for AWS itself, and the two keys where your AWS environment has them."""
_CHECKPOINT = "each epoch of a run makes one: checkpoints/last.pt in --output-base-folder"


class UserError(Exception):
    """Something that the user can put right; the message says what, and is shown without a traceback."""


def check_files(args: Namespace) -> None:
    """Makes sure that a run finds its files, or can download them.

    Args:
        args: The command line.

    Raises:
        UserError: Files are missing; the message names all of them, each with the way to make it.
        FileFormatError: The credentials file is not what it should be.
    """
    missing = list(_missing(args))
    if missing:
        count = "a file is" if len(missing) == 1 else f"{len(missing)} files are"
        parts = [f"  {what}: {path}\n      {remedy}" for what, path, remedy in missing]
        raise UserError(
            f"{count} missing.\n" + "\n".join(parts) + "\n"
            "A flag names each file if it is elsewhere: see --help. To try it out with nothing prepared: --demo"
        )


def _missing(args: Namespace) -> Iterator[tuple[str, Path, str]]:
    """Yields what each missing file is, its path, and how to make it."""
    urls: Mapping[str, str] = {}
    if args.s3_credential_file is not None:
        if args.s3_credential_file.exists():
            urls = load_credentials_file(args.s3_credential_file).download_urls
        else:
            yield "credentials", args.s3_credential_file, _CREDENTIALS
    splits: tuple[DatasetType, ...] = ("val",) if args.evaluate else ("train", "val")
    for split in splits:
        index, classes = getattr(args, f"{split}_index_file"), getattr(args, f"{split}_classes_file")
        if not index.exists() and download_entry(split, "index") not in urls:
            yield f"{split} index", index, f"make it:\n{_index_command(args, index, split)}"
        if not classes.exists() and download_entry(split, "classes") not in urls:
            yield f"{split} classes", classes, _TRAIN_CLASSES if split == "train" else _VAL_CLASSES
    if args.resume is not None and not args.resume.exists():
        yield "checkpoint", args.resume, _CHECKPOINT


def _index_command(args: Namespace, index: Path, split: str) -> str:
    name = "S3Dataset" if args.dataset == "s3" else "ScratchDataset"
    where = (
        f"s3_credential_file='{args.s3_credential_file}'" if args.dataset == "s3" else f"local_path='{args.local_path}'"
    )
    return (
        f'      python -c "from concurrent_dataloader import {name}\n'
        f"{name}.index_all('{index}', prefix='FOLDER/OF/{split.upper()}/', suffix='.jpeg', {where})\""
    )
