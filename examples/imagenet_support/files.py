"""Checks before a run that every file is there, and says how to make those that are not."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote

from concurrent_dataloader.dataset.credentials_file import (
    CredentialsFile,
    DatasetType,
    download_entry,
    load_credentials_file,
)

_CREDENTIALS = """write it: {"bucket_name": "...", "endpoint_url": "https://...",
                 "aws_access_key_id": "...", "aws_secret_access_key": "..."}
      Leave out the endpoint for AWS itself, and the two keys where your AWS environment has them."""
_BY_FILE_NAME = 'The class is what comes before the last "_" in an image\'s file name: docs/classes-and-check.md.'
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
    credentials: CredentialsFile | None = None
    if args.s3_credential_file is not None:
        if args.s3_credential_file.exists():
            credentials = load_credentials_file(args.s3_credential_file)
        else:
            yield "credentials", args.s3_credential_file, _CREDENTIALS
    urls: Mapping[str, str] = {} if credentials is None else credentials.download_urls
    splits: tuple[DatasetType, ...] = ("val",) if args.evaluate else ("train", "val")
    for split in splits:
        index, classes = getattr(args, f"{split}_index_file"), getattr(args, f"{split}_classes_file")
        if not index.exists() and download_entry(split, "index") not in urls:
            yield f"{split} index", index, _index_command(args, index, split, credentials)
        if not classes.exists() and download_entry(split, "classes") not in urls:
            yield f"{split} classes", classes, _train_classes(args) if split == "train" else _val_classes(args)
    if args.resume is not None and not args.resume.exists():
        yield "checkpoint", args.resume, _CHECKPOINT


def _index_command(args: Namespace, index: Path, split: str, credentials: CredentialsFile | None) -> str:
    folder = f"FOLDER/OF/{split.upper()}"
    if args.dataset == "scratch":  # paths have to begin at --local-path
        place = _command("index", args.local_path or ".", "--include", f"{folder}/*")
    else:
        bucket = (credentials and credentials.bucket_name) or "BUCKET"
        place = _command("index", f"s3://{bucket}/{folder}", *_reached_by(args, credentials))
    return f"list it:\n      {place} --suffix .jpeg -o {quote(str(index))}"


def _reached_by(args: Namespace, credentials: CredentialsFile | None) -> tuple[object, ...]:
    return () if credentials is None else ("--s3-credential-file", args.s3_credential_file)


def _train_classes(args: Namespace) -> str:
    command = _command("classes", args.train_index_file, "-o", args.train_classes_file)
    return f"take them from the index, once that is there:\n      {command}\n      {_BY_FILE_NAME}"


def _val_classes(args: Namespace) -> str:
    numbers = ("--ids", "map_clsloc.txt", "--train-classes", args.train_classes_file, "-o", args.val_classes_file)
    command = _command("classes", "--ground-truth", "ILSVRC2012_validation_ground_truth.txt", *numbers)
    own = f"--val-classes-file {quote(str(args.train_classes_file))}"
    return f"make them of ImageNet's lists, or give {own} for images of your own:\n      {command}"


def _command(*words: object) -> str:
    return f"concurrent-dataloader {' '.join(quote(str(word)) for word in words)}"
