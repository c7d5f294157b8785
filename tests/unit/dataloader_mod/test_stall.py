from __future__ import annotations

import logging
import threading

from concurrent_dataloader.dataloader_mod.stall import StallWatch


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def make(timeout_s=10, fetches=("sample 5 (key-5): out for 12.0 s, 3 attempts",)):
    clock = Clock()
    return StallWatch(timeout_s, lambda: iter(fetches), clock), clock


def test_a_stall_is_told_with_the_fetches_in_flight_and_the_stacks_of_the_threads(caplog):
    watch, clock = make()
    let_go = threading.Event()

    def wait_in_a_function_of_this_name():
        let_go.wait()

    thread = threading.Thread(target=wait_in_a_function_of_this_name)
    thread.start()
    watch.progress(clock.now_s)
    clock.now_s = 12
    with caplog.at_level(logging.WARNING):
        watch.check()
    let_go.set()
    thread.join()
    assert "no sample for 12 s (stall_timeout=10); 1 fetches in flight" in caplog.text
    assert "sample 5 (key-5): out for 12.0 s, 3 attempts" in caplog.text
    assert "wait_in_a_function_of_this_name" in caplog.text


def test_it_is_told_again_only_when_the_time_has_passed_once_more(caplog):
    watch, clock = make()
    watch.progress(clock.now_s)
    for clock.now_s in (5, 11, 15, 19, 21):
        watch.check()
    assert len(caplog.records) == 2


def test_a_sample_begins_the_time_anew_and_a_rest_ends_it(caplog):
    watch, clock = make()
    watch.progress(clock.now_s)
    clock.now_s = 9
    watch.progress(clock.now_s)
    clock.now_s = 15
    watch.check()
    watch.rest()
    clock.now_s = 100
    watch.check()
    assert not caplog.records


def test_only_the_oldest_of_many_fetches_are_named(caplog):
    watch, clock = make(fetches=[f"sample {n}" for n in range(50)])
    watch.progress(clock.now_s)
    clock.now_s = 11
    watch.check()
    assert "sample 9\n  and 40 more" in caplog.text


def test_without_a_timeout_nothing_is_told(caplog):
    watch, clock = make(None)
    watch.progress(clock.now_s)
    clock.now_s = 1e6
    watch.check()
    assert not caplog.records
