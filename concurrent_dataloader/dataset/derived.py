"""An attribute that is worked out where it is asked for, and that a subclass may simply set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class derived(Generic[T]):  # noqa: N801 used as a decorator, like `property`
    """Like `property`, but an attribute of the instance with the same name wins, so that ``self.name = ...`` works.

    `functools.cached_property` allows that too; yet it would keep the value where pickling takes it along.

    Args:
        compute: Returns the value, given the instance.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | T:
        return self if instance is None else self._compute(instance)
