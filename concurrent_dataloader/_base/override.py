"""An object as it is, but for a few attributes."""

from __future__ import annotations

from typing import Any


class Override:
    """An object seen through a few changed attributes."""

    def __init__(self, inner: Any, **changed: Any) -> None:
        self.__dict__.update(changed, _inner=inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
