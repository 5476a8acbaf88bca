"""The guard: ends the process where going on would be wrong. Only the process's own entry hands in a real one."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.collector import rest

log = logging.getLogger(__name__)

STALL_LIMIT_S, SLICE_S = 15.0, 0.5
SWEEP_EVERY_S = 60.0
EXIT_CRASHED, EXIT_HUNG = 70, 75


class Guard:
    """The guard of a worker or notifier that is a guest in a process: it ends nothing, and its `run` raises what failed."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.why = ""

    def die(self, why: str, code: int = EXIT_CRASHED) -> None:
        """Called where it must not go on."""
        log.critical("failed: %s", why, exc_info=True)
        self.why = self.why or why
        self.failed.set()

    def task(self, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Runs it beside the rest. What it raises is a reason not to go on."""

        async def guarded() -> None:
            try:
                await run()
            except Exception as error:
                self.die(f"{run.__qualname__} failed: {error!r}")

        return asyncio.create_task(guarded())

    def begin(self) -> None:
        """Called, in the event loop, when it starts."""

    def settled(self) -> None:
        """Called once it is ready."""

    def end_within(self, seconds: float, safe: Callable[[], bool]) -> None:
        """Called when it is about to stop, which should not take longer than this. `safe`: tells whether all that is left
        of stopping is to say goodbye."""


class ProcessGuard(Guard):
    """The guard of a process that is the worker's or notifier's own."""

    def die(self, why: str, code: int = EXIT_CRASHED) -> None:
        """Ends the process at once. State and position are written together, so a hard exit loses nothing."""
        log.critical("the process ends: %s", why, exc_info=True)
        logging.shutdown()
        os._exit(code)

    def begin(self) -> None:
        """Watches over the event loop: Kafka heartbeats run in another thread, so a process whose loop is blocked would keep
        its partitions for ever."""
        loop = asyncio.get_running_loop()

        def watch() -> None:
            while not loop.is_closed():
                ticked = threading.Event()
                try:
                    loop.call_soon_threadsafe(ticked.set)
                except RuntimeError:  # closed meanwhile
                    return
                # In slices: a process that was stopped as a whole, and goes on, has been blocked for one of them.
                if not any(ticked.wait(SLICE_S) for _ in range(round(STALL_LIMIT_S / SLICE_S))) and loop.is_running():
                    self.die(f"the event loop was blocked for {STALL_LIMIT_S:.0f} s", EXIT_HUNG)
                time.sleep(1)

        threading.Thread(target=watch, daemon=True, name="watchdog").start()

    def settled(self) -> None:
        """What waits does not have to be walked through again and again."""
        rest(SWEEP_EVERY_S)

    def end_within(self, seconds: float, safe: Callable[[], bool]) -> None:
        """To the very end of the process, so that a thread which does not let go cannot hold it up either. A client that is
        joining its group is such a one: it does not leave before all others have joined."""
        loop = asyncio.get_running_loop()

        def end() -> None:
            done = safe()
            level = logging.WARNING if done else logging.CRITICAL
            log.log(level, "the process ends: stopping took more than %g s; it was at %s", seconds, _whereabouts(loop))
            logging.shutdown()
            os._exit(0 if done else EXIT_HUNG)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()


def _whereabouts(loop: asyncio.AbstractEventLoop) -> str:
    """Where each task waits, in a line, for whoever reads the log."""
    try:
        places = {_place(task.get_coro()) for task in asyncio.all_tasks(loop)}
    except RuntimeError as error:  # tasks come and go while another thread looks
        return f"({error})"
    return ", ".join(sorted(places)) or "the end of the process"


def _place(awaited: object) -> str:
    """Function and line, from the task's own down to the innermost that waits."""
    places = []
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None)
    return " > ".join(places)
