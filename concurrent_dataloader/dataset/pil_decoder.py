"""Decoding with Pillow and options: reduced in size, as a tensor, or both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.image_bytes import opened, to_rgb, to_tensor

_SCALED_FORMATS = ("JPEG", "MPO")  # an MPO is a JPEG with more pictures behind the first


@dataclass(frozen=True)
class PilDecoder:
    """A decoder for ``decoder=``: Pillow, reduced in size where asked for, and as a tensor where asked for.

    With ``at_least``, a JPEG comes out at 1/2, 1/4 or 1/8 of its size: libjpeg then computes that many fewer pixels,
    and what follows has fewer to resize. It is the smallest of these sizes at which **both** stored sides, divided,
    are still at least as long as asked for; where there is none the image comes out whole. A rest counts as a pixel:
    375 lines become 188 at 1/2. Other formats come out whole.

    **The pixels differ** from those of a whole image that was resized, by 1 to 3 grey levels of 255 on average in
    photographs (figures in ``docs/decoding.md``): train and validate with the same decoder. Give the sides that the
    transform *resizes* to, not those that it crops: ``Resize(256)`` wants ``at_least=256``. A ``RandomResizedCrop``
    that cuts out a small part and enlarges it wants more.

    Instances are frozen, comparable, and go to worker processes. All else is as in `decode_pil`: RGB whatever the mode,
    no EXIF orientation applied (so the sides are those that are stored), `DecodeError` for what is no image.

    Args:
        at_least: Shortest sides in pixels, as ``(height, width)``; a number stands for both. None (default): whole.
        as_tensor: Return ``(3, height, width) uint8`` rather than a ``PIL.Image.Image``, so that torchvision's v2
            transforms take their fast path for tensors; default False.

    Raises:
        OptionError: ``at_least`` or ``as_tensor`` is of another kind.
    """

    at_least: int | tuple[int, int] | None = None
    as_tensor: bool = False

    def __post_init__(self) -> None:
        if self.at_least is not None and not all(type(side) is int and side > 0 for side in self._sides()):
            raise OptionError(
                "at_least: expected a number of pixels from 1 on, or two as (height, width), or None for whole images, "
                f"got {self.at_least!r}"
            )
        if type(self.as_tensor) is not bool:
            raise OptionError(f"as_tensor: expected True or False, got {self.as_tensor!r}")

    def __call__(self, data: bytes) -> Image.Image | torch.Tensor:
        """Decodes.

        Returns:
            The image in mode RGB, or ``(3, height, width) uint8``.

        Raises:
            DecodeError: The bytes are no image that Pillow can read.
        """
        with opened(data) as image:
            if self.at_least is not None and image.format in _SCALED_FORMATS:
                height, width = self._sides()
                image.draft(None, (width, height))  # the mode stays: `to_rgb` knows them all
            rgb = to_rgb(image)
        return to_tensor(rgb) if self.as_tensor else rgb

    def _sides(self) -> tuple[int, ...]:
        """Returns ``(height, width)``, or what is no such pair as something that the check refuses."""
        if isinstance(self.at_least, tuple):
            return self.at_least if len(self.at_least) == 2 else (0,)
        return (self.at_least, self.at_least)  # type: ignore[return-value]  # an int, or refused
