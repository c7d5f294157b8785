"""obstore's runtime does not survive a fork: workers of a parent that used it must notice, and never hang."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_s3_server import BODY, RawS3Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

TIME_LIMIT_S = 60.0  # seconds; importing torch takes most of what a scenario needs

# Each scenario runs in an interpreter of its own: whether obstore has been used is a fact of the whole process, and a
# child that hangs must not hang the tests.
PREAMBLE = """
import multiprocessing, sys
from concurrent_dataloader.storage import S3Options, S3Store, obstore_process

store = S3Store(S3Options("bucket", sys.argv[1]))
context = multiprocessing.get_context("fork")

def child(store, answers):
    answers.put((store.get("a"), store.get("b"), obstore_process.usable()))

def read_in_child():
    answers = context.SimpleQueue()
    process = context.Process(target=child, args=(store, answers))
    process.start()
    body, other, usable = answers.get()
    process.join()
    assert body == other and len(body) == 100
    return usable
"""

LOADER = """
from torch.utils.data import Dataset
from concurrent_dataloader import DataLoader

class Objects(Dataset):
    def __init__(self, store): self.store = store
    def __len__(self): return 8
    def fetch(self, index): return self.store.get(f"key-{index}")
    def process(self, index, raw): return index, len(raw)
    def __getitem__(self, index): return self.process(index, self.fetch(index))

def read_in_workers():
    loader = DataLoader(Objects(store), batch_size=4, num_workers=1, multiprocessing_context="fork")
    return [[part.tolist() for part in batch] for batch in loader]

expected = [[[0, 1, 2, 3], [100] * 4], [[4, 5, 6, 7], [100] * 4]]
"""


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


def said_by(scenario: str, server: RawS3Server, folder: Path) -> str:
    """Returns what the scenario's processes wrote on stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ACCESS_KEY_ID": "dummy-access-key",
        "AWS_SECRET_ACCESS_KEY": "dummy-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + scenario, server.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def clients_of(server: RawS3Server) -> list[str]:
    """Returns which client sent each GET, by its user agent."""
    agents = [headers.get("User-Agent", headers.get("user-agent", "")) for _, _, headers in server.seen]
    return ["boto3" if "otocore" in agent else "obstore" for agent in agents]


def test_a_child_forked_after_its_parent_used_obstore_reads_through_boto3_and_says_so_once(
    server: RawS3Server, tmp_path: Path
) -> None:
    said = said_by(f"assert store.get('key') == {BODY!r}\nassert not read_in_child()", server, tmp_path)
    assert said.count("does not survive a fork") == 1
    assert clients_of(server) == ["obstore", "boto3", "boto3"]


def test_a_child_forked_after_somebody_else_used_obstore_reads_through_boto3(
    server: RawS3Server, tmp_path: Path
) -> None:
    foreign = """
import obstore
from obstore.store import S3Store as Foreign
obstore.get(Foreign("bucket", endpoint=sys.argv[1], region="r", client_options={"allow_http": True}), "key").bytes()
assert not read_in_child()
"""
    said = said_by(foreign, server, tmp_path)
    assert said.count("does not survive a fork") == 1


def test_the_loaders_workers_read_the_same_data_after_the_parent_used_obstore(
    server: RawS3Server, tmp_path: Path
) -> None:
    said = said_by(f"{LOADER}\nstore.get('key')\nassert read_in_workers() == expected", server, tmp_path)
    assert said.count("does not survive a fork") == 1
    assert clients_of(server) == ["obstore"] + ["boto3"] * 8


def test_a_parent_that_only_resolved_credentials_listed_and_asked_leaves_obstore_to_its_workers(
    server: RawS3Server, tmp_path: Path
) -> None:
    answer = b"<ListBucketResult></ListBucketResult>"
    server.plan(lambda request: request.answer(200, answer))
    scenario = """
assert list(store.list()) == []
assert store.head("key").size_bytes == 100
store.get("/leading.bin")
assert "obstore" not in sys.modules
assert read_in_workers() == expected
store.get("key")
"""
    said = said_by(LOADER + scenario, server, tmp_path)
    assert "fork" not in said
    assert clients_of(server) == ["boto3"] * 3 + ["obstore"] * 9
