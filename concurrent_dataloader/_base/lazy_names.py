"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], submodules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns ``__getattr__`` and ``__dir__`` for a package that hands on names of its modules.

    torch takes a second to import, and not all that lies in the package needs it. To be used under
    ``if not TYPE_CHECKING``, beside the imports as a type checker is to see them: it would else take every name for one
    that is there.

    Args:
        package: The package's ``__name__``.
        homes: From each name to the module that it is to be imported from.
        submodules: Modules below the package that are attributes of it, imported or not.
    """
    below = frozenset(submodules)

    def get(name: str) -> Any:
        if name in below:
            return import_module(f"{package}.{name}")  # which makes it an attribute
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # the next look finds it without a call
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *below})

    return get, names
