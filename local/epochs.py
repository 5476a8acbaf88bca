"""Epochs of the broker's log: the embedded broker forgets everything when it ends, and what it starts with is another."""

from __future__ import annotations

import asyncio


class Epochs:
    """Tells clients in this process which log the broker has now. The first begins with `begin`."""

    def __init__(self) -> None:
        self.number = 0
        self._open = asyncio.Event()

    @classmethod
    def only(cls) -> Epochs:
        """Of a broker that keeps its log."""
        epochs = cls()
        epochs.begin()
        return epochs

    def begin(self) -> None:
        """A broker answers, and its topics are there."""
        self.number += 1
        self._open.set()

    def end(self) -> None:
        """The broker is gone. A client must not ask for topics now: a new broker would create them in its own way."""
        self._open.clear()

    @property
    def running(self) -> bool:
        """Whether there is one now."""
        return self._open.is_set()

    async def current(self) -> int:
        """The number of the present epoch; waits while there is none."""
        await self._open.wait()
        return self.number

    def holds(self, number: int) -> bool:
        """Whether that epoch is the present one."""
        return self.running and self.number == number
