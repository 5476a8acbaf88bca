"""The worker processes of a test; what it leaves running is killed."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from runtime.settings import Settings
from tests.support.worker import Worker


class Crew:
    """Worker processes, with their logs in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.members: list[Worker] = []

    def hire(self, settings: Settings, **more: str) -> Worker:
        """A worker that is not started."""
        one = Worker(settings, self._folder, f"worker-{len(self.members) + 1}", **more)  # type: ignore[arg-type]
        self.members.append(one)
        return one

    async def start(self, settings: Settings, **more: str) -> Worker:
        """A worker that is ready."""
        return (await self.begin(self.hire(settings, **more)))[0]

    async def begin(self, *workers: Worker) -> list[Worker]:
        """Starts them together, and returns when all are ready."""
        return list(await asyncio.gather(*(asyncio.to_thread(one.start) for one in workers)))

    async def leave(self, *workers: Worker) -> None:
        """SIGTERM to these, or to all that run; each must end with 0 within 10 s."""
        leaving = workers or tuple(one for one in self.members if one.running)
        codes = await asyncio.gather(*(asyncio.to_thread(one.term) for one in leaving))
        told = "\n".join(f"{one.name}:\n{one.output}" for one in leaving)
        assert codes == [0] * len(leaving), f"exit codes {codes}\n{told}"

    def end(self) -> None:
        """kill -9 to whoever runs, frozen or not."""
        for one in self.members:
            if one.running:
                with contextlib.suppress(ProcessLookupError):
                    one.thaw()
                one.kill()
