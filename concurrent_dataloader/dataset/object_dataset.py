"""A dataset over objects in whatever store a URI names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, Unpack, cast

from concurrent_dataloader._base.errors import IndexFileError, OptionError
from concurrent_dataloader.dataset.classes import Classes, load_classes
from concurrent_dataloader.dataset.dataset_files import PathLike
from concurrent_dataloader.dataset.folder_classes import IMAGE_SUFFIXES, FolderClasses
from concurrent_dataloader.dataset.folder_listing import check_suffix, list_all, list_class_folders
from concurrent_dataloader.dataset.index_file import load_index
from concurrent_dataloader.dataset.indexed_dataset import IndexedDataset
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.sample_options import Plan, SampleOptions
from concurrent_dataloader.dataset.store_uri import StoreOptions, open_store
from concurrent_dataloader.storage import LocalStore, ObjectStore, ObstoreStore


class UriOptions(SampleOptions, StoreOptions):
    """Keyword arguments of `ObjectDataset.from_uri`: those of `SampleOptions` and `StoreOptions`."""


class ObjectDataset(IndexedDataset):
    """Images in any store: S3, Google Cloud Storage, Azure Blob Storage, a web server, or a local folder.

    Made by `from_uri`, or, as `IndexedDataset`, from a store and keys. For S3 `S3Dataset` says more.
    """

    @classmethod
    def from_uri(
        cls,
        uri: str,
        index_file: PathLike | None = None,
        classes_file: PathLike | None = None,
        *,
        class_folders: bool = False,
        class_id_base: int | None = None,
        suffix: str | Sequence[str] | None = IMAGE_SUFFIXES,
        **options: Unpack[UriOptions],
    ) -> Self:
        """Opens the store of a URI, and lists it unless there is an index file.

        Google's and Azure's stores are listed by a short-lived process, so that workers may be forked after it.

        Args:
            uri: ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``, ``https://host/path``,
                ``http://host/path`` or ``file:///path``. The prefix is taken as a folder.
            index_file: JSON list of keys (see `load_index`): whole keys in the bucket, all of them below the prefix;
                paths below the URI for ``http``, ``https`` and ``file``. None lists what is below the URI, which a web
                server does not offer.
            classes_file: Train or validation classes (see `load_classes`).
            class_folders: Take classes from the folders right below the URI, as `S3Dataset.from_prefix` does; samples
                then come in the order of torchvision's ``ImageFolder``, or in that of the index file.
            class_id_base: The class id of the classes file that becomes target 0; None reads it off the file.
            suffix: List only keys that end in it, or in one of several, whatever the case; None takes all.
            **options: How the store is reached (see `StoreOptions`), and what becomes of the samples (`SampleOptions`).

        Raises:
            OptionError: An argument is wrong, or does not go with the URI; nothing has been listed.
            MissingFileError: A file is not there, or there is nothing to list.
            FileFormatError: A file is not what it should be; the message names file and entry.
            StorageError: The listing failed.
        """
        how = {name: value for name, value in options.items() if name in StoreOptions.__annotations__}
        what = {name: value for name, value in options.items() if name not in how}
        store, prefix = open_store(uri, **cast(StoreOptions, how))
        plan = Plan(store, **cast(SampleOptions, what))
        _check_sources(uri, store, index_file, classes_file, class_folders, class_id_base, suffix)
        classes: Classes | None = None if classes_file is None else load_classes(classes_file, class_id_base)
        if index_file is not None:
            keys = _read_index(index_file, store, prefix)
            if class_folders:
                classes = _folders_of(keys, prefix, index_file)
        elif class_folders:
            keys, classes = list_class_folders(store, prefix, suffix)
        else:
            keys = list_all(store, prefix, suffix, plan.limit)
        return plan.dataset(cls, keys, classes)


def _check_sources(
    uri: str,
    store: ObjectStore,
    index_file: PathLike | None,
    classes_file: PathLike | None,
    class_folders: bool,
    class_id_base: int | None,
    suffix: str | Sequence[str] | None,
) -> None:
    if classes_file is not None and class_folders:
        raise OptionError("classes_file, class_folders: classes come from one of them, not from both")
    if class_id_base is not None and classes_file is None:
        raise OptionError("class_id_base: goes with a classes_file alone")
    if index_file is not None and suffix is not IMAGE_SUFFIXES:
        raise OptionError("suffix: goes with a listing alone; an index_file is taken as it is")
    check_suffix(suffix)
    if index_file is None and isinstance(store, ObstoreStore) and store.options.provider == "http":
        raise OptionError(
            f"index_file: a web server cannot be listed; expected a JSON list of paths below {uri}, made where its "
            "files lie, for instance with ScratchDataset.index_all(...)"
        )


def _read_index(index_file: PathLike, store: ObjectStore, prefix: str) -> KeyIndex:
    keys = load_index(index_file)
    entry = keys.first_outside if isinstance(store, LocalStore) else None
    if prefix:
        entry = next((at for at, key in enumerate(keys) if not key.startswith(prefix)), None)
    if entry is not None:
        raise IndexFileError(
            f"{index_file}: entry {entry} (counted from 0) is {keys[entry]!r}; expected one below "
            f"{store.describe(prefix)}"
        )
    return keys


def _folders_of(keys: KeyIndex, prefix: str, index_file: PathLike) -> FolderClasses:
    """Returns the classes of the keys of an index file; every key has to lie in a folder below the prefix."""
    names: set[str] = set()
    for entry, key in enumerate(keys):
        name, slash, _ = key[len(prefix) :].partition("/")
        if not slash:
            raise IndexFileError(
                f"{index_file}: entry {entry} (counted from 0) is {key!r}; expected one in a class folder"
            )
        names.add(name)
    return FolderClasses(prefix, {name: target for target, name in enumerate(sorted(names))})
