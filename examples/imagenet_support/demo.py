"""The demo: make pictures, serve them over S3, train on them, then measure torch's loader and ours."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

from torch.utils.data import DataLoader, Dataset, Subset

from benchmarking.endpoint import S3Endpoint
from benchmarking.imagenet_like import ImagenetLikePaths, make_imagenet_like, write_credentials
from concurrent_dataloader import DataLoader as DataLoaderParallel
from imagenet_support.comparison import ROUNDS, Row, measure_in_turn, table
from imagenet_support.data import loader_options, make_dataset
from imagenet_support.distributed import Place, torchrun_place
from imagenet_support.files import UserError
from imagenet_support.run import run

BUCKET = "imagenet"
TRAIN_IMAGES, VAL_IMAGES = 1280, 320
# Images that each row of the table reads in a round. Torch gets some 35 a second from S3 at 50 ms: 15 s a round.
ROW_IMAGES = 512


def run_demo(args: Namespace) -> None:
    """Trains on pictures made for it, from an S3 endpoint of its own, and prints the comparison of loaders.

    The pictures stay, and the next demo uses them again; the endpoint ends with the demo.

    Args:
        args: The command line; the paths of index, classes and credentials files are replaced by the demo's own.

    Raises:
        UserError: scikit-learn, whose digits the pictures show, is not installed; or torchrun started this.
    """
    if torchrun_place() is not None:
        raise UserError("--demo trains in one process: start it without torchrun")
    started = perf_counter()
    paths = _make_pictures(args)
    with (
        _aws_of_the_demo_only(),
        S3Endpoint(paths.bucket_folder, bucket=BUCKET, latency_s=args.demo_latency_ms / 1000) as endpoint,
    ):
        write_credentials(paths, endpoint.url, bucket_name=BUCKET)
        args = _with_files(args, paths)
        source = f"{endpoint.url}, {args.demo_latency_ms:g} ms away" if args.dataset == "s3" else "local disk"
        print(f"2. Training {args.arch} from {source}", flush=True)
        run(args, Place())
        rows = _rows(args)
        print(f"3. Measuring the loaders on up to {ROW_IMAGES} pictures: {ROUNDS} rounds in turn, medians", flush=True)
        measure_in_turn(rows)
    print(f"\n{table(rows)}\n\n{_legend(args, rows)}")
    print(f"The demo took {perf_counter() - started:.0f} s. Its files are in {args.output_base_folder}")


def _make_pictures(args: Namespace) -> ImagenetLikePaths:
    folder = args.output_base_folder / "demo"
    train_images, val_images = (min(args.dataset_limit or most, most) for most in (TRAIN_IMAGES, VAL_IMAGES))
    print(f"1. Making {train_images} training and {val_images} validation pictures in {folder}", flush=True)
    try:
        return make_imagenet_like(folder, train_images=train_images, val_images=val_images)
    except ModuleNotFoundError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"--output-base-folder: {folder} cannot be written ({error.strerror})") from error


@contextmanager
def _aws_of_the_demo_only() -> Iterator[None]:
    """Keeps the machine's AWS configuration, instance role and proxy away from the demo's endpoint."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _with_files(args: Namespace, paths: ImagenetLikePaths) -> Namespace:
    return _changed(
        args,
        train_index_file=paths.train_index,
        train_classes_file=paths.train_classes,
        val_index_file=paths.val_index,
        val_classes_file=paths.val_classes,
        s3_credential_file=paths.credentials,
        local_path=paths.bucket_folder,
        output_base_folder=args.output_base_folder / "demo",
    )


def _changed(args: Namespace, **changes: Any) -> Namespace:
    return Namespace(**{**vars(args), **changes})


def _rows(args: Namespace) -> list[Row]:
    rows = []
    for dataset, storage in (("s3", f"S3, {args.demo_latency_ms:g} ms"), ("scratch", "local disk")):
        images = make_dataset(_changed(args, dataset=dataset, use_cache=False), "train")
        images = Subset(images, range(min(ROW_IMAGES, len(images))))
        rows += [
            Row(f"torch DataLoader, {args.num_workers} workers", storage, partial(_loader, args, DataLoader, images)),
            Row(
                f"DataLoaderParallel, {args.num_workers} workers",
                storage,
                partial(_loader, args, DataLoaderParallel, images, **loader_options(args)),
            ),
        ]
    return rows


def _loader(args: Namespace, kind: type[DataLoader[Any]], images: Dataset[Any], **options: Any) -> DataLoader[Any]:
    return kind(
        images,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.num_workers,
        prefetch_factor=args.prefetch_factor,
        **options,
    )


def _legend(args: Namespace, rows: list[Row]) -> str:
    theirs_s3, ours_s3, theirs_disk, _ = (row.samples_per_s_median for row in rows)
    return (
        f"From S3, DataLoaderParallel is {ours_s3 / theirs_s3:.1f} times as fast as torch's loader, and reaches "
        f"{ours_s3 / theirs_disk:.0%} of\n"
        "torch's loader on local disk. Both read the same dataset, from S3 through obstore: in each process\n"
        f"torch's one image at a time, ours with --fetch-impl {args.fetch_impl} --num-fetch-workers "
        f"{args.num_fetch_workers}.\nThe figures include decoding, augmentation and the start of the workers."
    )
