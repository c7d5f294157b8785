"""All loaders by name, in the order of reports; and what has to be installed for the peers among them."""

from __future__ import annotations

import importlib.util

from benchmarking.bench.loaders.limits import ClientAlone
from benchmarking.bench.loaders.litdata_raw import LitDataLoader
from benchmarking.bench.loaders.ours import OurLoader
from benchmarking.bench.loaders.protocol import Knobs, LoaderAdapter
from benchmarking.bench.loaders.s3_connector import S3ConnectorLoader
from benchmarking.bench.loaders.spdl_pipeline import SpdlLoader
from benchmarking.bench.loaders.torch_loaders import ThreadPoolLoader, TorchLoader
from benchmarking.bench.loaders.torchdata_nodes import TorchdataNodesLoader

# With a loader that reads one object at a time, more processes are all that a user can add; the names carry them.
TORCH_BOTO3, TORCH_BOTO3_16 = "torch-boto3-8", "torch-boto3-16"
TORCH_OBSTORE, TORCH_OBSTORE_8, TORCH_OBSTORE_16 = "torch-obstore-2", "torch-obstore-8", "torch-obstore-16"
OTHER_WORKERS = {TORCH_BOTO3_16: TORCH_BOTO3, TORCH_OBSTORE: TORCH_OBSTORE_8, TORCH_OBSTORE_16: TORCH_OBSTORE_8}
"""Loaders that differ from another one in their workers alone."""

S3_CONNECTOR = "s3torchconnector-8"
LITDATA, LITDATA_HEDGED, SPDL, SPDL_ORDERED = "litdata", "litdata-hedged", "spdl", "spdl-ordered"
TORCHDATA_NODES, THREADPOOL, TORCH_DISK = "torchdata-nodes", "threadpool", "torch-disk"
OURS, OURS_DEFAULT, OURS_ASYNCIO, OURS_DISK = "ours-threaded", "ours-default", "ours-asyncio", "ours-disk"
CLIENT_ALONE = "client-alone"

STANDARD = (TORCH_BOTO3, TORCH_OBSTORE, THREADPOOL, OURS, OURS_ASYNCIO, CLIENT_ALONE, TORCH_DISK, OURS_DISK)
"""The loaders of ``make bench``."""

ANY_WORKERS = (OURS, OURS_DEFAULT, OURS_ASYNCIO, TORCH_DISK, OURS_DISK)
"""Those that may also read in the caller's process, with no worker: the others' numbers are in their names, or part of
what they are."""

PACKAGES = {
    S3_CONNECTOR: "s3torchconnector",
    LITDATA: "litdata",
    LITDATA_HEDGED: "litdata",
    SPDL: "spdl",
    SPDL_ORDERED: "spdl",
    TORCHDATA_NODES: "torchdata",
}
"""The package that a loader needs beside this project's own."""

HEDGE_DELAY_S = 0.1  # for litData: well above the 30 ms of the workload with a slow tail, well below its second


def make_loaders(knobs: Knobs) -> dict[str, LoaderAdapter]:
    """Returns all loaders, also those whose package is not installed: that is imported only to read."""
    workers, fetches, pool = knobs.workers, knobs.fetch_workers, knobs.batch_pool
    loaders: list[LoaderAdapter] = [
        TorchLoader(TORCH_BOTO3, "boto3", 8),
        TorchLoader(TORCH_BOTO3_16, "boto3", 16),
        TorchLoader(TORCH_OBSTORE, "obstore", 2),
        TorchLoader(TORCH_OBSTORE_8, "obstore", 8),
        TorchLoader(TORCH_OBSTORE_16, "obstore", 16),
        S3ConnectorLoader(S3_CONNECTOR, 8),
        ThreadPoolLoader(THREADPOOL, workers, fetches),
        LitDataLoader(LITDATA, workers, fetches),
        LitDataLoader(LITDATA_HEDGED, workers, fetches, HEDGE_DELAY_S),
        SpdlLoader(SPDL, fetches, workers, "completion"),
        SpdlLoader(SPDL_ORDERED, fetches, workers, "input"),
        TorchdataNodesLoader(TORCHDATA_NODES, workers * fetches),
        OurLoader(OURS, "s3", workers, fetches, pool),
        OurLoader(OURS_DEFAULT, "s3", workers, None, None),
        OurLoader(OURS_ASYNCIO, "s3", workers, fetches, pool, fetch_impl="asyncio"),
        ClientAlone(CLIENT_ALONE, workers, fetches),
        TorchLoader(TORCH_DISK, "disk", workers),
        OurLoader(OURS_DISK, "disk", workers, None, None),
    ]
    return {loader.name: loader for loader in loaders}


def missing_package(name: str) -> str | None:
    """Returns the package that a loader needs and that is not installed; None: it can run."""
    package = PACKAGES.get(name)
    return None if package is None or importlib.util.find_spec(package) else package
