"""Small pictures for tests, drawn on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 30, 20


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """Returns the image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def noise(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Returns an RGB picture in which no two pixels need be alike; the same one each time."""
    random = np.random.default_rng(7)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def plain(level: int, size: int = 4) -> bytes:
    """Returns a PNG, all of whose pixels have one level of grey from 0 to 255."""
    return encoded(Image.new("RGB", (size, size), (level, level, level)))


def numbered(key_format: str, count: int) -> dict[str, bytes]:
    """Returns pictures by key; the grey of picture i is i."""
    return {key_format.format(i): plain(i) for i in range(count)}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, lines: list[bytes]) -> bytes:
    """Returns a PNG of kinds that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
