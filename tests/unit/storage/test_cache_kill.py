from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from concurrent_dataloader.storage.cache import CachedStore, cache_stats
from concurrent_dataloader.storage.cache_folder import INCOMING_NAME
from concurrent_dataloader.storage.cache_ledger import locked_ledger

MAX_BYTES = 200_000  # some 20 objects, so that the 21st evicts
STEPS = ((os, ("open", "write", "pwrite", "replace", "unlink", "mkdir", "utime", "close")), (fcntl, ("flock",)))


class HashStore:
    """Answers every key with bytes that follow from it."""

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        return hashlib.sha256(key.encode()).digest() * 300

    def describe(self, key: str) -> str:
        return f"fake://bucket/{key}"


def cached(folder: Path) -> CachedStore:
    return CachedStore(HashStore(), cache_dir=folder, max_bytes=MAX_BYTES)  # type: ignore[arg-type]


def die_at_step(folder: Path, die_at: int, first: int) -> None:
    """Uses the cache and kills itself at its n-th system call, or returns if it does not come so far.

    To the files it is the same as a kill from outside, and every place is hit instead of the likely ones.
    """
    steps = 0

    def watched(call: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return step

    for module, names in STEPS:
        for name in names:
            setattr(module, name, watched(getattr(module, name)))
    use(cached(folder), range(first, first + 30))


def use(store: CachedStore, numbers: Any) -> None:
    for number in numbers:
        assert store.get(str(number)) == HashStore().get(str(number))


def use_without_end(folder: Path, seed: int, ready: Connection) -> None:
    rng, store = random.Random(seed), cached(folder)
    ready.send(None)
    while True:
        use(store, [rng.randrange(60)])


def start(target: Any, *args: Any) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def check_usable(folder: Path) -> None:
    """The lock is free, the noted bytes are no less than the true ones, no left-over, right bytes, the bound."""
    if folder.exists():
        with locked_ledger(str(folder), 0.0) as ledger:
            assert ledger is not None
            assert ledger.total_bytes >= cache_stats(folder).size_bytes
        assert cache_stats(folder).size_bytes <= MAX_BYTES
    store = cached(folder)
    assert not (folder / INCOMING_NAME).exists()
    use(store, range(40))
    assert 0.8 * MAX_BYTES < cache_stats(folder).size_bytes <= MAX_BYTES


def kill_at_steps(folder: Path, steps: range) -> None:
    for die_at in steps:
        writer = start(die_at_step, folder, die_at, 100 * die_at)
        writer.join(60)
        assert writer.exitcode == -signal.SIGKILL
        check_usable(folder)


@pytest.mark.parametrize("die_at", range(1, 34))
def test_a_process_killed_at_any_step_of_its_first_objects_leaves_a_usable_cache(tmp_path: Path, die_at: int) -> None:
    kill_at_steps(tmp_path / "cache", range(die_at, die_at + 1))


def test_processes_killed_at_steps_of_a_full_cache_leave_it_usable(tmp_path: Path) -> None:
    use(cached(tmp_path / "cache"), range(40))
    kill_at_steps(tmp_path / "cache", range(1, 62, 2))


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_processes_killed_from_outside_leave_a_usable_cache(tmp_path: Path, rounds: int) -> None:
    pipes = multiprocessing.Pipe(duplex=False)
    for _ in range(rounds):
        writers = [start(use_without_end, tmp_path / "cache", seed, pipes[1]) for seed in range(3)]
        for _ in writers:
            pipes[0].recv()
        for writer in writers:
            writer.kill()
            writer.join(60)
            assert writer.exitcode == -signal.SIGKILL
        check_usable(tmp_path / "cache")
    pipes[0].close(), pipes[1].close()


@pytest.mark.slow
def test_processes_killed_at_every_step_one_after_another_leave_a_usable_cache(tmp_path: Path) -> None:
    kill_at_steps(tmp_path / "cache", range(1, 150))
