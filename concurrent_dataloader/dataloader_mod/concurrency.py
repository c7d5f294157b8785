"""How many fetches are in flight at once: a number that is given, or one that is learnt.

Pure decisions: nothing here waits, locks or reads a clock, so a simulation can drive it through hours in a moment
(tests/unit/dataloader_mod/test_concurrency.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from concurrent_dataloader.dataloader_mod.back_off import BackOff
from concurrent_dataloader.dataloader_mod.steering import Progress, Steering

FIRST_AUTO_FETCHES = 8
"""Where ``"auto"`` begins to learn: a 32nd of its usual bound, and gentle to a store that others use too."""
FIRST_WAVE = 64
"""What ``"auto"`` starts at once before it has learnt anything, and only once: a batch of torch's usual sizes.

No batch can be handed out before all its samples are there, so these have to be fetched whatever there is to learn;
eight by eight they would take eight round trips, and the first batch is what a user waits for at every start.
"""


@dataclass
class ConcurrencyLimit:
    """The number of fetches that may be in flight in this process, as it is now.

    With ``adaptive`` `FIRST_WAVE` fetches may start at once; no other follows until fewer than `FIRST_AUTO_FETCHES` of
    them are out. From there it is learnt as `Steering` has it.

    When the store refuses requests for their rate (throttling), it falls and rises as `BackOff` has it; so does a limit
    that was given.

    Workers that learnt each for itself would fight: on a busy machine more requests of the one are longer waits for the
    other. Hence one learns, and the others `follow`. Amid refusals those of a given limit do so too, where batches are
    read in turn: all are as slow as the lowest. Where they are not, each then goes by itself, since the one that leads
    may have nothing to do.

    Attributes:
        maximum: Upper bound, which a limit that was given starts from.
        adaptive: Whether it is to be learnt.
        leads: Whether the others follow this one.
        in_order: Whether the batches of all workers are read in turn.
        progress: Tells how far each worker is.
        value: Fetches that may be in flight now.
    """

    maximum: int
    adaptive: bool = False
    leads: bool = True
    in_order: bool = True
    progress: Progress = list
    value: int = field(init=False)

    def __post_init__(self) -> None:
        self.value = min(FIRST_WAVE, self.maximum) if self.adaptive else self.maximum
        self._in_first_wave = self.adaptive
        self._steering = Steering(self.maximum)
        self._back_off = BackOff()

    @property
    def is_lowered(self) -> bool:
        """Whether it is still that of a store that refuses: no answer has come since the refusals are forgiven."""
        return self._back_off.is_active

    def is_throttled(self, now_s: float) -> bool:
        """Whether the store has refused requests for their rate a short while ago."""
        return self.is_lowered and not self._back_off.forgives(now_s)

    def completed(self, now_s: float, latency_s: float) -> None:
        """Takes in a fetch that ended well.

        Args:
            now_s: Monotonic clock in seconds.
            latency_s: How long it took, in seconds.
        """
        self._back_off.completed(now_s)
        if self.is_lowered:
            self._recover(now_s)
        elif self._in_first_wave:
            self._take_back_first_wave(self.value - 1)
        elif self.adaptive and self.leads:
            self.value = self._steering.ended(now_s, latency_s, self.progress)

    def follow(self, limit: int) -> None:
        """Takes over the limit of the worker that leads, where this one is to follow it at present."""
        follows = self.in_order if self.is_lowered else self.adaptive
        if follows and not self._in_first_wave:
            self.value = min(limit, self.maximum)

    def is_throttling(self, now_s: float) -> bool:
        """Takes in that the store has refused a request of this process; returns whether it refuses too many."""
        return self._back_off.is_too_many(now_s)

    def throttled(self, now_s: float, median_s: float) -> None:
        """Takes in that the store refuses too many requests, of this process or of another worker, for the rate."""
        if self._in_first_wave:
            self._take_back_first_wave(min(FIRST_AUTO_FETCHES, self.maximum))
        limit = self._back_off.refused(now_s, median_s, self.value)
        self.value = min(self.value, limit)

    def _take_back_first_wave(self, limit: int) -> None:
        """Lowers the limit as the first wave ends, so that learning begins with few in flight."""
        small = min(FIRST_AUTO_FETCHES, self.maximum)
        self._in_first_wave = limit > small
        self.value = max(limit, small)
        self._steering.start(small, climbs=True)

    def _recover(self, now_s: float) -> None:
        if not self._back_off.forgives(now_s) and self.value < self.maximum:
            self.value = min(self._back_off.risen(now_s, self.value), self.maximum)
            return
        self._back_off.end()
        if self.adaptive:
            self._steering.start(self.value, climbs=False)  # the store has refused more than it bears
        else:
            self.value = self.maximum
