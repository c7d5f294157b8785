"""Decoding in the pool leaves every batch as torch gives it, random augmentations included."""

from __future__ import annotations

import pytest
import torch
from contract_datasets import assert_same, draws, seed_everything
from pictures import encoded, noise
from torchvision.transforms import v2

from concurrent_dataloader import DataLoader, PilDecoder
from concurrent_dataloader.dataset import IndexedDataset
from concurrent_dataloader.storage.memory import MemoryStore

KEYS = [f"{i}.jpeg" for i in range(23)]
BODIES = {key: encoded(noise(40 + i, 36), "JPEG") for i, key in enumerate(KEYS)}
AUGMENT = v2.Compose([v2.RandomResizedCrop(16), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4), v2.ToImage()])
DECODERS = {"pil": "pil", "torchvision": "torchvision", "reduced": PilDecoder(16, as_tensor=True)}


def augment(image):
    """The image augmented, and a number of each generator: a draw too many or too few shows."""
    return AUGMENT(image), draws()


def images(decode_in, decoder):
    return IndexedDataset(MemoryStore(BODIES), KEYS, transform=augment, decoder=DECODERS[decoder], decode_in=decode_in)


def two_epochs(loader):
    seed_everything()
    return [list(loader) for _ in range(2)]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_decoding_in_the_pool_gives_torchs_batches_random_augmentations_included(decoder, impl, workers):
    common = {"batch_size": 4, "shuffle": True, "num_workers": workers}
    expected = two_epochs(torch.utils.data.DataLoader(images("process", decoder), **common))
    ours = DataLoader(images("fetch", decoder), num_fetch_workers=8, fetch_impl=impl, **common)
    assert_same(two_epochs(ours), expected)
    first, second = (epoch[0][0] for epoch in expected)
    assert not torch.equal(first, second)  # there was something random to get wrong
