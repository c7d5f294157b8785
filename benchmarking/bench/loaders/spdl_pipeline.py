"""SPDL's pipeline: stages of threads in one process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.data import default_collate

from benchmarking.bench.datasets import ObstoreObjects
from benchmarking.bench.decode import decoder_of
from benchmarking.bench.workloads import KINDS, Workload


@dataclass(frozen=True)
class SpdlLoader:
    """Download, decode, batch and collate as four stages.

    Args:
        name: See `LoaderAdapter`.
        downloads: Bodies that are read at once, with obstore.
        decoders: Samples that are decoded at once.
        order: ``"input"``: the sampler's order. ``"completion"``: as bodies come, its default.
    """

    name: str
    downloads: int
    decoders: int
    order: Literal["input", "completion"]
    reads: Literal["s3"] = "s3"

    def in_flight(self, batch_size: int) -> int:
        return self.downloads

    def wave(self, batch_size: int) -> int:
        return -(-self.downloads // batch_size)

    def build(self, workload: Workload) -> Iterable[Any]:
        from spdl.pipeline import PipelineBuilder

        builder: Any = PipelineBuilder()  # typed by its source, which it does not know yet
        pipeline: Iterable[Any] = (
            builder.add_source(workload.order())
            .pipe(ObstoreObjects(workload).fetch, concurrency=self.downloads, output_order=self.order)
            .pipe(decoder_of(KINDS[workload.kind]), concurrency=self.decoders, output_order=self.order)
            .aggregate(workload.batch_size, drop_last=True)
            .pipe(default_collate)
            .add_sink()
            # By default it leaves out what failed; here every sample counts. One thread more collates.
            .build(num_threads=self.downloads + self.decoders + 1, max_failures=0)
        )
        return pipeline
