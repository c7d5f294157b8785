"""Every loader of the benchmark hands on the same samples: the right bodies, decoded, in the workload's order."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import (
    CLIENT_ALONE,
    LITDATA,
    PACKAGES,
    SPDL,
    SPDL_ORDERED,
    STANDARD,
    TORCH_BOTO3_16,
    TORCH_OBSTORE_8,
    TORCH_OBSTORE_16,
    TORCHDATA_NODES,
    make_loaders,
    missing_package,
)
from benchmarking.bench.machine import PACKAGES as RECORDED
from benchmarking.bench.objects import make_objects
from benchmarking.bench.workloads import BUCKET, KINDS, Workload
from benchmarking.endpoint import S3Endpoint

KNOBS = Knobs(workers=2, fetch_workers=4, batch_pool=2)
SAME_WITH_MORE_WORKERS = {TORCH_BOTO3_16, TORCH_OBSTORE_8, TORCH_OBSTORE_16}
READERS = [
    name
    for name in make_loaders(KNOBS)
    if name not in SAME_WITH_MORE_WORKERS and name != CLIENT_ALONE  # which drops what it reads
]
THREADED = (SPDL, SPDL_ORDERED, TORCHDATA_NODES)  # they use obstore in the main process: no fork survives that

# One process reads with all loaders, since importing torch takes longer than all of them.
READ_ALL = """
import json, sys, traceback
from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import make_loaders
from benchmarking.bench.workloads import Workload

def sums(loader, workload):
    return [[sample.double().sum().item() for sample in batch] for batch in loader.build(workload)]

if __name__ == "__main__":
    names, knobs, workloads = json.load(sys.stdin)
    loaders = make_loaders(Knobs(**knobs))
    found = {}
    for name in names:
        try:
            found[name] = {each["kind"]: sums(loaders[name], Workload(**each)) for each in workloads}
        except Exception:
            found[name] = traceback.format_exc()
    print(json.dumps(found))
"""


@dataclasses.dataclass(frozen=True)
class Read:
    """What the loaders read: by name and kind of objects the sum of each sample, batch by batch; or why they failed."""

    folder: Path
    workloads: dict[str, Workload]
    sums: dict[str, Any]

    def by(self, loader: str, kind: str) -> list[list[float]]:
        if missing_package(loader):
            pytest.skip(f"{missing_package(loader)} is not installed")
        assert isinstance(self.sums[loader], dict), self.sums[loader]
        found: list[list[float]] = self.sums[loader][kind]
        return found


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("bench") / "objects"
    for kind in ("8kb", "jpeg"):
        make_objects(KINDS[kind], folder)
    with S3Endpoint(folder, bucket=BUCKET) as endpoint:
        workloads = {
            kind: Workload(kind, 0.0, 8, samples, 3, str(folder), endpoint.url)
            for kind, samples in (("8kb", 96), ("jpeg", 16))
        }
        names = sorted((name for name in READERS if not missing_package(name)), key=THREADED.__contains__)
        order = [names, dataclasses.asdict(KNOBS), [dataclasses.asdict(each) for each in workloads.values()]]
        done = subprocess.run(
            [sys.executable, "-c", READ_ALL],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            env={**os.environ, **AWS_ENVIRONMENT},
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return Read(folder, workloads, json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("loader", READERS)
def test_a_loader_hands_on_the_bodies_in_the_workloads_order(read: Read, loader: str) -> None:
    batches = read.by(loader, "8kb")
    assert [len(batch) for batch in batches] == [8] * 12
    found = [value for batch in batches for value in batch]
    keys, order = read.workloads["8kb"].keys, read.workloads["8kb"].order()
    expected = [float(sum((read.folder / keys[index]).read_bytes())) for index in order]
    if loader == SPDL:  # it hands on what comes first
        found, expected = sorted(found), sorted(expected)
    assert found == expected


@pytest.mark.parametrize("loader", READERS)
def test_a_loader_decodes_pictures_as_torchs_loader_does(read: Read, loader: str) -> None:
    found, expected = (sorted(sum(read.by(name, "jpeg"), [])) for name in (loader, "torch-disk"))
    assert len(found) == 16
    assert found == pytest.approx(expected)


def test_every_peer_is_recorded_with_its_version() -> None:
    assert set(PACKAGES.values()) <= set(RECORDED)


def test_only_a_peers_package_can_be_missing() -> None:
    assert [name for name in STANDARD if missing_package(name)] == []
    assert missing_package(LITDATA) in ("litdata", None)
