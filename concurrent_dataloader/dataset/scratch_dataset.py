"""A dataset over files on local disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self, Unpack

from concurrent_dataloader._base.errors import IndexFileError
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
from concurrent_dataloader.dataset.index_maker import index_objects, listed_for
from concurrent_dataloader.dataset.indexed_dataset import DecodeIn, IndexedDataset, Transform
from concurrent_dataloader.dataset.key_filter import KeyFilter, Patterns
from concurrent_dataloader.dataset.path_argument import as_path
from concurrent_dataloader.dataset.sample_options import Plan, SampleOptions
from concurrent_dataloader.storage import LocalStore


class ScratchDataset(IndexedDataset):
    """Images on local disk, one file per sample, in the order of an index file.

    Args:
        index_file: JSON list of paths below ``local_path`` (see `load_index`).
        classes_file: Train or validation classes (see `load_classes`); None makes samples of the image alone.
        s3_credential_file: Credentials file whose URLs a missing index or classes file is downloaded from.
        local_path: The folder that the paths are relative to; None is the working directory.
        dataset_type: ``"train"``, ``"val"`` or ``"test"``: which of those URLs are meant. Nothing else depends on it.
        limit: Take only so many of the first paths; None takes all.
        transform: Called with the decoded image.
        target_transform: Called with the 0-based target.
        decoder: ``"pil"``, ``"torchvision"`` or a callable ``bytes -> Any`` (see `resolve_decoder`).
        decode_in: ``"process"`` (default) or ``"fetch"``, in the loader's pool (see `IndexedDataset`).
        class_id_base: The class id that becomes target 0; None reads it off the classes file.
        use_cache: Keep copies in a cache folder, for when ``local_path`` is a slow network file system.
        cache_dir: Where; None is ``objects`` in ``~/.cache/concurrent_dataloader`` (or below ``$XDG_CACHE_HOME``).
        cache_max_bytes: How many bytes of them at most.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
        MissingFileError: A file is not there, and there is no URL to download it from.
        FileFormatError: A file is not what it should be; the message names file and entry. An index with a path that is
            absolute or has a ``..`` part is refused.
        StorageError: A missing file could not be downloaded.
    """

    def __init__(
        self,
        index_file: PathLike,
        classes_file: PathLike | None = None,
        s3_credential_file: PathLike | None = None,
        *,
        local_path: PathLike | None = None,
        dataset_type: DatasetType = "train",
        limit: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        decoder: str | Decoder = "pil",
        decode_in: DecodeIn = "process",
        class_id_base: int | None = None,
        use_cache: bool = False,
        cache_dir: PathLike | None = None,
        cache_max_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        file = None if s3_credential_file is None else load_credentials_file(s3_credential_file)
        keys, classes = load_files(
            index_file,
            classes_file,
            dataset_type=dataset_type,
            class_id_base=class_id_base,
            file=file,
            read_s3=lambda bucket, key: read_with_boto3(s3_options(file, bucket_name=bucket), bucket, key),
        )
        store = LocalStore(_root(local_path))
        if (entry := keys.first_outside) is not None:
            raise IndexFileError(
                f"{index_file}: entry {entry} (counted from 0) is {keys[entry]!r}; "
                f"expected a path below {store.root}, neither absolute nor with '..'"
            )
        super().__init__(
            with_cache(store, use_cache, cache_dir, cache_max_bytes),
            keys,
            classes=classes,
            limit=limit,
            transform=transform,
            target_transform=target_transform,
            decoder=decoder,
            decode_in=decode_in,
        )

    @classmethod
    def from_folder(
        cls,
        path: PathLike,
        *,
        suffix: str | Sequence[str] | None = IMAGE_SUFFIXES,
        **options: Unpack[SampleOptions],
    ) -> Self:
        """Lists a folder and takes classes from the folders in it, as torchvision's ``ImageFolder`` does.

        Each folder right below ``path`` is a class; targets count them in sorted order, from 0. Samples come by class,
        then by folder, then by file name.

        Args:
            path: The folder.
            suffix: Take only files that end in it, or in one of several, whatever the case; None takes all.
            **options: ``limit``, ``transform``, ``target_transform``, ``decoder``, ``decode_in``, ``use_cache``,
                ``cache_dir`` and ``cache_max_bytes``, as for the dataset (see `SampleOptions`).

        Returns:
            A dataset with ``classes``, ``class_to_idx`` and ``targets``.

        Raises:
            OptionError: An argument is wrong.
            MissingFileError: There are no class folders, or some without a file that matches; they are named.
            StorageError: A folder is not there or cannot be read.
        """
        check_suffix(suffix)
        store = LocalStore(as_path("path", path))
        plan = Plan(store, **options)
        return plan.dataset(cls, *list_class_folders(store, "", suffix))

    @classmethod
    def index_all(
        cls,
        index_file: PathLike,
        *,
        local_path: PathLike | None = None,
        prefix: str = "",
        suffix: Patterns = None,
        include: Patterns = None,
        exclude: Patterns = None,
        limit: int | None = None,
        show_progress: bool = True,
    ) -> int:
        """Lists a folder, at any depth, into an index file, which appears whole or not at all.

        Paths are relative to ``local_path``, in the order of their UTF-8 bytes. Folders are read many at once. The
        index file itself is left out.

        Args:
            index_file: Where to write; JSON lines if the name ends in ``.jsonl``, gzipped if ``.gz`` follows.
            local_path: The folder; None is the working directory.
            prefix: List only paths that start with it, such as ``"train/"``.
            suffix: Take only files that end in it, whatever the case; or in one of several: ``(".jpeg", ".png")``.
            include: Take only paths that match it, or one of several: shell patterns for the path below the prefix's
                last ``/``, such as ``"train/*.png"``; ``*`` stands for any characters, ``/`` included.
            exclude: Leave out paths that match it, or one of several, whatever ``suffix`` and ``include`` say.
            limit: Stop after so many paths; None takes all.
            show_progress: Show a progress bar, if standard error is a terminal.

        Returns:
            The number of paths.

        Raises:
            MissingFileError: There is no such file; nothing has been written.
            OptionError: An argument is wrong.
            StorageError: A folder cannot be read.
        """
        store = LocalStore(_root(local_path))
        key_filter = KeyFilter(suffix, include, exclude, prefix=prefix, limit=limit)
        with closing(listed_for([index_file], store, prefix, show_progress)) as objects:
            return index_objects(index_file, objects, key_filter, store.describe(prefix))


def _root(local_path: PathLike | None) -> Path | None:
    return None if local_path in (None, "") else as_path("local_path", local_path)
