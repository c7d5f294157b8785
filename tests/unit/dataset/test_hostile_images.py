"""Images that are cut, packed to burst, or of kinds that Pillow reads wrongly by itself: right, or an error."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pictures import HEIGHT, WIDTH, chunk, encoded, noise, png
from PIL import Image

from concurrent_dataloader._base.errors import DecodeError
from concurrent_dataloader.dataset.decode import decode_pil, decode_torchvision

Pixels = npt.NDArray[Any]


def pixels(data: bytes) -> Pixels:
    return np.asarray(decode_pil(data))


def torch_pixels(data: bytes) -> Pixels:
    return decode_torchvision(data).permute(1, 2, 0).numpy()


DECODERS = pytest.mark.parametrize("read", [pixels, torch_pixels], ids=["pil", "torchvision"])
WIDE_GREY = (np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 109).astype(np.uint16)  # 0 to 65,291


def grey_of(wide: Pixels) -> Pixels:
    return np.repeat(np.round(wide / 257).astype(np.uint8)[..., None], 3, axis=2)


def grey_tiff(sample_format: int, bits: int, photometric: int, samples: bytes) -> bytes:
    """Returns a TIFF of kinds of grey that Pillow does not write."""
    tags = [(256, WIDTH), (257, HEIGHT), (258, bits), (259, 1), (262, photometric), (273, 122), (277, 1)]
    tags += [(279, len(samples)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + samples


@DECODERS
def test_16_bit_grey_that_counts_down_from_white_is_not_turned_into_its_negative(
    read: Callable[[bytes], Pixels],
) -> None:
    data = grey_tiff(1, 16, 0, (65_535 - WIDE_GREY).astype("<u2").tobytes())
    np.testing.assert_array_equal(read(data), grey_of(WIDE_GREY))


SMALL_GREY = (WIDE_GREY >> 8).astype(np.uint8)


@DECODERS
@pytest.mark.parametrize(
    ("sample_format", "bits", "samples", "expected"),
    [
        (1, 32, SMALL_GREY.astype("<u4"), SMALL_GREY),
        (3, 32, SMALL_GREY.astype("<f4"), SMALL_GREY),
        (1, 32, WIDE_GREY.astype("<u4"), None),
        (2, 16, (WIDE_GREY // 2).astype("<i2"), None),
        (3, 32, (WIDE_GREY / 65_535).astype("<f4"), None),
        (3, 32, np.full((HEIGHT, WIDTH), np.nan, "<f4"), None),
    ],
    ids=["32 bits", "float", "32 bits beyond 255", "16 bits with sign", "fractions", "no numbers"],
)
def test_grey_without_a_known_scale_is_right_or_an_error_and_never_clipped(
    sample_format: int, bits: int, samples: Pixels, expected: Pixels | None, read: Callable[[bytes], Pixels]
) -> None:
    data = grey_tiff(sample_format, bits, 1, samples.tobytes())
    if expected is None:
        with pytest.raises(DecodeError, match="32-bit grey from .* on no scale that is known"):
            read(data)
    else:
        np.testing.assert_array_equal(read(data)[..., 0], expected)


@DECODERS
@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_adobes_jpegs_of_four_colours_look_the_same_whoever_decodes_them(
    transform: int, read: Callable[[bytes], Pixels]
) -> None:
    data = bytearray(encoded(noise().convert("CMYK"), "JPEG", quality=95))
    data[data.index(b"Adobe") + 11] = transform
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.abs(read(bytes(data)).astype(int) - expected).max() <= 2


WHOLE = noise(24, 20)
CUT = {
    "JPEG": encoded(WHOLE, "JPEG"),
    "progressive JPEG": encoded(WHOLE, "JPEG", progressive=True),
    "CMYK JPEG": encoded(WHOLE.convert("CMYK"), "JPEG"),
    "PNG": encoded(WHOLE),
    "GIF": encoded(WHOLE, "GIF"),
    "WebP": encoded(WHOLE, "WEBP"),
    "TIFF": encoded(WHOLE, "TIFF", compression="tiff_lzw"),
    "animated PNG": encoded(WHOLE, save_all=True, append_images=[WHOLE.rotate(180)]),
    "animated WebP": encoded(WHOLE, "WEBP", save_all=True, append_images=[WHOLE.rotate(180)]),
}


@DECODERS
@pytest.mark.parametrize("kind", CUT)
def test_an_image_cut_off_anywhere_is_an_error_or_complete(kind: str, read: Callable[[bytes], Pixels]) -> None:
    whole, errors = read(CUT[kind]), 0
    for length in range(len(CUT[kind])):
        try:
            found = read(CUT[kind][:length])
        except DecodeError:
            errors += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert errors > 100


def test_postscript_is_not_run() -> None:
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(DecodeError, match="PostScript, which is a program"):
        decode_pil(program)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_bomb_in_the_texts_of_a_png_is_refused_before_it_costs_memory(kind: bytes) -> None:
    image = png(1, 1, 8, 0, [b"\7"])
    at = image.index(b"IDAT") - 4
    bomb = image[:at] + chunk(kind, b"name\0\0" + zlib.compress(bytes(200_000_000))) + image[at:]
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="too large"):
            decode_pil(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10_000_000
