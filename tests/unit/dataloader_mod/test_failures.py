from __future__ import annotations

import logging

import pytest

from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader.dataloader_mod.failures import KEPT, FailureLog, Failures
from concurrent_dataloader.dataloader_mod.stats import FailedSample

BAD = FailedSample(7, "key-7", "ValueError: bad")


def test_a_skipped_sample_leaves_nothing_and_is_noted():
    failures = Failures("skip")
    assert failures.handle(7, "key-7", ValueError("bad")) == []
    assert failures.samples == [BAD]


def test_a_callable_gives_the_stand_in_and_the_failure_is_noted():
    failures = Failures(lambda index, error: (index, str(error)))
    assert failures.handle(7, "key-7", ValueError("bad")) == [(7, "bad")]
    assert failures.samples == [BAD]


def test_each_failed_sample_is_logged_with_index_key_and_error(caplog):
    with caplog.at_level(logging.WARNING):
        FailureLog(0.5, 100).add(4, [BAD])
    assert "sample 7 (key-7) failed (1 so far in this epoch): ValueError: bad" in caplog.text


def test_more_failures_than_the_rate_allows_end_the_epoch_and_name_the_last():
    log = FailureLog(0.02, 100)
    log.add(50, [BAD, BAD])
    with pytest.raises(DatasetError, match="3 of the epoch's 100 samples failed, more than max_error_rate=0.02.*key|7"):
        log.add(50, [BAD])


def test_each_epoch_counts_anew():
    log = FailureLog(0.02, 100)
    for _ in range(3):
        log.begin_epoch(100)
        log.add(100, [BAD, BAD])
    assert len(log.last) == 6


def test_an_epoch_may_have_another_length_than_the_one_before():
    log = FailureLog(0.5, 2)
    log.begin_epoch(20)
    log.add(20, [BAD] * 10)
    with pytest.raises(DatasetError, match="11 of the epoch's 20 samples"):
        log.add(1, [BAD])


def test_where_the_epochs_length_is_unknown_the_rate_is_that_of_the_samples_so_far():
    log = FailureLog(0.1, None)
    log.add(10, [BAD] * 5)  # of a hundred at least
    log.add(190, [BAD] * 15)
    with pytest.raises(DatasetError, match="21 of the epoch's 201 samples"):
        log.add(1, [BAD])


def test_only_the_last_failures_are_kept():
    log = FailureLog(1.0, 10**6)
    log.add(KEPT + 5, [FailedSample(index, "", "error") for index in range(KEPT + 5)])
    assert [log.last[0].index, len(log.last)] == [5, KEPT]
