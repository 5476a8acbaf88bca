"""Hours of waiting in no time: an event loop whose clock jumps to the next thing that is due."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_S = 1_790_000_000.0
"""Epoch seconds at which a timeline begins."""
_NETWORK_S = 0.02
"""What is on its way over the loopback interface arrives within this; before it has, the clock stands still."""


class _Jumping(selectors.DefaultSelector):
    """Waits for real events for a moment; where none come, the time that should be waited has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        network = len(self.get_map()) > 1  # beside the loop's own pipe
        # Without a thing that is due, only the network can go on; a test's own limit ends it.
        events = super().select(None if timeout is None else min(timeout, _NETWORK_S) if network else 0)
        if not events and timeout is not None:
            self.now += timeout
        return events


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock:
    """The present on the running loop's clock."""

    def now(self) -> float:
        return START_S + asyncio.get_running_loop().time()


def play(timeline: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end on a loop of its own, whose clock begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(timeline)
