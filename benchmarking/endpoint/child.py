"""How a parent hands its wishes to the endpoint's process: JSON and raw bytes over its stdin, never a pickle."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from benchmarking.endpoint.objects import Bucket, objects_from_bodies, read_folder
from benchmarking.endpoint.server import EndpointServer, serve
from benchmarking.endpoint.settings import EndpointSettings

CHILD_FLAG = "--child-of-s3-endpoint"


def send_order(
    pipe: IO[bytes], source: Path | Mapping[str, bytes], bucket: str, port: int, settings: EndpointSettings
) -> None:
    """Writes to a child's stdin what it is to serve; a body under several keys goes over once."""
    bodies = {} if isinstance(source, Path) else {id(body): body for body in source.values()}
    number = {identity: at for at, identity in enumerate(bodies)}
    order = {
        "bucket": bucket,
        "port": port,
        "settings": dataclasses.asdict(settings),
        "folder": str(source) if isinstance(source, Path) else None,
        "sizes": [len(body) for body in bodies.values()],
        "keys": {} if isinstance(source, Path) else {key: number[id(body)] for key, body in source.items()},
    }
    pipe.write(json.dumps(order).encode() + b"\n")
    for body in bodies.values():
        pipe.write(body)
    pipe.flush()


def run_child(stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """Reads the order, serves, and answers with one line of JSON that holds the port.

    Shutdown: SIGTERM, the closing of stdin or the parent's death stops it.
    """
    line = stdin.readline()
    if not line:
        return  # the parent died before it said anything
    order = json.loads(line)
    settings = EndpointSettings(**order["settings"])
    if order["folder"] is not None:
        objects = read_folder(Path(order["folder"]))
    else:
        objects = objects_from_bodies(_read_bodies(stdin, order["sizes"], order["keys"]), time.time())

    def announce(port: int) -> None:
        stdout.write(json.dumps({"port": port}).encode() + b"\n")
        stdout.flush()

    server = EndpointServer(order["bucket"], Bucket(objects), settings)
    serve(server, order["port"], announce, life_line=sys.stdin.fileno())


def _read_bodies(stdin: IO[bytes], sizes: list[int], keys: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    bodies = [stdin.read(size) for size in sizes]
    return ((key, bodies[number]) for key, number in keys.items())
