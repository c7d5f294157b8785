"""A run in a process of its own: what it finds there, and what becomes of one that fails."""

from __future__ import annotations

import multiprocessing
import os
import threading
from typing import Any

from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.bench.measure import Measurement
from benchmarking.bench.own_process import run_child


def measurement(samples: int) -> Measurement:
    return Measurement(samples, False, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def say_the_process(_: dict[str, Any]) -> Measurement:
    return measurement(os.getpid())


def look_around(_: dict[str, Any]) -> Measurement:
    assert multiprocessing.get_start_method() == multiprocessing.get_all_start_methods()[0]
    assert all(os.environ[name] == value for name, value in AWS_ENVIRONMENT.items())
    assert os.getsid(0) == os.getpid()
    return measurement(1)


def fail(order: dict[str, Any]) -> Measurement:
    os.write(2, b"a library says something\n")
    raise LookupError(f"no {order['what']}")


def die(_: dict[str, Any]) -> Measurement:
    os.write(2, b"the last words\n")
    os._exit(7)


def hang_with_a_worker(_: dict[str, Any]) -> Measurement:
    worker = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
    worker.start()
    raise AssertionError(worker.join())


def test_each_run_has_a_process_of_its_own() -> None:
    (first, _), (second, _) = (run_child(say_the_process, {}, timeout_s=100.0) for _ in range(2))
    assert first is not None
    assert second is not None
    assert len({first.samples, second.samples, os.getpid()}) == 3


def test_a_run_finds_the_endpoints_credentials_and_starts_workers_as_any_program_does() -> None:
    assert run_child(look_around, {}, timeout_s=100.0) == (measurement(1), "")


def test_a_run_that_fails_gives_its_last_message_in_place_of_a_measurement() -> None:
    assert run_child(fail, {"what": "way"}, timeout_s=100.0) == (None, "exit code 1: LookupError: no way")
    assert run_child(die, {}, timeout_s=100.0) == (None, "exit code 7: the last words")


def test_a_run_that_takes_too_long_is_killed_with_its_workers() -> None:
    assert run_child(hang_with_a_worker, {}, timeout_s=0.1) == (None, "not done after 0 s")
