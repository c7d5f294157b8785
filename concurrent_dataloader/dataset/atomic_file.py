"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yields a file beside ``path`` that takes its place when the block ends well, and is removed when it does not.

    The folder is made if needed. The file's ``name`` is its temporary path. Readers see the old file or the new one,
    never a part.
    """
    if path.is_dir():  # else found only at the end, when all the work is done
        raise IsADirectoryError(f"{path} is a folder, and cannot be replaced by a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut after the renaming could leave an empty file under the name
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
