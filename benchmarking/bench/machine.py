"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

OURS = ("concurrent-dataloader", "torch", "torchvision", "numpy", "Pillow", "boto3", "botocore", "obstore", "uvloop")
PEERS = ("litdata", "spdl", "torchdata", "s3torchconnector")
PACKAGES = OURS + PEERS


def describe_machine() -> dict[str, object]:
    """Returns processor, cores that may be used, load, system and versions; None: not installed."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
