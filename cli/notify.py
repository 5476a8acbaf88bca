"""`tillwatch notifier`: one notifier process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cli import installation
from cli.process import begin, until_told
from cli.terminal import USAGE, fail

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.settings import Settings


def notify(log_level: str, json_logs: bool) -> None:
    """Runs a notifier until SIGTERM or SIGINT."""
    settings = begin(log_level, json_logs)
    clock = installation.clock(settings)

    from notifier.channels.registry import ChannelsError
    from notifier.people.directory import DirectoryError

    try:
        asyncio.run(until_told(lambda: _Staffed(settings, clock)))
    except (DirectoryError, ChannelsError) as error:
        fail(str(error), USAGE)


class _Staffed:
    """A notifier with the people and channels of `teams.toml`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        from notifier.channels.settings import Around
        from notifier.service import Notifier
        from notifier.staff import Staff
        from runtime.guard import ProcessGuard
        from runtime.retry import end

        settings, clock = self._settings, self._clock
        staff = Staff(settings.teams, Around(outbox=settings.data / "outbox", clock=clock), clock)
        notifier = Notifier(settings, clock, await staff.load(), staff.deliver, ProcessGuard())
        following = asyncio.create_task(staff.follow(notifier.put_on_duty))
        try:
            await notifier.run(stop, on_ready)
        finally:
            await end([following])
            await staff.close()
