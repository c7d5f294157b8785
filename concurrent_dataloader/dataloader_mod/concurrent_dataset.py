"""`ConcurrentDataset`: the fetch engine as a dataset wrapper, for loaders that are not ours."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal, TypeVar

from torch.utils.data import Dataset

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader._base.options import FetchImpl, FetchOptions
from concurrent_dataloader.dataloader_mod.engine import EngineSettings, FetchEngine
from concurrent_dataloader.dataloader_mod.random_state import warn_of_shared_generators
from concurrent_dataloader.dataloader_mod.stats import Counters

T_co = TypeVar("T_co", covariant=True)


class ConcurrentDataset(Dataset[T_co]):
    """A map-style dataset whose batches are read concurrently under any loader, torch's own included.

    It has ``__getitems__``, which torch's fetcher calls with the indices of a whole batch. Frameworks that rebuild
    loaders (Accelerate, the Hugging Face Trainer) lose a DataLoader subclass; they keep the dataset. Concurrency is
    within a batch only: our `DataLoader` also overlaps batches.

    Args:
        dataset: A map-style dataset; two-phase ones keep their random augmentations reproducible.
        num_fetch_workers: Samples fetched at once in each process. Default ``"auto"``: learnt, as in `DataLoader`.
        fetch_impl: ``"threaded"`` (default) or ``"asyncio"``, as in `DataLoader`.

    Shutdown:
        The pool is started in each process by its first batch; its threads are daemons. `close` ends it earlier; the
        next batch starts another.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        num_fetch_workers: int | Literal["auto"] = "auto",
        fetch_impl: FetchImpl = "threaded",
    ) -> None:
        options = FetchOptions(num_fetch_workers, fetch_impl)
        if fetch_impl == "vanilla":
            raise OptionError("fetch_impl should be 'threaded' or 'asyncio' here, but got 'vanilla'")
        self.dataset = dataset
        self.num_fetch_workers = num_fetch_workers
        self.fetch_impl = fetch_impl
        self._settings = EngineSettings(options, batch_pool=1, auto_collation=True, many_readers=True)
        self._engines: dict[int, FetchEngine] = {}  # by process id: threads do not survive a fork

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> T_co:
        return self.dataset[index]

    def __getitems__(self, indices: list[Any]) -> list[T_co]:
        """Returns the samples at the given indices, in their order, fetched concurrently."""
        engine = self._engine()
        engine.begin_wait()
        samples: list[T_co] = engine.read(engine.request(indices))
        return samples

    def close(self) -> None:
        """Ends this process's pool; idempotent."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.close()

    def _engine(self) -> FetchEngine:
        engine = self._engines.get(os.getpid())
        if engine is None:
            # Of two threads that come here at once the one that is late leaves an engine without any thread behind.
            new = FetchEngine(
                self.dataset,
                self._settings,
                counters=Counters.private(),
                on_random_draws=warn_of_shared_generators,
            )
            engine = self._engines.setdefault(os.getpid(), new)
        return engine

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engines": {}}

    def __del__(self) -> None:
        engine = self.__dict__.get("_engines", {}).get(os.getpid())
        if engine is not None and not sys.is_finalizing():  # then its daemon threads are gone, and none is started
            engine.close_aside()
