"""What the tests of death run, each in a process of its own: see `zygote`."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from typing import Any

import torch
from scripted import Gate, Scripted

from concurrent_dataloader import DataLoader


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def loader_of(workers: int, impl: str, *, hangs_from: int | None = None, size: int = 64, **others: Any) -> DataLoader:
    """A loader of batches of four; from one sample on all fetches hang for ever."""
    script = {} if hangs_from is None else dict.fromkeys(range(hangs_from, size), "gate")
    return DataLoader(
        Scripted(size, script, Gate()), batch_size=4, num_workers=workers, fetch_impl=impl, hedging=False, **others
    )


def raise_in_the_training_loop(workers: int, impl: str) -> None:
    for _ in loader_of(workers, impl, hangs_from=32):
        raise ArithmeticError("loss is NaN")


def leave_iterators_alive(workers: int, impl: str, persistent: bool, temporary: str) -> None:
    tempfile.tempdir = temporary
    loader = loader_of(workers, impl, hangs_from=32, persistent_workers=persistent)
    iterator = iter(loader)
    next(iterator)
    globals()["alive"] = iterator, loader
    say("end of the script")


def wait_for_ever(workers: int, impl: str, persistent: bool = False) -> None:
    for number, _ in enumerate(loader_of(workers, impl, hangs_from=32, persistent_workers=persistent)):
        if number == 7:
            say("eight batches are all that comes")


def rest_with_full_queues(kind: str) -> None:
    """The workers have sent more than a pipe holds and wait for a main process that reads nothing."""
    cls = torch.utils.data.DataLoader if kind == "torch" else DataLoader
    loader = cls(Large(), batch_size=4, num_workers=2, collate_fn=bytes_of)
    batches = iter(loader)
    next(batches)
    say("resting")
    threading.Event().wait()


class Large(Scripted):
    def __init__(self) -> None:
        super().__init__(64, {})

    def process(self, index: int, raw: bytes) -> bytes:
        return bytes(1 << 20)


def bytes_of(samples: list[bytes]) -> list[bytes]:
    return samples


def train_on_while_a_worker_dies(impl: str) -> None:
    batches = iter(loader_of(2, impl, hangs_from=32))
    for _ in range(8):
        next(batches)
    say(f"workers {' '.join(str(worker.pid) for worker in batches._workers)}")
    next(batches)


def run_out_of_memory_in_collate(impl: str) -> None:
    def collate(samples: list[Any]) -> Any:
        if samples[0][0] == 4:
            return bytearray(1 << 60)
        return samples[0][0]

    batches = iter(loader_of(2, impl, size=16, collate_fn=collate))
    say(str(next(batches)))
    try:
        next(batches)
    except MemoryError as error:
        say(f"MemoryError {'worker process 1' in str(error)}")
    say(str(list(batches)))


def leave_a_worker_by(way: str) -> None:
    class Leaves(Scripted):
        def fetch(self, index: int) -> bytes:
            if index == 9:
                if way == "os._exit":
                    os._exit(3)
                sys.exit("enough")
            return super().fetch(index)

    found = [batch[0].tolist() for batch in DataLoader(Leaves(16, {}), batch_size=4, num_workers=2)]
    say(str(found))


def fork_from_a_thread(impl: str) -> None:
    """A loader's workers are forked by a thread while a loader without workers fetches in the main one."""
    outer = iter(loader_of(0, impl, size=400))
    next(outer)
    found: list[Any] = []

    def read() -> None:
        found.extend([batch[0].tolist() for batch in loader_of(2, impl, size=16)] for _ in range(3))

    thread = threading.Thread(target=read)
    thread.start()
    count = 1 + sum(1 for _ in outer)
    thread.join()
    say(f"{count} {found == [[list(range(at, at + 4)) for at in range(0, 16, 4)]] * 3}")


def nest_loaders(workers: int, impl: str) -> None:
    found = []
    for outer in loader_of(workers, impl, size=12):
        for inner in loader_of(workers, impl, size=12):
            found.append((outer[0][0].item(), inner[0][0].item()))
            if inner[0][0] >= outer[0][0]:
                break
    say(str(found))


def start_workers_for_ever(impl: str) -> None:
    """Ctrl-C finds the main process starting its workers, most likely."""
    loader = loader_of(2, impl, size=8)
    while True:
        say("epoch")
        for _ in loader:
            pass


def train_on(impl: str) -> None:
    """Epoch after epoch, so that Ctrl-C finds main process and workers at any point of their work."""
    loader = loader_of(2, impl, persistent_workers=True)
    while True:
        for _ in loader:
            pass
        say("epoch")


def start_a_worker_after_the_end(impl: str) -> None:
    """The first worker comes to torch's loop only when the main process is gone."""
    main = os.getpid()

    def init(worker_id: int) -> None:
        say("started")
        while os.getppid() == main:
            threading.Event().wait(0.01)

    next(iter(loader_of(1, impl, worker_init_fn=init)))
