"""The one loop of attempts: pauses, the deadline, what the store asks for, and who hears of it."""

from __future__ import annotations

import asyncio
import contextvars
import email.utils
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from concurrent_dataloader._base.errors import IncompleteBody, StorageError
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.storage import retry
from concurrent_dataloader.storage.botocore_failures import classify_status, seconds_of
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.retry import LAST_TIER, Attempt, Failure, Retrying, time_limit_s


class Clock:
    """Time that passes only in a pause, or where a test lets it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


class Problem(Exception):
    def __init__(self, failure: Failure | None) -> None:
        self.failure = failure


class Script:
    """Attempts that take so long and end so; the last one repeats."""

    def __init__(self, clock: Clock, *outcomes: tuple[float, Failure | None]) -> None:
        self._clock, self._outcomes = clock, list(outcomes)
        self.attempts: list[Attempt] = []

    def __call__(self, attempt: Attempt) -> str:
        self.attempts.append(attempt)
        seconds, failure = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        self._clock.now_s = min(self._clock.now_s + seconds, attempt.ends_s)
        if failure is not None:
            raise Problem(failure)
        return "body"


PASSING = Failure(StorageError, "it broke", transient=True)
DONE = (0.0, None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    return clock


def retrying(**changes: Any) -> Retrying:
    settings: dict[str, Any] = {"max_attempts": 10, "deadline_s": 120.0}
    return Retrying(**(settings | changes), classify=lambda error: getattr(error, "failure", None))


def run(script: Callable[[Attempt], str], **changes: Any) -> str:
    return retrying(**changes).call(script, lambda: "s3://bucket/key (endpoint https://host)")


def test_a_request_that_succeeds_pauses_never(clock: Clock) -> None:
    assert run(Script(clock, DONE)) == "body"
    assert clock.pauses == []


def test_pauses_grow_from_a_tenth_of_a_second_to_five_and_are_jittered(clock: Clock) -> None:
    with pytest.raises(StorageError):
        run(Script(clock, (0.0, PASSING)), max_attempts=12, deadline_s=1e6)
    limits = [min(5.0, 0.1 * 2**number) for number in range(11)]
    assert all(0.0 <= pause <= limit for pause, limit in zip(clock.pauses, limits, strict=True))
    assert len(set(clock.pauses)) == 11


def test_the_error_names_object_store_attempts_and_seconds(clock: Clock) -> None:
    script = Script(clock, (2.0, PASSING))
    with pytest.raises(StorageError) as caught:
        run(script, max_attempts=1)
    assert str(caught.value) == "s3://bucket/key (endpoint https://host): it broke (attempts: 1, 2.0 of 120 s)"
    assert isinstance(caught.value.__cause__, Problem)


def test_what_will_not_pass_is_raised_at_once(clock: Clock) -> None:
    script = Script(clock, (0.0, Failure(StorageError, "no")))
    with pytest.raises(StorageError, match=r"no \(attempts: 1, 0\.0 s\)"):
        run(script)
    assert len(script.attempts) == 1


def test_an_exception_that_is_no_failure_of_the_request_passes_as_it_is(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda attempt: str(1 // 0))


def test_a_cause_that_may_hold_a_secret_is_replaced(clock: Clock) -> None:
    harmless = RuntimeError("harmless")
    with pytest.raises(StorageError) as caught:
        run(Script(clock, (0.0, Failure(StorageError, "no", cause=harmless))))
    assert caught.value.__cause__ is harmless


def test_a_short_body_is_asked_for_again(clock: Clock) -> None:
    outcomes: Iterator[Any] = iter([IncompleteBody("30 bytes arrived, 100 were announced"), None])

    def attempt(_: Attempt) -> str:
        if (outcome := next(outcomes)) is not None:
            raise outcome
        return "body"

    assert run(attempt) == "body"


@pytest.mark.parametrize("deadline_s", [0.5, 120.0])
def test_attempts_that_use_up_their_time_end_within_the_deadline(clock: Clock, deadline_s: float) -> None:
    script = Script(clock, (1e9, PASSING))
    start_s = clock.now_s
    with pytest.raises(StorageError):
        run(script, deadline_s=deadline_s, max_attempts=100)
    assert all(attempt.ends_s <= start_s + deadline_s for attempt in script.attempts)
    assert deadline_s * 0.5 < clock.now_s - start_s <= deadline_s
    assert len(script.attempts) >= 3


def test_only_the_first_attempt_may_use_a_kept_connection_and_later_ones_get_what_fits(clock: Clock) -> None:
    script = Script(clock, (0.0, PASSING), (1e9, PASSING), DONE)
    assert run(script) == "body"
    assert [attempt.tier for attempt in script.attempts] == [0, 1, 2]
    assert time_limit_s(120.0, 0) == time_limit_s(120.0, 1) == 60.0
    assert time_limit_s(120.0, LAST_TIER) == 1.875


def test_the_store_is_not_asked_before_the_time_that_it_named(clock: Clock) -> None:
    asked_to_wait = Failure(StorageError, "busy", transient=True, retry_after_s=20.0)
    assert run(Script(clock, (0.0, asked_to_wait), DONE)) == "body"
    assert 20.0 <= clock.pauses[0] <= 20.1


def test_a_store_that_asks_for_an_hour_is_asked_again_within_the_deadline(clock: Clock) -> None:
    start_s = clock.now_s
    asked_to_wait = Failure(StorageError, "busy", transient=True, retry_after_s=3600.0)
    with pytest.raises(StorageError, match="busy"):
        run(script := Script(clock, (0.0, asked_to_wait)))
    assert clock.pauses[0] == 60.0
    assert clock.now_s - start_s <= 120.0
    assert len(script.attempts) > 2


class Heard:
    def __init__(self) -> None:
        self.throttled: list[bool] = []

    def retrying(self, *, throttled: bool) -> None:
        self.throttled.append(throttled)


def in_fresh_context(action: Callable[[], Any]) -> None:
    contextvars.copy_context().run(action)


def test_each_retry_is_heard_of_before_its_pause_and_the_last_failure_is_not(clock: Clock) -> None:
    heard = Heard()
    script = Script(clock, (0.0, PASSING), (0.0, Failure(StorageError, "slow down", True, throttled=True)))

    def action() -> None:
        listen(heard)
        with pytest.raises(StorageError):
            run(script, max_attempts=3)

    in_fresh_context(action)
    assert heard.throttled == [False, True]


def test_retries_within_a_task_and_within_a_thread_of_its_own_are_heard_of_by_that_tasks_listener() -> None:
    quick = retrying(max_attempts=2)

    async def fetch(heard: Heard, threaded: bool) -> None:
        listen(heard)
        outcomes = iter([Problem(PASSING), None])

        def once() -> str:
            if (problem := next(outcomes)) is not None:
                raise problem
            return "body"

        async def aonce(_: Attempt) -> str:
            return once()

        if threaded:
            assert await in_daemon_thread(lambda: quick.call(lambda _: once(), str)) == "body"
        else:
            assert await quick.acall(aonce, str) == "body"

    async def both() -> tuple[Heard, Heard]:
        first, second = Heard(), Heard()
        await asyncio.gather(fetch(first, threaded=False), fetch(second, threaded=True))
        return first, second

    first, second = asyncio.run(both())
    assert first.throttled == second.throttled == [False]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0", 0.0), ("-1", None), ("soon", None), ("inf", None), ("nan", None), ("", None), (None, None)],
)
def test_the_seconds_of_a_retry_after_header_are_read_or_ignored(value: str | None, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


def test_a_retry_after_header_may_be_a_date() -> None:
    found = seconds_of(email.utils.formatdate(time.time() + 30.0, usegmt=True))
    assert found is not None
    assert 28.0 < found <= 31.0
    assert seconds_of(email.utils.formatdate(time.time() - 30.0, usegmt=True)) is None


@pytest.mark.parametrize(
    ("status", "code", "message", "transient", "throttled"),
    [
        (503, "SlowDown", "", True, True),
        (503, "ServiceUnavailable", "Reduce your request rate.", True, True),
        (503, "ServiceUnavailable", "", True, False),
        (503, "ServerBusy", "", True, True),
        (429, "", "", True, True),
        (400, "RequestLimitExceeded", "", True, True),
        (400, "RequestTimeout", "", True, False),
        (500, "InternalError", "", True, False),
        (408, "", "", True, False),
        (400, "InvalidRequest", "", False, False),
        (301, "PermanentRedirect", "", False, False),
    ],
)
def test_what_an_answer_means(status: int, code: str, message: str, transient: bool, throttled: bool) -> None:
    failure = classify_status(status, code, message)
    assert (failure.transient, failure.throttled) == (transient, throttled)
