"""Datasets of every kind that the contract is checked on, in a module that spawned workers can import."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info


def draws() -> torch.Tensor:
    """One number of each generator that an augmentation may use: ``(3,) float64``."""
    return torch.tensor([torch.rand(()).item(), random.random(), np.random.rand()], dtype=torch.float64)


class _Sized(Dataset[Any]):
    def __init__(self, size: int = 23) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


class TwoPhase(_Sized):
    """Random augmentation in `process`; the sample is a mapping, as many users have it."""

    def fetch(self, index: int) -> tuple[int, int]:
        info = get_worker_info()
        return index * 10, -1 if info is None else info.id

    async def afetch(self, index: int) -> tuple[int, int]:
        return self.fetch(index)

    def process(self, index: int, raw: tuple[int, int]) -> dict[str, Any]:
        return {"index": index, "raw": raw[0], "worker": raw[1], "draws": draws()}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.process(index, self.fetch(index))


class TwoPhaseWithoutAsync(TwoPhase):
    afetch = None  # type: ignore[assignment]


class Plain(_Sized):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        return torch.full((2, 2), float(index)), f"sample {index}"


class PlainWithDraws(_Sized):
    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        return index, draws()


class Batched(_Sized):
    def __getitem__(self, index: int) -> int:
        return index

    def __getitems__(self, indices: list[int]) -> list[int]:
        return [index + 1000 for index in indices]


class Async(_Sized):
    """What an async ``__getitem__`` gives is compared with `Plain`: torch itself cannot read it."""

    async def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        return torch.full((2, 2), float(index)), f"sample {index}"


class Failing(TwoPhase):
    """Fails for some indices, in the phase that is asked for."""

    def __init__(self, bad: dict[int, str], error: Exception, size: int = 23) -> None:
        super().__init__(size)
        self.bad, self.error = bad, error

    def fetch(self, index: int) -> tuple[int, int]:
        if self.bad.get(index) == "fetch":
            raise self.error
        return super().fetch(index)

    def process(self, index: int, raw: tuple[int, int]) -> dict[str, Any]:
        sample = super().process(index, raw)
        if self.bad.get(index) == "process":
            raise self.error
        return sample

    def describe(self, index: int) -> str:
        return f"key-{index}"


class WorkerInfoDataset(_Sized):
    """Tells what `get_worker_info` says inside `fetch` and inside `process`."""

    def fetch(self, index: int) -> tuple[Any, ...]:
        return self._info()

    def process(self, index: int, raw: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return raw, self._info()

    def __getitem__(self, index: int) -> Any:
        return self.process(index, self.fetch(index))

    def _info(self) -> tuple[Any, ...]:
        info = get_worker_info()
        return (None,) if info is None else (info.id, info.num_workers, info.seed, info.dataset is self)


class WithReplacement(torch.utils.data.Sampler[int]):
    """The same few indices again and again, also within a batch and in neighbouring ones."""

    def __iter__(self) -> Any:
        return iter([3, 3, 1, 3, 0, 1, 3, 3, 2, 2, 2, 2, 0, 3])

    def __len__(self) -> int:
        return 14


def seed_everything(seed: int = 0) -> None:
    """Seeds the three generators of this process."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def assert_same(ours: Any, torchs: Any) -> None:
    """Bit-by-bit equality of anything that a loader gives, types and dtypes included."""
    assert type(ours) is type(torchs)
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == torchs.dtype
        assert torch.equal(ours, torchs)
    elif isinstance(ours, dict):
        assert list(ours) == list(torchs)
        for key in ours:
            assert_same(ours[key], torchs[key])
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(torchs)
        for one, other in zip(ours, torchs, strict=True):
            assert_same(one, other)
    else:
        assert ours == torchs


def identity(batch: Any) -> Any:
    """A collate function that can be pickled."""
    return batch
