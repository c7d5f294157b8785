"""What the benchmark knows of a loader."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmarking.bench.workloads import Workload


@dataclass(frozen=True)
class Knobs:
    """The settings that loaders share.

    Attributes:
        workers: Worker processes of each concurrent loader.
        fetch_workers: Samples fetched at once in each of them.
        batch_pool: Batches of one worker in flight at once, for ours; None: the library's default.
        disk_fetch_workers: The same as `fetch_workers` for ours on local disk; None: the library's default.
        torch_workers: Numbers of worker processes with which torch's loader is run on S3.
    """

    workers: int = 2
    fetch_workers: int = 128
    batch_pool: int | None = 4
    disk_fetch_workers: int | None = None
    torch_workers: tuple[int, ...] = (8,)


class LoaderAdapter(Protocol):
    """One loader in one setting.

    Attributes:
        name: Name on the command line and in reports.
        reads: Where the bodies come from.
        ordered: Whether the samples come in the order that was asked for.
        package: The package that it needs beyond the project's own; None: none.
    """

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> Literal["s3", "disk", "memory"]: ...

    @property
    def ordered(self) -> bool: ...

    @property
    def package(self) -> str | None: ...

    def in_flight(self, batch_size: int) -> int:
        """Returns how many bodies are read at once, at most, by all its processes and threads."""
        ...

    def wave(self, batch_size: int) -> int:
        """Returns how many batches are under way at once, and so arrive close together."""
        ...

    def build(self, workload: Workload) -> Iterable[Any]:
        """Returns the loader; nothing is fetched before it is iterated."""
        ...


def is_installed(adapter: LoaderAdapter) -> bool:
    """Whether the adapter's package is there."""
    if adapter.package is None:
        return True
    try:
        return importlib.util.find_spec(adapter.package) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False
