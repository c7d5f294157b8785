"""A body against the size that the listing gave: asked for once more, then an error that names both sizes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counting_store import CountingStore, cached

from concurrent_dataloader._base.errors import IncompleteBody
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.storage.listed_size import aget_listed, get_listed

BODY = os.urandom(100)


class ChangingStore(CountingStore):
    """Gives one body after another; the last one for ever."""

    def __init__(self, *bodies: bytes) -> None:
        super().__init__()
        self.bodies, self.hints = list(bodies), []

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        self.hints.append(size_bytes)
        return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        return self.get(key, size_bytes)


@pytest.fixture(params=["get", "aget"])
def get(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    if request.param == "get":
        return get_listed
    return lambda *args: asyncio.run(aget_listed(*args))


def test_a_body_of_the_listed_size_is_read_once_and_the_store_is_told_the_size(get: Callable[..., bytes]) -> None:
    store = ChangingStore(BODY)
    assert get(store, "key", len(BODY)) == BODY
    assert store.hints == [len(BODY)]


def test_without_a_listed_size_any_body_will_do(get: Callable[..., bytes]) -> None:
    store = ChangingStore(BODY)
    assert get(store, "key", None) == BODY
    assert store.hints == [None]


def test_a_body_of_another_size_is_asked_for_once_more_and_that_is_heard_of() -> None:
    heard: list[bool] = []

    class Listener:
        def retrying(self, *, throttled: bool) -> None:
            heard.append(throttled)

    listen(Listener())
    try:
        assert get_listed(ChangingStore(BODY[:-1], BODY), "key", len(BODY)) == BODY
    finally:
        listen(None)
    assert heard == [False]


@pytest.mark.parametrize("received", [b"", BODY[:-1], BODY + b"x"], ids=["empty", "short", "long"])
def test_an_object_that_has_changed_since_is_an_error_that_names_both_sizes(
    get: Callable[..., bytes], received: bytes
) -> None:
    store = ChangingStore(received)
    with pytest.raises(IncompleteBody, match="changed since the listing; list it again") as caught:
        get(store, "some/key", len(BODY))
    assert f"fake://bucket/some/key: {len(received)} bytes arrived, 100 were listed" in str(caught.value)
    assert len(store.hints) == 2


def test_a_cached_body_that_is_older_than_the_listing_is_replaced(get: Callable[..., bytes], folder: Path) -> None:
    source = CountingStore({"key": b"old"})
    store = cached(source, folder)
    assert store.get("key") == b"old"
    source.objects["key"] = BODY
    assert get(store, "key", len(BODY)) == BODY
    assert get(store, "key", len(BODY)) == BODY
    assert source.asked["get"] == 2


def test_a_cached_body_of_the_listed_size_asks_the_store_nothing(get: Callable[..., Any], folder: Path) -> None:
    source = CountingStore({"key": BODY})
    store = cached(source, folder)
    for _ in range(3):
        assert get(store, "key", len(BODY)) == BODY
    assert source.asked["get"] == 1
