"""Which objects of a listing go into an index."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage.protocol import ObjectInfo

Patterns = str | Sequence[str] | None


class KeyFilter:
    """Chooses objects by their keys.

    Args:
        suffix: Take only keys that end in it, whatever the case; or in one of several: ``(".jpeg", ".png")``.
        include: Take only keys that match it, or one of several. A shell pattern with ``*``, ``?`` and ``[...]``, for
            the whole path below ``prefix``; ``*`` stands for any characters, ``/`` included; the case counts.
        exclude: Leave out keys that match it, or one of several, whatever the others say.
        prefix: Patterns are for what follows its last ``/``.
        limit: Take only so many of the first that match; None (default) takes all.

    Attributes:
        limit: As given.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
    """

    def __init__(
        self,
        suffix: Patterns = None,
        include: Patterns = None,
        exclude: Patterns = None,
        *,
        prefix: str = "",
        limit: int | None = None,
    ) -> None:
        self._endings = tuple(each.lower() for each in _several("suffix", suffix, "'.JPEG'") or ()) or None
        self._include = _pattern(_several("include", include, "'train/*.png'"))
        self._exclude = _pattern(_several("exclude", exclude, "'train/*.png'"))
        self._start = prefix.rfind("/") + 1
        if limit is not None and (type(limit) is not int or limit < 1):
            raise OptionError(f"limit: expected an integer of at least 1, or None, got {limit!r}")
        self.limit = limit

    def chosen(self, objects: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
        """Yields the objects that are to be taken; reads no further than the limit needs."""
        return itertools.islice(filter(self.takes, objects), self.limit)

    def takes(self, info: ObjectInfo) -> bool:
        """Returns whether an object matches, whatever the limit."""
        key = info.key
        if self._endings is not None and not key.lower().endswith(self._endings):
            return False
        if self._include is not None and not self._include.match(key, self._start):
            return False
        return self._exclude is None or not self._exclude.match(key, self._start)


def _several(name: str, value: object, example: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    several = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()
    if not several or not all(isinstance(each, str) for each in several):
        raise OptionError(f"{name}: expected a string such as {example}, a sequence of them, or None, got {value!r}")
    return several


def _pattern(patterns: tuple[str, ...] | None) -> re.Pattern[str] | None:
    return None if patterns is None else re.compile("|".join(map(fnmatch.translate, patterns)))
