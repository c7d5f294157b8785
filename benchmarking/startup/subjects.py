"""What is timed, each in a process of its own. Imports only what every torch worker imports: spawn imports it, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

BATCH_SIZE = 64
WORKERS = 2


@dataclass(frozen=True)
class Order:
    """What one process is to time; plain values, so that it goes there as JSON.

    Attributes:
        subject: A name in `SUBJECTS`.
        start_method: ``"fork"``, ``"spawn"`` or ``"forkserver"``.
        kind: Name of the kind of objects.
        folder: Where the objects lie on local disk.
        index_file: The JSON list of their keys.
        bucket: The endpoint's bucket.
        endpoint_url: The endpoint.
        num_fetch_workers: For our loader.
    """

    subject: str
    start_method: str
    kind: str
    folder: str
    index_file: str
    bucket: str
    endpoint_url: str
    num_fetch_workers: int | str = "auto"


def decode_bytes(body: bytes) -> torch.Tensor:
    """Returns the bytes as ``(size,) uint8``; without the imports that the benchmarks' own decoder makes."""
    return torch.frombuffer(bytearray(body), dtype=torch.uint8)


def decoding(kind: str) -> dict[str, Any]:
    """Returns the decoder, or the transform, of a dataset of such objects."""
    if kind == "8kb":
        return {"decoder": decode_bytes}
    from benchmarking.bench.decode import IMAGE_TRANSFORM

    return {"transform": IMAGE_TRANSFORM}


class Instant(Dataset[torch.Tensor]):
    """A dataset that returns at once, and carries what a dataset of ours carries for its user: transform or decoder.

    Under spawn and forkserver the worker imports torchvision for these; that is the user's, and not the loader's.
    """

    def __init__(self, kind: str, samples: int) -> None:
        self._decoding = decoding(kind)
        self._samples = samples

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.zeros(1)


def make_dataset(order: Order) -> Any:
    """Returns our dataset over the endpoint's objects, with its defaults."""
    from concurrent_dataloader import S3Dataset

    return S3Dataset(
        order.index_file,
        bucket_name=order.bucket,
        endpoint_url=order.endpoint_url,
        region_name="us-east-1",
        **decoding(order.kind),
    )


def ours(order: Order) -> Any:
    """Returns our loader over the endpoint's objects."""
    from concurrent_dataloader import DataLoader

    workers: Any = order.num_fetch_workers
    return DataLoader(
        make_dataset(order),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=WORKERS,
        multiprocessing_context=order.start_method,
        num_fetch_workers=workers,
    )


def torchs(order: Order) -> Any:
    """Returns torch's own loader over samples that are there at once: its first batch is the workers' start."""
    return torch.utils.data.DataLoader(
        Instant(order.kind, BATCH_SIZE * WORKERS * 4),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=WORKERS,
        multiprocessing_context=order.start_method,
    )


OURS, TORCHS, PARTS = "ours", "torch's, samples at once", "round trip and processing"
LOADERS: dict[str, Callable[[Order], Any]] = {OURS: ours, TORCHS: torchs}
