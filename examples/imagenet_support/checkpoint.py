"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from imagenet_support.files import UserError

LAST = "last.pt"
BEST = "model_best.pt"
ENTRIES = {
    "arch",
    "num_classes",
    "class_id_base",
    "epoch",
    "best_top1",
    "model",
    "optimizer",
    "random_states",
}


def make_folder(folder: Path) -> None:
    """Makes the folder for checkpoints, before hours of training and not after them.

    Raises:
        UserError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output-base-folder: {folder} cannot be made ({error.strerror})") from error


def save_checkpoint(folder: Path, state: dict[str, Any], is_best: bool) -> None:
    """Writes `LAST`, and `BEST` too where this epoch is the best; each file is replaced whole or not at all.

    Args:
        folder: Where they go; there already.
        state: `ENTRIES` and their values: tensors and plain values.
        is_best: Whether no epoch before was better.
    """
    part = folder / f"{LAST}.part"
    torch.save(state, part)
    os.replace(part, folder / LAST)
    if is_best:
        shutil.copyfile(folder / LAST, part)
        os.replace(part, folder / BEST)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns what `save_checkpoint` wrote, in CPU memory.

    The file can hold tensors and plain values only: loading one from a stranger runs none of its code.

    Raises:
        UserError: It is no checkpoint of this script.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises whatever strange bytes lead it to
        raise UserError(f"{path} is no checkpoint that can be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.keys() != ENTRIES:
        raise UserError(f"{path} is no checkpoint of this script: expected the entries {', '.join(sorted(ENTRIES))}")
    return state


def random_state() -> dict[str, Any]:
    """Returns the state of every generator that training draws from, in plain values and tensors."""
    name, keys, *rest = cast(tuple[Any, ...], np.random.get_state(legacy=True))
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
