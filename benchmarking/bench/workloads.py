"""What is read: the kinds of objects, and one workload of a run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

BUCKET = "bench"


@dataclass(frozen=True)
class ObjectKind:
    """A kind of objects.

    Attributes:
        name: Name on the command line, and the prefix of the keys.
        suffix: End of the keys.
        is_image: Whether the objects are JPEGs to be decoded, rather than random bytes.
        size_bytes: Size of each object; for images about that.
        objects: Number of objects; a longer run reads them in several epochs.
        bodies: Number of different bodies; further objects are hard links to them.
        batch_size: Samples of a batch.
        max_fetch_workers: Bodies that one process may read at once, whatever the loaders' settings: they are in memory.
        s3_samples_per_s, disk_samples_per_s: What two cores reach at most, about; only the lengths of the runs depend
            on them.
    """

    name: str
    suffix: str
    is_image: bool
    size_bytes: int
    objects: int
    bodies: int
    batch_size: int
    max_fetch_workers: int
    s3_samples_per_s: float
    disk_samples_per_s: float

    def keys(self) -> list[str]:
        """Returns the key of every object; also its path below the folder of objects."""
        return [f"{self.name}/{number:06d}{self.suffix}" for number in range(self.objects)]


KIB, MIB = 1024, 1024 * 1024
UNLIMITED = 2**31  # fetch workers: the settings decide
KINDS = {
    "8kb": ObjectKind(
        name="8kb",
        suffix=".bin",
        is_image=False,
        size_bytes=8 * KIB,
        objects=4096,
        bodies=4096,
        batch_size=64,
        max_fetch_workers=UNLIMITED,
        s3_samples_per_s=8000,
        disk_samples_per_s=25000,
    ),
    "jpeg": ObjectKind(
        name="jpeg",
        suffix=".JPEG",
        is_image=True,
        size_bytes=110 * KIB,
        objects=256,
        bodies=256,
        batch_size=64,
        max_fetch_workers=UNLIMITED,
        s3_samples_per_s=400,
        disk_samples_per_s=400,
    ),
    "1mb": ObjectKind(
        name="1mb",
        suffix=".bin",
        is_image=False,
        size_bytes=MIB,
        objects=512,
        bodies=32,
        batch_size=64,
        max_fetch_workers=UNLIMITED,
        s3_samples_per_s=600,
        disk_samples_per_s=800,
    ),
    "64mb": ObjectKind(
        name="64mb",
        suffix=".bin",
        is_image=False,
        size_bytes=64 * MIB,
        objects=32,
        bodies=4,
        batch_size=2,
        max_fetch_workers=8,
        s3_samples_per_s=10,
        disk_samples_per_s=15,
    ),
}
SMALLEST = "8kb"
TAIL_EXTRA_S = 1.0  # what a slow GET takes more


@dataclass(frozen=True)
class Workload:
    """What one run of a loader reads, and where it lies; plain values, so that it goes to another process as JSON.

    Attributes:
        kind: Name of the kind of objects.
        latency_s: Seconds that the endpoint adds to each GET.
        batch_size: Samples of a batch.
        samples: Samples of the run.
        seed: Of the order.
        folder: Where the objects lie on local disk.
        endpoint_url: Where the same objects are served, in the bucket `BUCKET`.
        tail_fraction: Share of the GETs that take `TAIL_EXTRA_S` more.
        max_requests_per_s: The endpoint answers 503 above this rate; None: it never does.
    """

    kind: str
    latency_s: float
    batch_size: int
    samples: int
    seed: int
    folder: str
    endpoint_url: str
    tail_fraction: float = 0.0
    max_requests_per_s: float | None = None

    @property
    def name(self) -> str:
        """Name in reports, for instance ``8kb@100ms`` or ``8kb@30ms+tail1%``."""
        tail = f"+tail{self.tail_fraction * 100:g}%" if self.tail_fraction else ""
        throttle = f"+throttle{self.max_requests_per_s:g}" if self.max_requests_per_s else ""
        return f"{self.kind}@{self.latency_s * 1000:.0f}ms{tail}{throttle}"

    @property
    def is_plain(self) -> bool:
        """Whether the endpoint does nothing but add its latency."""
        return not self.tail_fraction and self.max_requests_per_s is None

    @property
    def mean_latency_s(self) -> float:
        """Seconds that the endpoint adds to a GET on average."""
        return self.latency_s + self.tail_fraction * TAIL_EXTRA_S

    def endpoint_settings(self) -> dict[str, float | None]:
        """Returns the settings of `S3Endpoint.configure`, also those that another workload may have left."""
        return {
            "latency_s": self.latency_s,
            "tail_fraction": self.tail_fraction,
            "tail_extra_s": TAIL_EXTRA_S,
            "max_requests_per_s": self.max_requests_per_s,
        }

    @property
    def keys(self) -> list[str]:
        """The keys of all objects."""
        return KINDS[self.kind].keys()

    @property
    def index_file(self) -> Path:
        """The JSON list of the keys."""
        return index_file(Path(self.folder), self.kind)

    def order(self) -> list[int]:
        """Returns the run's indices into `keys`: as many shuffled epochs as it takes."""
        draw = random.Random(self.seed)
        objects = KINDS[self.kind].objects
        epochs = (draw.sample(range(objects), objects) for _ in range(self.samples // objects + 1))
        return list(islice((index for epoch in epochs for index in epoch), self.samples))


def index_file(folder: Path, kind: str) -> Path:
    """Returns the path of a kind's index file: beside the objects' folder, so that it is not served."""
    return folder.with_name(f"{folder.name}-{kind}.json")
