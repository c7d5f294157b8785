"""Large objects, ours against obstore's own requests: ``python -m benchmarking.large_objects``.

All ways are measured in turn in each round, against the same endpoint in a process of its own. What comes back is
compared with what was stored, outside the time that counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader.storage import S3Options, S3Store, StaticCredentials
from concurrent_dataloader.storage.large_objects import PART_BYTES

MB = 1_000_000
BUCKET, KEY = "data", "large.bin"
JOINED = "obstore get_ranges, joined to bytes"  # what ours is compared with: a sample's body is bytes
FETCHES = 4  # per way and round
DUMMY = StaticCredentials("dummy", "dummy")  # the endpoint looks at no signature

Read = Callable[[], Any]


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=64, help="size of the object in MB (default 64)")
    parser.add_argument("--latency-ms", type=float, default=30.0, help="latency of each request (default 30 ms)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all ways (default 3)")
    given = parser.parse_args()
    body = os.urandom(given.size_mb * MB)
    with S3Endpoint({KEY: body}, bucket=BUCKET, latency_s=given.latency_ms / 1000.0) as endpoint:
        with _ways(endpoint.url, len(body)) as ways:
            seconds = _measure(ways, body, given.rounds)
    print(f"{given.size_mb} MB objects at {given.latency_ms:g} ms, median of {given.rounds} x {FETCHES} fetches\n")
    print(_table(seconds, len(body)))


@contextlib.contextmanager
def _ways(url: str, size_bytes: int) -> Iterator[dict[str, Read]]:
    """Yields the ways of fetching the object, by their names in the table."""
    import obstore
    from obstore.store import S3Store as ObstoreS3

    plain = ObstoreS3(
        BUCKET,
        endpoint=url,
        region="us-east-1",
        access_key_id="dummy",
        secret_access_key="dummy",
        client_options={"allow_http": True},
    )
    starts = list(range(0, size_bytes, PART_BYTES))
    ends = [min(start + PART_BYTES, size_bytes) for start in starts]

    def ranges() -> Any:
        return obstore.get_ranges(plain, KEY, starts=starts, ends=ends, coalesce=0)

    store = S3Store(S3Options(BUCKET, url, fallback_credentials=DUMMY))
    boto3_store = S3Store(S3Options(BUCKET, url, client="boto3", fallback_credentials=DUMMY))
    with _event_loop() as run:
        yield {
            "obstore get_ranges, a list of parts": ranges,
            JOINED: lambda: b"".join(ranges()),
            "obstore get, bytes": lambda: obstore.get(plain, KEY).bytes().to_bytes(),
            "ours, size known, threads": lambda: store.get(KEY, size_bytes),
            "ours, size known, asyncio": lambda: run(store.aget(KEY, size_bytes)),
            "ours, size unknown, threads": lambda: store.get(KEY),
            "ours, boto3, size known": lambda: boto3_store.get(KEY, size_bytes),
            "ours, boto3, size unknown": lambda: boto3_store.get(KEY),
        }


@contextlib.contextmanager
def _event_loop() -> Iterator[Callable[[Coroutine[Any, Any, bytes]], bytes]]:
    """Yields a function that runs a coroutine; not ``asyncio.Runner``, which makes the repr of what comes back."""
    loop = asyncio.new_event_loop()
    try:
        yield loop.run_until_complete
    finally:
        loop.close()


def _measure(ways: dict[str, Read], body: bytes, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each fetch by way; the first one, which builds clients, is checked and not counted."""
    for name, read in ways.items():
        got = read()
        if (b"".join(got) if isinstance(got, list) else got) != body:
            raise RuntimeError(f"{name}: other bytes came back than were stored")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, read in ways.items():
            for _ in range(FETCHES):
                start_s = time.perf_counter()
                read()
                seconds[name].append(time.perf_counter() - start_s)
    return seconds


def _table(seconds: dict[str, list[float]], size_bytes: int) -> str:
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    reference = medians[JOINED]
    rows = [
        f"| {name} | {median * 1000:.0f} | {size_bytes / MB / median:.0f} | {reference / median:.0%} |"
        for name, median in medians.items()
    ]
    return "\n".join(["| way | ms | MB/s | of get_ranges, joined |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()
