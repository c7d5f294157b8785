"""Makes the objects: random bytes, and JPEGs that weigh what ImageNet's do."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarking.bench.workloads import ObjectKind, index_file
from benchmarking.imagenet_like.pictures import Painter

WIDTH, HEIGHT = 500, 375  # pixels; what most of ImageNet's photographs have
SEED = 0


def make_objects(kind: ObjectKind, folder: Path) -> None:
    """Writes all objects of a kind below a folder, and the kind's index file beside it.

    Large objects share a few bodies by hard links: they cost neither time nor disk, nor the endpoint's memory.
    """
    (folder / kind.name).mkdir(parents=True)
    keys = kind.keys()
    painter = Painter((WIDTH, HEIGHT), SEED) if kind.is_image else None

    def make(number: int) -> None:
        rng = np.random.default_rng((SEED, number))
        picture = rng.integers(0, 17, (8, 8)).astype(float)  # what a digit's picture has: 0 to 16
        body = rng.bytes(kind.size_bytes) if painter is None else painter.draw(picture, rng)
        (folder / keys[number]).write_bytes(body)

    # Threads are enough: NumPy and Pillow let go of the interpreter while they work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, range(kind.bodies)))
    for number in range(kind.bodies, kind.objects):
        (folder / keys[number]).hardlink_to(folder / keys[number % kind.bodies])
    index_file(folder, kind.name).write_text(json.dumps(keys), encoding="utf-8")
