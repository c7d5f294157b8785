"""Sends a body in slices: large ones at the client's pace, dripping ones at a given speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SLICE_BYTES = 256 * 1024  # a few times the transport's high-water mark, so that few calls send much
TICK_S = 0.05  # a dripping body gets a slice this often: smooth to the eye of a client's read time-out


class BodyWriter:
    """Writes one body to a transport and says when its last byte was handed over."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.WriteTransport,
        bytes_per_s: float | None,
        on_sent: Callable[[], None],
    ) -> None:
        """Takes where to write, the speed in bytes per second (None: as fast as it goes), and whom to tell."""
        self._loop = loop
        self._transport = transport
        self._on_sent = on_sent
        self._bytes_per_s = bytes_per_s
        self._rest = memoryview(b"")
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self, body: memoryview) -> None:
        """Starts to send."""
        self._rest = body
        self._go_on()

    def pause(self) -> None:
        """Holds back what is left: the transport's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """Goes on after a pause."""
        self._paused = False
        if self._timer is None:
            self._go_on()

    def stop(self) -> None:
        """Gives up: nothing more is written, nobody is told."""
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()

    def _go_on(self) -> None:
        self._timer = None
        if self._bytes_per_s is None:
            while self._rest and not self._paused:
                if self._transport.is_closing():
                    return  # the client has gone; asyncio would warn of each further slice
                self._write_slice(SLICE_BYTES)
        elif self._rest and not self._paused:
            size = max(1, int(self._bytes_per_s * TICK_S))
            self._write_slice(size)
            if self._rest:
                self._timer = self._loop.call_later(size / self._bytes_per_s, self._go_on)
        if not self._rest:
            self._on_sent()

    def _write_slice(self, size: int) -> None:
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._transport.write(piece)
