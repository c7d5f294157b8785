"""Pages of a listing that wait for their turn: packed in memory, and on disk once there are many."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, TypeAlias

from concurrent_dataloader.storage.protocol import ObjectInfo

MAX_MEMORY_BYTES = 64 * 1024 * 1024  # a million keys of 60 bytes: ImageNet never touches the disk

Ticket: TypeAlias = bytes | tuple[int, int]  # the packed page, or where in the file it lies and how long it is


class PageSpool:
    """Keeps pages until they are asked for, once each; may be used by many threads at once.

    The file has no name, so that nothing is left of it whatever ends the process.

    Args:
        max_memory_bytes: Pages beyond this sum, in bytes, go to disk (into ``$TMPDIR``).

    Shutdown:
        `close` gives the disk space back.
    """

    def __init__(self, max_memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._max_memory_bytes = max_memory_bytes
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._closed = False
        self._memory_bytes = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of the packed pages in memory."""
        return self._memory_bytes

    def put(self, page: Sequence[ObjectInfo]) -> Ticket:
        """Keeps a page, and returns what it is asked for with.

        Raises:
            OSError: The disk is full; the message names its folder.
        """
        packed = json.dumps([[each.key for each in page], [each.size_bytes for each in page]]).encode()
        with self._lock:
            if self._memory_bytes + len(packed) <= self._max_memory_bytes or self._closed:
                self._memory_bytes += len(packed)
                return packed
            self._file = self._file or tempfile.TemporaryFile(prefix="concurrent-dataloader-")  # noqa: SIM115 see close
            at = self._file.seek(0, os.SEEK_END)
            try:
                self._file.write(packed)
                self._file.flush()
            except OSError as error:  # it has no name: the folder is what the user can make room in, or change
                raise type(error)(error.errno, error.strerror, tempfile.gettempdir()) from error
            return at, len(packed)

    def take(self, ticket: Ticket) -> list[ObjectInfo]:
        """Returns a page and forgets it."""
        with self._lock:
            if isinstance(ticket, bytes):
                packed = ticket
                self._memory_bytes -= len(packed)
            else:
                assert self._file is not None
                self._file.seek(ticket[0])
                packed = self._file.read(ticket[1])
        keys, sizes = json.loads(packed)
        return list(map(ObjectInfo, keys, sizes))

    def close(self) -> None:
        """Drops what is on disk; idempotent."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                with suppress(OSError):  # what is still held back may not fit on the disk: no matter any more
                    self._file.close()
