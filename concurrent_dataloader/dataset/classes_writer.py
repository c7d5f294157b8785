"""Writes a classes file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from concurrent_dataloader.dataset.atomic_file import replacing


def write_classes(path: str | os.PathLike[str], entries: Mapping[str, object]) -> None:
    """Writes a classes file, one entry a line, whole or not at all; its folder is made if needed.

    Args:
        path: Where to write.
        entries: See `train_classes`, `val_classes_from_ground_truth` and `val_classes_from_solution`.
    """
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    with replacing(Path(path)) as file:
        file.write(f"{{\n{lines}\n}}\n".encode())
