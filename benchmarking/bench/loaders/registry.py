"""All loaders by name, in the order of reports."""

from __future__ import annotations

from benchmarking.bench.loaders.limits import ClientAlone
from benchmarking.bench.loaders.ours import OurLoader
from benchmarking.bench.loaders.protocol import Knobs, LoaderAdapter
from benchmarking.bench.loaders.torch_loaders import ThreadPoolLoader, TorchLoader

TORCH_BOTO3_WORKERS = 8  # with boto3 more processes are all that a user of torch's loader can add
TORCH_BOTO3, TORCH_OBSTORE, TORCH_DISK = "torch-boto3", "torch-obstore", "torch-disk"
THREADPOOL, OURS, OURS_ASYNCIO, OURS_DISK = "threadpool", "ours-threaded", "ours-asyncio", "ours-disk"
CLIENT_ALONE = "client-alone"


def make_loaders(knobs: Knobs) -> dict[str, LoaderAdapter]:
    """Returns the loaders of ``make bench``."""
    workers, fetches, pool = knobs.workers, knobs.fetch_workers, knobs.batch_pool
    loaders: list[LoaderAdapter] = [
        TorchLoader(TORCH_BOTO3, "boto3", TORCH_BOTO3_WORKERS),
        TorchLoader(TORCH_OBSTORE, "obstore", workers),
        ThreadPoolLoader(THREADPOOL, workers, fetches),
        OurLoader(OURS, "s3", workers, fetches, pool),
        OurLoader(OURS_ASYNCIO, "s3", workers, fetches, pool, fetch_impl="asyncio"),
        ClientAlone(CLIENT_ALONE, workers, fetches),
        TorchLoader(TORCH_DISK, "disk", workers),
        OurLoader(OURS_DISK, "disk", workers, None, None),
    ]
    return {loader.name: loader for loader in loaders}
