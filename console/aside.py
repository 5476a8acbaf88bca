"""Work that takes long, in a thread with an event loop of its own: whatever it computes, the others are answered meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from console.problems import Refused
from runtime.tasks import end

T = TypeVar("T")
AT_ONCE = 2
WAITING = 8
STOP_WITHIN_S = 3.0


class Aside:
    """Runs a bounded number of coroutines at once, and lets a bounded number wait."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self._asked = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="aside", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and all that runs in it."""
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result(STOP_WITHIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_WITHIN_S)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns; to cancel this cancels that. Raises Refused where too much waits already."""
        if self._asked >= self._most:
            raise Refused(503, "too many questions at once: ask again in a moment", {"Retry-After": "2"})
        self._asked += 1
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._in_turn(work), self._loop))
        finally:
            self._asked -= 1

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._free:
            return await work()


async def _end_others() -> None:
    await end(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
