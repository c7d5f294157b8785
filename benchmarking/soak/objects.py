"""The objects of a soak run, each of which tells by its bytes which one it is, and the dataset over them."""

from __future__ import annotations

import random
import zlib

import torch

from concurrent_dataloader.dataset.indexed_dataset import IndexedDataset
from concurrent_dataloader.storage import S3Options, S3Store
from concurrent_dataloader.storage.options import ClientName

BUCKET = "soak"
MISSING_EVERY = 61  # of so many keys one has no object: samples that fail in every epoch
REQUESTS_S = 2.5  # deadline of a request in seconds: short, so that faults are met often and to the end
_NUMBER_BYTES = 4
_SIZES_BYTES = (64, 4_000, 20_000, 90_000)


def make_objects(count: int, seed: int) -> tuple[list[str], dict[str, bytes]]:
    """Returns the keys of the dataset, and the bodies of those that exist."""
    draw = random.Random(seed)
    keys = [f"part-{number % 7}/object-{number}.bin" for number in range(count)]
    bodies = {
        key: number.to_bytes(_NUMBER_BYTES, "big") + draw.randbytes(draw.choice(_SIZES_BYTES))
        for number, key in enumerate(keys)
        if number % MISSING_EVERY != MISSING_EVERY - 1
    }
    return keys, bodies


def fingerprint(body: bytes) -> torch.Tensor:
    """Returns what a sample shows of its object: its number, and the checksum of all its bytes; ``(2,) int64``."""
    return torch.tensor([int.from_bytes(body[:_NUMBER_BYTES], "big"), zlib.crc32(body)])


def make_dataset(url: str, keys: list[str], client: ClientName) -> IndexedDataset:
    """Returns a fresh dataset, with a client of its own and no patience."""
    options = S3Options(
        BUCKET,
        url,
        region_name="us-east-1",  # any will do: the endpoint verifies no signature
        client=client,
        unsigned=True,
        connect_timeout_s=1.0,
        read_timeout_s=0.7,
        deadline_s=REQUESTS_S,
        max_attempts=5,
    )
    return IndexedDataset(S3Store(options), keys, decoder=fingerprint)
