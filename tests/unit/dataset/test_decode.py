"""From bytes to an RGB image, whatever the mode; and bytes that are none."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pictures import HEIGHT, WIDTH, encoded, noise, png
from PIL import Image

from concurrent_dataloader._base.errors import DecodeError, OptionError
from concurrent_dataloader.dataset import decode
from concurrent_dataloader.dataset.decode import decode_pil, decode_torchvision, resolve_decoder

Pixels = npt.NDArray[Any]


def pixels(data: bytes) -> Pixels:
    image = decode_pil(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def torch_pixels(data: bytes) -> Pixels:
    tensor = decode_torchvision(data)
    assert tensor.dtype == torch.uint8
    return tensor.permute(1, 2, 0).numpy()


DECODERS = pytest.mark.parametrize("read", [pixels, torch_pixels], ids=["pil", "torchvision"])
RGB = noise()
GREY = RGB.convert("L")
PALETTE = RGB.convert("P", palette=Image.Palette.ADAPTIVE)
WITH_ALPHA = Image.merge("RGBA", (*RGB.split(), GREY))
WIDE_GREY = (np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 109).astype(np.uint16)  # 0 to 65,291
WIDE_COLOUR = np.random.default_rng(3).integers(0, 1 << 16, (HEIGHT, WIDTH, 4), dtype=np.uint16)


def as_rgb(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def grey_of(wide: Pixels) -> Pixels:
    return np.repeat(np.round(wide / 257).astype(np.uint8)[..., None], 3, axis=2)


MODES: dict[str, tuple[bytes, Pixels]] = {
    "RGB": (encoded(RGB), as_rgb(RGB)),
    "L": (encoded(GREY), as_rgb(GREY)),
    "1": (encoded(RGB.convert("1")), as_rgb(RGB.convert("1"))),
    "P": (encoded(PALETTE), as_rgb(PALETTE)),
    "P with one transparent colour": (encoded(PALETTE, transparency=3), as_rgb(PALETTE)),
    "P with a transparency for each colour": (encoded(PALETTE, transparency=bytes([0, 128] * 99)), as_rgb(PALETTE)),
    "L with a transparent grey": (encoded(GREY, transparency=3), as_rgb(GREY)),
    "RGB with a transparent colour": (encoded(RGB, transparency=(1, 2, 3)), as_rgb(RGB)),
    "RGBA": (encoded(WITH_ALPHA), as_rgb(RGB)),
    "LA": (encoded(WITH_ALPHA.convert("LA")), as_rgb(GREY)),
    "CMYK TIFF": (encoded(RGB.convert("CMYK"), "TIFF"), as_rgb(RGB.convert("CMYK"))),
    "BMP": (encoded(RGB, "BMP"), as_rgb(RGB)),
    "WebP": (encoded(RGB, "WEBP", lossless=True), as_rgb(RGB)),
    "16-bit grey PNG": (encoded(Image.fromarray(WIDE_GREY)), grey_of(WIDE_GREY)),
    "16-bit grey TIFF": (encoded(Image.fromarray(WIDE_GREY), "TIFF"), grey_of(WIDE_GREY)),
    "16-bit grey PGM": (encoded(Image.fromarray(WIDE_GREY.astype(np.int32)), "PPM"), grey_of(WIDE_GREY)),
    "GIF": (encoded(PALETTE, "GIF"), as_rgb(PALETTE)),
}


@DECODERS
@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_becomes_rgb(mode: str, read: Callable[[bytes], Pixels]) -> None:
    data, expected = MODES[mode]
    np.testing.assert_array_equal(read(data), expected)


@DECODERS
@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4)])
def test_16_bit_colours_are_scaled_to_8_bits(colour_type: int, channels: int, read: Callable[[bytes], Pixels]) -> None:
    wide = WIDE_COLOUR[..., :channels]
    data = png(WIDTH, HEIGHT, 16, colour_type, [line.astype(">u2").tobytes() for line in wide])
    found, exact = read(data).astype(int), wide[..., :3] / 257
    assert np.abs(found - exact).max() <= 1  # Pillow takes the upper byte


@DECODERS
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_of_any_mode_come_out_as_pillow_shows_them(mode: str, read: Callable[[bytes], Pixels]) -> None:
    data = encoded(RGB.convert(mode), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
        expected = as_rgb(image)
    # The two link libjpegs of their own, which may round the colours differently.
    assert np.abs(read(data).astype(int) - expected).max() <= 2


@DECODERS
@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(file_format: str, read: Callable[[bytes], Pixels]) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read(data), as_rgb(frames[0]))


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "WebP"])
def test_torchvision_sees_only_the_formats_that_it_reads_safely(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a GIF it would decode all frames, however many; a damaged PNG makes it end the process.
    monkeypatch.setattr(decode, "_torchvision_decoder", lambda: pytest.fail("torchvision was asked"))
    assert torch_pixels(MODES[mode][0]).shape == (HEIGHT, WIDTH, 3)


def test_torchvision_decodes_jpegs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real, rgb = decode._torchvision_decoder()
    monkeypatch.setattr(
        decode, "_torchvision_decoder", lambda: (lambda data, mode: (asked.append(mode), real(data, mode))[1], rgb)
    )
    assert decode_torchvision(encoded(RGB, "JPEG")).shape == (3, HEIGHT, WIDTH)
    assert asked == [rgb]


@DECODERS
def test_an_exif_orientation_is_not_applied(read: Callable[[bytes], Pixels]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert read(encoded(RGB, "JPEG", exif=exif)).shape == (HEIGHT, WIDTH, 3)


DAMAGED = {
    "empty": b"",
    "HTML": b"<!DOCTYPE html><html><body>503 Slow down</body></html>",
    "zeros": bytes(1000),
    "a JPEG cut in half": encoded(noise(300, 200), "JPEG")[:8000],
    "a JPEG without its end": encoded(noise(300, 200), "JPEG")[:-200],
    "a JPEG's first bytes": encoded(RGB, "JPEG")[:12],
    "a PNG cut in half": encoded(noise(300, 200))[:8000],
    "a GIF cut in half": encoded(noise(300, 200), "GIF")[:8000],
    "a WebP cut in half": encoded(noise(300, 200), "WEBP")[:3000],
    "a PNG with a wrong checksum": encoded(RGB)[:-20] + bytes(20),
    "a PNG with bytes overwritten": encoded(RGB)[:200] + bytes(100) + encoded(RGB)[300:],
}


@pytest.mark.parametrize("read", [decode_pil, decode_torchvision])
@pytest.mark.parametrize("kind", DAMAGED)
def test_bytes_that_are_no_whole_image_are_a_decode_error(kind: str, read: Callable[[bytes], Any]) -> None:
    with pytest.raises(DecodeError, match=f"^{len(DAMAGED[kind])} bytes "):
        read(DAMAGED[kind])


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    bomb = png(60_000, 60_000, 8, 0, [bytes(60_000)])
    assert len(bomb) < 1000
    with pytest.raises(DecodeError, match=r"3600000000 pixels.* exceeds limit"):
        decode_pil(bomb)


@pytest.mark.parametrize("data", [encoded(RGB, "JPEG"), encoded(RGB, "WEBP")])
def test_torchvision_sees_no_image_that_is_larger_than_pillow_allows(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small limit instead of a large image, which would cost gigabytes if the check failed.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 2 - 1)
    with pytest.raises(DecodeError, match="exceeds limit"):
        decode_torchvision(data)


class TestResolving:
    def test_names_stand_for_decoders_and_callables_for_themselves(self) -> None:
        assert resolve_decoder("pil") is decode_pil
        assert resolve_decoder("torchvision") is decode_torchvision
        assert resolve_decoder(len) is len

    @pytest.mark.parametrize("decoder", ["PIL", "", None, 3])
    def test_anything_else_is_refused(self, decoder: Any) -> None:
        with pytest.raises(OptionError, match=r'^decoder: expected "pil", "torchvision" or a callable'):
            resolve_decoder(decoder)

    def test_a_missing_torchvision_is_named_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(OptionError, match="pip install torchvision"):
            resolve_decoder("torchvision")
