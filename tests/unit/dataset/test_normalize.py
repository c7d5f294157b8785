"""Normalisation of a batch gives what torchvision gives for each image."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torchvision import transforms

from concurrent_dataloader import NormalizeBatch
from concurrent_dataloader._base.errors import OptionError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def batch(channels_last: bool = False) -> torch.Tensor:
    """Returns every level of every channel, and more: ``(4, 3, 32, 24) uint8``."""
    levels = torch.arange(4 * 3 * 32 * 24).remainder(256).to(torch.uint8).reshape(4, 3, 32, 24)
    return levels.contiguous(memory_format=torch.channels_last) if channels_last else levels


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_batch_comes_out_as_to_tensor_and_normalize_give_its_images(channels_last: bool) -> None:
    images = batch(channels_last)
    each = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    expected = torch.stack([each(image.permute(1, 2, 0).numpy()) for image in images])
    found = NormalizeBatch(MEAN, STD)(images)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert found.stride() == images.stride()


def test_the_batch_is_left_as_it_is() -> None:
    images = batch()
    NormalizeBatch(MEAN, STD)(images)
    assert torch.equal(images, batch())


def test_one_image_and_other_numbers_of_channels_are_taken_too() -> None:
    normalize = NormalizeBatch([0.5], [0.25])
    assert normalize(torch.full((1, 2, 2), 255, dtype=torch.uint8)).tolist() == [[[2.0, 2.0], [2.0, 2.0]]]
    assert normalize(torch.zeros((5, 1, 1, 1), dtype=torch.uint8)).flatten().tolist() == [-2.0] * 5


def test_it_stays_on_the_batchs_device() -> None:
    images = torch.zeros((2, 3, 4, 4), dtype=torch.uint8, device="meta")
    assert NormalizeBatch(MEAN, STD)(images).device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_it_gives_the_same_up_to_rounding() -> None:
    normalize = NormalizeBatch(MEAN, STD)
    found = normalize(batch().cuda())
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), normalize(batch()))


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros((2, 3, 4, 4)),
        torch.zeros((2, 4, 4, 3), dtype=torch.uint8),
        torch.zeros((3, 4), dtype=torch.uint8),
        torch.zeros((1, 2, 3, 4, 4), dtype=torch.uint8),
    ],
)
def test_another_type_or_shape_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(OptionError, match=r"^images: expected \(batch, 3, height, width\) uint8, got \("):
        NormalizeBatch(MEAN, STD)(images)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((), (), "one number a channel"),
        ((0.5,), (0.5, 0.5), "one number a channel"),
        ((0.5,), (0.0,), "^std: expected positive"),
        ((0.5,), (-0.5,), "^std: expected positive"),
        ((0.5,), (float("nan"),), "^std: expected positive"),
        ((float("inf"),), (0.5,), "^mean: expected finite"),
    ],
)
def test_constants_that_normalise_nothing_are_refused(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        NormalizeBatch(mean, std)


def test_a_copy_in_another_process_gives_the_same() -> None:
    normalize = NormalizeBatch(MEAN, STD)
    expected = normalize(batch())
    assert torch.equal(pickle.loads(pickle.dumps(normalize))(batch()), expected)
    assert repr(normalize) == f"NormalizeBatch(mean={MEAN}, std={STD})"
