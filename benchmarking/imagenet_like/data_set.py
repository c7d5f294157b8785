"""Makes the data set: pictures, index, classes and credentials files, in ImageNet's naming."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarking.imagenet_like.pictures import Digit, Painter

VERSION = 1  # to be raised whenever the same arguments would make other files
# The first ten of ImageNet's synsets lend their names, so that files look as ImageNet's do; the pictures are digits.
SYNSETS = (
    "n01440764",
    "n01443537",
    "n01484850",
    "n01491361",
    "n01494475",
    "n01496331",
    "n01498041",
    "n01514668",
    "n01514859",
    "n01518878",
)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAIN_PREFIX, VAL_PREFIX = "scratch/imagenet/train", "scratch/imagenet/val"
FIRST_TRAIN_NUMBER = 10026  # ImageNet's own first one of n01440764
VAL_SHARE = 0.2  # of the 1,797 digits: 360, the other 1,437 are for training
OWNER_ONLY = 0o600


@dataclass(frozen=True)
class ImagenetLikePaths:
    """Where the parts of a data set lie.

    Attributes:
        bucket_folder: The keys' root: what an `S3Endpoint` serves, and the ``local_path`` of a `ScratchDataset`.
        train_index: JSON list of the training keys.
        train_classes: JSON object of synset to ``{"id": 1..10, "name": ...}``.
        val_index: JSON list of the validation keys.
        val_classes: JSON object of the picture's index (its number less one) to the class id.
        credentials: Where `write_credentials` puts the credentials file; there only after that.
    """

    bucket_folder: Path
    train_index: Path
    train_classes: Path
    val_index: Path
    val_classes: Path
    credentials: Path


@dataclass(frozen=True)
class _Picture:
    """One picture that is to be drawn: its key, its digit, and what its random draws start from."""

    key: str
    digit: Digit
    seed: tuple[int, int, int]


def make_imagenet_like(
    folder: Path,
    *,
    train_images: int = 1280,
    val_images: int = 320,
    seed: int = 0,
    size: tuple[int, int] = (500, 375),
) -> ImagenetLikePaths:
    """Makes a small ImageNet-like data set of handwritten digits, or finds that the folder holds it already.

    No digit is in both halves, so validation accuracy is that of digits never seen. Where more pictures are wanted
    than there are digits, digits come again, drawn otherwise. The same arguments make the same files.

    Args:
        folder: Where it goes; made where it is not there.
        train_images: Number of training pictures, 1 or more.
        val_images: Number of validation pictures, 1 or more.
        seed: Seed of everything random.
        size: Width and height of the pictures in pixels; 500 x 375 gives JPEGs of 100 to 110 KB.

    Raises:
        ValueError: A number is below 1.
        ModuleNotFoundError: scikit-learn, which ships the digits, is not installed.
    """
    if min(train_images, val_images, *size) < 1:
        raise ValueError(f"numbers and sizes must be positive, got {train_images=}, {val_images=}, {size=}")
    paths = _paths(folder)
    manifest = {"version": VERSION, "train": train_images, "val": val_images, "seed": seed, "size": list(size)}
    manifest_file = folder / "manifest.json"
    if _read_json(manifest_file) == manifest and _is_complete(paths):
        return paths
    manifest_file.unlink(missing_ok=True)
    images, labels = _load_digits()
    train, val = _split(len(images), seed)
    train, val = np.resize(train, train_images), np.resize(val, val_images)
    train_keys = _train_keys(labels[train])
    val_keys = [f"{VAL_PREFIX}/ILSVRC2012_val_{number:08}.JPEG" for number in range(1, val_images + 1)]
    keys, chosen = train_keys + val_keys, np.concatenate([train, val])
    numbered = enumerate(zip(keys, chosen, strict=True))
    pictures = [_Picture(key, images[at], (seed, VERSION, number)) for number, (key, at) in numbered]
    _draw_all(pictures, paths.bucket_folder, Painter(size, seed))
    _write_json(paths.train_index, sorted(train_keys))
    _write_json(paths.val_index, val_keys)
    _write_json(paths.train_classes, {s: {"id": at, "name": NAMES[at - 1]} for at, s in enumerate(SYNSETS, 1)})
    _write_json(paths.val_classes, {str(at): int(label) + 1 for at, label in enumerate(labels[val])})
    _write_json(manifest_file, manifest)  # last, so that a set that was broken off is made anew
    return paths


def write_credentials(
    paths: ImagenetLikePaths,
    endpoint_url: str,
    *,
    bucket_name: str = "imagenet",
    access_key: str = "demo",
    secret_key: str = "demo",
) -> Path:
    """Writes the credentials file for an endpoint, readable by its owner only, and returns its path.

    Args:
        paths: The data set.
        endpoint_url: URL of the endpoint; known once it runs.
        bucket_name: The endpoint's bucket.
        access_key: Access key that goes in the file.
        secret_key: Secret that goes in the file.
    """
    content = {
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "bucket_name": bucket_name,
        "endpoint_url": endpoint_url,
        "region_name": "us-east-1",
    }
    paths.credentials.unlink(missing_ok=True)  # the mode holds for new files only
    descriptor = os.open(paths.credentials, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    return paths.credentials


def _paths(folder: Path) -> ImagenetLikePaths:
    return ImagenetLikePaths(
        bucket_folder=folder / "bucket",
        train_index=folder / "imagenet-train-index.json",
        train_classes=folder / "imagenet-train-classes.json",
        val_index=folder / "imagenet-val-index.json",
        val_classes=folder / "imagenet-val-classes.json",
        credentials=folder / "s3-credentials.json",
    )


def _is_complete(paths: ImagenetLikePaths) -> bool:
    keys = [_read_json(paths.train_index), _read_json(paths.val_index)]
    classes = [_read_json(paths.train_classes), _read_json(paths.val_classes)]
    return None not in keys + classes and all((paths.bucket_folder / key).is_file() for part in keys for key in part)


def _load_digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the demo data set needs scikit-learn: pip install scikit-learn") from error
    digits = load_digits()
    return digits.images, digits.target


def _split(count: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the digits for training and those for validation, each in random order."""
    order = np.random.default_rng(seed).permutation(count)
    val_count = int(count * VAL_SHARE) + 1
    return order[val_count:], order[:val_count]


def _train_keys(labels: Sequence[int] | npt.NDArray[Any]) -> list[str]:
    synsets = [SYNSETS[label] for label in labels]
    return [f"{TRAIN_PREFIX}/{s}/{s}_{number}.JPEG" for number, s in enumerate(synsets, FIRST_TRAIN_NUMBER)]


def _draw_all(pictures: list[_Picture], bucket_folder: Path, painter: Painter) -> None:
    for parent in {(bucket_folder / picture.key).parent for picture in pictures}:
        parent.mkdir(parents=True, exist_ok=True)

    def draw(picture: _Picture) -> None:
        jpeg = painter.draw(picture.digit, np.random.default_rng(picture.seed))
        (bucket_folder / picture.key).write_bytes(jpeg)

    # Threads are enough: numpy and Pillow let go of the interpreter while they work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        _exhaust(pool.map(draw, pictures))


def _exhaust(results: Iterator[None]) -> None:
    for _ in results:
        pass


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
