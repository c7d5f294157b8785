"""Where this user's machine keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache_folder() -> Path:
    """Returns ``$XDG_CACHE_HOME/concurrent_dataloader``, by default ``~/.cache/concurrent_dataloader``.

    Source: the XDG base directory specification.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return folder / "concurrent_dataloader"


def objects_folder() -> Path:
    """Returns where objects are kept unless ``cache_dir`` names another folder: ``objects`` in `user_cache_folder`."""
    return user_cache_folder() / "objects"
