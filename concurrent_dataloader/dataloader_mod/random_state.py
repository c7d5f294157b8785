"""Notices when a plain dataset draws random numbers while several of its samples are made at once."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import torch

Snapshot = tuple[torch.Tensor, tuple[Any, ...], dict[str, Any]]

MESSAGE = (
    "The dataset draws random numbers while several of its samples are made at once: samples, order and batches are "
    "right, but which sample gets which random numbers is not reproducible. Give the dataset a fetch(index) for its "
    "I/O and a process(index, raw) for everything random, and the batches are bit-identical to torch's; or set "
    "num_fetch_workers=1."
)


class RandomStateWarning(UserWarning):
    """Random augmentations of a plain dataset share the process's generators between fetch threads."""


def warn_of_shared_generators() -> None:
    """Says once per loader what the user sees as irreproducible augmentations, and the remedy."""
    warnings.warn(MESSAGE, RandomStateWarning, stacklevel=2)


class RandomStateWatch:
    """Compares the process's generators (torch's, ``random``'s and NumPy's) before and after a wait for samples.

    The thread that waits draws nothing meanwhile, so a generator that moved was moved by the pool.
    """

    def __init__(self) -> None:
        self._before: Snapshot | None = None

    def begin(self) -> None:
        """To be called before a wait; does nothing while one is under way."""
        if self._before is None:
            self._before = _snapshot()

    def end(self) -> bool:
        """To be called after a wait: whether a generator has moved since it began."""
        before, self._before = self._before, None
        return before is not None and not _equal(before, _snapshot())


def _snapshot() -> Snapshot:
    numpy_state = np.random.get_state(legacy=False)
    assert isinstance(numpy_state, dict)
    return torch.get_rng_state(), random.getstate(), numpy_state


def _equal(one: Snapshot, other: Snapshot) -> bool:
    return (
        torch.equal(one[0], other[0])
        and one[1] == other[1]
        and one[2]["state"]["pos"] == other[2]["state"]["pos"]
        and np.array_equal(one[2]["state"]["key"], other[2]["state"]["key"])
    )
