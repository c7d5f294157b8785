"""How far a limit falls when the store refuses requests for their rate, and how it rises again.

Pure decisions, like concurrency.py, and driven through the same simulations.
"""

from __future__ import annotations

from collections import deque

BORNE_PART = 100
"""A store that refuses less than this part of what it answers is not at its limit."""
FORGIVEN_S = 5.0
"""This long without a refusal, and the limit is free again."""

_FEWEST = 3  # refusals in a second: one or two are nothing to go by where a hundred answers take long
_BORNE_LOW_PART = 300  # the same after a fall: what is borne at a limit a little too high delays batch after batch
_EVENT_S = 0.2  # refusals that follow a fall within this time, or within two round trips, belong to it
_SHARE = 0.9  # of what the recent goodput needed in flight (Little's law): room for the store's queue to drain
_RECENT_S = 1.0
_SAMPLE_S = 0.05  # between two notes of the completions, of which the last `_SAMPLES` are kept
_SAMPLES = 21
_STEP_S = 0.5  # after a refusal or a step up, until the next step up
_STEP_PART = 10  # a step is this part of the limit: what it overshoots is refused, and has to be asked for again
_FEW = 64  # completions, a batch of torch's usual sizes, before which there is no goodput to go by
_GUESS_STEP_PART = 2  # a step after a fall without a goodput: what the store bears may be far above
_GUESS_S = 1.0  # how long the refusals of such a start may last


class BackOff:
    """What is known of a store's refusals.

    A limit falls, by half at the most, to a little less than what the goodput of the last moments needed in flight, or
    than what was not refused before the last step up. Then it rises by a tenth each half second. Where the store had
    refused before there was a goodput to go by, it rises by half, up to the first refusal after the start's.
    """

    def __init__(self) -> None:
        self._refused_s: float | None = None  # the last refusal; None: forgiven, or never
        self._fell_s = self._stepped_s = 0.0  # the last fall, and the last fall or step up
        self._borne = 0  # the limit before the last step up
        self._guessed_s: float | None = None  # when it fell without a goodput; None: it did not, or there is one now
        self._refusals_s: deque[float] = deque()  # of this process in the last second
        self._samples: list[tuple[float, int]] = []  # (moment, completions up to it), for the goodput
        self._completions = 0  # fetches that ended well so far

    @property
    def is_active(self) -> bool:
        """Whether the limit is still that of a store that refuses; `end` sets it free."""
        return self._refused_s is not None

    def completed(self, now_s: float) -> None:
        """Takes in a fetch that ended well."""
        self._completions += 1
        if not self._samples or now_s - self._samples[-1][0] > _SAMPLE_S:
            self._samples = [*self._samples[1 - _SAMPLES :], (now_s, self._completions)]

    def is_too_many(self, now_s: float) -> bool:
        """Takes in a refusal of this process; returns whether there are so many that it is to go down."""
        refusals_s = self._refusals_s
        refusals_s.append(now_s)
        while now_s - refusals_s[0] > _RECENT_S:
            refusals_s.popleft()
        answers = self._goodput(now_s) * _RECENT_S
        if self.is_active:
            return len(refusals_s) * _BORNE_LOW_PART > answers
        return len(refusals_s) >= _FEWEST and len(refusals_s) * BORNE_PART > answers

    def refused(self, now_s: float, median_s: float, limit: int) -> int:
        """Takes in that too many requests, of this or of another process, are refused; returns the limit to go down to.

        Args:
            now_s: Monotonic clock in seconds.
            median_s: Median latency of the recent fetches in seconds.
            limit: As it is.
        """
        same_event = self.is_active and now_s - self._fell_s < max(_EVENT_S, 2 * median_s)
        self._refused_s = now_s
        if same_event:
            return limit
        if self._completions < _FEW:
            self._guessed_s = now_s if self._guessed_s is None else self._guessed_s
        elif self._guessed_s is not None and now_s - self._guessed_s > _GUESS_S:
            self._guessed_s = None
        needed = self._goodput(now_s) * median_s
        if self._fell_s < self._stepped_s and now_s - self._stepped_s < _STEP_S:
            needed = max(needed, self._borne)  # the goodput is partly that of smaller limits
        self._fell_s = self._stepped_s = now_s
        return max(1, min(limit - 1, max(round(_SHARE * needed), limit // 2)))

    def risen(self, now_s: float, limit: int) -> int:
        """Returns the limit to go up to, the same if it is too soon for another step."""
        if self._refused_s is None or now_s - max(self._refused_s, self._stepped_s) < _STEP_S:
            return limit
        self._stepped_s, self._borne = now_s, limit
        return limit + max(1, limit // (_STEP_PART if self._guessed_s is None else _GUESS_STEP_PART))

    def forgives(self, now_s: float) -> bool:
        """Whether nothing has been refused for so long that it no longer counts."""
        return self._refused_s is None or now_s - self._refused_s >= FORGIVEN_S

    def end(self) -> None:
        """Forgets the refusals."""
        self._refused_s = None

    def _goodput(self, now_s: float) -> float:
        """Fetches per second in about the last second."""
        since = [each for each in self._samples if now_s - each[0] <= _RECENT_S]
        if len(since) < 2:
            return 0.0
        return (self._completions - since[0][1]) / max(now_s - since[0][0], 2 * _SAMPLE_S)
