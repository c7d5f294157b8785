"""A dataset over objects in an S3 bucket."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self, Unpack

from concurrent_dataloader.dataset.credentials_file import DatasetType, load_credentials_file
from concurrent_dataloader.dataset.dataset_files import (
    DEFAULT_CACHE_BYTES,
    PathLike,
    load_files,
    read_with_boto3,
    s3_options,
    with_cache,
)
from concurrent_dataloader.dataset.decode import Decoder
from concurrent_dataloader.dataset.folder_classes import IMAGE_SUFFIXES
from concurrent_dataloader.dataset.folder_listing import check_suffix, list_class_folders
from concurrent_dataloader.dataset.index_file import write_index
from concurrent_dataloader.dataset.indexed_dataset import DecodeIn, IndexedDataset, Transform
from concurrent_dataloader.dataset.listing import LISTING_THREADS, chosen, list_keys, with_progress
from concurrent_dataloader.dataset.sample_options import Plan, SampleOptions
from concurrent_dataloader.dataset.store_uri import s3_store
from concurrent_dataloader.storage import S3Store
from concurrent_dataloader.storage.options import AddressingStyle, ClientName

_log = logging.getLogger(__name__)


class S3Dataset(IndexedDataset):
    """Images in an S3 bucket, one object per sample, in the order of an index file.

    Args:
        index_file: JSON list of keys in the bucket (see `load_index`).
        classes_file: Train or validation classes (see `load_classes`); None makes samples of the image alone.
        s3_credential_file: JSON file with keys, bucket, endpoint and download URLs (see `load_credentials_file`). Its
            keys are used only where the standard AWS chain has none; its other entries where no argument is given.
        bucket_name: The bucket.
        endpoint_url: ``https://host[:port]`` of an S3-compatible store; None for AWS. Plain HTTP only as ``http://``.
        region_name: The region to sign for.
        dataset_type: ``"train"``, ``"val"`` or ``"test"``: which of the credentials file's URLs an index or classes
            file is downloaded from if it is not there. Nothing else depends on it.
        limit: Take only so many of the first keys; None takes all.
        transform: Called with the decoded image.
        target_transform: Called with the 0-based target.
        decoder: ``"pil"``, ``"torchvision"`` or a callable ``bytes -> Any`` (see `resolve_decoder`).
        decode_in: ``"process"`` (default) or ``"fetch"``, in the loader's pool (see `IndexedDataset`).
        client: ``"obstore"``, ``"boto3"`` or ``"aiobotocore"``.
        class_id_base: The class id that becomes target 0; None reads it off the classes file.
        use_cache: Keep the objects on local disk, shared by all processes of this user.
        cache_dir: Where; None is ``objects`` in ``~/.cache/concurrent_dataloader`` (or below ``$XDG_CACHE_HOME``).
        cache_max_bytes: How many bytes of them at most.
        unsigned: Send requests without credentials, for public buckets.
        addressing_style: Where the bucket's name goes: ``"path"``, ``"virtual"`` or ``"auto"`` (see `S3Options`); None
            is ``"auto"``.
        ca_bundle: PEM file of the certificate authorities to trust, for a store with a private one.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
        MissingFileError: A file is not there, and there is no URL to download it from.
        FileFormatError: A file is not what it should be; the message names file and entry.
        StorageError: A missing file could not be downloaded.
    """

    def __init__(
        self,
        index_file: PathLike,
        classes_file: PathLike | None = None,
        s3_credential_file: PathLike | None = None,
        *,
        bucket_name: str | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        dataset_type: DatasetType = "train",
        limit: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        decoder: str | Decoder = "pil",
        decode_in: DecodeIn = "process",
        client: ClientName = "obstore",
        class_id_base: int | None = None,
        use_cache: bool = False,
        cache_dir: PathLike | None = None,
        cache_max_bytes: int = DEFAULT_CACHE_BYTES,
        unsigned: bool = False,
        addressing_style: AddressingStyle | None = None,
        ca_bundle: PathLike | None = None,
    ) -> None:
        file = None if s3_credential_file is None else load_credentials_file(s3_credential_file)
        options = s3_options(
            file,
            bucket_name=bucket_name,
            endpoint_url=endpoint_url,
            region_name=region_name,
            client=client,
            unsigned=unsigned,
            addressing_style=addressing_style,
            ca_bundle=ca_bundle,
        )
        keys, classes = load_files(
            index_file,
            classes_file,
            dataset_type=dataset_type,
            class_id_base=class_id_base,
            file=file,
            read_s3=functools.partial(read_with_boto3, options),
        )
        super().__init__(
            with_cache(S3Store(options), use_cache, cache_dir, cache_max_bytes),
            keys,
            classes=classes,
            limit=limit,
            transform=transform,
            target_transform=target_transform,
            decoder=decoder,
            decode_in=decode_in,
        )

    @classmethod
    def from_prefix(
        cls,
        uri: str,
        *,
        suffix: str | Sequence[str] | None = IMAGE_SUFFIXES,
        s3_credential_file: PathLike | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        client: ClientName = "obstore",
        unsigned: bool = False,
        addressing_style: AddressingStyle | None = None,
        ca_bundle: PathLike | None = None,
        **options: Unpack[SampleOptions],
    ) -> Self:
        """Lists a part of a bucket and takes classes from its folders, as torchvision's ``ImageFolder`` does on disk.

        Each folder right below the prefix is a class; targets count them in sorted order, from 0. Samples come by
        class, then by folder, then by file name. The bucket is listed anew each time: an index file starts faster.

        Args:
            uri: ``s3://bucket/prefix``; the prefix is taken as a folder, with or without a ``/`` at its end.
            suffix: Take only keys that end in it, or in one of several, whatever the case; None takes all.
            s3_credential_file: As for the dataset; the bucket is the URI's.
            endpoint_url: As for the dataset.
            region_name: As for the dataset.
            client: As for the dataset.
            unsigned: As for the dataset.
            addressing_style: As for the dataset.
            ca_bundle: As for the dataset.
            **options: ``limit``, ``transform``, ``target_transform``, ``decoder``, ``decode_in``, ``use_cache``,
                ``cache_dir`` and ``cache_max_bytes``, as for the dataset (see `SampleOptions`).

        Returns:
            A dataset with ``classes``, ``class_to_idx`` and ``targets``.

        Raises:
            OptionError: An argument is wrong; nothing has been listed.
            MissingFileError: There are no class folders, or some without a key that matches; they are named.
            StorageError: The listing failed.
        """
        store, prefix = s3_store(
            uri,
            s3_credential_file=s3_credential_file,
            endpoint_url=endpoint_url,
            region_name=region_name,
            client=client,
            unsigned=unsigned,
            addressing_style=addressing_style,
            ca_bundle=ca_bundle,
        )
        check_suffix(suffix)
        plan = Plan(store, **options)
        return plan.dataset(cls, *list_class_folders(store, prefix, suffix))

    @classmethod
    def index_all(
        cls,
        index_file: PathLike,
        *,
        prefix: str = "",
        suffix: str | Sequence[str] | None = None,
        s3_credential_file: PathLike | None = None,
        bucket_name: str | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        unsigned: bool = False,
        addressing_style: AddressingStyle | None = None,
        ca_bundle: PathLike | None = None,
        upload_key: str | None = None,
        show_progress: bool = True,
    ) -> int:
        """Lists a bucket, or a part of it, into an index file, which appears whole or not at all.

        Keys are in the order of their UTF-8 bytes; folders are listed in parallel, and their markers are left out.

        Args:
            index_file: Where to write; gzipped if the name ends in ``.gz``.
            prefix: List only keys that start with it.
            suffix: Take only keys that end in it, whatever the case; or in one of several: ``(".jpeg", ".png")``.
            s3_credential_file: As for the dataset.
            bucket_name: As for the dataset.
            endpoint_url: As for the dataset.
            region_name: As for the dataset.
            unsigned: As for the dataset.
            addressing_style: As for the dataset.
            ca_bundle: As for the dataset.
            upload_key: Put the index file into the bucket under this key, too.
            show_progress: Show a progress bar, if standard error is a terminal.

        Returns:
            The number of keys.

        Raises:
            MissingFileError: There is no such object; nothing has been written.
            OptionError: An argument is wrong.
            StorageError: Listing or upload failed; an old index file is still there if the listing did.
        """
        file = None if s3_credential_file is None else load_credentials_file(s3_credential_file)
        options = s3_options(
            file,
            bucket_name=bucket_name,
            endpoint_url=endpoint_url,
            region_name=region_name,
            unsigned=unsigned,
            addressing_style=addressing_style,
            ca_bundle=ca_bundle,
            max_concurrency=LISTING_THREADS,
        )
        store = S3Store(options)
        keys = chosen(list_keys(store, prefix), suffix)
        count = write_index(index_file, with_progress(keys, show_progress), store.describe(prefix))
        if upload_key is not None:
            store.put(upload_key, Path(index_file).read_bytes())
            _log.info("uploaded the index to %s", store.describe(upload_key))
        return count


S3_Dataset = S3Dataset
