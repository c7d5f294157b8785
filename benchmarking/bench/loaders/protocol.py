"""What the benchmark knows of a loader."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmarking.bench.workloads import ObjectKind, Workload


@dataclass(frozen=True)
class Knobs:
    """The settings that loaders share.

    Attributes:
        workers: Worker processes of each concurrent loader.
        fetch_workers: Samples fetched at once in each of them; on local disk ours takes the library's default.
        batch_pool: Batches of one worker in flight at once, for ours on S3.
    """

    workers: int = 2
    fetch_workers: int = 128
    batch_pool: int = 4

    def for_kind(self, kind: ObjectKind) -> Knobs:
        """Returns the settings for a kind of objects, so large ones do not fill the memory."""
        return dataclasses.replace(self, fetch_workers=min(self.fetch_workers, kind.max_fetch_workers))


class LoaderAdapter(Protocol):
    """One loader in one setting.

    Attributes:
        name: Name on the command line and in reports.
        reads: Where the bodies come from.
    """

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> Literal["s3", "disk"]: ...

    def in_flight(self, batch_size: int) -> int:
        """Returns how many bodies are read at once, at most, by all its processes and threads."""
        ...

    def wave(self, batch_size: int) -> int:
        """Returns how many batches are under way at once, and so arrive close together."""
        ...

    def build(self, workload: Workload) -> Iterable[Any]:
        """Returns the loader; nothing is fetched before it is iterated."""
        ...
