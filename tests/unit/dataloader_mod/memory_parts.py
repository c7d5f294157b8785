"""A worker and its main process in one, for the tests of the memory that they share."""

from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import torch

from concurrent_dataloader.dataloader_mod.batch_mail import MailedQueue
from concurrent_dataloader.dataloader_mod.batch_memory import BatchMemory

FREE, IN_USE, GIVEN_UP = 0, 1, 2
NUMBERS = 2000  # of 8 bytes: four pages


class Pipe:
    """A queue whose messages are pickled when they are put."""

    def __init__(self):
        self._pickled = []

    def put(self, message):
        self._pickled.append(bytes(ForkingPickler.dumps(message)))

    def get(self):
        return ForkingPickler.loads(self._pickled.pop(0))


class Worker:
    """Collates as a worker does, and sends to `receive`."""

    def __init__(self, office):
        self.memory, self.pipe = BatchMemory(), Pipe()
        box = office.open_box()
        self.box = replace(box, end=box.end.dup())
        office.close_box()
        self.queue = MailedQueue(self.pipe, self.box, self.memory, "in worker 0")

    def collate(self, value, numbers=NUMBERS):
        """Returns a batch full of the value, in memory of the pool if there is any."""
        with self.memory.collating():
            storage = self.memory.allocate(numbers * 8)
        if storage is None:
            return torch.full((numbers,), value)
        return torch.empty(0, dtype=torch.int64).set_(storage).fill_(value)

    def send(self, batch):
        self.queue.put((0, batch))

    def receive(self):
        return self.pipe.get()[1]

    def pass_on(self, value, numbers=NUMBERS):
        """Returns a batch as the main process gets it."""
        self.send(self.collate(value, numbers))
        return self.receive()


def is_full_of(batch, value):
    return bool((batch == value).all())
