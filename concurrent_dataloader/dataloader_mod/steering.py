"""How many fetches are to be in flight, learnt from how long they take.

Pure decisions, like back_off.py, and driven through the same simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from statistics import median

Progress = Callable[[], list[tuple[float, float]]]
"""Returns for each worker the fetches that ended well so far, and how many of them left no other to start."""

_INTERVAL_S = 0.1  # shortest measurement; below it the scheduling of two busy cores is most of what one sees
_WAVES = 2  # fetches of a measurement, in multiples of the limit: whole waves, as fetches started together end together
_CLIMB_WAVES = 1  # the same while the limit climbs
_SATURATED = 0.5  # share of a worker's fetches that ended while others waited; below it in all, the consumer is slow

_AIM = 1.8  # latency that is wanted, in multiples of the shortest: nearly half of it is a queue, as a reserve
_GROWTH = 1.5  # a limit that is too small by this factor or more is left at one step, any other by smaller ones
_CLIMB = 4.0  # times the limit, at the start
_STEP = 0.25  # part of the factor's logarithm that such a step makes up: about the last four measurements count
_FAR = 1 / 1.3  # the factor of a limit that is far too large: before it falls, the shortest latency is measured anew
_SPARE = 1.25  # times what a rate needs in flight without queues
_DRIFT = 1 / 16  # of a latency that is longer than the shortest, in each measurement in which the consumer is slow

_LOOK_PART = 0.5  # of the limit, while the shortest latency is measured anew
_DEEP_LOOK_PART = 0.25  # the same where two looks in a row have shown nothing but a queue
_LOOK_EVERY = 32  # measurements between two looks
_LOOK_SELDOM = 128  # the same where nothing queues, or no more may be in flight: there half as many cost speed
_LOOK_SOON = 3  # measurements until the next look where the last one has brought something new, or a queue
_ALL_QUEUE = 1.05  # within this factor the latency has fallen with the limit: what is left of it is still a queue
_NEW_SHARE = 0.5  # of what a look has shown in what is then taken for the shortest latency; all of it in a deep one
_SHORTEST_S = 1e-6  # below it there is nothing to tell apart
_SAME = 0.1  # a latency or limit that moves by less has not changed


@dataclass
class _Measurement:
    """Fetches that ended since ``start_s``; the first ``skip`` belong to the time, or to the limit, before."""

    skip: int = 1
    start_s: float | None = None
    latencies_s: list[float] = field(default_factory=list)
    before: list[tuple[float, float]] = field(default_factory=list)

    def add(self, now_s: float, latency_s: float, progress: Progress) -> None:
        """Takes in a fetch that ended."""
        if self.start_s is not None:
            self.latencies_s.append(latency_s)
            return
        self.skip -= 1
        if not self.skip:
            self.start_s, self.before = now_s, progress()

    @property
    def ended(self) -> int:
        """Fetches that count."""
        return len(self.latencies_s)

    def elapsed_s(self, now_s: float) -> float:
        """Seconds in which they ended."""
        return 0.0 if self.start_s is None else now_s - self.start_s

    def is_saturated(self, after: list[tuple[float, float]]) -> bool:
        """Whether most fetches of a worker left others waiting for the limit: then all wait, since it comes in turn."""
        shares = [
            1 - (starved - starved_before) / (ended - ended_before)
            for (ended_before, starved_before), (ended, starved) in zip(self.before, after, strict=True)
            if ended > ended_before
        ]
        return max(shares, default=1.0) >= _SATURATED


@dataclass(frozen=True)
class _Look:
    """A moment with fewer in flight: the limit before it, not rounded, and the latency with that."""

    limit: float
    latency_s: float


class Steering:
    """Learns the limit: as many in flight as make a fetch take 1.8 times as long as it does without queues.

    As many as fit on the way at full speed take no longer than one alone; what is added then waits (Little's law). So
    the latency tells how far off a limit is and to which side, where goodput tells only that another was no better:
    while nothing queues the limit nearly doubles with each measurement, and then stays where nearly as many again wait.
    They are a reserve, since no processor is as fast in each moment as on average; more of it would gain nothing.

    At the start it climbs faster, fourfold. Where that was too far, it goes back to what the goodput needs without
    queues, but not below half of where it was.

    The shortest latency is not the shortest that was ever measured, since stores get slower, and noise makes single
    measurements short. It is looked at: half as many are in flight for a moment, now and then and before a limit at
    which fetches queue falls far.

    Args:
        maximum: Upper bound of the limit.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._exact = 1.0  # the limit before it is rounded
        self._limit = 1
        self._measurement = _Measurement()
        self._shortest_s = inf
        self._since_look = _LOOK_EVERY - _LOOK_SOON  # measurements
        self._queues = 0  # looks in a row at which all that was left was still a queue
        self._look: _Look | None = None  # the one that is under way
        self._climbs = True  # until a measurement shows no room
        self._foot = 1.0  # the limit from which it climbs
        self._far = 0  # measurements in a row in which the limit was far too large

    def start(self, limit: int, *, climbs: bool) -> None:
        """Begins, or goes on, with a limit that others have decided on, and climbs from there or does not."""
        self._look, self._far, self._measurement = None, 0, _Measurement(skip=limit)
        self._exact, self._limit = float(limit), limit
        self._climbs, self._foot = climbs, float(limit)

    def ended(self, now_s: float, latency_s: float, progress: Progress) -> int:
        """Takes in a fetch that ended well; returns the limit.

        Args:
            now_s: Monotonic clock in seconds.
            latency_s: How long the fetch took, in seconds.
            progress: From which it is clear whether the limit is what the loader waits for.
        """
        measurement = self._measurement
        measurement.add(now_s, latency_s, progress)
        elapsed_s = measurement.elapsed_s(now_s)
        waves = _CLIMB_WAVES if self._climbs else _WAVES
        if measurement.ended < waves * self._limit or elapsed_s < _INTERVAL_S:
            return self._limit
        typical_s = max(median(measurement.latencies_s), _SHORTEST_S)  # which knows no slow tail
        self._measurement = _Measurement()
        goodput, is_saturated = measurement.ended / elapsed_s, measurement.is_saturated(progress())
        if self._climbs:
            self._climb(goodput, typical_s, is_saturated=is_saturated)
        elif not is_saturated:
            self._outrun_consumer(goodput, typical_s)
        elif self._look is not None:
            self._end_look(self._look, typical_s)
        else:
            self._steer(typical_s)
        return self._limit

    def _climb(self, goodput: float, latency_s: float, *, is_saturated: bool) -> None:
        """Goes fourfold while there is room; the first time that there is none, back to what is needed, and no more."""
        self._shortest_s = min(self._shortest_s, latency_s)
        has_room = is_saturated and _AIM * self._shortest_s / latency_s >= _GROWTH
        self._climbs = has_room and self._limit < self._maximum
        if self._climbs:
            self._go_to(self._exact * _CLIMB)
        elif not has_room:
            self._go_to(min(self._exact, max(self._foot, self._exact / 2, self._needed(goodput))))

    def _outrun_consumer(self, goodput: float, latency_s: float) -> None:
        """The consumer is the slower one: the limit falls where requests queue all the same, and never rises."""
        self._far = 0
        if self._look is not None:
            self._go_to(self._look.limit)
            self._look = None
            return
        share = _DRIFT if latency_s > self._shortest_s else _NEW_SHARE
        self._shortest_s = latency_s if self._shortest_s == inf else self._toward(latency_s, share)
        needed = self._needed(goodput)
        if latency_s > _AIM * self._shortest_s and needed < self._limit:
            self._go_to(max(needed, self._exact / _SPARE))

    def _steer(self, latency_s: float) -> None:
        self._shortest_s = min(self._shortest_s, latency_s)
        factor = _AIM * self._shortest_s / latency_s
        self._since_look += 1
        self._far = self._far + 1 if factor < _FAR else 0
        enough = _GROWTH if self._limit < self._maximum else 1.0
        is_due = self._since_look > (_LOOK_EVERY if factor < enough or self._queues else _LOOK_SELDOM)
        if self._far > 1 or (is_due and not self._far):  # a pause of the machine looks the same as one that is far off
            self._look = _Look(self._exact, latency_s)
            self._go_to(self._exact * (_DEEP_LOOK_PART if self._queues > 1 else _LOOK_PART))
        elif factor >= _GROWTH:
            self._go_to(self._exact * factor)
        elif not self._far:
            self._go_to(self._exact * factor**_STEP)

    def _end_look(self, look: _Look, latency_s: float) -> None:
        before_s, self._look, self._far = self._shortest_s, None, 0
        latency_s = min(latency_s, look.latency_s)  # fewer in flight take no longer: a pause does
        part = self._limit / round(look.limit)
        if part < 1 and latency_s <= _ALL_QUEUE * part * look.latency_s:
            self._queues += 1
            latency_s = min(before_s, latency_s)
        else:
            self._queues = 0
        share = 1.0 if self._queues > 1 else _NEW_SHARE
        self._shortest_s = self._toward(latency_s, share)
        factor = min(1.0, max(_LOOK_PART, _AIM * self._shortest_s / look.latency_s))
        is_known = abs(self._shortest_s - before_s) < _SAME * before_s and 1 - factor < _SAME
        self._since_look = 0 if is_known and not self._queues else _LOOK_EVERY - _LOOK_SOON
        self._go_to(look.limit * factor)

    def _needed(self, goodput: float) -> float:
        """Returns how many in flight make that goodput without queues, with some to spare (Little's law)."""
        return _SPARE * goodput * self._shortest_s

    def _toward(self, latency_s: float, share: float) -> float:
        return self._shortest_s + share * (latency_s - self._shortest_s)

    def _go_to(self, limit: float) -> None:
        self._exact = min(max(limit, 1.0), self._maximum)
        if round(self._exact) != self._limit:
            self._measurement = _Measurement(skip=self._limit)
            self._limit = round(self._exact)
