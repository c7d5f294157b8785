"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

LAST = "last.pt"
BEST = "model_best.pt"


def save_checkpoint(folder: Path, state: dict[str, Any], is_best: bool) -> None:
    """Writes `LAST`, and `BEST` too where this epoch is the best; each file is replaced whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{LAST}.part"
    torch.save(state, part)
    os.replace(part, folder / LAST)
    if is_best:
        shutil.copyfile(folder / LAST, part)
        os.replace(part, folder / BEST)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns what `save_checkpoint` wrote, in CPU memory.

    The file can hold tensors and plain values only: loading one from a stranger runs none of its code.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def random_state() -> dict[str, Any]:
    """Returns the state of every generator that training draws from, in plain values and tensors."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Sets every generator back to what `random_state` saw."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
