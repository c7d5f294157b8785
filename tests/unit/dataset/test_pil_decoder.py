"""Pillow with options: reduced sizes, tensors, and what is refused."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from pictures import encoded, noise
from PIL import Image

from concurrent_dataloader import PilDecoder
from concurrent_dataloader._base.errors import DecodeError, OptionError
from concurrent_dataloader.dataset.decode import decode_pil, resolve_decoder


def smooth(width: int, height: int) -> Image.Image:
    """Returns a picture without fine detail, in which a reduced one can be told from a wrong one."""
    return noise(5, 4).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(smooth(width, height).convert(mode), "JPEG", quality=95, **options)


def reduced(data: bytes, at_least: Any) -> Image.Image:
    image = PilDecoder(at_least)(data)
    assert isinstance(image, Image.Image)
    assert image.mode == "RGB"
    return image


@pytest.mark.parametrize(
    ("size", "at_least", "expected"),
    [
        ((500, 375), 256, (500, 375)),  # half of 375 would be too few
        ((512, 512), 256, (256, 256)),  # exactly enough
        ((511, 512), 256, (511, 512)),
        ((500, 375), 187, (250, 188)),  # a rest counts as a pixel
        ((500, 375), 188, (500, 375)),  # 375 / 2 is less than 188
        ((1100, 1024), 256, (275, 256)),
        ((800, 640), 80, (100, 80)),
        ((800, 640), 1, (100, 80)),  # 1/8 is the least that there is
        ((40, 30), 256, (40, 30)),  # never enlarged
        ((800, 400), (100, 400), (400, 200)),  # (height, width): each side of its own
        ((800, 400), (400, 100), (800, 400)),
        ((400, 800), (400, 100), (200, 400)),
    ],
)
def test_a_jpeg_is_as_small_as_it_may_be_so_that_no_side_falls_below_what_is_asked(
    size: tuple[int, int], at_least: Any, expected: tuple[int, int]
) -> None:
    assert reduced(jpeg(*size), at_least).size == expected


@pytest.mark.parametrize("width", [127, 128, 129, 255, 256, 257, 512, 513])
@pytest.mark.parametrize("at_least", [16, 31, 32, 33, 64, 127, 128])
def test_the_next_smaller_size_would_fall_below(width: int, at_least: int) -> None:
    found = reduced(jpeg(width, 600), at_least).width
    factor = round(width / found)
    assert factor in (1, 2, 4, 8)
    assert found >= min(at_least, width)
    assert factor == 8 or width / (2 * factor) < at_least


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_reduced_jpeg_of_any_mode_looks_like_the_whole_one_made_smaller(mode: str) -> None:
    data = jpeg(400, 320, mode)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
    found = reduced(data, 80)
    assert found.size == (100, 80)
    expected = decode_pil(data).resize(found.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).mean() < 1.0


def test_an_exif_orientation_is_not_applied_and_the_sides_are_those_that_are_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = jpeg(800, 400, exif=exif)
    assert reduced(data, (100, 400)).size == (400, 200)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_other_formats_come_out_whole(file_format: str) -> None:
    data = encoded(smooth(64, 48), file_format)
    np.testing.assert_array_equal(np.asarray(reduced(data, 8)), np.asarray(decode_pil(data)))


def test_a_picture_of_several_jpegs_is_reduced_too() -> None:
    data = encoded(smooth(64, 48), "MPO", save_all=True, append_images=[smooth(64, 48)])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    assert reduced(data, 12).size == (16, 12)


def test_without_options_it_decodes_as_pil_does() -> None:
    data = jpeg(100, 80)
    image = PilDecoder()(data)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(decode_pil(data)))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_tensor_holds_the_pixels_of_the_image(mode: str) -> None:
    data = jpeg(400, 320, mode)
    tensor = PilDecoder(80, as_tensor=True)(data)
    assert isinstance(tensor, torch.Tensor)
    assert (tensor.dtype, tensor.shape) == (torch.uint8, (3, 80, 100))
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), np.asarray(reduced(data, 80)))
    tensor.zero_()  # the memory is the tensor's own


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("data", [b"", b"<html>", jpeg(400, 300)[:-3000]])
def test_what_is_no_whole_image_is_a_decode_error(data: bytes, as_tensor: bool) -> None:
    with pytest.raises(DecodeError, match=f"^{len(data)} bytes "):
        PilDecoder(50, as_tensor=as_tensor)(data)


@pytest.mark.parametrize("at_least", [0, -1, 1.5, True, "256", (256,), (1, 2, 3), (0, 5), (5, 2.0), [256, 256]])
def test_sides_of_another_kind_are_refused(at_least: Any) -> None:
    with pytest.raises(OptionError, match=r"^at_least: expected a number of pixels from 1 on.*\(height, width\)"):
        PilDecoder(at_least)


def test_what_is_no_yes_or_no_is_refused() -> None:
    with pytest.raises(OptionError, match="^as_tensor: expected True or False, got 1"):
        PilDecoder(as_tensor=1)  # type: ignore[arg-type]


def test_it_goes_to_other_processes_and_stands_for_itself_as_a_decoder() -> None:
    decoder = PilDecoder((20, 30), as_tensor=True)
    assert pickle.loads(pickle.dumps(decoder)) == decoder
    assert resolve_decoder(decoder) is decoder
