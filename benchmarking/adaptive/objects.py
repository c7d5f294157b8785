"""The objects that are read, each of which tells its own number."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarking.bench.datasets import REGION
from benchmarking.bench.decode import decode_bytes
from concurrent_dataloader import S3Dataset

BUCKET = "adaptive"
KIB = 1024
SIZES = {"8kb": 8 * KIB, "110kb": 110 * KIB}
"""Bytes of an object, by the name of its kind."""
OBJECTS = 1024  # of each kind; a run reads them again and again
SAMPLES = 400_000  # 17 seconds at twice the rate that two cores reach
SEED = 0
NUMBER_BYTES = 8  # at the start of each body


def make_bodies(kind: str, objects: int = OBJECTS) -> dict[str, bytes]:
    """Returns random bytes by key, each with its number in its first bytes."""
    rng = np.random.default_rng(SEED)
    filling = rng.bytes(SIZES[kind] - NUMBER_BYTES)
    return {f"{kind}/{number:05d}.bin": number.to_bytes(NUMBER_BYTES, "little") + filling for number in range(objects)}


def make_dataset(bodies: dict[str, bytes], folder: Path, endpoint_url: str) -> S3Dataset:
    """Writes the index of the objects to a folder, and returns the dataset over it."""
    index = folder / "index.json"
    index.write_text(json.dumps(list(bodies)), encoding="utf-8")
    return S3Dataset(
        index, bucket_name=BUCKET, endpoint_url=endpoint_url, region_name=REGION, decoder=decode_bytes, use_cache=False
    )


def make_order(objects: int, seed: int) -> list[int]:
    """Returns more indices than are ever read in a run: one shuffled epoch after another."""
    draw = random.Random(seed)
    return [index for _ in range(SAMPLES // objects + 1) for index in draw.sample(range(objects), objects)]


class OrderCheck:
    """Compares what arrives with what the sampler has asked for, sample by sample.

    Args:
        order: The sampler's.
    """

    def __init__(self, order: Sequence[int]) -> None:
        self._expected = iter(order)
        self.wrong = 0
        """Samples that were not the ones whose turn it was: lost, doubled or out of order."""

    def look(self, batch: torch.Tensor) -> None:
        """Takes in the next batch, ``(batch, size) uint8``."""
        numbers = batch[:, :NUMBER_BYTES].contiguous().view(torch.int64).flatten().tolist()
        self.wrong += sum(number != next(self._expected) for number in numbers)
