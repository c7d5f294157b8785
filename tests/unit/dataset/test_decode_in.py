"""Decoding as a part of `fetch`: the same samples, errors that name the key, an event loop that goes on."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest
from pictures import encoded, noise
from PIL import Image

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import DecodeError, OptionError
from concurrent_dataloader.dataset import IndexedDataset
from concurrent_dataloader.dataset.decode import decode_pil
from concurrent_dataloader.storage.memory import MemoryStore

KEYS = [f"{i}.png" for i in range(6)]
BODIES = {key: encoded(noise(8 + i, 8)) for i, key in enumerate(KEYS)}
DEADLINE_S = 60.0


def width(image: Image.Image) -> int:
    return image.width


def shape(image: Any) -> tuple[int, int]:
    """Height and width."""
    return (image.height, image.width) if isinstance(image, Image.Image) else tuple(image.shape[1:])


def dataset(store: MemoryStore | None = None, **options: Any) -> IndexedDataset:
    return IndexedDataset(store or MemoryStore(BODIES), KEYS, decode_in="fetch", **options)


def test_fetch_gives_the_decoded_image_and_process_transforms_it() -> None:
    images = dataset(transform=width)
    for raw in (images.fetch(3), asyncio.run(images.afetch(3))):
        assert isinstance(raw, Image.Image)
        assert images.process(3, raw) == images[3] == 11


def test_by_default_fetch_gives_bytes() -> None:
    assert IndexedDataset(MemoryStore(BODIES), KEYS).fetch(3) == BODIES[KEYS[3]]


@pytest.mark.parametrize("place", ["worker", "", None, ["fetch"]])
def test_any_other_place_is_refused(place: Any) -> None:
    with pytest.raises(OptionError, match='^decode_in: expected "process" or "fetch", got '):
        IndexedDataset(MemoryStore(BODIES), KEYS, decode_in=place)


def test_bytes_that_are_no_image_name_the_key_in_both_ways_to_fetch() -> None:
    images = dataset(MemoryStore(BODIES | {KEYS[1]: b"<html>"}))
    with pytest.raises(DecodeError, match=rf"{KEYS[1]}.*: 6 bytes "):
        images.fetch(1)
    with pytest.raises(DecodeError, match=rf"{KEYS[1]}.*: 6 bytes "):
        asyncio.run(images.afetch(1))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
def test_a_damaged_image_obeys_on_error_as_it_does_in_process(impl: Any, workers: int) -> None:
    images = dataset(MemoryStore(BODIES | {KEYS[1]: b"<html>"}), transform=width)
    common = {"batch_size": 3, "num_workers": workers, "fetch_impl": impl}
    batches = iter(DataLoader(images, **common))
    with pytest.raises(DecodeError, match=KEYS[1]):
        next(batches)
    assert next(batches).tolist() == [11, 12, 13]
    assert [b.tolist() for b in DataLoader(images, on_error="skip", **common)] == [[8, 10], [11, 12, 13]]
    replaced = DataLoader(images, on_error=lambda index, error: -index, **common)
    assert next(iter(replaced)).tolist() == [8, -1, 10]


@pytest.mark.parametrize("place", ["process", "fetch"])
@pytest.mark.parametrize("decoder", ["pil", "torchvision"])
def test_no_damaged_image_costs_more_than_its_own_sample_and_each_is_named(decoder: Any, place: Any) -> None:
    jpeg = encoded(noise(16, 8), "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5  # height and width in its header
    damaged = {
        "cut.jpg": jpeg[:-30],
        "empty.jpg": b"",
        "page.jpg": b"<!DOCTYPE html><title>503 Slow Down</title>",
        "bomb.jpg": jpeg[:size] + b"\xff\xff\xff\xff" + jpeg[size + 4 :],
        "no-pixels.jpg": jpeg[:size] + bytes(4) + jpeg[size + 4 :],
        "cut.png": BODIES[KEYS[0]][:-40],
    }
    bodies = {f"whole-{n}.jpg": jpeg for n in range(len(damaged))} | damaged
    keys = sorted(bodies, key=lambda key: bodies[key] == jpeg)  # the damaged ones first
    keys = [key for pair in zip(keys[: len(damaged)], keys[len(damaged) :], strict=True) for key in pair]
    images = IndexedDataset(MemoryStore(bodies), keys, decoder=decoder, decode_in=place, transform=shape)
    loader = DataLoader(images, batch_size=4, num_workers=1, on_error="skip", collate_fn=list)
    assert list(loader) == 3 * [[(8, 16), (8, 16)]]
    failed = loader.stats().failed_samples
    assert [(keys[each.index], each.name) for each in failed] == [(key, key) for key in keys[::2]]
    assert all(each.error.startswith("DecodeError: ") and each.name in each.error for each in failed)


def test_images_are_decoded_many_at_a_time_outside_the_main_thread() -> None:
    together = threading.Barrier(len(KEYS))  # broken, and so an error, if they are decoded one after another
    threads = set()

    def decode(data: bytes) -> Image.Image:
        threads.add(threading.get_ident())
        together.wait(DEADLINE_S)
        return decode_pil(data)

    loader = DataLoader(dataset(decoder=decode, transform=width), batch_size=6, num_fetch_workers=6)
    assert next(iter(loader)).tolist() == [8, 9, 10, 11, 12, 13]
    assert len(threads) == len(KEYS)
    assert threading.get_ident() not in threads


def test_the_event_loop_goes_on_while_an_image_is_decoded() -> None:
    decoding, released = threading.Event(), threading.Event()

    def decode(data: bytes) -> Image.Image:
        decoding.set()
        assert released.wait(DEADLINE_S), "the loop was blocked by decoding"
        return decode_pil(data)

    async def both() -> Any:
        fetch = asyncio.create_task(dataset(decoder=decode).afetch(0))
        while not decoding.is_set():
            await asyncio.sleep(0)
        released.set()
        return await fetch

    assert width(asyncio.run(both())) == 8


def test_a_copy_in_another_process_decodes_in_the_same_place() -> None:
    copy = pickle.loads(pickle.dumps(dataset()))
    assert isinstance(copy.fetch(0), Image.Image)
