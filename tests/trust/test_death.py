"""How processes end: in bounded time, with no orphan, and with one message instead of a storm of tracebacks."""

from __future__ import annotations

import os
import signal

import pytest
from zygote import Zygote

SOON_S = 25.0
"""torch looks every 5 s whether the other side lives, for each of the two workers; the machine may be busy."""
IMPLS = pytest.mark.parametrize("impl", ["threaded", "asyncio"])
IMPLS_IN_TURN = pytest.mark.parametrize("impl", ["threaded", pytest.param("asyncio", marks=pytest.mark.slow)])
WORKERS = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture(scope="module")
def zygote():
    process = Zygote()
    yield process
    process.close()


@pytest.fixture
def run(zygote, tmp_path):
    runs = []

    def start(scenario, **arguments):
        runs.append(zygote.run(tmp_path / str(len(runs)), scenario, **arguments))
        return runs[-1]

    yield start
    for each in runs:
        each.kill_family()


def _tracebacks(text):
    return text.count("Traceback (most recent call last)")


@IMPLS_IN_TURN
@WORKERS
def test_an_exception_in_the_training_loop_ends_the_process_with_that_traceback_alone(run, workers, impl):
    process = run("raise_in_the_training_loop", workers=workers, impl=impl)
    assert process.exit_code(SOON_S) == 1
    assert process.stderr.endswith("ArithmeticError: loss is NaN\n")
    assert _tracebacks(process.stderr) == 1
    assert not process.orphans_after(1)


@IMPLS
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_an_interpreter_that_ends_with_live_iterators_says_and_leaves_nothing(run, workers, impl, persistent, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = run("leave_iterators_alive", workers=workers, impl=impl, persistent=persistent, temporary=str(folder))
    assert process.exit_code(SOON_S) == 0
    assert (process.stdout, process.stderr) == ("end of the script\n", "")
    assert not process.orphans_after(1)
    assert not list(folder.iterdir())


@IMPLS
@WORKERS
def test_ctrl_c_while_all_fetches_hang_ends_every_process_with_one_traceback(run, workers, impl):
    process = run("wait_for_ever", workers=workers, impl=impl)
    process.wait_for("eight batches")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    assert process.exit_code(SOON_S) == -signal.SIGINT
    assert "KeyboardInterrupt" in process.stderr
    assert _tracebacks(process.stderr) == 1
    assert not process.orphans_after(1)


def test_no_worker_outlives_a_main_process_that_is_killed_while_they_fetch(run):
    deaths = [
        (run("wait_for_ever", workers=2, impl=impl, persistent=number == signal.SIGKILL), number)
        for impl in ("threaded", "asyncio")
        for number in (signal.SIGTERM, signal.SIGKILL)
    ]
    for process, number in deaths:
        process.wait_for("eight batches")
        assert len(process.family()) == 3
        os.kill(process.pid, number)
    for process, number in deaths:
        assert process.exit_code(SOON_S) == -number
        assert not process.orphans_after(SOON_S)
        assert process.stderr == ""


def test_no_worker_outlives_a_main_process_that_reads_nothing_any_more(run):
    process = run("rest_with_full_queues", kind="ours")
    process.wait_for("resting")
    os.kill(process.pid, signal.SIGKILL)
    assert process.exit_code(SOON_S) == -signal.SIGKILL
    assert not process.orphans_after(SOON_S)


def test_no_worker_outlives_a_main_process_that_is_killed_while_it_starts(run):
    process = run("start_a_worker_after_the_end", impl="threaded")
    process.wait_for("started")
    os.kill(process.pid, signal.SIGKILL)
    assert process.exit_code(SOON_S) == -signal.SIGKILL
    assert not process.orphans_after(SOON_S)


@IMPLS
def test_a_killed_worker_ends_the_run_with_one_error_that_names_its_samples(run, impl):
    process = run("train_on_while_a_worker_dies", impl=impl)
    process.wait_for("workers")
    os.kill(int(process.stdout.split()[1]), signal.SIGKILL)
    assert process.exit_code(SOON_S) == 1
    assert "DataLoader worker (pid" in process.stderr.splitlines()[-1]
    assert "It was fetching samples 32 (key-32)" in process.stderr.splitlines()[-1]
    assert not process.orphans_after(1)


@IMPLS_IN_TURN
def test_a_collate_function_that_runs_out_of_memory_is_a_memory_error_of_that_batch_and_the_rest_comes(run, impl):
    process = run("run_out_of_memory_in_collate", impl=impl)
    assert process.exit_code(SOON_S) == 0
    assert process.stdout.splitlines() == ["0", "MemoryError True", "[8, 12]"]
    assert process.stderr == ""


@pytest.mark.parametrize("way", ["os._exit", "sys.exit"])
def test_a_dataset_that_leaves_its_process_is_an_error_and_not_a_hang(run, way):
    process = run("leave_a_worker_by", way=way)
    assert process.exit_code(SOON_S) == 1
    assert "DataLoader worker (pid" in process.stderr
    assert not process.orphans_after(1)


@IMPLS_IN_TURN
def test_workers_forked_from_a_thread_amid_other_fetches_read_all(run, impl):
    process = run("fork_from_a_thread", impl=impl)
    assert process.exit_code(3 * SOON_S) == 0
    assert process.stdout == "100 True\n"
    assert process.stderr == ""


@IMPLS_IN_TURN
@WORKERS
def test_loaders_within_loaders_are_read_and_broken_off_independently(run, workers, impl):
    process = run("nest_loaders", workers=workers, impl=impl)
    assert process.exit_code(SOON_S) == 0
    assert process.stdout == f"{[(0, 0), (4, 0), (4, 4), (8, 0), (8, 4), (8, 8)]}\n"
    assert process.stderr == ""


@IMPLS
@pytest.mark.parametrize("epochs", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 15))])
def test_ctrl_c_amid_the_work_gives_one_traceback_and_no_orphan(run, impl, epochs):
    process = run("train_on", impl=impl)
    process.wait_for("epoch\n" * epochs)
    os.killpg(process.pid, signal.SIGINT)
    assert process.exit_code(SOON_S) == -signal.SIGINT
    assert _tracebacks(process.stderr) == 1
    assert not process.orphans_after(SOON_S)


@pytest.mark.slow
@IMPLS
@pytest.mark.parametrize("epochs", range(1, 13))
def test_ctrl_c_while_workers_are_being_started_leaves_no_orphan(run, impl, epochs):
    """Python itself loses a Ctrl-C that comes in the moment of a fork; a user then presses it again."""
    process = run("start_workers_for_ever", impl=impl)
    process.wait_for("epoch\n" * epochs)
    for _ in range(10):
        os.killpg(process.pid, signal.SIGINT)
        if process.has_ended_after(2.0):
            break
    assert process.exit_code(SOON_S) in (-signal.SIGINT, 1)
    assert not process.orphans_after(SOON_S)
