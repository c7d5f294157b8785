"""Draws one digit over a photograph-like texture, as a JPEG of the size and weight of ImageNet's."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

TEXTURES = 24  # enough that no picture's background gives its digit away; 0.1 s of work
OCTAVES = 6  # cells from the whole picture's width down to a 32nd of it; the grain is what is finer
JPEG_QUALITY = 95  # with GRAIN_SIGMA, what lands a 500 x 375 picture between 100 and 110 KB
GRAIN_SIGMA = 11.5  # standard deviation of the grain, in grey levels of 255
MARGIN = 1.5  # textures and grain are this many times as wide and high as a picture, and cut at random
DIGIT_HEIGHT = (0.75, 1.1)  # of the picture's height, with a blank margin of a tenth: readable at 64 x 64 throughout
DIGIT_SHIFT = 0.05  # of the picture's height, to all sides
DIGIT_TURN_DEGREES = 8.0
LIGHT, DARK = (185, 256), (0, 70)  # colours of digits on dark and on light textures

Pixels = npt.NDArray[np.uint8]
Digit = npt.NDArray[np.floating[Any]]


class Painter:
    """Draws digits on textures that are made once, since making them costs more than drawing."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        """Makes textures and grain.

        Args:
            size: Width and height of the pictures in pixels.
            seed: Seed of the textures.
        """
        self._size = size
        self._canvas = int(size[0] * MARGIN), int(size[1] * MARGIN)
        random = np.random.default_rng(seed)
        self._textures = [_texture(self._canvas, random) for _ in range(TEXTURES)]
        grain = random.normal(0.0, GRAIN_SIGMA, (self._canvas[1], self._canvas[0], 3))
        self._grain = np.rint(grain).astype(np.int16)

    def draw(self, digit: Digit, random: np.random.Generator) -> bytes:
        """Returns a JPEG of a digit.

        Args:
            digit: ``(8, 8)``, from 0 (paper) to 16 (ink), as scikit-learn has them.
            random: Draws texture, place, size, turn, colour and contrast.
        """
        texture = self._textures[random.integers(TEXTURES)]
        background = self._cut(texture, random)
        if random.random() < 0.5:
            background = background[:, ::-1]
        picture = Image.fromarray(np.ascontiguousarray(background))
        low, high = LIGHT if background.mean() < 128 else DARK
        colour = tuple(int(level) for level in random.integers(low, high, 3))
        mask, corner = self._place(digit, random)
        picture.paste(colour, corner, mask)
        grainy = np.asarray(picture).astype(np.int16) + self._cut(self._grain, random)
        file = io.BytesIO()
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()

    def _cut(self, canvas: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[Any]:
        width, height = self._size
        left = random.integers(self._canvas[0] - width + 1)
        top = random.integers(self._canvas[1] - height + 1)
        return canvas[top : top + height, left : left + width]

    def _place(self, digit: Digit, random: np.random.Generator) -> tuple[Image.Image, tuple[int, int]]:
        """Returns the digit's opacity and its upper left corner; it stays in the middle, where a centre crop looks."""
        width, height = self._size
        side = int(height * random.uniform(*DIGIT_HEIGHT))
        opacity = random.uniform(0.75, 1.0)
        padded = np.pad(digit, 1)  # ink at the edge would be cut off straight
        small = Image.fromarray((padded * (255.0 / 16.0)).astype(np.uint8))
        large = small.resize((side, side), Image.Resampling.BICUBIC)
        turned = large.rotate(random.uniform(-1.0, 1.0) * DIGIT_TURN_DEGREES, Image.Resampling.BILINEAR)
        # Ink spreads over several of the 8 pixels: steepened, the digit gets an edge.
        mask = turned.point([int(opacity * min(max(2.0 * level - 128.0, 0.0), 255.0)) for level in range(256)])
        shift_x, shift_y = (random.uniform(-1.0, 1.0, 2) * DIGIT_SHIFT * height).astype(int)
        return mask, (int((width - side) // 2 + shift_x), int((height - side) // 2 + shift_y))


def _texture(size: tuple[int, int], random: np.random.Generator) -> Pixels:
    """Returns smooth noise of several octaves, each half as strong as the one before, in related colours."""
    width, height = size
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(OCTAVES):
        cells = 2 ** (octave + 2)
        grid = random.random((cells, cells, 3)) * 0.4 + random.random((cells, cells, 1)) * 0.6
        layer = Image.fromarray((grid * 255.0).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(layer, np.float32) * 0.5**octave
    total -= total.min()
    total *= 120.0 / total.max()
    pixels: Pixels = (total + random.choice([10.0, 125.0])).astype(np.uint8)
    return pixels
