"""Concurrent DataLoader: torch's DataLoader for data in object storage, with the waiting overlapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurrent_dataloader._base.errors import ConcurrentDataLoaderError
from concurrent_dataloader._base.lazy_names import lazy_names

if TYPE_CHECKING:
    from concurrent_dataloader.dataloader_mod.concurrent_dataset import ConcurrentDataset
    from concurrent_dataloader.dataloader_mod.dataloader import DataLoader
    from concurrent_dataloader.dataset.normalize import NormalizeBatch
    from concurrent_dataloader.dataset.object_dataset import ObjectDataset
    from concurrent_dataloader.dataset.pil_decoder import PilDecoder
    from concurrent_dataloader.dataset.s3_dataset import S3Dataset
    from concurrent_dataloader.dataset.scratch_dataset import ScratchDataset
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "ConcurrentDataset": "concurrent_dataloader.dataloader_mod.concurrent_dataset",
            "DataLoader": "concurrent_dataloader.dataloader_mod.dataloader",
            "NormalizeBatch": "concurrent_dataloader.dataset.normalize",
            "ObjectDataset": "concurrent_dataloader.dataset.object_dataset",
            "PilDecoder": "concurrent_dataloader.dataset.pil_decoder",
            "S3Dataset": "concurrent_dataloader.dataset.s3_dataset",
            "ScratchDataset": "concurrent_dataloader.dataset.scratch_dataset",
        },
        submodules=("dataloader_mod", "dataset", "storage"),
    )

__all__ = [
    "ConcurrentDataLoaderError",
    "ConcurrentDataset",
    "DataLoader",
    "ObjectDataset",
    "NormalizeBatch",
    "PilDecoder",
    "S3Dataset",
    "ScratchDataset",
]
