"""One process or many: who is who, which device each has, and what they tell each other."""

from __future__ import annotations

import os
import socket
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


@dataclass(frozen=True, slots=True)
class Place:
    """One process among those that train together.

    Attributes:
        rank: Its number among all processes, from 0.
        world_size: How many processes there are.
        local_rank: Its number on its machine, from 0; chooses the accelerator.
        init_method: Where the processes meet, in the form of ``torch.distributed.init_process_group``.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    init_method: str = "env://"


Job = Callable[[Namespace, Place], None]


def launch(args: Namespace, job: Job) -> None:
    """Runs a job in this process, or in one process for each accelerator of this machine.

    Args:
        args: The command line. ``torchrun``'s variables, where they are set, win over ``--multiprocessing-distributed``
            and over ``--world-size`` and ``--rank``.
        job: A module-level function, called once per process.
    """
    if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        job(args, Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])))
    elif args.multiprocessing_distributed:
        per_machine = max(1, torch.cuda.device_count())
        url = args.dist_url
        if args.world_size == 1 and url == "env://":
            url = f"tcp://127.0.0.1:{_free_port()}"
        mp.spawn(_run_spawned, (args, job, per_machine, url), nprocs=per_machine)
    else:
        job(args, Place(args.rank, args.world_size, 0, args.dist_url))


def _run_spawned(local_rank: int, args: Namespace, job: Job, per_machine: int, url: str) -> None:
    job(args, Place(args.rank * per_machine + local_rank, args.world_size * per_machine, local_rank, url))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose_device(gpu: int | None, local_rank: int) -> torch.device:
    """Returns the CUDA device that was asked for or is this process's own, else MPS, else the CPU."""
    if torch.cuda.is_available():
        device = torch.device("cuda", local_rank if gpu is None else gpu)
        torch.cuda.set_device(device)
        return device
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextmanager
def process_group(place: Place, device: torch.device, backend: str | None) -> Iterator[None]:
    """Joins the other processes, if there are any, for the time of the ``with`` block.

    Args:
        place: This process among them.
        device: What it computes on.
        backend: torch's name of the backend. None: nccl on CUDA, gloo elsewhere.
    """
    if place.world_size == 1:
        yield
        return
    backend = backend or ("nccl" if device.type == "cuda" else "gloo")
    dist.init_process_group(backend, place.init_method, world_size=place.world_size, rank=place.rank)
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_over_processes(values: list[float], device: torch.device) -> list[float]:
    """Returns the sums of the values over all processes."""
    if not dist.is_initialized():
        return values
    sums = torch.tensor(values, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    dist.all_reduce(sums)
    return [float(value) for value in sums.tolist()]


def gather_from_processes(value: Any) -> list[Any]:
    """Returns every process's value, in the order of their ranks."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def share_buffers(model: torch.nn.Module) -> None:
    """Gives every process the buffers of rank 0, for instance the running means of batch normalisation.

    Each process updates its own during training; without this each would validate a slightly different model.
    """
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
