"""The learnt number of fetches in flight, driven through simulated stores: no clock, no threads."""

from __future__ import annotations

import heapq
import random

import pytest

from concurrent_dataloader.dataloader_mod.concurrency import FIRST_AUTO_FETCHES, ConcurrencyLimit
from concurrent_dataloader.dataloader_mod.recent import RecentFetches


class Store:
    """A store behind a network, and a processor that handles ``capacity`` bodies a second.

    Refuses what comes faster than ``allowed`` requests a second (a bucket of a tenth of a second), as S3 does.
    """

    def __init__(self, latency_s, capacity, *, jitter=0.05, allowed=None, seed=0):
        self.latency_s, self.capacity, self.jitter, self.allowed = latency_s, capacity, jitter, allowed
        self.random = random.Random(seed)
        self.busy_until = 0.0
        self.tokens, self.refilled_s = 1.0, 0.0
        self.refused = 0

    def admits(self, now_s):
        if self.allowed is None:
            return True
        most = max(1.0, self.allowed * 0.1)
        self.tokens = min(most, self.tokens + (now_s - self.refilled_s) * self.allowed)
        self.refilled_s = now_s
        if self.tokens < 1.0:
            self.refused += 1
            return False
        self.tokens -= 1.0
        return True

    def answer_s(self, now_s):
        arrives_s = now_s + self.latency_s * (1 + self.jitter * (2 * self.random.random() - 1))
        self.busy_until = max(self.busy_until, arrives_s) + 1 / self.capacity
        return self.busy_until


class Worker:
    """One worker process that always has more to fetch, or so much as its consumer takes."""

    def __init__(self, limit, store, consumes=None):
        self.limit, self.store, self.recent, self.consumes = limit, store, RecentFetches(), consumes
        self.events, self.in_flight, self.done, self.consumed, self.counter = [], 0, 0, 0.0, 0

    def push(self, at_s, kind, started_s, attempt):
        self.counter += 1
        heapq.heappush(self.events, (at_s, self.counter, kind, started_s, attempt))

    def start(self, now_s):
        while self.in_flight < self.limit.value and not self.is_full(now_s):
            self.in_flight += 1
            self.request(now_s, now_s, 1)

    def is_full(self, now_s):
        """Whether a window of 128 samples waits for the consumer already."""
        return self.consumes is not None and self.done + self.in_flight - now_s * self.consumes >= 128

    def request(self, now_s, started_s, attempt):
        if self.store.admits(now_s):
            self.push(self.store.answer_s(now_s), "answer", started_s, attempt)
        else:
            self.push(now_s + self.store.latency_s, "refusal", started_s, attempt)

    def run(self, until_s):
        """Returns (seconds, fetches done) at each completion up to then."""
        now_s, log = 0.0, []
        self.start(now_s)
        while now_s < until_s:
            if not self.events:
                now_s += 0.001
                self.start(now_s)
                continue
            now_s, _, kind, started_s, attempt = heapq.heappop(self.events)
            if kind == "refusal":
                self.limit.throttled(now_s, self.recent.median_s)
                self.push(now_s + random.uniform(0, 0.1 * 2 ** (attempt - 1)), "again", started_s, attempt + 1)
            elif kind == "again":
                self.request(now_s, started_s, attempt)
            else:
                self.in_flight -= 1
                self.done += 1
                if attempt == 1:
                    self.recent.add(now_s - started_s, 8000)
                saturated = self.in_flight + 1 >= self.limit.value and not self.is_full(now_s)
                self.limit.completed(now_s, self.recent.median_s, saturated=saturated)
                log.append((now_s, self.done, self.limit.value))
            self.start(now_s)
        return log


def rate(log, start_s, end_s):
    inside = [done for at_s, done, _ in log if start_s <= at_s <= end_s]
    return (inside[-1] - inside[0]) / (end_s - start_s)


@pytest.mark.parametrize("capacity", [300, 2000, 6000])
@pytest.mark.parametrize("latency_s", [0.001, 0.01, 0.03, 0.1, 0.2])
def test_auto_comes_near_the_best_fixed_limit_within_five_seconds_and_not_with_much_more_in_flight(latency_s, capacity):
    fixed = {n: rate(Worker(ConcurrencyLimit(n), Store(latency_s, capacity)).run(8), 4, 8) for n in range(1, 257, 1)}
    best = max(fixed.values())
    needed = min(n for n, samples_per_s in fixed.items() if samples_per_s >= 0.9 * best)
    log = Worker(ConcurrencyLimit(256, adaptive=True), Store(latency_s, capacity, seed=1)).run(15)
    assert rate(log, 5, 15) >= 0.9 * best
    assert max(limit for at_s, _, limit in log if at_s > 5) <= max(2 * needed, FIRST_AUTO_FETCHES) * 1.3
