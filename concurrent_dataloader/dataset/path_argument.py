"""Checks an argument that names a file or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from concurrent_dataloader._base.errors import OptionError


def as_path(name: str, value: object, *, hint: str = "") -> Path:
    """Returns the path that was given as an argument.

    Args:
        name: The argument's name, for the message.
        value: What was given.
        hint: Ends the message on a value of another type.

    Raises:
        OptionError: It is no path: of another type, empty, or with characters that no file name can have.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise OptionError(f"{name}: expected a path, got {type(value).__name__}{hint}")
    if not os.fspath(value):
        raise OptionError(f"{name}: expected a path, got an empty one")
    path = Path(value)
    if "\0" in str(path) or not _is_encodable(path):
        raise OptionError(f"{name}: expected a path, got {str(path)!r}, which can name no file")
    return path


def _is_encodable(path: Path) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
