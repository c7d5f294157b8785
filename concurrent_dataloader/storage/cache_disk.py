"""Bytes under names on local disk, shared by all processes of a machine and bounded in bytes for the sum of them."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from concurrent_dataloader.storage.cache_entry import HEADER_BYTES, read_entry, write_incoming
from concurrent_dataloader.storage.cache_evict import Entry, choose_victims, share_to_free, without_future
from concurrent_dataloader.storage.cache_folder import INCOMING_NAME, SHARDS, prepare_folder, shard_of, unlink_entry
from concurrent_dataloader.storage.cache_ledger import Ledger, locked_ledger, noted_bytes
from concurrent_dataloader.storage.process_local import ProcessLocal

logger = logging.getLogger(__name__)

# Seconds that a writer waits for the others. A write of 110 KB takes 0.1 ms and an eviction some 20 ms, so only
# counting a large cache anew takes longer; what is not written then is written when it is fetched the next time.
_PATIENCE_S = 1.0
_RETRY_S = 60.0  # seconds without writing after the disk refused one: others may make room, and asking is cheap
# Entries that an eviction looks at. A smaller cache is looked at whole and its order is exact; the oldest tenth of
# 4,096 entries that a hash chose is the oldest tenth of the cache to within 1.5 % (three standard deviations).
_SAMPLE = 4096
# While the cache is at most half full, nothing has to make room soon, and a mark of use may be so old: setting it anew
# costs as much as reading 8 KB. How full it is is looked up so often, in seconds: 30 us for the ledger's 2 KB.
_ROOMY_MARK_AGE_NS = 3600 * 10**9
_LOOK_S = 5.0
_DISK_REFUSES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class DiskCache:
    """A folder of entries; everything but a name error in the options is survived without an exception.

    Args:
        cache_dir: The folder.
        max_bytes: Bound of the entries' sum, in bytes, above 0. If processes name different bounds, the smallest
            of those that are writing holds.

    Raises:
        OptionError: ``cache_dir`` cannot be trusted or used.
    """

    def __init__(self, cache_dir: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._folder = os.path.realpath(cache_dir.expanduser())
        self._complained = False
        self._turn = ProcessLocal(threading.Lock)
        self._writes_again_at = 0.0
        self._looks_again_at = 0.0
        self._mark_age_ns = 0
        try:
            self._folder = prepare_folder(cache_dir)
            with self._locked(_PATIENCE_S) as ledger:
                if ledger is not None:
                    unlink_entry(self._folder, INCOMING_NAME)  # left by a writer that was killed
                    self._make_room(ledger, 0)  # the bound may be lower than last time
        except OSError as error:
            self._stop_writing(error)

    def read(self, name: str) -> bytes | None:
        """Returns the bytes under a name, or None if there are none, or no whole ones."""
        if time.monotonic() >= self._looks_again_at:
            self._note_fill(noted_bytes(self._folder))
        try:
            return read_entry(self._folder, name, self._mark_age_ns)
        except OSError as error:
            self._complain(error)
            return None

    def size_bytes(self, name: str) -> int | None:
        """Returns the length of an entry in bytes, header included, and marks it as used; None if there is none."""
        path = f"{self._folder}/{name}"
        try:
            size_bytes = os.lstat(path).st_size
            now_ns = time.time_ns()
            os.utime(path, ns=(now_ns, now_ns), follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        return size_bytes

    def write(self, name: str, body: bytes, patience_s: float | None = None) -> bool:
        """Keeps the bytes under the name, if there is room and the disk takes them; says whether it did.

        Args:
            name: The entry's name.
            body: Its bytes.
            patience_s: Longest wait for other writers, in seconds; None: so short that a loader hardly notices.
        """
        size_bytes = HEADER_BYTES + len(body)
        if size_bytes > self.max_bytes or time.monotonic() < self._writes_again_at:
            return False
        try:
            with self._locked(_PATIENCE_S if patience_s is None else patience_s) as ledger:
                if ledger is None:
                    self._writes_again_at = time.monotonic() + _PATIENCE_S  # do not wait for it at every object
                elif self._make_room(ledger, size_bytes):
                    self._publish(ledger, name, body)
                    self._note_fill(ledger.total_bytes)
                    return True
        except OSError as error:
            self._stop_writing(error)
        return False

    def remove(self, name: str) -> None:
        """Forgets the bytes under a name.

        Raises:
            OSError: They cannot be removed.
        """
        try:
            with self._locked(_PATIENCE_S) as ledger:
                if ledger is not None:
                    ledger.add(shard_of(name), -unlink_entry(self._folder, name))
                    ledger.save()
                    return
        except OSError as error:
            self._stop_writing(error)
        unlink_entry(self._folder, name)  # without the lock: stale bytes are worse than a sum that is too high

    @contextlib.contextmanager
    def _locked(self, patience_s: float) -> Iterator[Ledger | None]:
        """Holds the cache's lock, as `locked_ledger`; the threads of a process wait for their turn first.

        They would otherwise all poll for the file's lock, which has no queue: some of 32 threads would not get it
        within a second, and what they had fetched would not be kept.
        """
        give_up_at, turn = time.monotonic() + patience_s, self._turn.get()
        if not turn.acquire(timeout=patience_s):
            yield None
            return
        try:
            with locked_ledger(self._folder, max(0.0, give_up_at - time.monotonic())) as ledger:
                yield ledger
        finally:
            turn.release()

    def _make_room(self, ledger: Ledger, incoming_bytes: int) -> bool:
        """Removes the least recently used entries until the bytes fit; says whether they do."""
        if ledger.max_bytes != self.max_bytes:
            ledger.max_bytes = self.max_bytes
            ledger.save()
        room_bytes = self.max_bytes - incoming_bytes
        if ledger.total_bytes <= room_bytes:
            return True
        share = share_to_free(ledger.total_bytes, incoming_bytes, self.max_bytes)
        unseen = SHARDS
        while unseen and ledger.total_bytes > room_bytes:
            sample: list[Entry] = []
            while unseen and len(sample) < _SAMPLE:
                sample += ledger.rescan(ledger.cursor)
                ledger.cursor = (ledger.cursor + 1) % SHARDS
                unseen -= 1
            if ledger.total_bytes > room_bytes:  # not so if the noted bytes were those of a killed process
                sample = without_future(sample, time.time_ns())
                for victim in choose_victims(sample, share.of(sum(entry.size_bytes for entry in sample))):
                    ledger.add(shard_of(victim.name), -unlink_entry(self._folder, victim.name))
            ledger.save()
        return ledger.total_bytes <= room_bytes

    def _publish(self, ledger: Ledger, name: str, body: bytes) -> None:
        incoming, final = f"{self._folder}/{INCOMING_NAME}", f"{self._folder}/{name}"
        try:
            write_incoming(self._folder, name, body)
            ledger.add(shard_of(name), HEADER_BYTES + len(body))
            ledger.save()
            replaced_bytes = os.lstat(final).st_size if os.path.lexists(final) else 0
            try:
                os.replace(incoming, final)
            except FileNotFoundError:
                os.mkdir(os.path.dirname(final), 0o700)
                os.replace(incoming, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(incoming)  # gives its bytes back to a full disk
            with contextlib.suppress(OSError):
                ledger.rescan(shard_of(name))  # or a disk that keeps refusing would fill the cache with noted bytes
                ledger.save()
            raise
        if replaced_bytes:
            ledger.add(shard_of(name), -replaced_bytes)
            ledger.save()

    def _note_fill(self, total_bytes: int | None) -> None:
        """Chooses how exact the marks of use have to be, by how full the cache is (None: nobody knows)."""
        roomy = total_bytes is not None and 2 * total_bytes <= self.max_bytes
        self._mark_age_ns = _ROOMY_MARK_AGE_NS if roomy else 0
        self._looks_again_at = time.monotonic() + _LOOK_S

    def _stop_writing(self, error: OSError) -> None:
        self._writes_again_at = time.monotonic() + _RETRY_S
        self._complain(error)

    def _complain(self, error: OSError) -> None:
        if self._complained:
            return
        self._complained = True
        reason = "the disk is full or read-only" if error.errno in _DISK_REFUSES else "the disk reports an error"
        logger.warning("going on without the cache in %s: %s (%s); said only once", self._folder, reason, error)
