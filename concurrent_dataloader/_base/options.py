"""How a loader fetches: the options that it adds to torch's, checked before any thread or process is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from concurrent_dataloader._base.errors import OptionError

FetchImpl = Literal["threaded", "asyncio", "vanilla"]
OnError = Literal["raise", "skip"] | Callable[[Any, Exception], Any]

FETCH_IMPLS: tuple[str, ...] = ("threaded", "asyncio", "vanilla")
MAX_AUTO_FETCH_WORKERS = 256
"""Upper bound of ``"auto"`` per process. At 200 ms that is 1,280 samples/s, several times what one core decodes; S3
takes 5,500 GETs/s a prefix (AWS S3 performance guide)."""
DEFAULT_BATCH_POOL = 2
"""Batches ahead of the caller where torch gives no ``prefetch_factor`` (``num_workers=0``); torch's own default."""

DEFAULT_MAX_ERROR_RATE = 0.5
"""Of an epoch's samples: more than half of them failing is no matter of a few damaged objects."""
DEFAULT_STALL_TIMEOUT_S = 120.0
"""Seconds: as long as the stores' own deadline for one object, retries included."""


@dataclass(frozen=True)
class FetchOptions:
    """The arguments that `DataLoader` adds to torch's, as the user gave them.

    Attributes:
        num_fetch_workers: Samples fetched at once in each process; ``None`` means ``"auto"`` for two-phase datasets
            and 1 for all others.
        fetch_impl: ``"threaded"``, ``"asyncio"`` or ``"vanilla"`` (torch's own path).
        batch_pool: Batches of one worker whose samples may be in flight at once; ``None`` means ``prefetch_factor``.
        on_error: ``"raise"``, ``"skip"`` or a callable ``(index, error) -> sample``.
        max_error_rate: Share of an epoch's samples that may be skipped or replaced, from 0 to 1.
        hedging: Whether slow fetches of two-phase datasets are sent again.
        stall_timeout: Seconds without a sample after which a worker warns; None: it never does.

    Raises:
        OptionError: One of them is not what is described here.
    """

    num_fetch_workers: int | Literal["auto"] | None = None
    fetch_impl: FetchImpl = "threaded"
    batch_pool: int | None = None
    on_error: OnError = "raise"
    max_error_rate: float = DEFAULT_MAX_ERROR_RATE
    hedging: bool = True
    stall_timeout: float | None = DEFAULT_STALL_TIMEOUT_S

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
        if not _is_number(self.max_error_rate) or not 0 <= self.max_error_rate <= 1:
            raise OptionError(f"max_error_rate should be a share from 0 to 1, but got {self.max_error_rate!r}")
        if not isinstance(self.hedging, bool):
            raise OptionError(f"hedging should be True or False, but got {self.hedging!r}")
        if self.stall_timeout is not None and not (_is_number(self.stall_timeout) and 0 < self.stall_timeout < inf):
            raise OptionError(
                f"stall_timeout should be a positive number of seconds or None, but got {self.stall_timeout!r}"
            )

    def fetch_workers(self, *, two_phase: bool) -> int:
        """Returns the most fetches in flight per process for a dataset of the given kind."""
        if isinstance(self.num_fetch_workers, int):
            return self.num_fetch_workers
        return MAX_AUTO_FETCH_WORKERS if self.is_adaptive(two_phase=two_phase) else 1

    def is_adaptive(self, *, two_phase: bool) -> bool:
        """Returns whether the number of fetches in flight is to be learnt."""
        return self.num_fetch_workers == "auto" or (self.num_fetch_workers is None and two_phase)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_positive(name: str, value: object, expected: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} should be {expected}, but got {value!r}")
