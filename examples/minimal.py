"""A dataset of your own behind the concurrent loader: `__getitem__` split in two, and another loader class."""

from __future__ import annotations

import time

import torch
from torch.utils.data import DataLoader, Dataset

from concurrent_dataloader import DataLoader as DataLoaderParallel


class RemoteSamples(Dataset[tuple[torch.Tensor, int]]):
    """Samples that take 30 ms to arrive, as from object storage."""

    def __len__(self) -> int:
        return 256

    def fetch(self, index: int) -> bytes:  # waiting: many at once, in threads
        time.sleep(0.03)
        return bytes([index]) * 3072

    def process(self, index: int, raw: bytes) -> tuple[torch.Tensor, int]:  # work: one by one, in the sampler's order
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(3, 32, 32), index % 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:  # what torch's own loader calls
        return self.process(index, self.fetch(index))


if __name__ == "__main__":
    for loader in (DataLoader, DataLoaderParallel):
        started = time.perf_counter()
        samples = sum(len(labels) for _, labels in loader(RemoteSamples(), batch_size=32, num_workers=2, shuffle=True))
        print(f"{loader.__module__}: {samples} samples in {time.perf_counter() - started:.2f} s")
