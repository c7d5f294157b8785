"""The two-phase protocol: a dataset that splits ``__getitem__`` in an I/O half and a CPU half.

It is all that datasets and the loader know of each other. `phases_of` also finds it behind torch's ``Subset`` (and so
``random_split``) and ``ConcatDataset``.
"""

from __future__ import annotations

import bisect
import inspect
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import ConcatDataset, Subset


@runtime_checkable
class TwoPhaseDataset(Protocol):
    """A map-style dataset with ``dataset[i] == dataset.process(i, dataset.fetch(i))``.

    Four more methods and an attribute are optional:

    * ``async def afetch(index) -> raw``: `fetch` for an event loop, used by ``fetch_impl="asyncio"``.
    * ``set_fetch_concurrency(n: int) -> None``: called once per process before the first fetch, with the number of
      fetches that may be in flight at once, so that connection pools fit them.
    * ``describe(index) -> str``: a name of the sample for messages, for instance its key.
    * ``async def aclose() -> None``: called on the event loop before it stops, to close what belongs to it.
    * ``fetches_locally: bool``: whether `fetch` reads what is on this machine, files for instance. Where it takes next
      to no time the reading thread then does it itself, and no thread of the pool.
    """

    def fetch(self, index: Any) -> Any:
        """Reads the sample's raw data: I/O only, thread-safe, idempotent, without random state."""
        ...

    def process(self, index: Any, raw: Any) -> Any:
        """Makes the sample from its raw data: decode, augment, label; may use random state."""
        ...


def phases_of(dataset: Any) -> TwoPhaseDataset | None:
    """Returns the two-phase view of a dataset, or None where only ``dataset[index]`` can be trusted.

    Args:
        dataset: Any map-style dataset. A ``Subset`` or ``ConcatDataset`` is two-phase if all that lies below it is.
            One whose class overrides ``__getitem__`` or ``__getitems__`` further down than ``fetch`` and
            ``process`` is not: its own method is then the truth, and going round it would hand out other samples.
    """
    if isinstance(dataset, Subset):
        inner = phases_of(dataset.dataset) if _inherits(dataset, Subset) else None
        return None if inner is None else _SubsetPhases(inner, dataset.indices)
    if isinstance(dataset, ConcatDataset):
        parts = [phases_of(part) for part in dataset.datasets] if _inherits(dataset, ConcatDataset) else [None]
        found = [part for part in parts if part is not None]
        return _ConcatPhases(found, dataset.cumulative_sizes) if len(found) == len(parts) else None
    return dataset if _splits_getitem(dataset) else None


def subset_source(dataset: Any) -> Any | None:
    """Returns the dataset below a ``Subset`` that reads as torch's own does; None for everything else."""
    return dataset.dataset if isinstance(dataset, Subset) and _inherits(dataset, Subset) else None


def optional_method(dataset: Any, name: str) -> Callable[..., Any] | None:
    """Returns one of the protocol's optional methods, or None where the dataset has none of that name."""
    method = getattr(dataset, name, None)
    return method if callable(method) else None


def fetches_locally(phases: Any) -> bool:
    """Whether a two-phase dataset says that `fetch` reads what is on this machine."""
    return getattr(phases, "fetches_locally", False) is True


def _inherits(dataset: Any, base: type) -> bool:
    """Whether the dataset reads its items exactly as torch's own class does (pytorch#163184 is the bug otherwise)."""
    return all(
        getattr(type(dataset), name, None) is getattr(base, name, None) for name in ("__getitem__", "__getitems__")
    )


def _splits_getitem(dataset: Any) -> bool:
    fetch, process = getattr(dataset, "fetch", None), getattr(dataset, "process", None)
    if not (callable(fetch) and callable(process) and _takes(fetch, 1) and _takes(process, 2)):
        return False
    depth = {name: _depth_of_definition(dataset, name) for name in ("__getitem__", "__getitems__", "fetch", "process")}
    return min(depth["__getitem__"], depth["__getitems__"]) >= min(depth["fetch"], depth["process"])


def _takes(method: Callable[..., Any], positional: int) -> bool:
    try:
        inspect.signature(method).bind(*range(positional))
    except (TypeError, ValueError):
        return False
    return True


def _depth_of_definition(dataset: Any, name: str) -> int:
    """Steps from the dataset's class up to the class that defines the name: 0 is the dataset's own class."""
    for depth, cls in enumerate(type(dataset).__mro__):
        if name in vars(cls):
            return depth
    return -1 if name in getattr(dataset, "__dict__", {}) else len(type(dataset).__mro__)


class _PhasesView:
    """What the views on wrapped datasets share: every optional method goes to the dataset below that has it."""

    def _locate(self, index: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def _parts(self) -> list[Any]:
        raise NotImplementedError

    def fetch(self, index: Any) -> Any:
        inner, at = self._locate(index)
        return inner.fetch(at)

    def process(self, index: Any, raw: Any) -> Any:
        inner, at = self._locate(index)
        return inner.process(at, raw)

    def describe(self, index: Any) -> str:
        inner, at = self._locate(index)
        describe = optional_method(inner, "describe")
        return str(describe(at)) if describe else ""

    def set_fetch_concurrency(self, requests: int) -> None:
        for part in self._parts():
            if hook := optional_method(part, "set_fetch_concurrency"):
                hook(requests)

    @property
    def fetches_locally(self) -> bool:
        return all(map(fetches_locally, self._parts()))

    async def aclose(self) -> None:
        for part in self._parts():
            if hook := optional_method(part, "aclose"):
                await hook()

    def __getattr__(self, name: str) -> Any:
        # afetch is offered only where every part has it: its presence is what switches to the event loop.
        if name == "afetch" and all(optional_method(part, "afetch") for part in self._parts()):
            return self._afetch
        raise AttributeError(name)

    async def _afetch(self, index: Any) -> Any:
        inner, at = self._locate(index)
        return await inner.afetch(at)


class _SubsetPhases(_PhasesView):
    def __init__(self, inner: TwoPhaseDataset, indices: Any) -> None:
        self._inner, self._indices = inner, indices

    def _locate(self, index: Any) -> tuple[Any, Any]:
        if isinstance(index, list):  # a sampler of lists with batch_size=None
            return self._inner, [self._indices[i] for i in index]
        return self._inner, self._indices[index]

    def _parts(self) -> list[Any]:
        return [self._inner]


class _ConcatPhases(_PhasesView):
    def __init__(self, parts: list[TwoPhaseDataset], ends: list[int]) -> None:
        self._datasets, self._ends = parts, ends

    def _locate(self, index: Any) -> tuple[Any, Any]:
        if index < 0:
            if -index > self._ends[-1]:
                raise ValueError(f"index {index} is out of range for a ConcatDataset of {self._ends[-1]} samples")
            index += self._ends[-1]
        part = bisect.bisect_right(self._ends, index)
        return self._datasets[part], index - (self._ends[part - 1] if part else 0)

    def _parts(self) -> list[Any]:
        return list(self._datasets)
