"""What a worker frees is there for its next objects, without a page fault; the caller's process is left as it is."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from typing import Any

import pytest

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base import freed_memory
from concurrent_dataloader._base.freed_memory import give_back_freed_memory, keep_freed_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")

BODIES, BODY_BYTES = 64, 1 << 20
PAGES = BODIES * BODY_BYTES // resource.getpagesize()


def faults_of_new_bodies(times: int = 2) -> int:
    """Makes and drops as many bodies as a batch has; returns the page faults of the last time."""
    before = 0
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bodies = [bytes([number]) * BODY_BYTES for number in range(BODIES)]
        del bodies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


class Faults:
    """A two-phase dataset whose samples are the page faults of a batch of bodies in the process that makes them."""

    def __len__(self) -> int:
        return 1

    def fetch(self, index: int) -> int:
        return index

    def process(self, index: int, fetched: int) -> int:
        return faults_of_new_bodies()

    def __getitem__(self, index: int) -> int:
        return self.process(index, self.fetch(index))


def faults_in_a_process(what: str, **settings: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name not in freed_memory.USER_SETTINGS}
    script = f"from test_freed_memory import *\nprint({what})"
    command = [sys.executable, "-c", script]
    folder = os.path.dirname(__file__)
    done = subprocess.run(
        command, env=environment | settings, cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    return int(done.stdout)


def faults_in_a_loader(**arguments: Any) -> int:
    [batch] = DataLoader(Faults(), **arguments)
    return int(batch.item())


def test_what_is_freed_costs_no_page_faults_once_it_is_kept() -> None:
    before = faults_in_a_process("faults_of_new_bodies()")
    after = faults_in_a_process("(keep_freed_memory(), faults_of_new_bodies())[1]")
    assert before > PAGES / 2, "glibc gives it back by itself; else there would be nothing to do"
    assert after < PAGES / 20


@pytest.mark.parametrize(
    "setting", ["MALLOC_TRIM_THRESHOLD_=131072", "GLIBC_TUNABLES=glibc.malloc.trim_threshold=131072"]
)
def test_what_the_user_has_set_stays(setting: str) -> None:
    name, _, value = setting.partition("=")
    faults = faults_in_a_process("(keep_freed_memory(), faults_of_new_bodies())[1]", **{name: value})
    assert faults > PAGES / 2


def test_what_the_user_has_malloc_keep_is_not_given_back() -> None:
    faults = faults_in_a_process(
        "(faults_of_new_bodies(), give_back_freed_memory(), faults_of_new_bodies(times=1))[2]",
        MALLOC_TRIM_THRESHOLD_=str(256 << 20),
        MALLOC_MMAP_THRESHOLD_=str(32 << 20),
    )
    assert faults < PAGES / 20


def test_what_was_kept_goes_back_when_it_is_told_to() -> None:
    faults = faults_in_a_process(
        "(keep_freed_memory(), faults_of_new_bodies(), give_back_freed_memory(), faults_of_new_bodies(times=1))[3]"
    )
    assert faults > PAGES / 2


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_keep_what_they_free(start: str) -> None:
    faults = faults_in_a_process(f"faults_in_a_loader(num_workers=1, multiprocessing_context={start!r})")
    assert faults < PAGES / 20


def test_the_callers_process_is_left_as_it_is() -> None:
    faults = faults_in_a_process(
        "(faults_in_a_loader(num_workers=1, multiprocessing_context='fork'), faults_in_a_loader(num_workers=0))[1]"
    )
    assert faults > PAGES / 2


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in freed_memory.USER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    keep_freed_memory()
    give_back_freed_memory()
