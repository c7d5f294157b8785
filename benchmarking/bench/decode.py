"""What every loader does with a body: the same work for all of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from benchmarking.bench.workloads import ObjectKind

# ImageNet's usual validation transform, with the mean and the standard deviation of its pixels.
IMAGE_TRANSFORM: Callable[[Image.Image], torch.Tensor] = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def decode_image(body: Any) -> torch.Tensor:
    """Returns ``(3, 224, 224) float32`` for the bytes of a JPEG."""
    with Image.open(io.BytesIO(body)) as image:
        return IMAGE_TRANSFORM(image.convert("RGB"))


def decode_bytes(body: Any) -> torch.Tensor:
    """Returns the bytes as ``(size,) uint8``; copied once, since a tensor must be writable."""
    return torch.from_numpy(np.frombuffer(body, np.uint8).copy())


def decoder_of(kind: ObjectKind) -> Callable[[Any], torch.Tensor]:
    """Returns the decoder for a kind of objects."""
    return decode_image if kind.is_image else decode_bytes
