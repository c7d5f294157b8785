"""What the caller keeps of a batch stays as it is, however many batches follow: workers write memory again."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import torch
from contract_datasets import TwoPhase, identity

from concurrent_dataloader import DataLoader

BATCH, BATCHES = 4, 60
LOOKS_AT_EXIT = """
import atexit
kept = []
atexit.register(lambda: print(all(bool((batch == at).all()) for at, batch in enumerate(kept))))
import torch
from concurrent_dataloader import DataLoader
if __name__ == "__main__":
    for batch in DataLoader([torch.full((3000,), at) for at in range(20)], 1, num_workers=1, num_fetch_workers=8):
        kept.append(batch)
"""


class Numbered(TwoPhase):
    """Samples of tensors that say of which sample they are, in two sizes and two types."""

    def process(self, index, raw):
        return {
            "wide": torch.full((3000,), index, dtype=torch.int32),
            "nested": [torch.full((7, 5), float(index)), (index, torch.tensor(index % 2 == 0))],
        }


class CollatesAgain:
    """Collates, and hands out the first batch of the worker once more after each ten."""

    def __init__(self):
        self.made = 0
        self.first = None

    def __call__(self, samples):
        batch = torch.utils.data.default_collate(samples)
        self.first = self.first or batch
        self.made += 1
        return self.first if self.made % 10 == 0 else batch


def padded(samples):
    """Collates in shared memory, as torch does; every other batch leaves the second half of its rows as found."""
    rows = [sample["wide"] for sample in samples]
    storage = rows[0]._typed_storage()._new_shared(len(rows) * 6000)
    batch = rows[0].new(storage).view(len(rows), 6000)
    for to, row in zip(batch, rows, strict=True):
        to[:3000] = row + 1
        if int(rows[0][0]) // BATCH % 2:
            to[3000:] = 1
    return batch


def numbers(batch):
    """Returns the samples of a batch by what each of its elements says; all have to agree."""
    wide, (square, (listed, even)) = batch["wide"], batch["nested"]
    found = wide[:, 0].tolist()
    assert bool((wide == wide[:, :1]).all())
    assert bool((square == torch.tensor(found).view(-1, 1, 1)).all())
    assert listed.tolist() == found
    assert even.tolist() == [number % 2 == 0 for number in found]
    return found


def check_some_kept(loader, expected):
    """Reads an epoch, keeps some of the batches for a while and some of them as views, and checks all when let go."""
    draw, kept = random.Random(1), []
    for number, batch in enumerate(loader):
        assert numbers(batch) == expected[number]
        if draw.random() < 0.3:
            kept.append((number, batch))
        elif draw.random() < 0.5:
            kept.append((number, {"wide": batch["wide"][:, 1:2], "nested": batch["nested"]}))
        if len(kept) > draw.randrange(20):
            at, one = kept.pop(draw.randrange(len(kept)))
            assert numbers(one) == expected[at]
    for at, one in kept:
        assert numbers(one) == expected[at]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
def test_what_is_kept_stays_as_it_is_in_every_epoch(impl, method):
    loader = DataLoader(
        Numbered(BATCH * BATCHES),
        BATCH,
        num_workers=2,
        persistent_workers=True,
        fetch_impl=impl,
        num_fetch_workers=8,
        multiprocessing_context=method,
    )
    expected = [list(range(at, at + BATCH)) for at in range(0, BATCH * BATCHES, BATCH)]
    check_some_kept(loader, expected)
    first = next(iter(loader))  # an epoch that is broken off
    check_some_kept(loader, expected)
    assert numbers(first) == expected[0]


def test_a_batch_that_a_worker_keeps_and_gives_again_is_the_same():
    loader = DataLoader(
        Numbered(BATCH * BATCHES), BATCH, num_workers=1, num_fetch_workers=8, collate_fn=CollatesAgain()
    )
    expected = [list(range(at, at + BATCH)) for at in range(0, BATCH * BATCHES, BATCH)]
    expected[9::10] = [expected[0]] * 6
    check_some_kept(loader, expected)


def test_all_batches_at_once_are_those_of_torch():
    dataset = Numbered(BATCH * BATCHES)
    ours = list(DataLoader(dataset, BATCH, num_workers=2, num_fetch_workers=8))
    torchs = list(torch.utils.data.DataLoader(dataset, BATCH, num_workers=2))
    assert [numbers(batch) for batch in ours] == [numbers(batch) for batch in torchs]
    for our, their in zip(ours, torchs, strict=True):
        assert our["wide"].dtype == their["wide"].dtype
        assert our["wide"].untyped_storage().nbytes() == their["wide"].untyped_storage().nbytes()
        assert our["wide"].stride() == their["wide"].stride()


def test_what_the_default_collation_makes_is_in_memory_that_is_written_again():
    loader = DataLoader(Numbered(BATCH * BATCHES), BATCH, num_workers=1, num_fetch_workers=8)
    addresses = {batch["wide"].data_ptr() for batch in loader if not batch["wide"].is_shared()}
    assert 1 <= len(addresses) <= 8


def test_a_collate_function_of_ones_own_finds_zeros_in_shared_memory():
    loader = DataLoader(Numbered(BATCH * 20), BATCH, num_workers=1, num_fetch_workers=8, collate_fn=padded)
    for number, batch in enumerate(loader):
        assert bool(batch[:, :3000].all())
        assert bool((batch[:, 3000:] == number % 2).all())


def test_what_is_kept_can_be_looked_at_while_the_interpreter_exits():
    done = subprocess.run(
        [sys.executable, "-c", LOOKS_AT_EXIT], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_collate_function_of_ones_own_stays_as_it_is():
    loader = DataLoader(Numbered(BATCH * 20), BATCH, num_workers=2, num_fetch_workers=8, collate_fn=identity)
    kept = list(loader)
    assert [sample["wide"][0].item() for batch in kept for sample in batch] == list(range(BATCH * 20))
