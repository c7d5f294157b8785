"""Keys on their way between an index file and memory: some ten thousand at a time, and what no key may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# S3's keys have at most 1,024 bytes and Linux's paths 4,096; a byte that is no UTF-8 takes three here.
LONGEST_KEY_BYTES = 3 * 4096
_SHORT = LONGEST_KEY_BYTES // 4  # characters that can never be too many bytes: UTF-8 has at most 4 for one

# Lone surrogates. U+DC80 to U+DCFF are left out: Python has them for the bytes of a file name that are no UTF-8.
_UNNAMEABLE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class KeyBatch(NamedTuple):
    """Keys in order.

    Attributes:
        keys: The keys.
        sizes: The objects' sizes in bytes, None where one is not known; None if none of them is.
    """

    keys: Sequence[str]
    sizes: Sequence[int | None] | None = None


def find_bad_key(keys: Sequence[str]) -> tuple[int, str] | None:
    """Looks for a string that can name no object and no file.

    Returns:
        The position of the first one and what is wrong with it, or None.
    """
    text = "".join(keys)
    clean = "\0" not in text and (text.isascii() or not _UNNAMEABLE.search(text))
    if clean and all(keys) and max(map(len, keys), default=0) <= _SHORT:
        return None
    return next(((at, fault) for at, key in enumerate(keys) if (fault := _fault_of(key))), None)


def _fault_of(key: str) -> str | None:
    if not key:
        return "is an empty string; expected a key"
    if "\0" in key:
        return f"is {_shown(key)}; expected a key without NUL characters, which no file name can have"
    if _UNNAMEABLE.search(key):
        return f"is {_shown(key)}; expected a key without half characters (lone surrogates)"
    size_bytes = len(key.encode("utf-8", "surrogatepass"))
    if size_bytes > LONGEST_KEY_BYTES:
        return f"has {size_bytes} bytes ({_shown(key)}); expected a key of at most {LONGEST_KEY_BYTES}"
    return None


def _shown(key: str) -> str:
    return ascii(key if len(key) <= 60 else key[:60] + "...")
