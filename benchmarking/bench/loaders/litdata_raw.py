"""litData's `StreamingRawDataset` under torch's loader: its own event loop, client and connection pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import default_collate

from benchmarking.bench.datasets import REGION
from benchmarking.bench.decode import decoder_of
from benchmarking.bench.loaders.torch_loaders import torch_loader
from benchmarking.bench.workloads import BUCKET, KINDS, Workload


@dataclass(frozen=True)
class LitDataLoader:
    """Its data set in torch's loader, one batch after another in each worker.

    Args:
        name: See `LoaderAdapter`.
        workers: Number of worker processes.
        downloads: Its permits per worker. It downloads one batch at a time, so that no more than a batch is in flight.
        hedge_delay_s: Seconds after which it sends a slow request again; 0: never, which is its default.
    """

    name: str
    workers: int
    downloads: int
    hedge_delay_s: float = 0.0
    reads: Literal["s3"] = "s3"

    def in_flight(self, batch_size: int) -> int:
        return self.workers * min(self.downloads, batch_size)

    def wave(self, batch_size: int) -> int:
        return self.workers

    def build(self, workload: Workload) -> Iterable[Any]:
        import litdata.streaming.downloader as downloader
        from litdata.raw import StreamingRawDataset

        # It has no option for plain HTTP. All its other client options stay as they are.
        downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
        dataset = StreamingRawDataset(
            f"s3://{BUCKET}/{workload.kind}",
            cache_dir=str(Path(workload.folder).with_name("litdata")),
            indexer=_KnownKeys(workload),
            storage_options={"endpoint_url": workload.endpoint_url, "region_name": REGION},
            max_concurrent_downloads=self.downloads,
            # It looks ahead in sequential order only, and would serve repeated samples from memory.
            max_prefetch=0,
            hedge_delay=self.hedge_delay_s,
        )
        # Its documentation advises to decode there. It saves a change of threads for each sample, and was never slower.
        decode_and_collate = _DecodeAndCollate(decoder_of(KINDS[workload.kind]))
        return torch_loader(dataset, workload, self.workers, decode_and_collate)


@dataclass(frozen=True)
class _DecodeAndCollate:
    decode: Callable[[Any], Any]

    def __call__(self, bodies: list[Any]) -> Any:
        return default_collate([self.decode(body) for body in bodies])


class _KnownKeys:
    """Stands in for its indexer: the keys are known, as they are to the other loaders, and nothing is listed."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def build_or_load_index(self, *_: Any) -> list[Any]:
        """Returns its description of each object, in the order of the workload's keys."""
        from litdata.raw.indexer import FileMetadata

        size_bytes = KINDS[self._workload.kind].size_bytes
        return [FileMetadata(f"s3://{BUCKET}/{key}", size_bytes) for key in self._workload.keys]
