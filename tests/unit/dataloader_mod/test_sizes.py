"""What tells its size, and what does not."""

import pytest
import torch

from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataloader_mod.sizes import size_of


class Odd:
    @property
    def nbytes(self):
        raise KeyError("nbytes")


class Gone:
    @property
    def __class__(self):  # as of a weakref.proxy
        raise ReferenceError("gone")


@pytest.mark.parametrize("value", [Odd(), Odd, torch.eye(3).to_sparse(), torch.ones(3).untyped_storage(), None])
def test_what_does_not_tell_its_size_has_none(value):
    assert size_of(value) == 0


def test_what_does_not_even_tell_its_class_has_no_size():
    assert size_of(Gone()) == 0


@pytest.mark.parametrize(("value", "size"), [(b"abc", 3), (memoryview(b"ab"), 2), (torch.ones(3), 12)])
def test_what_tells_its_size_has_that(value, size):
    assert size_of(value) == size


class Sparse(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return (torch.eye(2) * index).to_sparse()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gives_sparse_tensors(workers):
    loader = DataLoader(Sparse(), None, num_workers=workers, num_fetch_workers=2, timeout=10 * workers)
    assert [int(each.to_dense().sum()) for each in loader] == [0, 2, 4, 6]
