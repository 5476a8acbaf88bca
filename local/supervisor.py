"""The supervisor: starts processes in order, starts the dead again within a budget, and stops all within a limit."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

from local.instance import Local as Local
from local.instance import find as find
from local.instance import resolve as resolve
from local.process import Process, StartFailed
from runtime.tasks import heed

RESTARTS = 5
RESTARTS_WITHIN_S = 60.0
BACKOFF_S = 0.2
BACKOFF_MAX_S = 5.0
_LOOK_EVERY_S = 0.1
_NUDGE_EVERY_S = 0.2

T = TypeVar("T")


class GaveUp(RuntimeError):
    """A process kept ending; the text says which, how, and where its log is."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Processes that start together, after those of the stages before.

    then: what is done each time they are ready. carries: what comes after cannot live through the end of one of these,
    and is started anew with it, but for what outlives it. gone: is called when one of them was found to have ended.
    """

    children: Sequence[Process]
    then: Callable[[], Awaitable[None]] | None = None
    carries: bool = False
    gone: Callable[[], None] | None = None


class Supervisor:
    """Keeps the processes of some stages running.

    tell: is told what happens, a sentence at a time. A process that ended is started again after a pause that doubles,
    at most `restarts` times within `within_s`.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        tell: Callable[[str], None],
        *,
        restarts: int = RESTARTS,
        within_s: float = RESTARTS_WITHIN_S,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        self._stages, self._tell = list(stages), tell
        self._restarts, self._within_s, self._backoff_s = restarts, within_s, backoff_s
        self._ends: dict[Process, deque[float]] = {child: deque() for stage in stages for child in stage.children}
        self._due: dict[Process, float] = {}
        self._starting: dict[asyncio.Future[Process], Process] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each that runs, by name."""
        return {child.name: child.pid for child in self._ends if child.running}

    async def start(self) -> None:
        """Starts all, stage by stage. Raises StartFailed, or what `then` raises; call `stop` in any case."""
        for stage in self._stages:
            await self._start_stage(stage)
            heed()

    async def watch(self) -> None:
        """Starts again what ends; returns never. Raises GaveUp once a budget is spent."""
        while True:
            await self._look()
            heed()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def stop(self) -> None:
        """Stops all, the last stage first; within the sum of the stages' limits nothing is left."""
        while self._starting:
            for child in self._starting.values():
                child.terminate()
            await asyncio.wait(self._starting, timeout=_NUDGE_EVERY_S)
        await self._stop_stages(self._stages)

    # --- start and stop -----------------------------------------------------------------------------------------------

    async def _start_stage(self, stage: Stage) -> None:
        outcomes = await asyncio.gather(
            *(self._start(child) for child in stage.children if not child.running), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        if stage.then is not None:
            await stage.then()

    async def _start(self, child: Process) -> None:
        began = time.monotonic()
        starting = asyncio.ensure_future(asyncio.to_thread(child.start))
        self._starting[starting] = child
        starting.add_done_callback(self._started)
        await asyncio.shield(starting)
        self._tell(f"{child.name} is ready (process {child.pid}, {time.monotonic() - began:.1f} s)")

    def _started(self, starting: asyncio.Future[Process]) -> None:
        self._starting.pop(starting, None)
        if not starting.cancelled():
            starting.exception()  # whoever waits for it has it; if nobody does, it is not worth a warning

    async def _stop_stages(self, stages: Sequence[Stage]) -> None:
        for stage in reversed(stages):
            running = [child for child in stage.children if child.running]
            for child in running:
                child.terminate()
            await asyncio.gather(*(asyncio.to_thread(child.stop) for child in running))
            for child in running:
                if child.exit_code and not child.forgets:
                    self._tell(f"{child.name} {child.ending} when told to stop")

    async def _kill_stages(self, stages: Sequence[Stage]) -> None:
        """At once: what they stood on is gone, so that asking them politely would only take time."""
        running = [child for stage in stages for child in stage.children if child.running and not child.outlives]
        await asyncio.gather(*(asyncio.to_thread(child.kill) for child in running))
        if running:
            self._tell(f"{' and '.join(child.name for child in running)} cannot go on without it: starting anew")

    # --- what ends ----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        for index, stage in enumerate(self._stages):
            for child in stage.children:
                if child.running:
                    continue
                if child not in self._due:
                    if stage.gone is not None:
                        stage.gone()
                    self._due[child] = time.monotonic() + self._pause(child)
                    if stage.carries:
                        await self._kill_stages(self._stages[index + 1 :])
                if time.monotonic() >= self._due[child]:
                    await self._revive(child, stage, self._stages[index + 1 :])
            if stage.carries and not all(child.running for child in stage.children):
                return  # what it carries waits

    def _pause(self, child: Process) -> float:
        """Seconds until the next attempt. Raises GaveUp."""
        now, ends = time.monotonic(), self._ends[child]
        while ends and ends[0] <= now - self._within_s:
            ends.popleft()
        if len(ends) >= self._restarts:
            raise GaveUp(
                f"{child.name} {child.ending}, and was started again {len(ends)} times within {self._within_s:g} s "
                f"already (log: {child.log})"
            )
        pause = min(self._backoff_s * (1 << len(ends)), BACKOFF_MAX_S)
        ends.append(now)
        self._tell(f"{child.name} {child.ending}; starting it again in {pause:.1f} s ({len(ends)} of {self._restarts})")
        return pause

    async def _revive(self, child: Process, stage: Stage, later: Sequence[Stage]) -> None:
        del self._due[child]
        try:  # what fails is told, and the next look counts it
            await self._start(child)
            if stage.then is not None:
                await stage.then()
        except StartFailed as error:
            self._tell(str(error))
            await asyncio.to_thread(child.stop)
            return
        if stage.carries:
            try:
                for one in later:
                    await self._start_stage(one)
            except StartFailed as error:
                self._tell(str(error))


async def until_told(work: Coroutine[object, object, T]) -> T | None:
    """What `work` returns, or None once SIGINT, SIGTERM or SIGHUP has cancelled it and it has cleaned up.

    A second signal ends this process at once, and with it every `Process` that it started.
    """
    task = asyncio.ensure_future(work)
    told = False

    def tell(number: int) -> None:
        nonlocal told
        if told:
            os._exit(128 + number)
        told = True
        task.cancel()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for one in signals:
        loop.add_signal_handler(one, tell, one)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        return None
    finally:
        for one in signals:
            loop.remove_signal_handler(one)
