"""Builds a dataset by its name: what benchmarks and examples share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset import IndexedDataset, S3Dataset, ScratchDataset
from concurrent_dataloader.dataset.credentials_file import DatasetType
from concurrent_dataloader.dataset.dataset_files import PathLike

_log = logging.getLogger(__name__)

_DATASETS: dict[str, type[S3Dataset] | type[ScratchDataset]] = {"s3": S3Dataset, "scratch": ScratchDataset}

DEFAULT_CREDENTIAL_FILE = "s3_credentials.json"


def get_dataset(
    dataset: str,
    dataset_type: DatasetType = "train",
    limit: int | None = None,
    use_cache: bool = False,
    index_file: PathLike | None = None,
    classes_file: PathLike | None = None,
    s3_credential_file: PathLike | None = None,
    **options: Any,
) -> IndexedDataset:
    """Builds a dataset from files with the usual names in the working directory, or from those that are given.

    Args:
        dataset: ``"s3"`` or ``"scratch"``.
        dataset_type: ``"train"``, ``"val"`` or ``"test"``.
        limit: Take only so many of the first samples; None takes all.
        use_cache: Keep the objects on local disk.
        index_file: None is ``index-{dataset}-{dataset_type}.json``.
        classes_file: None is ``imagenet-{dataset_type}-classes.json``, and no classes for ``"test"``.
        s3_credential_file: None is ``s3_credentials.json`` if there is one; the AWS chain alone otherwise.
        **options: Further arguments of `S3Dataset` or `ScratchDataset`, such as ``transform`` or ``bucket_name``.

    Raises:
        OptionError: The name is unknown, or another argument is wrong.
        MissingFileError: A file is not there, and there is no URL to download it from.
        FileFormatError: A file is not what it should be.
    """
    if not isinstance(dataset, str) or dataset not in _DATASETS:
        raise OptionError(f"dataset: expected one of {', '.join(map(repr, _DATASETS))}, got {dataset!r}")
    if index_file is None:
        index_file = f"index-{dataset}-{dataset_type}.json"
    if classes_file is None and dataset_type != "test":
        classes_file = f"imagenet-{dataset_type}-classes.json"
    if s3_credential_file is None and Path(DEFAULT_CREDENTIAL_FILE).exists():
        s3_credential_file = DEFAULT_CREDENTIAL_FILE
        _log.info("credentials file: %s", Path(DEFAULT_CREDENTIAL_FILE).absolute())
    return _DATASETS[dataset](
        index_file,
        classes_file,
        s3_credential_file,
        dataset_type=dataset_type,
        limit=limit,
        use_cache=use_cache,
        **options,
    )
