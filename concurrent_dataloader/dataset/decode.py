"""From an object's bytes to an image: RGB, whatever mode it was stored in."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from concurrent_dataloader._base.errors import DecodeError, OptionError

Decoder = Callable[[bytes], Any]

_TORCHVISION_FORMATS = ("JPEG", "WEBP")
_WIDE_GREY_FORMATS = ("PNG", "PPM")  # they hold 16 bits of grey where Pillow says mode "I"
_GREY_STEPS = 257  # 65535 / 255: what one step of 8 bits is in 16 bits


def resolve_decoder(decoder: str | Decoder) -> Decoder:
    """Returns the decoder of a name, or the callable itself.

    Args:
        decoder: ``"pil"`` (a ``PIL.Image.Image`` in mode RGB), ``"torchvision"`` (``(3, height, width) uint8``) or a
            callable ``bytes -> Any``.

    Raises:
        OptionError: It is none of them, or torchvision is not installed.
    """
    if decoder == "pil":
        return decode_pil
    if decoder == "torchvision":
        if importlib.util.find_spec("torchvision") is None:
            raise OptionError('decoder="torchvision" needs torchvision: pip install torchvision')
        return decode_torchvision
    if callable(decoder):
        return decoder
    raise OptionError(f'decoder: expected "pil", "torchvision" or a callable bytes -> Any, got {decoder!r}')


def decode_pil(data: bytes) -> Image.Image:
    """Decodes with Pillow.

    Transparency is dropped, 16-bit grey is scaled to 8 bits (Pillow alone would clip it to white), and of an animation
    the first frame is taken. As with torchvision's ``ImageFolder``, an EXIF orientation is not applied.

    Returns:
        The image in mode RGB.

    Raises:
        DecodeError: The bytes are no image that Pillow can read.
    """
    with _opened(data) as image:
        return _to_rgb(image)


def decode_torchvision(data: bytes) -> torch.Tensor:
    """Decodes JPEG and WebP with ``torchvision.io``, the fast path; other formats go through Pillow.

    Returns:
        ``(3, height, width) uint8``; else as `decode_pil`.

    Raises:
        DecodeError: The bytes are no image that either can read, or have more pixels than Pillow allows.
    """
    # Pillow reads the header first, in a hundredth of the decoding time. torchvision believes whatever size a header
    # claims; of an animated GIF it decodes all frames; and a PNG with one damaged byte ends the process with a
    # segmentation fault (0.29.1; 24,000 damaged JPEGs and WebPs did not).
    with _opened(data) as header:
        if header.format in _TORCHVISION_FORMATS:
            decode, rgb = _torchvision_decoder()
            # One message for "not supported" and "damaged" alike: Pillow decides which.
            with suppress(RuntimeError, ValueError):
                return decode(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=rgb)
        return torch.from_numpy(np.array(_to_rgb(header))).permute(2, 0, 1).contiguous()


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Yields the image with its header read, and turns whatever goes wrong with it into a `DecodeError`."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            yield image
    except UnidentifiedImageError:
        raise DecodeError(f"{len(data)} bytes in no image format that Pillow knows") from None
    except Exception as error:  # Pillow's parsers raise whatever damaged bytes lead them to, SyntaxError for instance
        raise DecodeError(f"{len(data)} bytes that cannot be decoded: {type(error).__name__}: {error}") from error


@cache
def _torchvision_decoder() -> tuple[Callable[..., torch.Tensor], Any]:
    # Imported on first use: it takes a second, and the library works without torchvision.
    from torchvision.io import ImageReadMode, decode_image

    return decode_image, ImageReadMode.RGB


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _WIDE_GREY_FORMATS):
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide + _GREY_STEPS // 2) // _GREY_STEPS).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info and image.mode == "P":
        return image.convert("RGBA").convert("RGB")  # straight to RGB, Pillow warns for every image
    return image.convert("RGB")
