"""How many fetches are in flight at once: a number that is given, or one that is learnt from the goodput.

Pure decisions: nothing here waits, locks or reads a clock, so a simulation can drive it through hours in a moment
(tests/unit/dataloader_mod/test_concurrency.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from concurrent_dataloader.dataloader_mod.back_off import BackOff

FIRST_AUTO_FETCHES = 8
"""Where ``"auto"`` begins to learn: five doublings below its bound, and gentle to a store that others use too."""
FIRST_WAVE = 64
"""What ``"auto"`` starts at once before it has learnt anything, and only once: a batch of torch's usual sizes.

No batch can be handed out before all its samples are there, so these have to be fetched whatever there is to learn;
eight by eight they would take eight round trips, and the first batch is what a user waits for at every start.
"""

_INTERVAL_S = 0.1  # shortest measurement; below it the scheduling of two busy cores is most of what one sees
_WAVES = (
    2.0  # fetches of a measurement, in multiples of the limit: whole waves, as fetches started together end together
)
_WORTH_DOUBLING = 1.25  # twice the requests for a quarter more goodput: still rising, so go on doubling
_WORTH_KEEPING = 1.08  # below this gain the smaller limit was as good, within the noise of a measurement
_PROBE_EVERY = 12  # measurements between two probes
_PROBE_SOON = 4  # the same where requests queue: there is something to be gained
_PROBE_UP, _PROBE_DOWN = 1.25, 0.8
_UP_GAIN, _DOWN_LOSS = 1.05, 0.98  # a larger limit has to pay for itself, a smaller one must cost next to nothing
_QUEUE_LOSS = 0.95  # where requests queue, a smaller limit may cost that much: it is more likely to be the noise
_COLLAPSE = 0.6  # goodput twice below this share of what was settled on: the store has changed, so learn again
_BASELINE_SHARE = 0.2  # of a measurement in the mean goodput: about the last five count
_QUEUEING = 1.8  # multiples of the shortest latency from which on requests queue: as many again would only wait
_SPARE = 1.25  # times what a consumer's rate needs in flight without queues
_SHORTEST_GROWTH = 1.002  # per measurement: what was once the shortest latency is forgotten slowly


@dataclass
class _Measurement:
    """Completions since ``start_s``; the first ``skip`` after a change of the limit belong to the limit before."""

    start_s: float | None = None
    start_fetched: float = 0.0
    skip: int = 0
    completions: int = 0
    saturated: int = 0

    def add(self, now_s: float, saturated: bool, fetched: Callable[[], float]) -> None:
        if self.skip > 0:
            self.skip -= 1
        elif self.start_s is None:
            self.start_s, self.start_fetched = now_s, fetched()  # its own completion ends the time before
        else:
            self.completions += 1
            self.saturated += saturated


@dataclass
class ConcurrencyLimit:
    """The number of fetches that may be in flight in this process, as it is now.

    With ``adaptive`` `FIRST_WAVE` fetches may start at once; no other follows until fewer than `FIRST_AUTO_FETCHES` of
    them are out. From there it doubles as long as that raises the goodput, goes back where it did not, and then probes
    by a quarter up and a fifth down now and then. It rises only while fetches wait for their turn: where the consumer
    is the slower one, more in flight would gain nothing. Nor does it rise where the latency has risen with it: what is
    added then waits behind what is there, and a gain that was measured is noise.

    When the store refuses requests for their rate (throttling), it falls and rises as `BackOff` has it; so does a limit
    that was given.

    Workers that learnt each for itself would fight: on a busy machine more requests of the one are fewer answers for
    the other, so each would see itself rewarded for more. Hence one learns from the goodput of all, and the others
    `follow`. Amid refusals those of a given limit do so too, where batches are read in turn: all are as slow as the
    lowest. Where they are not, each then goes by itself, since the one that leads may have nothing to do.

    Attributes:
        maximum: Upper bound, which a limit that was given starts from.
        adaptive: Whether it is to be learnt.
        leads: Whether the others follow this one.
        in_order: Whether the batches of all workers are read in turn.
        fetched: Returns the fetches of all workers so far that ended well; None: there is no other worker.
        value: Fetches that may be in flight now.
    """

    maximum: int
    adaptive: bool = False
    leads: bool = True
    in_order: bool = True
    fetched: Callable[[], float] | None = None
    value: int = field(init=False)

    def __post_init__(self) -> None:
        self.value = min(FIRST_WAVE, self.maximum) if self.adaptive else self.maximum
        self._measurement = _Measurement()
        self._doubling = self._in_first_wave = self.adaptive
        self._before: tuple[int, float] | None = None  # limit and goodput before the change that is being measured
        self._baseline = 0.0  # mean goodput of the limit that was settled on
        self._shortest_s = inf  # mean latency where requests did not wait for one another
        self._queueing = False
        self._collapses = 0  # measurements in a row
        self._first_try = 0.0  # goodput of a doubling that did not pay at its first measurement
        self._settled = 0  # measurements since the last probe
        self._probe_up_next = True
        self._probed_queue = False  # whether requests queued when the probe began
        self._back_off = BackOff()

    @property
    def is_throttled(self) -> bool:
        """Whether the store has refused requests for their rate a short while ago."""
        return self._back_off.is_active

    def completed(self, now_s: float, median_s: float, *, saturated: bool) -> None:
        """Takes in a fetch that ended well.

        Args:
            now_s: Monotonic clock in seconds.
            median_s: Median latency of the recent fetches in seconds.
            saturated: Whether other fetches waited only because of the limit.
        """
        self._back_off.completed(now_s)
        if self._back_off.is_active:
            self._recover(now_s)
        elif self._in_first_wave:
            self._take_back_first_wave(self.value - 1)
        elif self.adaptive and self.leads:
            self._measure(now_s, median_s, saturated)

    def follow(self, limit: int) -> None:
        """Takes over the limit of the worker that leads, where this one is to follow it at present."""
        follows = self.in_order if self.is_throttled else self.adaptive
        if follows and not self._in_first_wave:
            self.value = min(limit, self.maximum)

    def is_throttling(self, now_s: float) -> bool:
        """Takes in that the store has refused a request of this process; returns whether it refuses too many."""
        return self._back_off.is_too_many(now_s)

    def throttled(self, now_s: float, median_s: float) -> None:
        """Takes in that the store refuses too many requests, of this process or of another worker, for the rate."""
        if self._in_first_wave:
            self._take_back_first_wave(FIRST_AUTO_FETCHES)
        limit = self._back_off.refused(now_s, median_s, self.value)
        if limit < self.value:
            self._set(limit)
            self._doubling, self._before, self._first_try = False, None, 0.0

    def _take_back_first_wave(self, limit: int) -> None:
        """Lowers the limit as the first wave ends, so that learning begins with few in flight."""
        small = min(FIRST_AUTO_FETCHES, self.maximum)
        self._in_first_wave = limit > small
        self.value = max(limit, small)
        self._measurement = _Measurement(skip=small)  # what is still out belongs to the wave

    def _own(self) -> float:
        return self._back_off.completions

    def _recover(self, now_s: float) -> None:
        if self._back_off.forgives(now_s) or self.value == self.maximum:
            self._back_off.end()
            self._doubling, self._before = self.adaptive, None
            if not self.adaptive:
                self._set(self.maximum)
        elif (limit := self._back_off.risen(now_s, self.value)) > self.value:
            self._set(limit)

    def _measure(self, now_s: float, median_s: float, saturated: bool) -> None:
        measurement = self._measurement
        fetched = self.fetched or self._own
        measurement.add(now_s, saturated, fetched)
        if measurement.start_s is None or measurement.completions < _WAVES * self.value:
            return
        elapsed_s = now_s - measurement.start_s
        if elapsed_s < max(_INTERVAL_S, median_s):
            return
        goodput = (fetched() - measurement.start_fetched) / elapsed_s
        self._look_for_queues(self.value * elapsed_s / measurement.completions, median_s)
        if measurement.saturated < 0.8 * measurement.completions:
            self._have_room(measurement.completions / elapsed_s)
        elif self._doubling:
            self._go_on_doubling(goodput)
        else:
            self._settle(goodput)

    def _look_for_queues(self, mean_s: float, median_s: float) -> None:
        """Takes in the mean latency of a measurement (Little's law) and the median of the last few hundred fetches.

        The median knows no slow tail, the mean no time before the measurement: queues show in both.
        """
        latency_s = min(mean_s, median_s)
        self._shortest_s = min(self._shortest_s * _SHORTEST_GROWTH, latency_s)
        self._queueing = latency_s > _QUEUEING * self._shortest_s

    def _have_room(self, own_goodput: float) -> None:
        """The consumer is the slower one: this says nothing of the limit. A probe or doubling under way is kept."""
        self._before = None
        needed = round(_SPARE * own_goodput * self._shortest_s)
        if self._queueing and needed < self.value:
            self._set(max(1, needed, round(self.value * _PROBE_DOWN)))
        else:
            self._measurement = _Measurement()

    def _go_on_doubling(self, goodput: float) -> None:
        before = self._before
        self._baseline = goodput = max(goodput, self._first_try)
        rises = before is None or (goodput >= _WORTH_DOUBLING * before[1] and not self._queueing)
        if rises and self.value < self.maximum:
            self._before, self._first_try = (self.value, goodput), 0.0
            self._set(2 * self.value)
        elif not rises and not self._first_try:
            self._first_try = goodput  # a busy moment of the machine looks the same: measure once more
            self._measurement = _Measurement()
        else:
            self._doubling, self._before, self._settled, self._first_try = False, None, 0, 0.0
            if before is not None and goodput < _WORTH_KEEPING * before[1]:
                self._baseline = max(before[1], goodput)
                self._set(before[0])
            else:
                self._measurement = _Measurement()

    def _settle(self, goodput: float) -> None:
        """One measurement of the limit that was settled on, or of a probe."""
        self._measurement = _Measurement()
        if self._before is not None:
            (limit, reference), self._before = self._before, None
            worth = _UP_GAIN if self.value > limit else _QUEUE_LOSS if self._probed_queue else _DOWN_LOSS
            if goodput < worth * reference:
                self._set(limit)
            return
        self._collapses = self._collapses + 1 if goodput < _COLLAPSE * self._baseline else 0
        if self._collapses == 1:
            return  # a pause of the machine looks the same
        if self._collapses > 1:
            # With half as much in flight a store that is farther away gives half, and doubling brings that back; one
            # that has less to give gives the same, with a shorter latency.
            self._doubling, self._baseline, self._shortest_s, self._collapses = True, goodput, inf, 0
            self._set(max(1, self.value // 2))
            return
        self._baseline += _BASELINE_SHARE * (goodput - self._baseline)
        self._settled += 1
        if self._settled >= (_PROBE_SOON if self._queueing else _PROBE_EVERY):
            self._probe()

    def _probe(self) -> None:
        """Tries a smaller limit where requests queue; else a larger and a smaller one in turn."""
        self._settled, self._before, self._probed_queue = 0, (self.value, self._baseline), self._queueing
        if not self._queueing:
            self._probe_up_next = not self._probe_up_next
        if self._queueing or self._probe_up_next:
            self._set(max(1, round(self.value * _PROBE_DOWN)))
        else:
            self._set(max(self.value + 1, round(self.value * _PROBE_UP)))

    def _set(self, limit: int) -> None:
        self._measurement = _Measurement(skip=self.value)
        self.value = min(limit, self.maximum)
