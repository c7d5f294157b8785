"""All loaders by name, in the order of reports."""

from __future__ import annotations

from benchmarking.bench.loaders.limits import ClientAlone
from benchmarking.bench.loaders.ours import OurLoader
from benchmarking.bench.loaders.peers import LitData, S3TorchConnector, Spdl, TorchdataNodes
from benchmarking.bench.loaders.protocol import Knobs, LoaderAdapter
from benchmarking.bench.loaders.torch_loaders import ThreadPoolLoader, TorchLoader

BASELINE_SOURCE = "boto3"  # with the largest number of torch's workers: what most people have today


def make_loaders(knobs: Knobs) -> dict[str, LoaderAdapter]:
    """Returns the loaders of ``make bench``."""
    workers, fetches, pool = knobs.workers, knobs.fetch_workers, knobs.batch_pool
    loaders: list[LoaderAdapter] = [
        *(TorchLoader("boto3", count) for count in knobs.torch_workers),
        *(TorchLoader("obstore", count) for count in knobs.torch_workers),
        ThreadPoolLoader(workers, fetches),
        OurLoader("ours-threaded", "s3", workers, fetches, pool),
        OurLoader("ours-asyncio", "s3", workers, fetches, pool, fetch_impl="asyncio"),
        OurLoader("ours-bare", "s3", workers, fetches, pool, bare=True),
        TorchLoader("disk", workers),
        OurLoader("ours-disk", "disk", workers, knobs.disk_fetch_workers, None),
        TorchLoader("memory", workers),
        ClientAlone(workers, fetches),
    ]
    return {loader.name: loader for loader in loaders}


def make_peers(knobs: Knobs) -> dict[str, LoaderAdapter]:
    """Returns the loaders that ``make bench-peers`` adds, installed or not."""
    in_flight = knobs.workers * knobs.fetch_workers
    loaders: list[LoaderAdapter] = [
        LitData(knobs.workers, knobs.fetch_workers),
        Spdl(in_flight),
        TorchdataNodes(in_flight),
        *(S3TorchConnector(count) for count in knobs.torch_workers),
    ]
    return {loader.name: loader for loader in loaders}


def baselines(knobs: Knobs) -> tuple[str, str]:
    """Returns the two loaders that all others are compared with: torch on S3, and torch on local disk."""
    return (
        TorchLoader("boto3", max(knobs.torch_workers)).name,
        TorchLoader("disk", knobs.workers).name,
    )
