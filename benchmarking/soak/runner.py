"""Sends out voyages until the time is up, each in a process of its own, and changes the weather meanwhile."""

from __future__ import annotations

import multiprocessing
import random
import time
import traceback
from multiprocessing.connection import Connection
from typing import get_args

from benchmarking.endpoint import EndpointStats, S3Endpoint
from benchmarking.soak import weather
from benchmarking.soak.objects import BUCKET, make_objects
from benchmarking.soak.tally import Tally
from benchmarking.soak.voyage import Course, sail
from concurrent_dataloader.storage.options import ClientName

_OBJECTS = 300
_MOST_SECONDS = 300.0  # of one voyage, which takes some ten, or a minute in a machine that is swamped
_CLIENTS: tuple[ClientName, ...] = get_args(ClientName)


def soak(minutes: float, seed: int) -> tuple[Tally, EndpointStats]:
    """Runs for about so many minutes.

    Returns:
        What was counted, and what the endpoint has counted.
    """
    draw, tally = random.Random(seed), Tally()
    keys, bodies = make_objects(_OBJECTS, seed)
    with S3Endpoint(bodies, bucket=BUCKET, seed=seed) as endpoint:
        ends_s = time.monotonic() + 60.0 * minutes
        voyages = 0
        while not voyages or time.monotonic() < ends_s:
            client, workers = _CLIENTS[voyages % len(_CLIENTS)], (2, 0)[voyages // len(_CLIENTS) % 2]
            course = Course(endpoint.url, keys, bodies, client, workers, draw.getrandbits(32))
            tally.add(_voyage(course, endpoint, draw))
            voyages += 1
        return tally, endpoint.stats()


def _voyage(course: Course, endpoint: S3Endpoint, draw: random.Random) -> Tally:
    ours, its = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_sail_and_tell, args=(course, its))
    process.start()
    its.close()
    began_s = time.monotonic()
    try:
        while not ours.poll(weather.SECONDS):
            if time.monotonic() - began_s > _MOST_SECONDS:
                tally = Tally()
                tally.complain("hung", f"{course.client}, {course.workers} workers, seed {course.seed}")
                return tally
            endpoint.configure(**weather.next_weather(draw))
        tally = ours.recv()
        assert isinstance(tally, Tally)
        return tally
    except EOFError:
        tally = Tally()
        tally.complain("untold", f"the process of {course.client}, {course.workers} workers ended without a word")
        return tally
    finally:
        ours.close()
        process.join(timeout=10.0)
        if process.is_alive():
            process.kill()
            process.join()


def _sail_and_tell(course: Course, result: Connection) -> None:
    tally = Tally()
    try:
        sail(course, tally)
    except Exception:  # noqa: BLE001 - told to the main process, which shows it
        tally.complain("untold", traceback.format_exc())
    result.send(tally)
