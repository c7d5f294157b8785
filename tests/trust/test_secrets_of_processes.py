"""No process that a loader starts shows a secret: not in its title, not in a thread's name, not in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_environment import isolate_aws

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataset.indexed_dataset import IndexedDataset
from concurrent_dataloader.storage import S3Options, S3Store, StaticCredentials

SECRETS = ("xyzzySECRET1", "xyzzyTOKEN22")  # short enough for a thread's name, which the kernel cuts at 15 bytes
KEYS = [f"key-{number}" for number in range(64)]
_MOST_BYTES = 1 << 24  # read of one open file


def children_of(pid: int) -> list[int]:
    """All processes below one."""
    try:
        below = [
            int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()
        ]
    except OSError:  # it has ended
        return []
    return below + [each for child in below for each in children_of(child)]


def shown_by(pid: int) -> Iterator[tuple[str, bytes]]:
    """What others see of a process, its environment apart, which is its user's own: titles and open files."""
    for path in (Path(f"/proc/{pid}/cmdline"), *Path(f"/proc/{pid}").glob("task/*/comm")):
        try:
            yield str(path), path.read_bytes()
        except OSError:
            continue
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if path.is_file() and not os.readlink(path).startswith("/memfd:"):  # in memory, without a name
                with path.open("rb") as file:
                    yield str(path), file.read(_MOST_BYTES)
        except OSError:
            continue


def places_of_secrets(folder: Path, pids: list[int]) -> list[str]:
    seen = [each for pid in pids for each in shown_by(pid)]
    seen += [(str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    return [place for place, content in seen if any(secret.encode() in content for secret in SECRETS)]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint({key: key.encode() for key in KEYS}, bucket="bucket") as endpoint:
        yield endpoint


def as_it_is(raw: bytes) -> bytes:
    return raw


def dataset(endpoint: S3Endpoint) -> IndexedDataset:
    options = S3Options("bucket", endpoint.url, fallback_credentials=StaticCredentials("key", *SECRETS))
    return IndexedDataset(S3Store(options), KEYS, decoder=as_it_is)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_no_worker_shows_a_secret_while_it_reads_with_it(
    endpoint: S3Endpoint, method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    isolate_aws(monkeypatch, tmp_path, credentials=False)
    endpoint.configure(session_token=SECRETS[1])  # whoever has not got the credentials reads nothing
    loader = DataLoader(
        dataset(endpoint), 4, num_workers=2, multiprocessing_context=method, collate_fn=list, batch_pool=1
    )
    batches = iter(loader)
    found = next(batches)
    processes = children_of(os.getpid())
    assert {worker.pid for worker in batches._workers} <= set(processes)  # type: ignore[attr-defined]
    assert places_of_secrets(tmp_path, [os.getpid(), *processes]) == []
    for batch in batches:
        found += batch
    assert found == [key.encode() for key in KEYS]
    assert places_of_secrets(tmp_path, []) == []


def test_the_look_for_secrets_finds_them_in_a_title_in_a_file_and_in_one_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "pickle").write_text(SECRETS[0])
    removed = (tmp_path / "removed").open("w+")
    removed.write(SECRETS[1])
    removed.flush()
    (tmp_path / "removed").unlink()
    with subprocess.Popen(
        [sys.executable, "-c", "input('?')", SECRETS[0]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[removed.fileno()],
    ) as process:
        # Popen returns when the child's exec has begun, which may be before the kernel knows its command line.
        assert process.stdout is not None
        assert process.stdout.read(1) == b"?"
        places = places_of_secrets(tmp_path, children_of(os.getpid()))
        process.communicate(b"\n")
    removed.close()
    expected = {str(tmp_path / "pickle"), f"/proc/{process.pid}/cmdline", f"/proc/{process.pid}/fd/{removed.name}"}
    assert {place for place in places if "/fd/" not in place} == {each for each in expected if "/fd/" not in each}
    assert any(place.startswith(f"/proc/{process.pid}/fd/") for place in places)
