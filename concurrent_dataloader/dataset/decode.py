"""From an object's bytes to an image: RGB, whatever mode it was stored in."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from PIL import Image

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.image_bytes import opened, to_rgb, to_tensor

if TYPE_CHECKING:
    import torch

Decoder = Callable[[bytes], Any]

_TORCHVISION_FORMATS = ("JPEG", "WEBP")


def resolve_decoder(decoder: str | Decoder) -> Decoder:
    """Returns the decoder of a name, or the callable itself.

    Args:
        decoder: ``"pil"`` (a ``PIL.Image.Image`` in mode RGB), ``"torchvision"`` (``(3, height, width) uint8``) or a
            callable ``bytes -> Any``, such as a `PilDecoder`.

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
    the first frame is taken. 32-bit grey is taken for 0 to 255, and refused where it goes beyond; so is PostScript. As
    with torchvision's ``ImageFolder``, an EXIF orientation is not applied.

    Returns:
        The image in mode RGB.

    Raises:
        DecodeError: The bytes are no image that Pillow can read, or none whose scale of grey is known.
    """
    with opened(data) as image:
        return to_rgb(image)


def decode_torchvision(data: bytes) -> torch.Tensor:
    """Decodes JPEG and WebP with ``torchvision.io``, the fast path; other formats go through Pillow.

    Returns:
        ``(3, height, width) uint8``; else as `decode_pil`.

    Raises:
        DecodeError: The bytes are no image that either can read, or have more pixels than Pillow allows.
    """
    import torch  # here: the command line checks images without it

    # Pillow reads the header first, in a fiftieth of the decoding time. torchvision believes whatever size a header
    # claims; of an animated GIF it decodes all frames; and a PNG with one damaged byte ends the process with a
    # segmentation fault (0.29.1; 24,000 damaged JPEGs and WebPs did not).
    with opened(data) as header:
        if header.format in _TORCHVISION_FORMATS:
            decode, rgb = _torchvision_decoder()
            # One message for "not supported" and "damaged" alike: Pillow decides which.
            with suppress(RuntimeError, ValueError):
                # A bytearray, since torch warns of memory that it may not write to: 3 us for 110 KB.
                return decode(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=rgb)
        return to_tensor(to_rgb(header))


@cache
def _torchvision_decoder() -> tuple[Callable[..., torch.Tensor], Any]:
    # Imported on first use: it takes a second, and the library works without torchvision.
    from torchvision.io import ImageReadMode, decode_image

    return decode_image, ImageReadMode.RGB
