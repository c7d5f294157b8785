"""One process or many: who is who, which device each has, and what they tell each other."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from concurrent_dataloader import ConcurrentDataLoaderError
from imagenet_support.files import UserError


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


def torchrun_place() -> Place | None:
    """Returns this process's place if ``torchrun`` started it."""
    if "LOCAL_RANK" not in os.environ:
        return None
    return Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))


def launch(args: Namespace, job: Job) -> None:
    """Runs a job in this process, or in one process for each CUDA device of this machine.

    Args:
        args: The command line. ``torchrun``'s variables, where they are set, win over ``--multiprocessing-distributed``
            and over ``--world-size`` and ``--rank``.
        job: A module-level function, called once per process.

    Raises:
        UserError: The flags do not say where the processes meet, or ``--gpu`` does not go with them.

    Shutdown: when one of the processes fails, or this one is interrupted, all of them are ended.
    """
    place = torchrun_place()
    if place is None and args.world_size > 1 and args.dist_url == "env://" and "MASTER_ADDR" not in os.environ:
        raise UserError(
            "--world-size: say where the processes meet, for instance --dist-url tcp://HOST_OF_RANK_0:23456"
        )
    if place is not None and args.gpu is not None:
        raise UserError("--gpu names one device, but torchrun gives each process its own")
    if place is not None:
        job(args, place)
    elif args.multiprocessing_distributed:
        _spawn(args, job, max(1, torch.cuda.device_count()))
    else:
        job(args, Place(args.rank, args.world_size, 0, args.dist_url))


def _spawn(args: Namespace, job: Job, processes: int) -> None:
    alone = args.world_size == 1 and args.dist_url == "env://"
    url = f"tcp://127.0.0.1:{_free_port()}" if alone else args.dist_url
    arguments = (args, job, processes, url, multiprocessing.get_start_method())
    context = spawn(_run_spawned, arguments, nprocs=processes, join=False)  # type: ignore[no-untyped-call]
    try:
        while not context.join():
            pass
    except ProcessExitedException as error:
        sys.exit(error.exit_code)  # it has printed what was wrong
    finally:
        for process in context.processes:
            process.terminate()  # does nothing to those that are done


def _run_spawned(local_rank: int, args: Namespace, job: Job, processes: int, url: str, start_method: str) -> None:
    # A spawned process would spawn its workers too, which takes seconds in each epoch.
    multiprocessing.set_start_method(start_method, force=True)
    place = Place(args.rank * processes + local_rank, args.world_size * processes, local_rank, url)
    sys.exit(run_and_report(lambda: job(args, place)))


def run_and_report(work: Callable[[], None]) -> int:
    """Runs something and returns the exit code: 0, or 2 once the user was told what to put right."""
    try:
        work()
    except (UserError, ConcurrentDataLoaderError) as error:
        # What comes out of a worker carries its traceback in the message, and ends in the error itself.
        told = str(error).rpartition(f"{type(error).__qualname__}: ")[2]
        print(f"imagenet.py: {told.rstrip()}", file=sys.stderr)
        return 2
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose_device(gpu: int | None, place: Place) -> torch.device:
    """Returns the CUDA device that was asked for or is this process's own, else MPS, else the CPU.

    Raises:
        UserError: There is no such CUDA device.
    """
    devices = torch.cuda.device_count()
    index = place.local_rank if gpu is None else gpu
    if devices == 0 and gpu is None:
        # DistributedDataParallel has no backend for MPS.
        return torch.device("mps" if torch.backends.mps.is_available() and place.world_size == 1 else "cpu")
    if index >= devices:
        raise UserError(f"there is no CUDA device {index}: this machine has {devices}")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


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
    sums = torch.tensor(values, dtype=torch.float64, device=device)
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
