"""What many loaders, or one loader over many samples, leave behind: nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from scripted import Scripted
from torch.utils.data import Dataset

from benchmarking.soak.gauges import Gauges, leaks_since, resident_bytes
from concurrent_dataloader import DataLoader

MARGIN_BYTES = 12 << 20
"""What the allocator's arenas and torch's caches move by; a loader that leaked one engine of 100 KB would pass it."""


def _is_flat(act: Callable[[int], None], times: int) -> None:
    """Acts so often, and compares memory and gauges after the first fifth with those at the end."""
    for number in range(times // 5):
        act(number)
    gc.collect()
    gauges, memory_bytes = Gauges.read(), resident_bytes()
    for number in range(times - times // 5):
        act(number)
    leaks = leaks_since(gauges)
    assert not leaks, leaks
    growth_bytes = resident_bytes() - memory_bytes
    assert growth_bytes < MARGIN_BYTES


def _create_and_drop(workers: int) -> Callable[[int], None]:
    def act(number: int) -> None:
        impl = ("threaded", "asyncio")[number % 2]
        batches = iter(DataLoader(Scripted(32, {}), batch_size=4, num_workers=workers, fetch_impl=impl))
        next(batches)
        if number % 3:  # else it is dropped in the middle
            assert len(list(batches)) == 7

    return act


@pytest.mark.parametrize(("workers", "loaders"), [(0, 100), (1, 15)])
def test_loaders_that_are_created_and_dropped_leave_nothing_behind(workers, loaders):
    _is_flat(_create_and_drop(workers), loaders)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [0, 1])
def test_500_loaders_that_are_created_and_dropped_leave_nothing_behind(workers):
    _is_flat(_create_and_drop(workers), 500)


class Numbers(Dataset[torch.Tensor]):
    """Tells of its worker's memory with every sample."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def fetch(self, index: int) -> int:
        return index

    def process(self, index: int, raw: int) -> torch.Tensor:
        return torch.tensor([raw, resident_bytes() if index % 500 == 0 else 0])


def _read_long(samples: int, epochs: int, workers: int) -> None:
    loader = DataLoader(
        Numbers(samples // epochs), batch_size=250, num_workers=workers, persistent_workers=workers > 0, hedging=False
    )
    of_workers: list[int] = []

    def read_an_epoch(number: int) -> None:
        at = 0
        for batch in loader:
            assert batch[:, 0].tolist() == list(range(at, at + len(batch)))
            at += len(batch)
            of_workers.append(int(batch[0, 1]))
        assert at == samples // epochs

    _is_flat(read_an_epoch, epochs)
    told = [each for each in of_workers if each]
    after_warm_up, end = max(told[: len(told) // 5]), max(told[-len(told) // 5 :])
    assert end - after_warm_up < MARGIN_BYTES


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_over_many_samples_stays_flat_in_both_processes(workers):
    _read_long(20_000, 5, workers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_over_a_million_samples_stays_flat_in_both_processes(workers):
    _read_long(1_000_000, 10, workers)
