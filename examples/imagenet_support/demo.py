"""The demo: make pictures, serve them over S3, train on them, then measure torch's loader and ours."""

from __future__ import annotations

from argparse import Namespace
from time import perf_counter
from typing import Any

from torch.utils.data import DataLoader, Subset

from benchmarking.endpoint import S3Endpoint
from benchmarking.imagenet_like import ImagenetLikePaths, make_imagenet_like, write_credentials
from concurrent_dataloader import DataLoader as DataLoaderParallel
from imagenet_support.comparison import ROUNDS, Row, measure_in_turn, table
from imagenet_support.data import loader_options, make_dataset
from imagenet_support.distributed import Place
from imagenet_support.files import UserError
from imagenet_support.run import run

BUCKET = "imagenet"
# Images that a row of the table reads in a round. Torch with boto3 gets about 35 a second at 50 ms: 4 seconds a round.
ROW_IMAGES = 512
ROW_IMAGES_TORCH_S3 = 128


def run_demo(args: Namespace) -> None:
    """Trains on pictures made for it, from an S3 endpoint of its own, and prints the comparison of loaders.

    Args:
        args: The command line; the paths of index, classes and credentials files are replaced by the demo's own.

    Raises:
        UserError: scikit-learn, whose digits the pictures show, is not installed.
    """
    started = perf_counter()
    folder = args.output_base_folder / "demo"
    print(
        f"1. Making {args.demo_train_images} training and {args.demo_val_images} validation pictures in {folder}",
        flush=True,
    )
    try:
        paths = make_imagenet_like(folder, train_images=args.demo_train_images, val_images=args.demo_val_images)
    except ModuleNotFoundError as error:
        raise UserError(str(error)) from error
    with S3Endpoint(paths.bucket_folder, bucket=BUCKET, latency_s=args.demo_latency_ms / 1000) as endpoint:
        write_credentials(paths, endpoint.url, bucket_name=BUCKET)
        args = _with_files(args, paths)
        print(
            f"2. Training {args.arch} from {endpoint.url}, which takes {args.demo_latency_ms:g} ms for each answer",
            flush=True,
        )
        run(args, Place())
        print(f"3. Measuring the loaders on the training pictures: {ROUNDS} rounds in turn, medians", flush=True)
        rows = _rows(args)
        measure_in_turn(rows)
    print(f"\n{table(rows)}\n")
    print("samples/s counts from the loader's start to its last batch, with decoding and augmentation;")
    print("first batch counts from the same moment, with the start of the workers.")
    print(f"The demo took {perf_counter() - started:.0f} s.")


def _with_files(args: Namespace, paths: ImagenetLikePaths) -> Namespace:
    return _changed(
        args,
        train_index_file=paths.train_index,
        train_classes_file=paths.train_classes,
        val_index_file=paths.val_index,
        val_classes_file=paths.val_classes,
        s3_credential_file=paths.credentials,
        local_path=paths.bucket_folder,
    )


def _changed(args: Namespace, **changes: Any) -> Namespace:
    return Namespace(**{**vars(args), **changes})


def _rows(args: Namespace) -> list[Row]:
    s3, local = (_changed(args, dataset=name, use_cache=False) for name in ("s3", "scratch"))
    on_s3, on_disk = f"S3, {args.demo_latency_ms:g} ms", "local disk"
    theirs = f"torch DataLoader, {args.num_workers} workers"
    ours = f"DataLoaderParallel, {args.num_workers} workers"
    fetches = f"{args.num_fetch_workers} fetches each"
    with_boto3, with_obstore = make_dataset(s3, "train", client="boto3"), make_dataset(s3, "train")
    files = make_dataset(local, "train")
    return [
        Row(f"{theirs}, boto3", on_s3, lambda: _loader(args, DataLoader, with_boto3, ROW_IMAGES_TORCH_S3)),
        Row(
            f"{ours}, {fetches}, obstore",
            on_s3,
            lambda: _loader(args, DataLoaderParallel, with_obstore, **loader_options(args)),
        ),
        Row(theirs, on_disk, lambda: _loader(args, DataLoader, files)),
        Row(f"{ours}, {fetches}", on_disk, lambda: _loader(args, DataLoaderParallel, files, **loader_options(args))),
    ]


def _loader(
    args: Namespace, kind: type[DataLoader[Any]], dataset: Any, images: int = ROW_IMAGES, **options: Any
) -> DataLoader[Any]:
    return kind(
        Subset(dataset, range(min(images, len(dataset)))),
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.num_workers,
        prefetch_factor=args.prefetch_factor,
        **options,
    )
