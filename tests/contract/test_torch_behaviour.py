"""torch's documented behaviour, checked on torch's loader and on ours in the same way.

``loader`` is torch's class, ours as a user gets it by changing the import, and ours with the engine forced.
"""

from __future__ import annotations

import pytest
import torch
from contract_datasets import (
    Batched,
    Plain,
    TwoPhase,
    WithReplacement,
    WorkerInfoDataset,
    assert_same,
    identity,
    seed_everything,
)
from contract_loaders import indices, workers_0_and_2
from torch.utils.data import BatchSampler, IterableDataset, RandomSampler, SequentialSampler, get_worker_info

from concurrent_dataloader import DataLoader


@workers_0_and_2
def test_batches_come_in_sampler_order_and_the_last_may_be_short(loader, workers):
    assert indices(loader(TwoPhase(7), batch_size=3, num_workers=workers)) == [[0, 1, 2], [3, 4, 5], [6]]


@workers_0_and_2
def test_drop_last_drops_the_short_batch(loader, workers):
    assert indices(loader(TwoPhase(7), 3, drop_last=True, num_workers=workers)) == [[0, 1, 2], [3, 4, 5]]


@workers_0_and_2
def test_an_empty_dataset_gives_no_batches(loader, workers):
    assert list(loader(TwoPhase(0), num_workers=workers)) == []


@workers_0_and_2
def test_repeated_indices_are_repeated_samples(loader, workers):
    found = indices(loader(TwoPhase(), batch_size=4, sampler=WithReplacement(), num_workers=workers))
    assert found == [[3, 3, 1, 3], [0, 1, 3, 3], [2, 2, 2, 2], [0, 3]]


@workers_0_and_2
@pytest.mark.parametrize("form", [list, tuple, torch.tensor, iter])
def test_a_batch_sampler_may_give_any_iterable(loader, workers, form):
    if form is iter and workers:
        pytest.skip("an iterator over a list can be sent to a worker, but not over everything")
    sampler = [form([4, 2]), form([1]), form([0, 3, 5])]
    assert indices(loader(TwoPhase(), batch_sampler=sampler, num_workers=workers)) == [[4, 2], [1], [0, 3, 5]]


@workers_0_and_2
def test_without_batching_each_index_is_one_sample(loader, workers):
    found = list(loader(TwoPhase(5), batch_size=None, num_workers=workers))
    assert [sample["index"] for sample in found] == [0, 1, 2, 3, 4]


@workers_0_and_2
def test_without_batching_a_sampler_of_lists_reaches_getitem_as_lists(loader, workers):
    class Lists(Plain):
        def __getitem__(self, index):
            assert isinstance(index, list)
            return torch.tensor(index)

    sampler = BatchSampler(SequentialSampler(Plain(5)), 2, False)
    found = list(loader(Lists(), batch_size=None, sampler=sampler, num_workers=workers))
    assert [sample.tolist() for sample in found] == [[0, 1], [2, 3], [4]]


@workers_0_and_2
def test_getitems_is_called_once_a_batch_with_the_batchs_indices(loader, workers):
    assert [batch.tolist() for batch in loader(Batched(5), batch_size=3, num_workers=workers)] == [
        [1000, 1001, 1002],
        [1003, 1004],
    ]


@workers_0_and_2
def test_collate_fn_gets_the_list_of_samples(loader, workers):
    found = list(loader(Plain(3), batch_size=2, collate_fn=identity, num_workers=workers))
    assert [[text for _, text in batch] for batch in found] == [["sample 0", "sample 1"], ["sample 2"]]


@workers_0_and_2
def test_the_same_generator_seed_gives_the_same_order(loader, workers):
    def read():
        return indices(
            loader(TwoPhase(), 5, shuffle=True, generator=torch.Generator().manual_seed(7), num_workers=workers)
        )

    one = read()
    seed_everything(99)
    assert read() == one
    assert sorted(sum(one, [])) == list(range(23))


@workers_0_and_2
def test_a_loader_can_be_read_again_and_again(loader, workers):
    again = loader(TwoPhase(6), batch_size=2, num_workers=workers)
    assert indices(again) == indices(again) == [[0, 1], [2, 3], [4, 5]]


@workers_0_and_2
def test_an_iterator_that_has_ended_stays_ended(loader, workers):
    iterator = iter(loader(TwoPhase(2), num_workers=workers))
    assert len(list(iterator)) == 2
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


@workers_0_and_2
def test_len_is_the_number_of_batches(loader, workers):
    assert len(loader(TwoPhase(7), batch_size=3, num_workers=workers)) == 3
    assert len(iter(loader(TwoPhase(7), batch_size=3, drop_last=True, num_workers=workers))) == 2


@workers_0_and_2
def test_in_order_false_loses_nothing(loader, workers):
    found = indices(loader(TwoPhase(), batch_size=2, in_order=False, num_workers=workers))
    assert sorted(sum(found, [])) == list(range(23))


def test_worker_info_is_there_in_both_phases_and_names_the_users_dataset(loader):
    found = list(loader(WorkerInfoDataset(4), batch_size=None, num_workers=2))
    for in_fetch, in_process in found:
        assert tuple(in_fetch) == tuple(in_process)
    assert [sample[0][:2] for sample in found] == [[0, 2], [1, 2]] * 2 or [tuple(s[0][:2]) for s in found] == [
        (0, 2),
        (1, 2),
    ] * 2
    assert all(sample[0][3] for sample in found)
    assert found[1][0][2] == found[0][0][2] + 1


def test_worker_info_is_none_in_the_main_process(loader):
    assert [tuple(raw) for raw, _ in loader(WorkerInfoDataset(1), batch_size=None)] == [(None,)]


def resize_dataset(worker_id: int) -> None:
    get_worker_info().dataset.size = 100 + worker_id


class TellsSize(TwoPhase):
    def process(self, index, raw):
        return self.size


def test_worker_init_fn_may_change_the_workers_dataset(loader):
    found = list(loader(TellsSize(4), batch_size=None, num_workers=2, worker_init_fn=resize_dataset))
    assert found == [100, 101, 100, 101]


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        start = 0 if info is None else info.id
        return iter(range(start, 10, 1 if info is None else info.num_workers))


@workers_0_and_2
def test_iterable_datasets_take_torchs_path(loader, workers):
    found = torch.cat(list(loader(Stream(), batch_size=2, num_workers=workers)))
    assert sorted(found.tolist()) == list(range(10))


@workers_0_and_2
def test_pin_memory_breaks_nothing_without_an_accelerator(loader, workers):
    found = list(loader(TwoPhase(5), batch_size=2, pin_memory=True, num_workers=workers))
    assert indices(found) == [[0, 1], [2, 3], [4]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@workers_0_and_2
def test_pinned_batches_are_in_pinned_memory(loader, workers):
    found = next(iter(loader(TwoPhase(5), batch_size=2, pin_memory=True, num_workers=workers)))
    assert found["index"].is_pinned()


class NestedInProcess(TwoPhase):
    def process(self, index, raw):
        return len(list(DataLoader(TwoPhase(3))))


@workers_0_and_2
def test_a_loader_without_workers_may_run_inside_a_dataset(loader, workers):
    assert [int(batch) for batch in loader(NestedInProcess(2), num_workers=workers)] == [3, 3]


def test_random_sampler_with_replacement_gives_the_asked_number(loader):
    sampler = RandomSampler(range(5), replacement=True, num_samples=40)
    assert sum(len(batch) for batch in indices(loader(TwoPhase(5), 7, sampler=sampler, num_workers=2))) == 40


def test_batches_of_dicts_keep_their_types(loader):
    assert_same(next(iter(loader(TwoPhase(2), batch_size=2)))["index"], torch.tensor([0, 1]))
