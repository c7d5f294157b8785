"""The two-phase dataset over a store and a list of keys."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, SupportsIndex, get_args

import numpy as np
from torch.utils.data import Dataset

from concurrent_dataloader._base.errors import DecodeError, OptionError
from concurrent_dataloader.dataset.classes import Classes
from concurrent_dataloader.dataset.decode import Decoder, resolve_decoder
from concurrent_dataloader.dataset.derived import derived
from concurrent_dataloader.dataset.folder_classes import FolderClasses
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage.cache import CachedStore
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.listed_size import aget_listed, get_listed
from concurrent_dataloader.storage.local import LocalStore
from concurrent_dataloader.storage.protocol import ObjectStore

DecodeIn = Literal["process", "fetch"]
Transform = Callable[[Any], Any]


class IndexedDataset(Dataset[Any]):
    """A map-style dataset with one object per sample, split into reading and decoding.

    ``dataset[i] == dataset.process(i, dataset.fetch(i))``. A sample is ``(image, target)``, or the image alone without
    classes. Indices are taken as a list takes them: negative ones count from the end, numpy's and torch's numbers work.

    Args:
        store: Where the objects lie.
        keys: Their keys, in the dataset's order; a plain sequence is packed.
        classes: Gives each key its 0-based target; None makes samples of the image alone.
        limit: Take only so many of the first keys; None takes all.
        transform: Called with the decoded image.
        target_transform: Called with the target.
        decoder: ``"pil"``, ``"torchvision"`` or a callable ``bytes -> Any`` (see `resolve_decoder`).
        decode_in: Where it runs: ``"process"`` (default), in sampler order in the loader's main thread; or ``"fetch"``,
            as a part of `fetch`, many at a time in the loader's pool. Samples are the same: decoding draws no random
            numbers, and the transform stays in `process`. It pays where a process has more than one core to itself,
            with ``num_workers=0`` above all. A callable decoder must then be safe to call from several threads, and
            draw no random numbers; decoded images wait in memory where bytes did; and a fetch that is sent twice is
            decoded twice.

    Attributes:
        store: As given.
        keys: The keys as a `KeyIndex`, after ``limit``.
        transform: As given or set.
        target_transform: As given.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
    """

    def __init__(
        self,
        store: ObjectStore,
        keys: Sequence[str],
        *,
        classes: Classes | None = None,
        limit: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        decoder: str | Decoder = "pil",
        decode_in: DecodeIn = "process",
    ) -> None:
        check_limit(limit)
        packed = keys if isinstance(keys, KeyIndex) else KeyIndex.from_keys(keys)
        self.store = store
        self.keys = packed[:limit]
        self.transform = check_callable("transform", transform)
        self.target_transform = check_callable("target_transform", target_transform)
        self._classes = classes
        self._targets: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
        self._decode = resolve_decoder(decoder)
        self._decodes_in_fetch = check_decode_in(decode_in) == "fetch"

    @property
    def fetches_locally(self) -> bool:
        """Whether objects come from local disk, at least those that a cache holds; see `TwoPhaseDataset`."""
        return isinstance(self.store, (LocalStore, CachedStore))

    @property
    def class_id_base(self) -> int | None:
        """The class id of the classes file that is target 0; None without classes."""
        return None if self._classes is None else self._classes.id_base

    @derived
    def targets(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The 0-based targets of all samples, before ``target_transform``, as ``(samples,) int64``.

        Found on first use, in about a microsecond a sample, and kept in this process.

        Raises:
            AttributeError: The dataset has no classes.
            ClassesFileError: A key has no class.
        """
        if self._classes is None:
            raise AttributeError(f"this {type(self).__name__} was made without classes, and so has no targets")
        if self._targets is None:
            self._targets = np.fromiter(map(self._classes.target_of, self.keys), np.int64, count=len(self.keys))
        return self._targets

    @derived
    def class_to_idx(self) -> dict[str, int]:
        """From each class folder to its 0-based target.

        Raises:
            AttributeError: The classes do not come from folders.
        """
        if not isinstance(self._classes, FolderClasses):
            raise AttributeError(f"the classes of this {type(self).__name__} are not named by folders")
        return dict(self._classes.class_to_idx)

    @derived
    def classes(self) -> list[str]:
        """The class folders, in the order of their targets.

        Raises:
            AttributeError: The classes do not come from folders.
        """
        return list(self.class_to_idx)

    def set_transform(self, transform: Transform | None) -> None:
        """Sets what is called with each decoded image; workers that run already keep what they have."""
        self.transform = check_callable("transform", transform)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: SupportsIndex) -> Any:
        return self.process(index, self.fetch(index))

    def fetch(self, index: SupportsIndex) -> Any:
        """Reads the sample's object.

        Returns:
            Its bytes; with ``decode_in="fetch"`` the decoded image.

        Raises:
            IndexError: There is no such sample.
            IncompleteBody: Its size is not the one that the index holds, where that holds sizes.
            StorageError: The store could not deliver it; see `ObjectStore`.
            DecodeError: With ``decode_in="fetch"``: the bytes are no image.
        """
        at = operator.index(index)
        raw = get_listed(self.store, self.keys[at], self.keys.size_of(at))
        return self._decoded(at, raw) if self._decodes_in_fetch else raw

    async def afetch(self, index: SupportsIndex) -> Any:
        """Like `fetch`, on the running event loop, which decoding does not hold up: a thread does that."""
        at = operator.index(index)
        raw = await aget_listed(self.store, self.keys[at], self.keys.size_of(at))
        return await in_daemon_thread(functools.partial(self._decoded, at, raw)) if self._decodes_in_fetch else raw

    def process(self, index: SupportsIndex, raw: Any) -> Any:
        """Makes the sample of what `fetch` gave.

        Returns:
            ``(image, target)``, the target a Python int before ``target_transform``; the image alone without classes.

        Raises:
            DecodeError: The bytes are no image; the message names the key.
            ClassesFileError: The key has no class.
        """
        at = self.keys.position_of(index)
        image = raw if self._decodes_in_fetch else self._decoded(at, raw)
        if self.transform is not None:
            image = self.transform(image)
        if self._classes is None:
            return image
        target = self._classes.target_of(self.keys[at])
        return image, target if self.target_transform is None else self.target_transform(target)

    def _decoded(self, at: int, data: bytes) -> Any:
        try:
            return self._decode(data)
        except DecodeError as error:
            raise DecodeError(f"{self.store.describe(self.keys[at])}: {error}") from error

    def describe(self, index: SupportsIndex) -> str:
        """Returns the sample's key, for messages."""
        return self.keys[operator.index(index)]

    def set_fetch_concurrency(self, requests: int) -> None:
        """Tells how many fetches will be in flight at once in this process, so that connection pools fit them."""
        self.store.set_max_concurrency(requests)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_targets": None}  # found again where they are needed, which in workers is seldom

    async def aclose(self) -> None:
        """Closes what the store holds on the running event loop."""
        await self.store.aclose()


def check_limit(limit: int | None) -> None:
    """Raises OptionError unless the limit is a whole number from 1 on, or None."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise OptionError(f"limit: expected a whole number from 1 on, or None for all, got {limit!r}")


def check_callable(name: str, value: Transform | None) -> Transform | None:
    """Returns the argument; raises OptionError unless it can be called, or is None."""
    if value is not None and not callable(value):
        raise OptionError(f"{name}: expected a callable or None, got {value!r}")
    return value


def check_decode_in(decode_in: DecodeIn) -> DecodeIn:
    """Returns the argument; raises OptionError unless it is ``"process"`` or ``"fetch"``."""
    if decode_in not in get_args(DecodeIn):
        raise OptionError(f'decode_in: expected "process" or "fetch", got {decode_in!r}')
    return decode_in
