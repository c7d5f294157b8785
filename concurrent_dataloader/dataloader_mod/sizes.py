"""What fetched values and batches take in memory, in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


def size_of(value: Any) -> int:
    """Returns the bytes of what was fetched; 0 for what has no size."""
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return len(value)
        return int(getattr(value, "nbytes", 0))
    except Exception:  # noqa: BLE001 - sparse tensors refuse, storages have a method of that name, users what they like
        return 0


def bytes_of(batch: Any) -> int:
    """Returns the bytes of the tensors in a batch, as torch's collate function nests them."""
    if isinstance(batch, torch.Tensor):  # some are sequences, too
        return size_of(batch)
    if isinstance(batch, Mapping):
        return sum(map(bytes_of, batch.values()))
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        return sum(map(bytes_of, batch))
    return size_of(batch)
