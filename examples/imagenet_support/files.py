"""Checks before a run that every file is there, and says how to make those that are not."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from concurrent_dataloader.dataset.credentials_file import DatasetType, download_entry, load_credentials_file

_TRAIN_CLASSES = '{"n01440764": {"id": 1, "name": "tench"}, ...}: from the part of a file\'s name before its last "_"'
_VAL_CLASSES = '{"0": 490, "1": 361, ...}: from a file\'s number, less one, to its class id'
_CREDENTIALS = (
    '{"aws_access_key_id": "...", "aws_secret_access_key": "...", "bucket_name": "...", "endpoint_url": "https://..."}\n'
    "      leave the two keys out where your AWS environment has them, and endpoint_url out for AWS itself"
)


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
        parts = [f"  {what}: {path}\n      {remedy}" for what, path, remedy in missing]
        count = "a file is" if len(parts) == 1 else f"{len(parts)} files are"
        raise UserError(
            f"{count} missing.\n" + "\n".join(parts) + "\n"
            "  Each path can be set by a flag: see --help. To try it out with nothing prepared: --demo"
        )


def _missing(args: Namespace) -> Iterator[tuple[str, Path, str]]:
    """Yields what each missing file is, its path, and how to make it."""
    urls = {}
    if args.s3_credential_file is not None:
        if args.s3_credential_file.exists():
            urls = load_credentials_file(args.s3_credential_file).download_urls
        else:
            yield "credentials", args.s3_credential_file, f"write: {_CREDENTIALS}"
    splits: tuple[DatasetType, ...] = ("val",) if args.evaluate else ("train", "val")
    for split in splits:
        index, classes = getattr(args, f"{split}_index_file"), getattr(args, f"{split}_classes_file")
        if not index.exists() and download_entry(split, "index") not in urls:
            yield f"{split} index", index, f"make it: {_index_command(args, index)}"
        if not classes.exists() and download_entry(split, "classes") not in urls:
            yield f"{split} classes", classes, f"write: {_TRAIN_CLASSES if split == 'train' else _VAL_CLASSES}"
    if args.resume is not None and not args.resume.exists():
        yield "checkpoint", args.resume, "made by each epoch of a run, as checkpoints/last.pt in --output-base-folder"


def _index_command(args: Namespace, index: Path) -> str:
    if args.dataset == "s3":
        where = f"prefix='FOLDER/OF/THE/IMAGES/', s3_credential_file='{args.s3_credential_file}'"
        name, module = "S3Dataset", "s3_dataset"
    else:
        where = f"local_path='{args.local_path}', prefix='FOLDER/OF/THE/IMAGES/'"
        name, module = "ScratchDataset", "scratch_dataset"
    return (
        f'python -c "from concurrent_dataloader.dataset.{module} import {name}; {name}.index_all('
        f"'{index}', {where}, suffix='.jpeg')\""
    )
