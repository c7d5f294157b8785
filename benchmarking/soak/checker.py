"""Compares each batch with what it must be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from benchmarking.soak.tally import Tally
from concurrent_dataloader._base.errors import DatasetError, StorageError
from concurrent_dataloader.dataloader_mod.stats import FailedSample

_NOTHING_LEFT = "left nothing of a batch"
REPLACED = -1
"""Checksum of a stand-in, whose number is the sample's."""


def stand_in(index: int, error: Exception) -> torch.Tensor:
    """Replaces a sample that failed."""
    del error
    return torch.tensor([index, REPLACED])


@dataclass(frozen=True)
class Expectation:
    """What a loader over the objects owes its caller.

    Attributes:
        keys: Key of each sample.
        checksums: Checksum of each object; no entry where there is none.
        on_error: The loader's argument.
    """

    keys: list[str]
    checksums: dict[int, int]
    on_error: Any

    def check_batch(self, asked: list[int], batch: torch.Tensor, failed: list[FailedSample], tally: Tally) -> None:
        """Takes in a batch.

        Args:
            asked: The indices that it was asked for, in their order.
            batch: ``(samples, 2) int64`` of fingerprints.
            failed: What the loader says of its failed samples.
            tally: Where to count.
        """
        found = batch.tolist()
        numbers = [number for number, _ in found]
        told = Counter(sample.index for sample in failed)
        missing, surplus = Counter(asked) - Counter(numbers), Counter(numbers) - Counter(asked)
        if self.on_error == "skip":
            tally.counts["skipped"] += told.total()
            missing, told = missing - told, told - missing
        tally.counts["samples"] += len(found)
        tally.counts["batches"] += 1
        for kind, counter in (("lost", missing), ("doubled", surplus)):
            if counter:
                tally.complain(kind, f"{dict(counter)} of {asked}, found {numbers}", counter.total())
        if not missing and not surplus and not _is_in_order(numbers, asked):
            tally.complain("reordered", f"{asked} came as {numbers}")
        self._check_content(found, told, tally)

    def _check_content(self, found: list[list[int]], told: Counter[int], tally: Tally) -> None:
        for number, checksum in found:
            if checksum == REPLACED:
                tally.counts["replaced"] += 1
                told[number] -= 1
            elif checksum != self.checksums.get(number):
                tally.complain("wrong", f"sample {number} ({self.keys[number]}) has other bytes")
        if self.on_error != "skip" and any(told.values()):
            tally.complain("untold", f"stand-ins and failed samples differ by {dict(told)}")

    def check_error(self, asked: list[int], error: Exception, tally: Tally) -> None:
        """Takes in what was raised in a batch's place: it has to be of ours, and to name a sample of the batch.

        Where samples are skipped that is a batch of which nothing is left; where they are replaced there is none.
        """
        tally.errors[type(error).__name__] += 1
        tally.counts["batches"] += 1
        text = str(error) + "".join(getattr(error, "__notes__", ()))
        is_promised = (self.on_error == "raise" and isinstance(error, StorageError)) or (
            self.on_error == "skip" and isinstance(error, DatasetError) and _NOTHING_LEFT in text
        )
        named = any(f"{self.keys[index]} " in text or f"{self.keys[index]})" in text for index in asked)
        if not is_promised or not named:
            tally.complain("untold", f"{type(error).__name__} for {asked}: {text[-600:]}")


def _is_in_order(numbers: list[int], asked: list[int]) -> bool:
    """Whether the numbers are what is left of those that were asked for, in their order."""
    rest = iter(asked)
    return all(any(number == other for other in rest) for number in numbers)
