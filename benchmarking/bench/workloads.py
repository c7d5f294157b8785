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
        objects: Number of different objects; a longer run reads them in several epochs.
        s3_samples_per_s, disk_samples_per_s: What two cores reach at most, about; only the lengths of the runs depend
            on them.
    """

    name: str
    suffix: str
    is_image: bool
    size_bytes: int
    objects: int
    s3_samples_per_s: float
    disk_samples_per_s: float

    def keys(self) -> list[str]:
        """Returns the key of every object; also its path below the folder of objects."""
        return [f"{self.name}/{number:06d}{self.suffix}" for number in range(self.objects)]


KINDS = {
    kind.name: kind
    for kind in (
        ObjectKind("8kb", ".bin", False, 8 * 1024, objects=4096, s3_samples_per_s=8000, disk_samples_per_s=25000),
        ObjectKind("jpeg", ".JPEG", True, 110 * 1024, objects=256, s3_samples_per_s=400, disk_samples_per_s=400),
    )
}


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
    """

    kind: str
    latency_s: float
    batch_size: int
    samples: int
    seed: int
    folder: str
    endpoint_url: str

    @property
    def name(self) -> str:
        """Name in reports, for instance ``8kb@100ms``."""
        return f"{self.kind}@{self.latency_s * 1000:.0f}ms"

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
