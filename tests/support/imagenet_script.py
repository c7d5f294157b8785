"""Runs `examples/imagenet.py` on a tiny set: in this process, or as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagenet
import torch

from benchmarking.imagenet_like import make_imagenet_like

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "imagenet.py"
TIME_LIMIT_S = 200
SHORT = ("--image-size=32", "--batch-size=8", "--num-workers=1", "--print-freq=1", "--seed=3", "--lr=0.01")


def tiny_run(folder: Path) -> list[str]:
    """Makes 16 training and 6 validation pictures, and returns the arguments of a short run on them."""
    paths = make_imagenet_like(folder, train_images=16, val_images=6, size=(64, 48))
    return [
        "--dataset=scratch",
        f"--local-path={paths.bucket_folder}",
        f"--train-index-file={paths.train_index}",
        f"--train-classes-file={paths.train_classes}",
        f"--val-index-file={paths.val_index}",
        f"--val-classes-file={paths.val_classes}",
        *SHORT,
    ]


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """Returns what a run whose output folder this is saved last."""
    state: dict[str, Any] = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    return state


def trained(arguments: list[str], folder: Path) -> dict[str, Any]:
    """Trains in this process and returns the last checkpoint."""
    assert imagenet.main([*arguments, f"--output-base-folder={folder}"]) == 0
    return last_checkpoint(folder)


def environment() -> dict[str, str]:
    """Returns the environment in which the project is found also where it is not installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def run_python(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python to its end in a folder."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
