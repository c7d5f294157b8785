"""The packed copy of an index file: where it lies, and how it is told that it belongs to the file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from concurrent_dataloader.dataset.atomic_file import Part
from concurrent_dataloader.dataset.cache_folder import user_cache_folder
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.pack_writer import PackWriter
from concurrent_dataloader.dataset.packed_keys import PackedKeys

# The kernel's clock for time stamps moves on every 1 to 10 ms (CONFIG_HZ from 1000 to 100): a file that is written to
# twice within a tick keeps its stamp.
TICK_S = 0.02


def copies_of(index: Path) -> Iterator[Path]:
    """Yields where a packed copy may lie, best first."""
    yield index.with_name(index.name + ".packed")
    with contextlib.suppress(RuntimeError):  # a user without a home folder, as in some containers
        digest = hashlib.sha256(os.fsencode(index.resolve())).hexdigest()
        yield user_cache_folder() / "index" / f"{digest[:32]}.packed"


def open_copy(index: Path, source: bytes) -> PackedKeys | None:
    """Opens the first copy that is whole and of this source; None if there is none."""
    return next((packed for copy in copies_of(index) if (packed := _open(copy, index, source))), None)


def _open(copy: Path, index: Path, source: bytes) -> PackedKeys | None:
    return PackedKeys.open(copy, source, _believed_makers(copy, index))


def _believed_makers(copy: Path, index: Path) -> frozenset[int] | None:
    """Returns whose copy is believed; None: anybody's.

    Who can put a copy beside an index could replace the index as well, but in a sticky folder, such as ``/tmp``.
    """
    with contextlib.suppress(OSError):  # there is no such folder, or index, and so nothing to believe
        if os.name == "posix" and copy.parent.stat().st_mode & stat.S_ISVTX:
            return frozenset({0, os.geteuid(), index.stat().st_uid})
    return None


def settled_status(index: Path) -> os.stat_result:
    """Returns the state of a file that any later change will be seen to have changed.

    That takes 20 ms if the file was changed within the last 20, and no time otherwise.
    """
    status = index.stat()
    if abs(time.time_ns() - status.st_ctime_ns) < TICK_S * 1e9:
        time.sleep(TICK_S)
        status = index.stat()
    return status


def source_of(status: os.stat_result) -> bytes:
    """Returns 16 bytes that identify a state of a file."""
    # The change time too: it tells a file whose modification time was set from the one that it replaced.
    state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    return hashlib.sha256(state.encode()).digest()[:16]


class CopyWriter:
    """Writes a packed copy; what goes wrong with it costs the copy and nothing else.

    A context manager that removes the copy at its end unless it was published.

    Args:
        copy: Where the copy goes.
        index: The index file that it belongs to. If it exists, the copy gets its mode: who may read the index may read
            its copy, and nobody else.

    Attributes:
        error: Why there will be no copy; None as long as there may be one.
        sized: Whether the size of at least one key was given.
    """

    def __init__(self, copy: Path, index: Path) -> None:
        self.error: OSError | None = None
        self.sized = False
        self._copy, self._index = copy, index
        self._part: Part | None = None
        self._writer: PackWriter | None = None
        with self._noting_errors():
            self._part = Part(copy, named_after=index if copy.parent == index.parent else None)
            if index.exists():
                shutil.copymode(index, self._part.file.name)
            self._writer = PackWriter(self._part.file)

    def add(self, batch: KeyBatch) -> None:
        """Appends keys, unless there has been an error."""
        self.sized = self.sized or batch.sizes is not None
        with self._noting_errors():
            if self._writer is not None and self.error is None:
                self._writer.add(batch)

    def publish(self, source: bytes) -> PackedKeys | None:
        """Finishes the copy and gives it its name, unless another process has meanwhile done the same.

        Args:
            source: What `source_of` the index file says.

        Returns:
            The copy that lies there now, mapped; None if there has been an error.
        """
        with self._noting_errors():
            if self._part is not None and self._writer is not None and self.error is None:
                self._writer.finish(source)
                if (other := _open(self._copy, self._index, source)) is not None:
                    return other  # one copy, mapped by all
                self._part.publish(durable=False)  # it is checked when it is opened
                return _open(self._copy, self._index, source)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._part is not None:
            self._part.discard()

    @contextlib.contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
