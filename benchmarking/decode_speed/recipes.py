"""The ways from a JPEG to a sample that are compared: a decoder, and the transform in the form that fits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torchvision import transforms as v1
from torchvision.transforms import v2

from concurrent_dataloader import PilDecoder
from concurrent_dataloader.dataset.decode import Decoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels on a scale of 0 to 1, as torchvision's documentation has them."""


@dataclass(frozen=True)
class Recipe:
    """How a sample is made of a body.

    Attributes:
        decoder: What a dataset takes as ``decoder``.
        transform: From what it decodes to ``(3, crop, crop)``, uint8 unless the name says float.
    """

    decoder: str | Decoder
    transform: Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Sides:
    """The two numbers of ImageNet's validation transform, in pixels."""

    resize: int = 256
    crop: int = 224


PIL_FLOAT, PIL, PIL_TENSOR, TORCHVISION = "pil, float", "pil", "pil, as tensor", "torchvision"
REDUCED, REDUCED_TENSOR = "reduced", "reduced, as tensor"
RECIPES = (PIL_FLOAT, PIL, PIL_TENSOR, TORCHVISION, REDUCED, REDUCED_TENSOR)


def make_recipes(sides: Sides) -> dict[str, Recipe]:
    """Returns the recipes by name.

    ``pil, float`` is what most people have: Pillow, and floats for each image in the worker. All others stay uint8.
    """
    on_images = [v1.Resize(sides.resize), v1.CenterCrop(sides.crop)]
    as_float = v1.Compose([*on_images, v1.ToTensor(), v1.Normalize(MEAN, STD)])
    as_bytes = v1.Compose([*on_images, v1.PILToTensor()])
    on_tensors = v2.Compose([v2.Resize(sides.resize), v2.CenterCrop(sides.crop)])
    return {
        PIL_FLOAT: Recipe("pil", as_float),
        PIL: Recipe("pil", as_bytes),
        PIL_TENSOR: Recipe(PilDecoder(as_tensor=True), on_tensors),
        TORCHVISION: Recipe("torchvision", on_tensors),
        REDUCED: Recipe(PilDecoder(sides.resize), as_bytes),
        REDUCED_TENSOR: Recipe(PilDecoder(sides.resize, as_tensor=True), on_tensors),
    }
