"""Every fault of the endpoint, with every client, in threads and on an event loop: each byte right, or the typed error.

`test_s3_faults.py` says what an error's message holds; here it is the faults that are complete.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from aws_environment import isolate_aws

from benchmarking.endpoint import Fault, S3Endpoint
from concurrent_dataloader._base.errors import (
    AccessDenied,
    IncompleteBody,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
)
from concurrent_dataloader.storage import S3Options, S3Store

BODY = os.urandom(100_000)
SPAN = (1_000, 90_000)
READS = {  # the client, its call, and what comes back
    "obstore-get": BODY,
    "obstore-aget": BODY,
    "obstore-range": BODY[slice(*SPAN)],
    "boto3-get": BODY,
    "boto3-aget": BODY,
    "boto3-range": BODY[slice(*SPAN)],
    "aiobotocore-aget": BODY,
}
LIMITS: dict[str, Any] = {"connect_timeout_s": 0.5, "read_timeout_s": 0.25, "deadline_s": 2.0}
# For what is answered, not waited for: a busy machine may take longer than a quarter of a second to answer.
PATIENT: dict[str, Any] = {"connect_timeout_s": 5.0, "read_timeout_s": 5.0, "deadline_s": 20.0}
# What must be waited out before the next attempt: a silence by the read time-out, a drip by its half of the deadline.
WAITED_OUT: dict[str, dict[str, Any]] = {
    "stuck before the header": PATIENT | {"read_timeout_s": 0.25, "max_attempts": 10},
    "stuck in the body": PATIENT | {"read_timeout_s": 0.25, "max_attempts": 10},
    "drip": PATIENT | {"deadline_s": 6.0},
}
BUSY_S = 5.0  # what this machine, with other work to do, may add to a deadline that was kept

FAULTS = {
    "503": Fault("status", status=503),
    "503 asking for a second": Fault("status", status=503, retry_after_s=1),
    "429": Fault("status", status=429),
    "429 asking for a second": Fault("status", status=429, retry_after_s=1),
    "500": Fault("status", status=500),
    "reset before the header": Fault("reset"),
    "reset before the body": Fault("reset", at_byte=0),
    "reset at the first byte": Fault("reset", at_byte=1),
    "reset in the middle": Fault("reset", at_byte=50_000),
    "short by one": Fault("short", missing_bytes=1),
    "short by most": Fault("short", missing_bytes=80_000),
    "stuck before the header": Fault("stuck"),
    "stuck in the body": Fault("stuck", at_byte=50_000),
    "drip": Fault("drip", bytes_per_s=10_000),
    "403": Fault("status", status=403),
    "404": Fault("status", status=404),
    "expired token": Fault("status", status=400),
    "long by one": Fault("long", surplus_bytes=1),
    "long by many": Fault("long", surplus_bytes=200_000),
    "a tenth of a second late": Fault("delay", delay_s=0.1),
}
ERRORS = {
    "503": StorageError,
    "429": StorageError,
    "500": StorageError,
    "reset before the header": StorageError,
    "reset before the body": IncompleteBody,
    "reset in the middle": IncompleteBody,
    "short by one": IncompleteBody,
    "short by most": IncompleteBody,
    "stuck before the header": StorageTimeout,
    "stuck in the body": StorageTimeout,
    "drip": StorageTimeout,
    "403": AccessDenied,
    "404": ObjectNotFound,
    "expired token": AccessDenied,
}
AT_ONCE = {"403", "404", "expired token"}
HARMLESS = ["long by one", "long by many", "a tenth of a second late"]
# On a reset, the kernel drops what has arrived and was not read yet: the header with it, or not.
EITHER = {"reset before the body", "reset in the middle"}


def key_of(fault: str, outcome: str, read: str) -> str:
    return f"{outcome}/{fault}/{read}"


def scripted() -> list[Fault]:
    """Each case has a key of its own, so that one script serves them all."""
    faults = [replace(each, key=f"once/{name}/*", attempts=(1,)) for name, each in FAULTS.items()]
    faults += [replace(each, key=f"always/{name}/*") for name, each in FAULTS.items()]
    warming = Fault("status", status=503, key="warm/*", attempts=(1, 3, 5, 7))
    return [*faults, warming, Fault("status", status=503, key="burst/*", attempts=(1, 2, 3, 4))]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[S3Endpoint]:
    cases = itertools.product(FAULTS, ("once", "always"), READS)
    keys = [key_of(*case) for case in cases] + [key_of("503", how, read) for how in ("burst", "warm") for read in READS]
    with S3Endpoint(dict.fromkeys(keys, BODY), bucket="bucket", faults=scripted()) as endpoint:
        yield endpoint


class Readers:
    """Reads through each client, all at once; stores and loop are kept, since each takes its time to make."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stores: dict[str, S3Store] = {}

    def read(self, read: str, key: str, **changes: Any) -> bytes:
        client, call = read.split("-")
        options: dict[str, Any] = LIMITS | {"max_attempts": 4, "client": client} | changes
        name = f"{read} {options}"
        if name not in self._stores:
            self._stores[name] = S3Store(S3Options("bucket", self._url, **options))
        store = self._stores[name]
        if call == "aget":
            return asyncio.run_coroutine_threadsafe(store.aget(key), self._loop).result()
        return store.get(key) if call == "get" else store.get_range(key, *SPAN)

    def __call__(self, key_for: Callable[[str], str], **changes: Any) -> dict[str, tuple[bytes | Exception, float]]:
        """Returns by read what came back and the seconds that it took."""

        def timed(read: str) -> tuple[bytes | Exception, float]:
            start_s = time.monotonic()
            try:
                result: bytes | Exception = self.read(read, key_for(read), **changes)
            except Exception as error:
                result = error
            return result, time.monotonic() - start_s

        with ThreadPoolExecutor(len(READS)) as pool:
            return dict(zip(READS, pool.map(timed, READS), strict=True))

    def close(self) -> None:
        for store in self._stores.values():
            asyncio.run_coroutine_threadsafe(store.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module", autouse=True)
def _aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate_aws(monkeypatch, tmp_path_factory.mktemp("aws"))
        yield


@pytest.fixture(scope="module")
def readers(endpoint: S3Endpoint) -> Iterator[Readers]:
    made = Readers(endpoint.url)
    for limits in (LIMITS, PATIENT, *WAITED_OUT.values()):
        for _ in range(2):  # each store makes its clients for first and for later attempts: at their leisure
            made(lambda read: key_of("503", "warm", read), **limits)
    yield made
    made.close()


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in AT_ONCE])
def test_a_fault_that_passes_costs_no_byte(readers: Readers, fault: str) -> None:
    limits = WAITED_OUT.get(fault, PATIENT)
    results = readers(lambda read: key_of(fault, "once", read), **limits)
    for read, (result, elapsed_s) in results.items():
        assert result == READS[read], read
        assert elapsed_s < limits["deadline_s"] + BUSY_S, read
        if "asking" in fault and not read.startswith("obstore"):  # it shows no headers of an answer that failed
            assert elapsed_s >= 0.9, read


def test_a_burst_of_refusals_costs_no_byte(readers: Readers) -> None:
    results = readers(lambda read: key_of("503", "burst", read), **PATIENT | {"max_attempts": 10})
    assert {read: result for read, (result, _) in results.items()} == READS


@pytest.mark.parametrize("fault", ERRORS)
def test_a_fault_that_stays_is_its_typed_error_within_the_deadline(readers: Readers, fault: str) -> None:
    limits = LIMITS if ERRORS[fault] is StorageTimeout else PATIENT
    results = readers(lambda read: key_of(fault, "always", read), **limits)
    for read, (result, elapsed_s) in results.items():
        assert isinstance(result, StorageError), read
        assert type(result) is ERRORS[fault] or (fault in EITHER and type(result) is StorageError), read
        assert key_of(fault, "always", read) in str(result)
        assert elapsed_s < (BUSY_S if fault in AT_ONCE else limits["deadline_s"] + BUSY_S), read


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_a_store_sends_beyond_the_announced_body_is_never_handed_on(readers: Readers, fault: str) -> None:
    for _ in range(3):  # the connection may be used again, and still hold the surplus
        results = readers(lambda read: key_of(fault, "always", read), **PATIENT)
        for read, (result, _) in results.items():
            refused = "long" in fault and read == "aiobotocore-aget" and type(result) is StorageError
            assert result == READS[read] or refused, read  # aiohttp takes the surplus for the next answer, and chokes


def test_a_store_that_nobody_runs_is_a_storage_error_within_the_deadline() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        readers = Readers(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        results = readers(lambda read: "some/key", **PATIENT)
        readers.close()
    for read, (result, elapsed_s) in results.items():
        assert isinstance(result, StorageError), read
        assert "some/key" in str(result)
        assert elapsed_s < PATIENT["deadline_s"] + BUSY_S, read
