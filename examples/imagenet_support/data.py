"""Transforms, datasets and loaders of a run."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch.utils.data import Dataset, DistributedSampler, Subset
from torchvision.transforms import v2

from benchmarking.misc.init_benchmarking import get_dataset
from concurrent_dataloader import DataLoader as DataLoaderParallel
from concurrent_dataloader.dataset import load_classes
from concurrent_dataloader.dataset.credentials_file import DatasetType
from imagenet_support.distributed import Place

# Mean and deviation of ImageNet's red, green and blue, scaled to 0..1: what torchvision's weights expect.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
# ImageNet's usual way to validate: shorter side to 256 pixels, then the middle 224.
VAL_RESIZE_RATIO = 256 / 224


def train_transform(args: Namespace) -> v2.Compose:
    """Returns the training augmentation: image to ``(3, size, size)`` float32, normalised."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(args.image_size, scale=(args.min_crop_area, 1.0)),
            v2.RandomHorizontalFlip(0.5 if args.flip else 0.0),
            *_to_normalised_tensor(),
        ]
    )


def val_transform(args: Namespace) -> v2.Compose:
    """Returns the transform of validation: image to ``(3, size, size)`` float32, normalised, nothing random."""
    return v2.Compose(
        [
            v2.Resize(round(args.image_size * VAL_RESIZE_RATIO)),
            v2.CenterCrop(args.image_size),
            *_to_normalised_tensor(),
        ]
    )


def _to_normalised_tensor() -> list[Any]:
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(PIXEL_MEAN, PIXEL_STD)]


def make_dataset(args: Namespace, split: DatasetType, **options: Any) -> Any:
    """Returns the training or the validation set, its transform set.

    Args:
        args: The command line.
        split: ``"train"`` or ``"val"``.
        options: More arguments of ``get_dataset``.
    """
    if args.dataset == "scratch":
        options["local_path"] = args.local_path
    dataset = get_dataset(
        args.dataset,
        dataset_type=split,
        limit=args.dataset_limit,
        use_cache=args.use_cache,
        index_file=getattr(args, f"{split}_index_file"),
        classes_file=getattr(args, f"{split}_classes_file"),
        s3_credential_file=args.s3_credential_file,
        **options,
    )
    dataset.set_transform(train_transform(args) if split == "train" else val_transform(args))
    return dataset


def training_classes(args: Namespace) -> tuple[int | None, int | None]:
    """Returns what the training classes file says: how many outputs a model needs for it, and which id is target 0.

    Both are None where there is no such file, as there may be for ``--evaluate``.
    """
    if not args.train_classes_file.exists():
        return None, None
    classes = load_classes(args.train_classes_file)
    return max(classes.targets.values()) + 1, classes.id_base


def train_loader(
    args: Namespace, place: Place, dataset: Any
) -> tuple[DataLoaderParallel[Any], DistributedSampler[Any] | None]:
    """Returns the shuffling loader of this process's share, and its sampler, whose ``set_epoch`` is due each epoch."""
    sampler: DistributedSampler[Any] | None = None
    if place.world_size > 1:
        sampler = DistributedSampler(dataset, place.world_size, place.rank, shuffle=True, seed=args.seed or 0)
    return _loader(args, place, dataset, shuffle=sampler is None, sampler=sampler), sampler


def val_loader(args: Namespace, place: Place, dataset: Any) -> DataLoaderParallel[Any]:
    """Returns the loader of this process's share of the validation set: every image once, in one of the processes."""
    share: Dataset[Any] = dataset
    if place.world_size > 1:
        # DistributedSampler would repeat a few images to make the shares equal, and they would count twice.
        share = Subset(dataset, range(place.rank, len(dataset), place.world_size))
    return _loader(args, place, share, shuffle=False)


def loader_options(args: Namespace) -> dict[str, Any]:
    """Returns the arguments of `DataLoaderParallel` that torch's loader lacks."""
    return {"fetch_impl": args.fetch_impl, "num_fetch_workers": args.num_fetch_workers, "batch_pool": args.batch_pool}


def _loader(args: Namespace, place: Place, dataset: Dataset[Any], **options: Any) -> DataLoaderParallel[Any]:
    # Workers live for one epoch: a checkpoint cannot hold the generators of workers that outlive it.
    return DataLoaderParallel(
        dataset,
        batch_size=max(1, args.batch_size // place.world_size),
        num_workers=args.num_workers,
        prefetch_factor=args.prefetch_factor,
        pin_memory=torch.cuda.is_available() if args.pin_memory is None else args.pin_memory,
        **loader_options(args),
        **options,
    )
