"""Makes the objects: random bytes, and JPEGs that cost a decoder what photographs do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarking.bench.workloads import ObjectKind, index_file

WIDTH, HEIGHT = 500, 375  # pixels; what most of ImageNet's photographs have
FINEST_GRAIN = 14.0  # grey levels of noise in each pixel; with it quality 90 gives about 110 KB
JPEG_QUALITY = 90


def make_objects(kind: ObjectKind, folder: Path) -> None:
    """Writes all objects of a kind below a folder, and the kind's index file beside it."""
    rng = np.random.default_rng(kind.size_bytes)
    (folder / kind.name).mkdir(parents=True)
    for key in kind.keys():
        body = _photograph(rng) if kind.name == "jpeg" else rng.bytes(kind.size_bytes)
        (folder / key).write_bytes(body)
    index_file(folder, kind.name).write_text(json.dumps(kind.keys()), encoding="utf-8")


def _photograph(rng: np.random.Generator) -> bytes:
    """Returns a JPEG with the spectrum of a photograph: the contrast of each scale falls with its fineness."""
    pixels = np.full((HEIGHT, WIDTH, 3), 128.0, dtype=np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        noise = rng.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels += (np.asarray(layer, dtype=np.float32) - 128.0) * (2.0 / cells**0.5)
    pixels += rng.normal(0.0, FINEST_GRAIN, (HEIGHT, WIDTH, 1)).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
