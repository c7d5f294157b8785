"""Datasets: index, classes and credentials files, decoding, and the two-phase datasets over stores and local disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurrent_dataloader._base.lazy_names import lazy_names

if TYPE_CHECKING:
    from concurrent_dataloader.dataset.classes import Classes, load_classes
    from concurrent_dataloader.dataset.credentials_file import CredentialsFile, load_credentials_file
    from concurrent_dataloader.dataset.index_file import load_index, write_index
    from concurrent_dataloader.dataset.indexed_dataset import IndexedDataset
    from concurrent_dataloader.dataset.key_index import KeyIndex
    from concurrent_dataloader.dataset.normalize import NormalizeBatch
    from concurrent_dataloader.dataset.object_dataset import ObjectDataset
    from concurrent_dataloader.dataset.pil_decoder import PilDecoder
    from concurrent_dataloader.dataset.s3_dataset import S3_Dataset, S3Dataset
    from concurrent_dataloader.dataset.scratch_dataset import ScratchDataset
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Classes": "concurrent_dataloader.dataset.classes",
            "load_classes": "concurrent_dataloader.dataset.classes",
            "CredentialsFile": "concurrent_dataloader.dataset.credentials_file",
            "load_credentials_file": "concurrent_dataloader.dataset.credentials_file",
            "load_index": "concurrent_dataloader.dataset.index_file",
            "write_index": "concurrent_dataloader.dataset.index_file",
            "IndexedDataset": "concurrent_dataloader.dataset.indexed_dataset",
            "KeyIndex": "concurrent_dataloader.dataset.key_index",
            "NormalizeBatch": "concurrent_dataloader.dataset.normalize",
            "ObjectDataset": "concurrent_dataloader.dataset.object_dataset",
            "PilDecoder": "concurrent_dataloader.dataset.pil_decoder",
            "S3Dataset": "concurrent_dataloader.dataset.s3_dataset",
            "S3_Dataset": "concurrent_dataloader.dataset.s3_dataset",
            "ScratchDataset": "concurrent_dataloader.dataset.scratch_dataset",
        },
        submodules=("s3_dataset", "scratch_dataset"),
    )

__all__ = [
    "S3Dataset",
    "S3_Dataset",
    "ScratchDataset",
    "ObjectDataset",
    "IndexedDataset",
    "KeyIndex",
    "PilDecoder",
    "NormalizeBatch",
    "load_index",
    "write_index",
    "Classes",
    "load_classes",
    "CredentialsFile",
    "load_credentials_file",
]
