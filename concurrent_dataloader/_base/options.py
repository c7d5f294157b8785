"""How a loader fetches: the options that it adds to torch's, checked before any thread or process is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from concurrent_dataloader._base.errors import OptionError

FetchImpl = Literal["threaded", "asyncio", "vanilla"]
OnError = Literal["raise", "skip"] | Callable[[Any, Exception], Any]

FETCH_IMPLS: tuple[str, ...] = ("threaded", "asyncio", "vanilla")
AUTO_FETCH_WORKERS = 32
"""Fetches in flight per worker process under ``"auto"``. At 30 ms a fetch that is some 1,000 samples/s a process, more
than one core decodes; S3 itself takes 5,500 GETs/s a prefix (AWS S3 performance guide)."""
DEFAULT_BATCH_POOL = 2
"""Batches ahead of the caller where torch gives no ``prefetch_factor`` (``num_workers=0``); torch's own default."""


@dataclass(frozen=True)
class FetchOptions:
    """The four arguments that `DataLoader` adds to torch's, as the user gave them.

    Attributes:
        num_fetch_workers: Samples fetched at once in each process; ``None`` means ``"auto"`` for two-phase datasets
            and 1 for all others.
        fetch_impl: ``"threaded"``, ``"asyncio"`` or ``"vanilla"`` (torch's own path).
        batch_pool: Batches of one worker whose samples may be in flight at once; ``None`` means ``prefetch_factor``.
        on_error: ``"raise"``, ``"skip"`` or a callable ``(index, error) -> sample``.

    Raises:
        OptionError: One of them is not what is described here.
    """

    num_fetch_workers: int | Literal["auto"] | None = None
    fetch_impl: FetchImpl = "threaded"
    batch_pool: int | None = None
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        if self.num_fetch_workers not in (None, "auto"):
            _check_positive("num_fetch_workers", self.num_fetch_workers, "a positive integer, 'auto' or None")
        if self.fetch_impl not in FETCH_IMPLS:
            raise OptionError(f"fetch_impl should be one of {', '.join(FETCH_IMPLS)}, but got {self.fetch_impl!r}")
        if self.batch_pool is not None:
            _check_positive("batch_pool", self.batch_pool, "a positive number of batches or None")
        if self.on_error not in ("raise", "skip") and not callable(self.on_error):
            raise OptionError(
                f"on_error should be 'raise', 'skip' or a callable (index, error) -> sample, but got {self.on_error!r}"
            )
        if self.fetch_impl == "vanilla" and self.on_error != "raise":
            raise OptionError("on_error needs fetch_impl 'threaded' or 'asyncio': 'vanilla' is torch's own path")

    def fetch_workers(self, *, two_phase: bool) -> int:
        """Returns the number of fetches in flight per process for a dataset of the given kind."""
        if isinstance(self.num_fetch_workers, int):
            return self.num_fetch_workers
        return AUTO_FETCH_WORKERS if two_phase or self.num_fetch_workers == "auto" else 1


def _check_positive(name: str, value: object, expected: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} should be {expected}, but got {value!r}")
