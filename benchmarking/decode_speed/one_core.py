"""CPU time per image of each recipe on one core, and how far its pixels are from Pillow's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import default_collate

from benchmarking.decode_speed.recipes import PIL, Recipe, Sides, make_recipes
from benchmarking.imagenet_like.pictures import Painter
from concurrent_dataloader.dataset.decode import resolve_decoder

T = TypeVar("T")

US_PER_S = 1_000_000
SEED = 0


@dataclass(frozen=True)
class Pictures:
    """A set of pictures and what is made of them.

    Attributes:
        width, height: In pixels.
        count: How many different ones; so many also make a batch.
        sides: Of the transform.
    """

    width: int
    height: int
    count: int
    sides: Sides

    @property
    def name(self) -> str:
        """Name in reports."""
        return f"{self.width} x {self.height} to {self.sides.crop}"

    def draw(self) -> list[bytes]:
        """Returns the JPEGs."""
        painter, random = Painter((self.width, self.height), SEED), np.random.default_rng(SEED)
        digits = random.integers(0, 17, (self.count, 8, 8)).astype(float)  # what a digit's picture has: 0 to 16
        return [painter.draw(digit, random) for digit in digits]


PICTURES = (
    Pictures(500, 375, 32, Sides()),
    Pictures(500, 375, 32, Sides(146, 128)),
    Pictures(2000, 1500, 8, Sides()),
)
"""ImageNet's usual size at its usual crop, the same for small models, and photographs of 3 megapixels."""


@dataclass(frozen=True)
class Cost:
    """What a recipe costs for one set of pictures: medians of CPU microseconds per image, in one thread.

    Attributes:
        pictures, recipe: Names.
        decode_us, transform_us, collate_us: The three steps.
        mean_difference: From Pillow's whole image in the same transform, in levels of 255; None: floats.
        largest_difference: The same of the pixel that is furthest off.
    """

    pictures: str
    recipe: str
    decode_us: float
    transform_us: float
    collate_us: float
    mean_difference: float | None
    largest_difference: int | None

    @property
    def total_us(self) -> float:
        """All three."""
        return self.decode_us + self.transform_us + self.collate_us


def measure_pictures(pictures: Pictures, names: Sequence[str], rounds: int) -> list[Cost]:
    """Returns what each recipe costs; the recipes take turns, round by round."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker process
    try:
        bodies, recipes = pictures.draw(), make_recipes(pictures.sides)
        times = {name: [_time(recipes[name], bodies)] for name in names}  # the first round warms up, and goes
        for _ in range(rounds):
            for name in names:
                times[name].append(_time(recipes[name], bodies))
        reference = _samples(recipes[PIL], bodies)
        costs = []
        for name in names:
            decode_us, transform_us, collate_us = (median(step) for step in zip(*times[name][1:], strict=True))
            difference = _difference(_samples(recipes[name], bodies), reference)
            costs.append(Cost(pictures.name, name, decode_us, transform_us, collate_us, *difference))
        return costs
    finally:
        torch.set_num_threads(threads)


def _time(recipe: Recipe, bodies: Sequence[bytes]) -> tuple[float, float, float]:
    """Returns microseconds per image of decoding, of the transform, and of the collation."""
    decode = resolve_decoder(recipe.decoder)
    count = len(bodies)
    decode_s, images = _timed(lambda: [decode(body) for body in bodies])
    transform_s, samples = _timed(lambda: [recipe.transform(image) for image in images])
    collate_s, _ = _timed(lambda: default_collate(samples))
    return decode_s / count * US_PER_S, transform_s / count * US_PER_S, collate_s / count * US_PER_S


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    before = process_time()
    result = work()
    return process_time() - before, result


def _samples(recipe: Recipe, bodies: Sequence[bytes]) -> torch.Tensor:
    decode = resolve_decoder(recipe.decoder)
    return torch.stack([recipe.transform(decode(body)) for body in bodies])


def _difference(found: torch.Tensor, expected: torch.Tensor) -> tuple[float | None, int | None]:
    if found.dtype != torch.uint8:
        return None, None
    levels = (found.to(torch.int16) - expected.to(torch.int16)).abs()
    return levels.double().mean().item(), int(levels.max())
