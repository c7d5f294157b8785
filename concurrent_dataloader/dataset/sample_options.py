"""What every constructor that lists for itself takes: how many samples, and what becomes of them."""

from __future__ import annotations

from typing import Any, TypedDict, TypeVar, Unpack

from concurrent_dataloader.dataset.classes import Classes
from concurrent_dataloader.dataset.dataset_files import DEFAULT_CACHE_BYTES, PathLike, with_cache
from concurrent_dataloader.dataset.decode import Decoder, resolve_decoder
from concurrent_dataloader.dataset.indexed_dataset import (
    DecodeIn,
    IndexedDataset,
    Transform,
    check_callable,
    check_decode_in,
    check_limit,
)
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage.protocol import ObjectStore

D = TypeVar("D", bound=IndexedDataset)


class SampleOptions(TypedDict, total=False):
    """Keyword arguments of `S3Dataset.from_prefix`, `ScratchDataset.from_folder` and `ObjectDataset.from_uri`.

    Attributes:
        limit: Take only so many of the first samples; None (default) takes all.
        transform: Called with the decoded image.
        target_transform: Called with the 0-based target.
        decoder: ``"pil"`` (default), ``"torchvision"`` or a callable ``bytes -> Any`` (see `resolve_decoder`).
        decode_in: ``"process"`` (default) or ``"fetch"``: where images are decoded (see `IndexedDataset`).
        use_cache: Keep the objects on local disk, shared by all processes of this user; default False.
        cache_dir: Where; None is ``objects`` in ``~/.cache/concurrent_dataloader`` (or below ``$XDG_CACHE_HOME``).
        cache_max_bytes: How many bytes of them at most; default 50 GB.
    """

    limit: int | None
    transform: Transform | None
    target_transform: Transform | None
    decoder: str | Decoder
    decode_in: DecodeIn
    use_cache: bool
    cache_dir: PathLike | None
    cache_max_bytes: int


class Plan:
    """A dataset whose options have been checked, and whose keys have still to be listed, which may take long.

    Args:
        store: Where the objects lie.
        **options: See `SampleOptions`.

    Attributes:
        store: As given.
        limit: As given.

    Raises:
        OptionError: An option is wrong; the message names it and what was expected.
        TypeError: There is no such option.
    """

    def __init__(self, store: ObjectStore, **options: Unpack[SampleOptions]) -> None:
        if unknown := options.keys() - SampleOptions.__annotations__.keys():
            known = ", ".join(SampleOptions.__annotations__)
            raise TypeError(f"unexpected argument {', '.join(sorted(unknown))}; expected some of {known}")
        self.store = store
        self.limit = options.get("limit")
        check_limit(self.limit)
        check_callable("transform", options.get("transform"))
        check_callable("target_transform", options.get("target_transform"))
        resolve_decoder(options.get("decoder", "pil"))
        check_decode_in(options.get("decode_in", "process"))
        cache = (options.pop("use_cache", False), options.pop("cache_dir", None))
        self._cached = with_cache(store, *cache, options.pop("cache_max_bytes", DEFAULT_CACHE_BYTES))
        self._options: dict[str, Any] = dict(options)

    def dataset(self, kind: type[D], keys: KeyIndex, classes: Classes | None) -> D:
        """Returns a dataset of a kind, made without the kind's own ``__init__``, which would read files."""
        dataset = kind.__new__(kind)
        IndexedDataset.__init__(dataset, self._cached, keys, classes=classes, **self._options)
        return dataset
