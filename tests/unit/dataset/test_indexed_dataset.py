"""The two-phase dataset over a store and keys."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import numbered, plain
from torch.utils.data import ConcatDataset, Subset

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import (
    ClassesFileError,
    DecodeError,
    IncompleteBody,
    ObjectNotFound,
    OptionError,
)
from concurrent_dataloader._base.two_phase import TwoPhaseDataset, phases_of
from concurrent_dataloader.dataset import IndexedDataset, KeyIndex, load_classes
from concurrent_dataloader.dataset.classes import Classes
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.memory_pack import pack_in_memory
from concurrent_dataloader.storage.memory import MemoryStore

KEYS = [f"n{i % 3}/n{i % 3}_{i}.png" for i in range(6)]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore({key: plain(i) for i, key in enumerate(KEYS)})


@pytest.fixture
def classes(tmp_path: Path) -> Classes:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({f"n{i}": {"id": i + 1, "name": str(i)} for i in range(3)}))
    return load_classes(path)


def level(image: Any) -> int:
    """Returns the grey of a plain picture, which is its number."""
    return int(np.asarray(image)[0, 0, 0])


def test_a_sample_is_the_rgb_image_and_its_0_based_target(store: MemoryStore, classes: Classes) -> None:
    dataset = IndexedDataset(store, KEYS, classes=classes)
    image, target = dataset[4]
    assert (image.mode, image.size, level(image)) == ("RGB", (4, 4), 4)
    assert (target, type(target)) == (1, int)
    assert dataset.class_id_base == 1


@pytest.mark.parametrize("limit", [None, 4])
def test_a_body_is_held_to_the_size_that_the_index_gives(limit: int | None) -> None:
    bodies = {"a": b"one", "b": b"", "c": b"three", "d": b"four", "e": b"five"}
    sizes: list[int | None] = [3, 0, 4, None, 4]
    keys = KeyIndex(pack_in_memory([KeyBatch(list(bodies), sizes)]))
    dataset = IndexedDataset(MemoryStore(bodies), keys, decoder=bytes, limit=limit)
    for index in (0, 1, 3, -1):
        assert dataset[index] == asyncio.run(dataset.afetch(index)) == list(bodies.values())[:limit][index]
    for fetch in (dataset.fetch, lambda index: asyncio.run(dataset.afetch(index))):
        with pytest.raises(IncompleteBody, match=r"memory://c: 5 bytes arrived, 4 were listed: .*changed since"):
            fetch(2)


def test_without_classes_a_sample_is_the_image_alone(store: MemoryStore) -> None:
    dataset = IndexedDataset(store, KEYS)
    assert level(dataset[2]) == 2
    assert dataset.class_id_base is None


def test_it_is_two_phase_and_both_phases_make_the_sample(store: MemoryStore, classes: Classes) -> None:
    dataset = IndexedDataset(store, KEYS, classes=classes, transform=level)
    assert isinstance(dataset, TwoPhaseDataset)
    assert phases_of(dataset) is dataset
    raw = dataset.fetch(3)
    assert raw == asyncio.run(dataset.afetch(3)) == plain(3)
    assert dataset.process(3, raw) == dataset[3] == (3, 0)


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor, int])
def test_indices_are_taken_as_a_list_takes_them(store: MemoryStore, number: Any) -> None:
    dataset = IndexedDataset(store, KEYS, transform=level)
    assert dataset[number(5)] == 5
    assert dataset.describe(number(5)) == KEYS[5]


def test_negative_indices_count_from_the_end(store: MemoryStore, classes: Classes) -> None:
    dataset = IndexedDataset(store, KEYS, classes=classes, transform=level)
    assert dataset[-1] == dataset[np.int64(-1)] == (5, 2)
    assert dataset[-6] == (0, 0)
    assert dataset.describe(-1) == KEYS[5]


@pytest.mark.parametrize("index", [6, -7, 1 << 70])
def test_an_index_out_of_range_is_an_index_error_in_both_phases(store: MemoryStore, index: int) -> None:
    dataset = IndexedDataset(store, KEYS)
    for use in (dataset.__getitem__, dataset.fetch, dataset.describe, lambda i: dataset.process(i, plain(0))):
        with pytest.raises(IndexError, match=f"{index} is out of range for 6 keys"):
            use(index)
    assert store.requests == 0


@pytest.mark.parametrize("index", [1.0, "1", None, slice(2)])
def test_what_is_no_index_is_a_type_error(store: MemoryStore, index: Any) -> None:
    with pytest.raises(TypeError):
        IndexedDataset(store, KEYS)[index]


def test_a_for_loop_over_the_dataset_ends_with_it(store: MemoryStore) -> None:
    dataset = IndexedDataset(store, KEYS, transform=level)
    assert [dataset[i] for i in range(len(dataset))] == list(dataset) == [0, 1, 2, 3, 4, 5]


class TestLimit:
    def test_takes_the_first_keys(self, store: MemoryStore) -> None:
        dataset = IndexedDataset(store, KEYS, limit=2, transform=level)
        assert len(dataset) == 2
        assert list(dataset) == [0, 1]
        assert dataset[-1] == 1
        with pytest.raises(IndexError):
            dataset[2]

    def test_of_more_than_there_are_takes_all(self, store: MemoryStore) -> None:
        assert len(IndexedDataset(store, KEYS, limit=100)) == 6

    def test_none_takes_all_of_a_packed_index_too(self, store: MemoryStore) -> None:
        assert list(IndexedDataset(store, KeyIndex.from_keys(KEYS)).keys) == KEYS

    @pytest.mark.parametrize("limit", [0, -1, 1.0, "3", True])
    def test_of_another_kind_is_refused(self, store: MemoryStore, limit: Any) -> None:
        with pytest.raises(OptionError, match=f"^limit: expected a whole number from 1 on.*got {limit!r}"):
            IndexedDataset(store, KEYS, limit=limit)


class TestTransforms:
    def test_transform_gets_the_image_and_target_transform_the_target(
        self, store: MemoryStore, classes: Classes
    ) -> None:
        dataset = IndexedDataset(store, KEYS, classes=classes, transform=level, target_transform=lambda t: -t)
        assert dataset[5] == (5, -2)

    def test_set_transform_replaces_it_and_none_takes_it_away(self, store: MemoryStore) -> None:
        dataset = IndexedDataset(store, KEYS, transform=level)
        dataset.set_transform(lambda image: level(image) * 10)
        assert dataset[3] == 30
        dataset.set_transform(None)
        assert dataset[3].size == (4, 4)

    def test_set_transform_reaches_the_loader_through_a_subset(self, store: MemoryStore) -> None:
        dataset = IndexedDataset(store, KEYS, transform=level)
        loader = DataLoader(Subset(dataset, [5, 1]), batch_size=2, num_fetch_workers=2)
        assert next(iter(loader)).tolist() == [5, 1]
        dataset.set_transform(lambda image: level(image) + 100)
        assert next(iter(loader)).tolist() == [105, 101]


class TestDecoders:
    def test_torchvision_gives_a_tensor_of_bytes(self, store: MemoryStore) -> None:
        image = IndexedDataset(store, KEYS, decoder="torchvision")[3]
        assert (image.shape, image.dtype) == ((3, 4, 4), torch.uint8)
        assert image.unique().tolist() == [3]

    def test_a_callable_gets_the_bytes(self, store: MemoryStore) -> None:
        assert IndexedDataset(store, KEYS, decoder=len)[0] == len(plain(0))

    def test_an_unknown_name_is_refused_at_construction(self, store: MemoryStore) -> None:
        with pytest.raises(OptionError, match='^decoder: expected "pil"'):
            IndexedDataset(store, KEYS, decoder="opencv")


class TestErrors:
    @pytest.mark.parametrize("decoder", ["pil", "torchvision"])
    @pytest.mark.parametrize("body", [b"", b"<html>", plain(0)[:-30]])
    def test_bytes_that_are_no_image_name_the_key(self, store: MemoryStore, decoder: str, body: bytes) -> None:
        store.put(KEYS[1], body)
        with pytest.raises(DecodeError, match=f"{KEYS[1]}.*: {len(body)} bytes "):
            IndexedDataset(store, KEYS, decoder=decoder)[1]

    def test_a_decode_error_of_a_callable_decoder_names_the_key_too(self, store: MemoryStore) -> None:
        def refuse(data: bytes) -> None:
            raise DecodeError("no spectrum")

        with pytest.raises(DecodeError, match=f"{KEYS[1]}.*: no spectrum"):
            IndexedDataset(store, KEYS, decoder=refuse)[1]

    def test_a_missing_object_names_the_key(self, store: MemoryStore) -> None:
        with pytest.raises(ObjectNotFound, match="n0/n0_99.png"):
            IndexedDataset(store, ["n0/n0_99.png"])[0]

    def test_a_key_without_a_class_names_it_and_the_file(self, store: MemoryStore, classes: Classes) -> None:
        store.put("other_1.png", plain(1))
        with pytest.raises(ClassesFileError, match=r"^other_1\.png: no class 'other' \(classes file .*classes\.json"):
            IndexedDataset(store, ["other_1.png"], classes=classes)[0]

    def test_the_key_arrives_from_a_worker_with_the_errors_own_type(self, store: MemoryStore) -> None:
        store.put(KEYS[1], b"<html>")
        loader = DataLoader(IndexedDataset(store, KEYS, transform=level), batch_size=3, num_workers=1)
        batches = iter(loader)
        with pytest.raises(DecodeError, match=KEYS[1]):
            next(batches)
        assert next(batches).tolist() == [3, 4, 5]


def test_subsets_and_concatenations_stay_two_phase(store: MemoryStore, classes: Classes) -> None:
    dataset = IndexedDataset(store, KEYS, classes=classes, transform=level)
    both = ConcatDataset([Subset(dataset, [-1, np.int64(2)]), Subset(Subset(dataset, range(1, 5)), [0, 3])])
    view = phases_of(both)
    assert view is not None
    assert [view.process(i, view.fetch(i)) for i in range(4)] == [(5, 2), (2, 2), (1, 1), (4, 1)]
    images, targets = next(iter(DataLoader(both, batch_size=4, num_fetch_workers=4)))
    assert (images.tolist(), targets.tolist()) == ([5, 2, 1, 4], [2, 2, 1, 1])


@pytest.mark.parametrize(("fetch_impl", "decoder"), [("threaded", "pil"), ("asyncio", "torchvision")])
def test_spawned_workers_read_the_same_samples(fetch_impl: Any, decoder: str, classes: Classes) -> None:
    keys = [f"n1_{i}.png" for i in range(4)]
    store = MemoryStore(numbered("n1_{}.png", 4))
    dataset = IndexedDataset(store, keys, classes=classes, transform=level_anywhere, decoder=decoder)
    loader = DataLoader(dataset, batch_size=2, num_workers=1, fetch_impl=fetch_impl, multiprocessing_context="spawn")
    found = [[part.tolist() for part in batch] for batch in loader]
    assert found == [[[0, 1], [1, 1]], [[2, 3], [1, 1]]]


def level_anywhere(image: Any) -> int:
    return int(image[0, 0, 0]) if isinstance(image, torch.Tensor) else level(image)


def test_an_unpickled_dataset_gives_the_same_samples(store: MemoryStore, classes: Classes) -> None:
    dataset = IndexedDataset(store, KEYS, classes=classes, limit=4, transform=level)
    copy = pickle.loads(pickle.dumps(dataset))
    assert list(copy) == list(dataset)
    assert len(copy) == 4


def test_the_number_of_fetches_and_the_end_of_the_loop_reach_the_store() -> None:
    calls: list[object] = []

    class Store(MemoryStore):
        def set_max_concurrency(self, requests: int) -> None:
            calls.append(requests)

        async def aclose(self) -> None:
            calls.append("closed")

    dataset = IndexedDataset(Store({"a": plain(1)}), ["a"])
    dataset.set_fetch_concurrency(17)
    asyncio.run(dataset.aclose())
    assert calls == [17, "closed"]
