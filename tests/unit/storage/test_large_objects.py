"""Large objects by parallel ranges: the right bytes of one version, within bounds, and whole where ranges do not do."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from large_bodies import LARGE

from concurrent_dataloader._base.errors import StorageError
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.storage import large_objects
from concurrent_dataloader.storage.large_objects import (
    EXTRA_RANGES,
    MAX_RANGES,
    LargeObjects,
    Part,
    spans_of,
)
from concurrent_dataloader.storage.ranges import RangesIgnored, size_of_whole

WAIT_S = 20.0

little = pytest.mark.usefixtures("low_bounds")


@pytest.mark.parametrize("size_bytes", [8 << 20, (8 << 20) + 1, (64 << 20) + 3, 10**9 + 7])
def test_parts_lie_side_by_side_and_are_of_one_length(size_bytes: int) -> None:
    spans = spans_of(size_bytes)
    assert spans[0][0] == 0
    assert spans[-1][1] == size_bytes
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    lengths = {end - start for start, end in spans}
    assert max(lengths) <= 8 << 20
    assert max(lengths) - min(lengths) <= 1
    assert len(spans) == -(-size_bytes // (8 << 20))


@pytest.mark.parametrize(
    ("header", "start", "end", "size"),
    [
        ("bytes 5-9/100", 5, 10, 100),
        ("bytes 5-9/10", 5, 20, 10),
        ("bytes 5-9/100", 4, 10, None),
        ("bytes 5-9/100", 5, 20, None),
        ("bytes 5-9/100", 5, 9, None),
        ("bytes 5-9/8", 5, 10, None),
        ("bytes 5-9/*", 5, 10, None),
        (None, 0, 10, None),
        ("", 0, 10, None),
    ],
)
def test_the_size_of_the_whole_is_read_from_the_answer_to_a_range(
    header: str | None, start: int, end: int, size: Any
) -> None:
    assert size_of_whole(header, start, end) == size


def part(start: int, end: int, etag: str | None = "v1", size_bytes: int = len(LARGE)) -> Part:
    return Part(LARGE[start:end], etag, size_bytes)


def unasked() -> bytes:
    raise AssertionError("the object was asked for whole")


@little
class TestParts:
    @pytest.fixture
    def large(self) -> LargeObjects:
        return LargeObjects(lambda key: f"s3://bucket/{key}")

    @pytest.fixture(params=["threads", "tasks"])
    def get(self, request: pytest.FixtureRequest, large: LargeObjects) -> Callable[..., bytes]:
        def in_tasks(
            key: str,
            size_bytes: int,
            read: Callable[[int, int], Part],
            whole: Callable[[], bytes],
            first: Callable[[int], Part | None] | None = None,
        ) -> bytes:
            async def aread(start: int, end: int) -> Part:
                await asyncio.sleep(0)
                return read(start, end)

            async def awhole() -> bytes:
                return whole()

            async def afirst(end: int) -> Part | None:
                assert first is not None
                return first(end)

            return asyncio.run(large.aget(key, size_bytes, aread, awhole, None if first is None else afirst))

        return large.get if request.param == "threads" else in_tasks

    def test_the_parts_make_the_whole_and_each_is_read_once(self, get: Callable[..., bytes]) -> None:
        asked: list[tuple[int, int]] = []

        def read(start: int, end: int) -> Part:
            asked.append((start, end))
            return part(start, end)

        body = get("key", len(LARGE), read, unasked)
        assert type(body) is bytes
        assert body == LARGE
        assert sorted(asked) == spans_of(len(LARGE))

    def test_an_answer_that_has_begun_serves_as_the_first_part(self, get: Callable[..., bytes]) -> None:
        asked: list[int] = []

        def read(start: int, end: int) -> Part:
            asked.append(start)
            return part(start, end)

        assert get("key", len(LARGE), read, unasked, lambda end: part(0, end)) == LARGE
        assert 0 not in asked

    def test_a_first_answer_that_breaks_off_is_made_up_for(self, get: Callable[..., bytes]) -> None:
        assert get("key", len(LARGE), part, unasked, lambda end: None) == LARGE

    def test_parts_of_two_versions_are_never_mixed(self, get: Callable[..., bytes]) -> None:
        newer = os.urandom(len(LARGE))

        def read(start: int, end: int) -> Part:
            return part(start, end) if start < 500_000 else Part(newer[start:end], "v2", len(newer))

        assert get("key", len(LARGE), read, lambda: newer) == newer

    def test_an_object_of_another_size_than_believed_is_read_whole(self, get: Callable[..., bytes]) -> None:
        for size_bytes in (len(LARGE) - 200_000, len(LARGE) + 5):
            assert get("key", size_bytes, part, lambda: LARGE) == LARGE

    def test_parts_without_a_version_are_held_to_the_size(self, get: Callable[..., bytes]) -> None:
        assert get("key", len(LARGE), lambda start, end: part(start, end, None), unasked) == LARGE

    def test_a_store_without_ranges_is_noticed_once_and_then_remembered(
        self, get: Callable[..., bytes], large: LargeObjects, caplog: pytest.LogCaptureFixture
    ) -> None:
        def read(start: int, end: int) -> Part:
            raise RangesIgnored("the whole came")

        assert large.fits(len(LARGE))
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert get("key", len(LARGE), read, lambda: LARGE) == LARGE
        assert [record.getMessage() for record in caplog.records] == [
            "s3://bucket/key: the store does not serve ranges, so large objects are read whole"
        ]
        assert not large.fits(len(LARGE))

    def test_the_first_error_is_raised_and_no_further_part_is_begun(self, get: Callable[..., bytes]) -> None:
        asked: list[int] = []

        def read(start: int, end: int) -> Part:
            asked.append(start)
            raise StorageError(f"no byte {start}")

        with pytest.raises(StorageError, match="no byte"):
            get("key", 100 * len(LARGE), read, unasked)
        assert len(asked) <= MAX_RANGES


@little
def test_so_many_parts_of_an_object_are_read_at_once_and_no_more() -> None:
    large, all_out, release = LargeObjects(str), threading.Event(), threading.Event()
    lock, out, most = threading.Lock(), 0, 0

    def read(start: int, end: int) -> Part:
        nonlocal out, most
        with lock:
            out += 1
            most = max(most, out)
            if out == MAX_RANGES:
                all_out.set()
        release.wait(WAIT_S)
        with lock:
            out -= 1
        return part(start, end)

    reader = threading.Thread(target=lambda: bodies.append(large.get("key", len(LARGE), read, unasked)))
    bodies: list[bytes] = []
    reader.start()
    assert all_out.wait(WAIT_S)
    release.set()
    reader.join(WAIT_S)
    assert bodies == [LARGE]
    assert most == MAX_RANGES


@little
def test_many_objects_at_once_share_a_bound_and_each_of_them_goes_on() -> None:
    large, release, lock = LargeObjects(str), threading.Event(), threading.Lock()
    objects, out, most = 10, 0, 0
    expected, reached = objects + EXTRA_RANGES, threading.Event()

    def read(start: int, end: int) -> Part:
        nonlocal out, most
        with lock:
            out += 1
            most = max(most, out)
            if out == expected:
                reached.set()
        release.wait(WAIT_S)
        with lock:
            out -= 1
        return part(start, end)

    bodies: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: bodies.append(large.get("key", len(LARGE), read, unasked)))
        for _ in range(objects)
    ]
    for reader in readers:
        reader.start()
    assert reached.wait(WAIT_S)
    release.set()
    for reader in readers:
        reader.join(WAIT_S)
    assert bodies == [LARGE] * objects
    assert most == expected


@little
def test_the_helping_threads_report_to_the_listener_of_the_fetch() -> None:
    heard: list[bool] = []

    class Listener:
        def retrying(self, *, throttled: bool) -> None:
            heard.append(throttled)

    def read(start: int, end: int) -> Part:
        large_objects.report_retry(throttled=True)
        return part(start, end)

    listen(Listener())
    try:
        assert LargeObjects(str).get("key", len(LARGE), read, unasked) == LARGE
    finally:
        listen(None)
    assert heard == [True] * len(spans_of(len(LARGE)))


@little
def test_a_cancelled_task_leaves_no_request_behind() -> None:
    async def run() -> None:
        begun, ended = asyncio.Event(), 0

        async def read(start: int, end: int) -> Part:
            nonlocal ended
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended += 1
            return part(start, end)

        async def whole() -> bytes:
            return unasked()

        task = asyncio.create_task(LargeObjects(str).aget("key", len(LARGE), read, whole))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == MAX_RANGES
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
