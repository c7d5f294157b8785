"""A dataset of your own behind the concurrent loader: one import changed, one argument added."""

from __future__ import annotations

import time

import torch
from torch.utils.data import Dataset

from concurrent_dataloader import DataLoader  # was: from torch.utils.data import DataLoader


class RemoteSamples(Dataset[tuple[torch.Tensor, int]]):
    """Samples that take 50 ms to arrive, as from object storage; put your own reading into `__getitem__`."""

    def __len__(self) -> int:
        return 512

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        time.sleep(0.05)
        return torch.full((3, 32, 32), float(index)), index % 10


if __name__ == "__main__":
    # num_fetch_workers: samples that each worker reads at once. Torch's loader reads one, and needs 13 s for these.
    loader = DataLoader(RemoteSamples(), batch_size=64, shuffle=True, num_workers=2, num_fetch_workers=64)
    started = time.perf_counter()
    samples = sum(len(labels) for _, labels in loader)
    print(f"{samples} samples in {time.perf_counter() - started:.2f} s")
