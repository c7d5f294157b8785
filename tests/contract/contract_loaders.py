"""The loaders on which torch's documented behaviour is checked, torch's own first, and what those checks share."""

from __future__ import annotations

import functools

import pytest
import torch

from concurrent_dataloader import DataLoader

LOADERS = {
    "torch": torch.utils.data.DataLoader,
    "ours": DataLoader,
    "ours, 8 threads": functools.partial(DataLoader, num_fetch_workers=8),
    "ours, 8 tasks": functools.partial(DataLoader, num_fetch_workers=8, fetch_impl="asyncio"),
}
workers_0_and_2 = pytest.mark.parametrize("workers", [0, 2])


def indices(batches):
    """Returns the sample indices of each batch of a `TwoPhase` dataset."""
    return [batch["index"].tolist() for batch in batches]
