"""The loaders that are compared: torch's on local disk and ours on S3, each with a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader as TorchDataLoader

from benchmarking.bench.datasets import REGION
from benchmarking.bench.workloads import BUCKET, Workload
from benchmarking.decode_speed.recipes import (
    MEAN,
    PIL,
    PIL_FLOAT,
    PIL_TENSOR,
    STD,
    TORCHVISION,
    Recipe,
    Sides,
    make_recipes,
)
from concurrent_dataloader import DataLoader, NormalizeBatch, S3Dataset
from concurrent_dataloader.dataset.decode import resolve_decoder
from concurrent_dataloader.dataset.indexed_dataset import DecodeIn

FETCH_WORKERS, BATCH_POOL = 128, 4  # as in `make bench`
Place = Literal["torch, disk", "ours, S3"]


@dataclass(frozen=True)
class Variant:
    """One loader.

    Attributes:
        place: Whose loader, and where the bodies lie.
        recipe: Name of the recipe.
        workers: Worker processes.
        decode_in: See `IndexedDataset`; torch's loader knows no other place than ``"process"``.
        normalizes: Whether the batch is made floats by the consumer, on the CPU.
    """

    place: Place
    recipe: str
    workers: int
    decode_in: DecodeIn = "process"
    normalizes: bool = False

    @property
    def name(self) -> str:
        """Name in reports."""
        added = [", in the pool"] * (self.decode_in == "fetch") + [", normalised by the consumer"] * self.normalizes
        return f"{self.recipe}{''.join(added)}"

    @property
    def wave(self) -> int:
        """Batches that are under way at once."""
        return max(1, self.workers) * (BATCH_POOL if self.place == "ours, S3" else 1)

    def build(self, workload: Workload) -> Iterable[Any]:
        """Returns the loader; nothing is fetched before it is iterated."""
        recipe = make_recipes(Sides())[self.recipe]
        common: dict[str, Any] = {
            "batch_size": workload.batch_size,
            "sampler": workload.order(),
            "num_workers": self.workers,
        }
        if self.place == "torch, disk":
            return TorchDataLoader(_Files(workload, recipe), **common)
        loader = DataLoader(
            self._dataset(workload, recipe), num_fetch_workers=FETCH_WORKERS, batch_pool=BATCH_POOL, **common
        )
        return _Normalized(loader) if self.normalizes else loader

    def _dataset(self, workload: Workload, recipe: Recipe) -> S3Dataset:
        return S3Dataset(
            workload.index_file,
            bucket_name=BUCKET,
            endpoint_url=workload.endpoint_url,
            region_name=REGION,
            transform=recipe.transform,
            decoder=recipe.decoder,
            decode_in=self.decode_in,
        )


class _Files(torch.utils.data.Dataset[Any]):
    """What a user of torch's loader writes for files on local disk."""

    def __init__(self, workload: Workload, recipe: Recipe) -> None:
        self._folder, self._keys = Path(workload.folder), workload.keys
        self._decode, self._transform = resolve_decoder(recipe.decoder), recipe.transform

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._transform(self._decode((self._folder / self._keys[index]).read_bytes()))


class _Normalized:
    def __init__(self, batches: Iterable[torch.Tensor]) -> None:
        self._batches, self._normalize = batches, NormalizeBatch(MEAN, STD)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return map(self._normalize, self._batches)


REFERENCE = Variant("torch, disk", PIL_FLOAT, 2)
FAST = Variant("ours, S3", TORCHVISION, 2)
VARIANTS = (
    REFERENCE,
    Variant("torch, disk", TORCHVISION, 2),
    Variant("ours, S3", PIL_FLOAT, 2),
    Variant("ours, S3", PIL, 2),
    Variant("ours, S3", PIL_TENSOR, 2),
    FAST,
    Variant("ours, S3", TORCHVISION, 2, normalizes=True),
    Variant("ours, S3", TORCHVISION, 2, "fetch"),
    Variant("ours, S3", TORCHVISION, 1),
    Variant("ours, S3", TORCHVISION, 1, "fetch"),
    Variant("ours, S3", TORCHVISION, 0),
    Variant("ours, S3", TORCHVISION, 0, "fetch"),
)
TARGET = 1.5
"""What issue 4 asks of `FAST` over `REFERENCE`."""
