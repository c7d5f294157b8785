"""Datasets: index, classes and credentials files, decoding, and the two-phase datasets over stores and local disk."""

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
