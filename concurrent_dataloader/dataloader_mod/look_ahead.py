"""How far the sampler may be read ahead in the caller's own process without changing anyone's random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from concurrent_dataloader.dataloader_mod.random_state import RandomStateWatch

QUIET_SAMPLERS = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler, DistributedSampler)
"""torch's samplers: after their first index they draw nothing from the process's generators."""
QUIET_SEQUENCES = (list, tuple, range, torch.Tensor)


def draws_nothing_later(sampler: Any) -> bool:
    """Whether a sampler draws from no generator that others see once its first index was drawn."""
    return _generator_of(sampler) is None and _is_quiet(sampler)


class LookAhead:
    """Decides how many requests to draw from the sampler ahead of the caller.

    With ``num_workers=0`` the sampler and `process` share the process's generators, and torch draws a batch's indices
    only after the batch before was made. torch's own samplers draw from the generators at their first index alone, so
    nobody notices when they are read ahead. Any other sampler is first watched: only if its second request was drawn
    without moving a generator is it read ahead. A ``RandomSampler`` that was given a generator draws from it again
    later; it is read ahead from the second request on, until someone else is seen to draw from that generator.

    Args:
        sampler: What the requests come from.
        draw: Draws the next request.
        ahead: How many requests to draw ahead where that changes nothing.
    """

    def __init__(self, sampler: Any, draw: Callable[[], Any], ahead: int) -> None:
        self._draw, self._ahead = draw, ahead
        self._generator = _generator_of(sampler)
        self._state: torch.Tensor | None = None
        self._is_quiet: bool | None = True if self._generator is None and _is_quiet(sampler) else None
        self._drawn = 0

    @property
    def ahead(self) -> int:
        """How many requests may at present be drawn ahead of the caller."""
        return self._ahead if self._is_quiet else 0

    def draw(self) -> Any:
        """Draws a request; raises whatever the sampler does, ``StopIteration`` at its end."""
        self._drawn += 1
        if self._generator is not None:
            return self._draw_from(self._generator)
        if self._is_quiet is not None or self._drawn == 1:
            return self._draw()
        watch = RandomStateWatch()
        watch.begin()
        request = self._draw()
        self._is_quiet = not watch.end()
        return request

    def _draw_from(self, generator: torch.Generator) -> Any:
        if self._state is not None and self._is_quiet is not False:
            self._is_quiet = torch.equal(self._state, generator.get_state())
        request = self._draw()
        self._state = generator.get_state()
        return request


def _generator_of(sampler: Any) -> torch.Generator | None:
    """The generator from which one of torch's samplers draws more than once, if it was given one."""
    if type(sampler) is BatchSampler:
        return _generator_of(sampler.sampler)
    return sampler.generator if type(sampler) is RandomSampler else None


def _is_quiet(sampler: Any) -> bool:
    if type(sampler) is BatchSampler:
        return _is_quiet(sampler.sampler)
    return type(sampler) in QUIET_SAMPLERS or isinstance(sampler, QUIET_SEQUENCES)
