"""The cache's lock and bookkeeping: one small file that every process on the machine opens to change the cache.

Reading an entry needs neither. Whoever holds the lock is the only one to write, rename or remove entries, so the bytes
noted per shard are exact. A process killed in between leaves them too high, never too low, because bytes are added
before an entry appears and taken off after it has gone; looking through a shard for eviction notes the truth again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import time
import zlib
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not a POSIX system: CachedStore refuses to be built
    fcntl = None  # type: ignore[assignment]

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage.cache_evict import Entry
from concurrent_dataloader.storage.cache_folder import LEDGER_NAME, SHARDS, scan_shard

logger = logging.getLogger(__name__)

_RECORD = struct.Struct(f"<8sQQ{SHARDS}Q")  # mark, max_bytes, cursor, bytes per shard; a CRC-32 follows
_CHECKSUM = struct.Struct("<I")
_FILE_BYTES = _RECORD.size + _CHECKSUM.size
_MAGIC = b"CDLEDGR1"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.0005, 0.005  # between two tries; the lock is mostly held for about 0.1 ms

_open_ledgers: set[int] = set()


class Ledger:
    """The bookkeeping, read while its lock is held; `save` writes it back.

    Attributes:
        sizes: Bytes of the entries in each shard.
        max_bytes: The bound that the last writer worked with, 0 before the first.
        cursor: The shard at which the next eviction starts to look.
    """

    def __init__(self, fd: int, folder: str) -> None:
        self._fd, self._folder = fd, folder
        record = _parse(os.pread(fd, _FILE_BYTES + 1, 0))
        if record is not None:
            self.max_bytes, self.cursor, *self.sizes = record
        else:  # new, or damaged by a crash of the machine
            logger.info("counting the bytes of the cache in %s", folder)
            self.max_bytes, self.cursor, self.sizes = 0, 0, [0] * SHARDS
            for shard in range(SHARDS):
                self.rescan(shard)
            self.save()

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes)

    def add(self, shard: int, size_bytes: int) -> None:
        """Notes bytes that come (or go, if negative) in a shard."""
        self.sizes[shard] = max(0, self.sizes[shard] + size_bytes)

    def rescan(self, shard: int) -> list[Entry]:
        """Looks through a shard, notes its true size and returns its entries."""
        entries = scan_shard(self._folder, shard)
        self.sizes[shard] = sum(entry.size_bytes for entry in entries)
        return entries

    def save(self) -> None:
        record = _RECORD.pack(_MAGIC, self.max_bytes, self.cursor, *self.sizes)
        os.pwrite(self._fd, record + _CHECKSUM.pack(zlib.crc32(record)), 0)


@contextlib.contextmanager
def locked_ledger(folder: str, patience_s: float) -> Iterator[Ledger | None]:
    """Holds the lock of a cache, or gives None if others kept it for ``patience_s`` seconds.

    The lock goes with the process: one that is killed never leaves it behind.

    Raises:
        OSError: The ledger cannot be opened, locked or written.
    """
    fd = os.open(f"{folder}/{LEDGER_NAME}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    _open_ledgers.add(fd)
    try:
        if not _lock(fd, patience_s):
            yield None
            return
        try:
            yield Ledger(fd, folder)
        finally:
            # Not left to close(): a child forked meanwhile may have the file open too, and would keep the lock.
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        _open_ledgers.discard(fd)
        os.close(fd)


def noted_max_bytes(folder: str) -> int | None:
    """Returns the bound that the last writer worked with, if there was one."""
    with open(f"{folder}/{LEDGER_NAME}", "rb") as file:
        record = _parse(file.read(_FILE_BYTES + 1))
    return (record[0] or None) if record else None


def noted_bytes(folder: str) -> int | None:
    """Returns the bytes that the last writer noted, without waiting for the lock; None if they cannot be read now."""
    try:
        with open(f"{folder}/{LEDGER_NAME}", "rb") as file:
            record = _parse(file.read(_FILE_BYTES + 1))
    except OSError:
        return None
    return sum(record[2:]) if record else None  # None, too, in the middle of another's writing


def require_file_locks() -> None:
    """Raises OptionError where the system has no ``flock``."""
    if fcntl is None:
        raise OptionError("the cache needs POSIX file locks (fcntl), which this system lacks: leave use_cache off")


def _parse(content: bytes) -> tuple[int, ...] | None:
    """Returns max_bytes, cursor and the shards' sizes, or None if the content is not a whole record."""
    record, checksum = content[: _RECORD.size], content[_RECORD.size :]
    if len(content) != _FILE_BYTES or checksum != _CHECKSUM.pack(zlib.crc32(record)):
        return None
    magic, *numbers = _RECORD.unpack(record)
    return tuple(numbers) if magic == _MAGIC and numbers[1] < SHARDS else None


def _lock(fd: int, patience_s: float) -> bool:
    give_up_at, wait_s = time.monotonic() + patience_s, _FIRST_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                return False
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        else:
            return True


def _close_inherited() -> None:
    """Lets go of ledgers that were open in the parent: if it is killed, its lock must not live on in this child."""
    for fd in _open_ledgers:
        os.close(fd)
    _open_ledgers.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_inherited)
