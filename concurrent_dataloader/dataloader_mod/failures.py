"""What a failing sample does where the user has asked for more than its exception."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from concurrent_dataloader._base import torch_private
from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader._base.options import OnError
from concurrent_dataloader.dataloader_mod.stats import FailedSample

logger = logging.getLogger(__name__)

KEPT = 1000
"""Failed samples that a loader remembers: some 200 KB, and more than anybody reads."""
_LEAST_SEEN = 100  # samples before a rate means something, where the length of the epoch is not known


def add_note_once(error: Exception, note: str) -> None:
    """Adds a note to an exception, which a dataset may raise again and again: it should not collect the same note."""
    if note not in getattr(error, "__notes__", ()):
        with contextlib.suppress(Exception):  # a frozen dataclass takes no note, and is worth more than one
            error.add_note(note)


@dataclass
class Failures:
    """The samples of one batch that failed and were left out or replaced, in sampler order."""

    on_error: OnError
    samples: list[FailedSample] = field(default_factory=list)

    def handle(self, index: Any, name: str, error: Exception) -> list[Any]:
        """Returns what stands in for a sample: nothing, or what the user's callable returns.

        Raises:
            Exception: What the callable raised, with a note that names the sample.
        """
        self.samples.append(FailedSample(index, name, f"{type(error).__name__}: {error}"))
        if not callable(self.on_error):
            return []
        shown = f"sample {index!r}{name and f' ({name})'}"
        try:
            return [self.on_error(index, error)]
        except StopIteration as failure:  # out of __next__ it would end the epoch as if there were no more data
            raise DatasetError(f"on_error raised StopIteration for {shown}") from failure
        except Exception as failure:  # the user's, of any kind, which goes on with a note
            add_note_once(failure, f"while on_error replaced {shown}")
            raise


@dataclass
class BatchWithFailures:
    """A batch on its way to the main process, with the samples that are missing from it or were replaced.

    Attributes:
        batch: What the collate function made.
        asked: Number of samples that were asked for.
        failures: Those of them that failed.
    """

    batch: Any
    asked: int
    failures: list[FailedSample]

    def pin_memory(self, device: str | None = None) -> BatchWithFailures:
        """Returns the same with the batch in pinned memory: what torch's pinning thread asks of other types."""
        return BatchWithFailures(torch_private.pin_memory(self.batch, device), self.asked, self.failures)


class FailureLog:
    """Counts and logs an iterator's failed samples in the main process, and ends the iteration where they are too many.

    Args:
        max_error_rate: Failed samples, as a share of the epoch's samples, that are still borne.
        epoch_samples: Samples of an epoch; None where the sampler has no length.
    """

    def __init__(self, max_error_rate: float, epoch_samples: int | None) -> None:
        self._max_error_rate, self._epoch_samples = max_error_rate, epoch_samples
        self._seen = self._failed = 0
        self.last: deque[FailedSample] = deque(maxlen=KEPT)
        """The last failed samples, oldest first."""

    def begin_epoch(self, epoch_samples: int | None) -> None:
        """Counts anew, in an epoch of so many samples."""
        self._seen = self._failed = 0
        self._epoch_samples = epoch_samples

    def add(self, samples: int, failures: list[FailedSample]) -> None:
        """Takes in one batch.

        Args:
            samples: Number of samples that were asked for.
            failures: Those of them that failed.

        Raises:
            DatasetError: They are more than ``max_error_rate`` allows.
        """
        self._seen += samples
        for each in failures:
            self._failed += 1
            self.last.append(each)
            name = f" ({each.name})" if each.name else ""
            logger.warning(
                "sample %r%s failed (%d so far in this epoch): %s", each.index, name, self._failed, each.error
            )
        of = self._epoch_samples or max(self._seen, _LEAST_SEEN)
        if failures and self._failed > self._max_error_rate * of:
            raise DatasetError(
                f"{self._failed} of the epoch's {of} samples failed, more than max_error_rate={self._max_error_rate:g} "
                f"allows; the last was sample {failures[-1].index!r}: {failures[-1].error}"
            )
