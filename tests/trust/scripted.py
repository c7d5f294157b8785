"""A dataset that fails, slows down and hangs by script, and what a loader must make of it."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

SLOW_S = 0.004
FAULTS = ("fetch", "process", "slow", "gate")
"""What may go wrong with a sample: its `fetch` fails, its `process` fails, it is slow, it waits for the gate."""


class Broken(Exception):
    """What a sample raises that is to fail."""


class Gate:
    """Closed until it is opened, for this process and its children alike, even if one is killed while it waits.

    A lock or an event that processes share would stay locked by the one that was killed; a pipe cannot.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        self.is_open = False

    def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            os.write(self._in, b"!")

    def wait(self) -> None:
        select.select([self._out], [], [])

    async def await_open(self) -> None:
        loop, opened = asyncio.get_running_loop(), asyncio.Event()
        own = os.dup(self._out)  # a loop has one reader for each descriptor
        loop.add_reader(own, opened.set)
        try:
            await opened.wait()
        finally:
            loop.remove_reader(own)
            os.close(own)

    def close(self) -> None:
        """To be called once nobody waits."""
        os.close(self._out)
        os.close(self._in)


class Scripted(Dataset[Any]):
    """Two-phase; what goes wrong stands in the script, by index."""

    def __init__(self, size: int, script: Mapping[int, str], gate: Gate | None = None) -> None:
        self.size, self.script, self.gate = size, dict(script), gate

    def __len__(self) -> int:
        return self.size

    def fetch(self, index: int) -> bytes:
        fault = self.script.get(index)
        if fault == "slow":
            threading.Event().wait(SLOW_S)
        elif fault == "gate" and self.gate is not None:
            self.gate.wait()
        return self._raw(index)

    async def afetch(self, index: int) -> bytes:
        fault = self.script.get(index)
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        elif fault == "gate" and self.gate is not None:
            await self.gate.await_open()
        return self._raw(index)

    def _raw(self, index: int) -> bytes:
        if self.script.get(index) == "fetch":
            raise Broken(f"no bytes of {index}")
        return b"%d" % index

    def process(self, index: int, raw: bytes) -> tuple[int, torch.Tensor]:
        if self.script.get(index) == "process":
            raise Broken(f"no picture in {index}")
        return index, torch.full((3,), int(raw) * 7 + 1)

    def describe(self, index: int) -> str:
        return f"key-{index}"

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        return self.process(index, self.fetch(index))


def stand_in(index: int, error: Exception) -> tuple[int, torch.Tensor]:
    """What replaces a failed sample under ``on_error=stand_in``."""
    return -index - 1, torch.zeros(3, dtype=torch.int64)


@dataclass
class Model:
    """What one epoch must give, batch by batch: an executable specification of a few lines.

    Attributes:
        script: The dataset's script.
        on_error: The loader's argument.
        max_error_rate: The loader's argument; the length of the epoch is not known, so the rate counts from 100 on.
        batches: What the batch sampler gives.
    """

    script: Mapping[int, str]
    on_error: Any
    max_error_rate: float
    batches: list[list[int]]

    def __post_init__(self) -> None:
        self._seen = self._failed = self._at = 0
        self.failed_samples: list[tuple[int, str]] = []

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self.batches)

    @property
    def needs_gate(self) -> bool:
        """Whether the next batch has a sample that waits for the gate."""
        return not self.is_at_end and any(self.script.get(index) == "gate" for index in self.batches[self._at])

    def next(self) -> list[int] | str:
        """Returns the indices in the next batch (stand-ins are negative), or what its exception's text must contain."""
        batch = self.batches[self._at]
        self._at += 1
        bad = [index for index in batch if self.script.get(index) in ("fetch", "process")]
        if self.on_error == "raise":
            return f"sample {bad[0]} (key-{bad[0]})" if bad else batch
        if self.on_error == "skip" and len(bad) == len(batch):
            return f"all its {len(batch)} samples failed; the last was sample {bad[-1]} (key-{bad[-1]})"
        self._seen += len(batch)
        self._failed += len(bad)
        self.failed_samples += [(index, f"key-{index}") for index in bad]
        if bad and self._failed > self.max_error_rate * max(self._seen, 100):
            return f"more than max_error_rate={self.max_error_rate:g}"
        if self.on_error == "skip":
            return [index for index in batch if index not in bad]
        return [-index - 1 if index in bad else index for index in batch]
