"""Reading an image's bytes with Pillow: its header first, then its pixels as RGB, whatever mode they are stored in."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from concurrent_dataloader._base.errors import DecodeError

if TYPE_CHECKING:
    import torch

_WIDE_GREY_FORMATS = ("PNG", "PPM")  # they hold 16 bits of grey where Pillow says mode "I"
_RUNS_A_PROGRAM = "EPS"  # Pillow hands it to Ghostscript: a language, and no picture that a stranger may send
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF 6.0, section 4
_WHITE = 255
_GREY_STEPS = 257  # 65535 / 255: what one step of 8 bits is in 16 bits


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Yields the image with its header read, and turns whatever goes wrong with it into a `DecodeError`."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format == _RUNS_A_PROGRAM:
                raise DecodeError(f"{len(data)} bytes of PostScript, which is a program and is not run")
            yield image
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise DecodeError(f"{len(data)} bytes in no image format that Pillow knows") from None
    except Exception as error:  # Pillow's parsers raise whatever damaged bytes lead them to, SyntaxError for instance
        raise DecodeError(f"{len(data)} bytes that cannot be decoded: {type(error).__name__}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Decodes what `opened` gave; see `decode_pil` for what becomes of transparency and of 16-bit grey."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _WIDE_GREY_FORMATS):
        wide = np.asarray(image).astype(np.uint32)
        if image.format == "TIFF" and _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns 8 bits alone
            wide = np.iinfo(np.uint16).max - wide
        return Image.fromarray(((wide + _GREY_STEPS // 2) // _GREY_STEPS).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        _check_scale(image)
    if "transparency" in image.info and image.mode == "P":
        return image.convert("RGBA").convert("RGB")  # straight to RGB, Pillow warns for every image
    return image.convert("RGB")


def _check_scale(image: Image.Image) -> None:
    """Raises DecodeError where Pillow would clip: it takes 32 bits of grey for numbers from 0 to 255."""
    lowest, highest = cast(tuple[float, float], image.getextrema())  # one pair for one channel
    # Written so that a value which is no number is refused; a picture of fractions would come out black.
    if not (lowest >= 0 and highest <= _WHITE) or (image.mode == "F" and 0 < highest <= 1):
        raise DecodeError(
            f"32-bit grey from {lowest:g} to {highest:g}, on no scale that is known; expected 0 to 255, or a "
            "decoder of your own that scales it"
        )


def _tags(image: Any) -> Mapping[int, Any]:
    tags: Mapping[int, Any] = image.tag_v2
    return tags


def to_tensor(image: Image.Image) -> torch.Tensor:
    """Returns an RGB image as ``(3, height, width) uint8``.

    The values of a pixel lie side by side (torch's ``channels_last``), as in what ``torchvision.io`` decodes:
    torchvision resizes that twice as fast as one plane of colour after another (184 us against 357 at 500 x 375).
    """
    import torch  # here: the command line checks images without it

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
