"""What is one unit of work for a dataset: which call runs in the pool, and what is left for the main thread."""

from __future__ import annotations

import inspect
import logging
import reprlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader._base.two_phase import fetches_locally, optional_method, phases_of, subset_source

logger = logging.getLogger(__name__)

_BRIEF = reprlib.Repr()
_BRIEF.maxlist = _BRIEF.maxtuple = 20  # indices of a batch that a message names


@dataclass(frozen=True)
class FetchPlan:
    """How the samples of one dataset are made.

    Attributes:
        fetch: Runs in the pool, many at a time. A coroutine function if ``is_async``.
        process: Runs in the main thread, in sampler order; None where ``fetch`` already returns the sample.
        is_async: Whether ``fetch`` wants an event loop.
        per_batch: Whether one call of ``fetch`` answers a whole batch (``__getitems__``).
        describe: Names a sample for messages; returns "" where there is nothing to say.
        prepare: Told the number of fetches in flight before the first one.
        aclose: Awaited on the event loop before it stops.
        is_local: Whether ``fetch`` reads what is on this machine, and may as well run in the reading thread.
    """

    fetch: Callable[[Any], Any]
    process: Callable[[Any, Any], Any] | None = None
    is_async: bool = False
    per_batch: bool = False
    describe: Callable[[Any], str] | None = None
    prepare: Callable[[int], None] | None = None
    aclose: Callable[[], Coroutine[Any, Any, None]] | None = None
    is_local: bool = False

    def name_of(self, index: Any) -> str:
        """Returns what messages call one unit of work."""
        if self.per_batch:
            return f"the batch of samples {_BRIEF.repr(index)}"
        key = self.key_of(index)
        return f"sample {index!r}" + (f" ({key})" if key else "")

    def key_of(self, index: Any) -> str:
        """Returns what the dataset calls a sample; "" where it has no name for it."""
        if self.describe is None or self.per_batch:
            return ""
        try:
            return self.describe(index)
        except Exception:  # an index that fails may well have no name either
            logger.debug("the dataset cannot describe sample %r", index, exc_info=True)
            return ""


def plan_for(dataset: Any, options: FetchOptions, *, auto_collation: bool) -> FetchPlan:
    """Returns the plan for a map-style dataset.

    Args:
        dataset: The user's dataset.
        options: ``fetch_impl`` chooses between `fetch` and `afetch`; an ``on_error`` other than ``"raise"`` needs
            samples one by one, so ``__getitems__`` is then not used.
        auto_collation: Whether a request is a batch of indices; torch calls ``__getitems__`` only then.
    """
    phases = phases_of(dataset)
    if phases is not None:
        afetch = optional_method(phases, "afetch") if options.fetch_impl == "asyncio" else None
        return FetchPlan(
            fetch=afetch or phases.fetch,
            process=phases.process,
            is_async=afetch is not None,
            describe=optional_method(phases, "describe"),
            prepare=optional_method(phases, "set_fetch_concurrency"),
            aclose=optional_method(phases, "aclose"),
            is_local=afetch is None and fetches_locally(phases),
        )
    if auto_collation and options.on_error == "raise" and _answers_batches(dataset):
        return FetchPlan(dataset.__getitems__, is_async=_is_async(dataset, "__getitems__"), per_batch=True)
    return FetchPlan(dataset.__getitem__, is_async=_is_async(dataset, "__getitem__"))


def needs_engine(dataset: Any, options: FetchOptions) -> bool:
    """Whether a map-style dataset is to be read by our engine rather than by torch's own path.

    Raises:
        OptionError: The dataset's ``__getitem__`` is a coroutine function and ``fetch_impl`` is ``"threaded"``.
    """
    if options.fetch_impl == "vanilla":
        return False
    two_phase = phases_of(dataset) is not None
    if not two_phase and _is_async(dataset, "__getitem__"):
        if options.fetch_impl != "asyncio":
            raise OptionError(f"{type(dataset).__name__}.__getitem__ is async: it needs fetch_impl='asyncio'")
        return True
    return two_phase or options.on_error != "raise" or options.fetch_workers(two_phase=False) > 1


def _answers_batches(dataset: Any) -> bool:
    """Whether the dataset has a ``__getitems__`` of its own, rather than torch's loop over the samples in a Subset."""
    if not callable(getattr(dataset, "__getitems__", None)):
        return False
    inner = subset_source(dataset)
    return True if inner is None else _answers_batches(inner)


def _is_async(dataset: Any, method: str) -> bool:
    inner = subset_source(dataset)  # a Subset's own method is no coroutine function, but returns what lies below
    if inner is not None:
        return _is_async(inner, method)
    return inspect.iscoroutinefunction(getattr(dataset, method, None))
