"""Builds the chain of behaviours that a set of settings asks for."""

from __future__ import annotations

import random
from collections import Counter

from benchmarking.endpoint.behaviour import Authentication, Behaviour, Latency, SlowTail, Throttle
from benchmarking.endpoint.faults import FaultScript
from benchmarking.endpoint.settings import EndpointSettings


def build_chain(settings: EndpointSettings, fired: Counter[str]) -> list[Behaviour]:
    """Returns the behaviours in the order in which they decide; what is not asked for costs nothing.

    Args:
        settings: What is asked for.
        fired: Counts scripted faults by action.
    """
    chain: list[Behaviour] = []
    if settings.access_key is not None or settings.session_token is not None:
        chain.append(Authentication(settings.access_key, settings.session_token))
    if settings.max_requests_per_s is not None or settings.max_in_flight is not None:
        chain.append(Throttle(settings.max_requests_per_s, settings.max_in_flight))
    if settings.faults:
        chain.append(FaultScript(settings.faults, random.Random(settings.seed), fired))
    if settings.latency_s > 0.0:
        chain.append(Latency(settings.latency_s, settings.latency_jitter, random.Random(settings.seed)))
    if settings.tail_fraction > 0.0:
        chain.append(SlowTail(settings.tail_fraction, settings.tail_extra_s, random.Random(settings.seed)))
    return chain
