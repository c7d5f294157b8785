"""gs://, az:// and https:// are read through obstore alone: listing must not start it, a fork after it must say so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from provider_environment import TOKEN

from benchmarking.endpoint import S3Endpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

TIME_LIMIT_S = 120.0  # seconds; importing torch, and once more to list, takes most of what a scenario needs
OBJECTS = {f"data/{name}/{number}.jpg": f"{name} {number}".encode() for name in ("ant", "cat") for number in range(8)}

# Each scenario runs in an interpreter of its own: whether obstore has been used is a fact of the whole process, and a
# child that hangs must not hang the tests. None guards its main module, as most scripts on Linux do not.
PREAMBLE = """
import asyncio, multiprocessing, sys, time
from concurrent_dataloader import DataLoader, ObjectDataset
from concurrent_dataloader._base.errors import ForkedClientError
from concurrent_dataloader.storage import ObjectOptions, ObstoreStore

url = sys.argv[1]

def made():
    return ObjectDataset.from_uri("gs://bucket/data", class_folders=True, endpoint_url=url, decoder=bytes)

def read(dataset, start_method="fork"):
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, multiprocessing_context=start_method, collate_fn=list, timeout=60
    )
    return [sample for batch in loader for sample in batch]

expected = [(f"{name} {number}".encode(), target) for target, name in enumerate(("ant", "cat")) for number in range(8)]
"""


@pytest.fixture(scope="module")
def google() -> Iterator[S3Endpoint]:
    """Google's XML interface is S3's as far as we use it."""
    with S3Endpoint(OBJECTS, bucket="bucket") as endpoint:
        yield endpoint


def run(scenario: str, google: S3Endpoint, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "AZURE_"))}
    environment |= {"GOOGLE_BEARER_TOKEN": TOKEN, "AZURE_STORAGE_TOKEN": TOKEN, "XDG_CACHE_HOME": str(folder)}
    script = folder / "scenario.py"
    script.write_text(PREAMBLE + scenario)
    done = subprocess.run(
        [sys.executable, str(script), google.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_workers_that_are_forked_after_the_parent_listed_read_the_data(google: S3Endpoint, tmp_path: Path) -> None:
    scenario = """
dataset = made()
assert "obstore" not in sys.modules
assert read(dataset) == expected
assert "obstore" not in sys.modules
"""
    run(scenario, google, tmp_path)


def test_workers_that_are_forked_after_the_parent_read_fail_at_once_and_name_the_remedy(
    google: S3Endpoint, tmp_path: Path
) -> None:
    scenario = """
dataset = made()
assert dataset[0] == expected[0]
start_s = time.monotonic()
try:
    read(dataset)
except ForkedClientError as error:
    assert "spawn" in str(error) and "gs://bucket/data/ant/" in str(error), error
else:
    raise AssertionError("a forked worker has read through its parent's obstore")
assert time.monotonic() - start_s < 30  # the loader's own time-out is 60 s: nothing has waited for it
"""
    run(scenario, google, tmp_path)


def test_every_call_of_every_store_refuses_in_a_forked_child_whose_parent_used_obstore(
    google: S3Endpoint, tmp_path: Path
) -> None:
    scenario = """
stores = [
    ObstoreStore(ObjectOptions("gs://bucket", url)),
    ObstoreStore(ObjectOptions("az://bucket", url, account_name="account")),
    ObstoreStore(ObjectOptions(url + "/bucket")),
]
assert stores[2].get("data/ant/0.jpg") == b"ant 0"

def child(answers):
    refused = 0
    for store in stores:
        calls = [
            lambda: store.get("k"),
            lambda: store.get_range("k", 0, 1),
            lambda: store.head("k"),
            lambda: store.put("k", b""),
            lambda: asyncio.run(store.aget("k")),
        ]
        if store.options.provider != "http":
            calls += [lambda: list(store.list()), lambda: store.list_prefixes()]
        for call in calls:
            try:
                call()
            except ForkedClientError:
                refused += 1
    answers.put((refused, len(made())))  # a listing has a process of its own, whose parent used nothing

context = multiprocessing.get_context("fork")
answers = context.SimpleQueue()
process = context.Process(target=child, args=(answers,))
process.start()
process.join(100)
assert process.exitcode == 0, process.exitcode
assert answers.get() == (7 + 7 + 5, len(expected))
"""
    run(scenario, google, tmp_path)


def test_spawned_workers_read_the_data_after_the_parent_read(google: S3Endpoint, tmp_path: Path) -> None:
    scenario = """
if __name__ == "__main__":
    dataset = made()
    assert dataset[0] == expected[0]
    assert read(dataset, "spawn") == expected
"""
    run(scenario, google, tmp_path)
