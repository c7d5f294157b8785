"""Normalisation of a whole batch, where it is used rather than where it is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from concurrent_dataloader._base.errors import OptionError


class NormalizeBatch:
    """Turns a batch of bytes into normalised floats: ``(images / 255 - mean) / std`` per channel.

    Workers then hand on a quarter of the bytes and compute none of this; on a GPU it takes no time worth speaking of::

        normalize = NormalizeBatch(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        for images, targets in loader:  # images: (batch, 3, height, width) uint8
            images = normalize(images.to("cuda", non_blocking=True))

    The values are those of torchvision's ``ToTensor`` and ``Normalize`` on each image; on a CPU bit by bit, since the
    same steps are taken in the same order.

    Args:
        mean: What to subtract for each channel, on a scale of 0 to 1.
        std: What to divide by for each channel, on the same scale.

    Raises:
        OptionError: Lengths differ or are 0, a number is not finite, or a deviation is not positive.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = tuple(map(float, mean)), tuple(map(float, std))
        if not self._mean or len(self._mean) != len(self._std):
            raise OptionError(f"mean and std: expected one number a channel in each, got {self._mean} and {self._std}")
        if not all(map(math.isfinite, self._mean)):
            raise OptionError(f"mean: expected finite numbers, got {self._mean}")
        if not all(math.isfinite(each) and each > 0 for each in self._std):
            raise OptionError(f"std: expected positive numbers, got {self._std}")
        self._constants: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises a batch; the batch itself is left as it is.

        Args:
            images: ``(batch, channels, height, width) uint8`` on any device; or one image without the first dimension.

        Returns:
            The same shape, device and memory format, float32.

        Raises:
            OptionError: ``images`` is of another type or shape.
        """
        channels = len(self._mean)
        if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.shape[-3] != channels:
            raise OptionError(
                f"images: expected (batch, {channels}, height, width) uint8, got {tuple(images.shape)} {images.dtype}; "
                'a dataset with decoder="torchvision" gives that, if its transform does not turn bytes into floats'
            )
        mean, std = self._on(images.device)
        return images.to(torch.float32).div_(255.0).sub_(mean).div_(std)

    def __repr__(self) -> str:
        return f"NormalizeBatch(mean={self._mean}, std={self._std})"

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mean and deviation on a device, where they stay: copying them for each batch would wait for it."""
        if device not in self._constants:
            mean, std = (torch.tensor(each, device=device).view(-1, 1, 1) for each in (self._mean, self._std))
            self._constants[device] = mean, std
        return self._constants[device]
