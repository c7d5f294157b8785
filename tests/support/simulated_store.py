"""A simulated store and the workers that read from it, event by event: no clock, no threads, no network."""

from __future__ import annotations

import heapq
import random

from concurrent_dataloader.dataloader_mod.concurrency import ConcurrencyLimit
from concurrent_dataloader.dataloader_mod.recent import RecentFetches

TWO_BATCHES = 128  # samples that a worker fetches ahead of its consumer, with torch's two batches of 64 each
MOST_BATCHES = 1024  # with as many batches as there ever are


class Store:
    """A store behind a network, and a processor that handles ``capacity`` bodies a second.

    It refuses what comes faster than ``allowed`` requests a second (with a bucket of a tenth of a second), as S3 does,
    what comes while it serves ``most_at_once``, and the share ``refuses`` of all else.
    """

    def __init__(self, latency_s, capacity, *, jitter=0.05, allowed=None, most_at_once=None, refuses=0.0, seed=0):
        self.latency_s, self.capacity, self.jitter = latency_s, capacity, jitter
        self.allowed, self.most_at_once, self.refuses = allowed, most_at_once, refuses
        self.seed, self.random = seed, random.Random(seed)
        self.refused = 0
        self._busy_until_s = self._refilled_s = 0.0
        self._tokens = 1.0
        self._served_until_s = []  # a heap

    def admits(self, now_s):
        admitted = self._has_place(now_s) and self._takes_token(now_s) and self.random.random() >= self.refuses
        self.refused += not admitted
        return admitted

    def _has_place(self, now_s):
        while self._served_until_s and self._served_until_s[0] <= now_s:
            heapq.heappop(self._served_until_s)
        return self.most_at_once is None or len(self._served_until_s) < self.most_at_once

    def _takes_token(self, now_s):
        if self.allowed is None:
            return True
        most = max(1.0, self.allowed * 0.1)
        self._tokens = min(most, self._tokens + (now_s - self._refilled_s) * self.allowed)
        self._refilled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def pause(self, seconds):
        """The processor does nothing for a while."""
        self._busy_until_s += seconds

    def answer_s(self, now_s):
        arrives_s = now_s + self.latency_s * (1 + self.jitter * (2 * self.random.random() - 1))
        self._busy_until_s = max(self._busy_until_s, arrives_s) + 1 / self.speed(now_s)
        heapq.heappush(self._served_until_s, self._busy_until_s)
        return self._busy_until_s

    def speed(self, now_s):
        """Bodies a second at this moment."""
        return self.capacity


class BusyStore(Store):
    """A store whose processor is faster or slower from one twentieth of a second to the next, by a fifth or so."""

    def speed(self, now_s):
        moment = random.Random(f"{int(now_s / 0.05)} {self.seed}")
        return self.capacity * max(0.2, moment.gauss(1.0, 0.2))


class Worker:
    """A worker process: it fetches so many samples ahead of what the consumer takes."""

    def __init__(self, limit, window):
        self.limit, self.window, self.recent = limit, window, RecentFetches()
        self.in_flight = self.done = self.starved = 0

    def has_work(self, consumed):
        return self.done + self.in_flight < consumed + self.window

    def finish(self, now_s, started_s, attempt, consumed):
        had_to_wait = self.in_flight >= self.limit.value  # whatever else there was to fetch
        self.in_flight -= 1
        self.done += 1
        if attempt == 1:
            self.recent.add(now_s - started_s, 8000)
        self.starved += not (had_to_wait and self.has_work(consumed))
        self.limit.completed(now_s, now_s - started_s)


class Simulation:
    """Workers of one loader, which all hear of a refusal, against one store; all follow what the first one learns.

    The consumer takes as much from each, as one that is given the batches in order does: none gets far ahead. It takes
    whole batches of ``batch`` samples.

    Attributes:
        log: At each answer: seconds, fetches done in all, and the limit of the first worker.
    """

    def __init__(self, store, *limits, window=MOST_BATCHES, consumes_per_s=None, batch=1):
        self.store, self.consumes_per_s, self.batch = store, consumes_per_s, batch
        self.workers = [Worker(limit, window) for limit in limits]
        for number, limit in enumerate(limits):
            limit.leads = number == 0
            limit.progress = self._progress
        self.now_s, self.log = 0.0, []
        self._events, self._count = [], 0

    def run(self, until_s):
        """Goes on up to a moment; returns itself."""
        while self.now_s < until_s:
            for worker in self.workers:
                while worker.in_flight < worker.limit.value and worker.has_work(self._consumed()):
                    worker.in_flight += 1
                    self._request(worker, self.now_s, 1)
            if self._events:
                self.now_s, _, event, worker, started_s, attempt = heapq.heappop(self._events)
                event(worker, started_s, attempt)
            else:
                self.now_s += 0.001
        return self

    def fetched(self):
        """Fetches of all workers so far."""
        return sum(each.done for each in self.workers)

    def _progress(self):
        return [(each.done, each.starved) for each in self.workers]

    def _consumed(self):
        """Samples that the consumer has taken from each worker."""
        ready = min(each.done for each in self.workers)
        ready = ready if self.consumes_per_s is None else min(ready, self.now_s * self.consumes_per_s)
        return ready // self.batch * self.batch

    def rate(self, start_s, end_s):
        """Fetches per second between two moments."""
        inside = [done for at_s, done, _ in self.log if start_s <= at_s <= end_s]
        return (inside[-1] - inside[0]) / (end_s - start_s)

    def _at(self, at_s, *event):
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, *event))

    def _request(self, worker, started_s, attempt):
        if self.store.admits(self.now_s):
            self._at(self.store.answer_s(self.now_s), self._answer, worker, started_s, attempt)
        else:
            self._at(self.now_s + self.store.latency_s, self._refusal, worker, started_s, attempt)

    def _refusal(self, worker, started_s, attempt):
        if worker.limit.is_throttling(self.now_s):
            for each in self.workers:
                each.limit.throttled(self.now_s, each.recent.median_s)
        pause_s = self.store.random.uniform(0, min(5.0, 0.1 * 2 ** (attempt - 1)))  # as storage/retry.py has it
        self._at(self.now_s + pause_s, self._request, worker, started_s, attempt + 1)

    def _answer(self, worker, started_s, attempt):
        worker.finish(self.now_s, started_s, attempt, self._consumed())
        if not worker.limit.leads:
            worker.limit.follow(self.workers[0].limit.value)
        self.log.append((self.now_s, self.fetched(), self.workers[0].limit.value))


def auto(maximum=256):
    """Returns a limit that is learnt."""
    return ConcurrencyLimit(maximum, adaptive=True)
