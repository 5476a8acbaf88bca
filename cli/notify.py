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
    """A notifier with the people and channels of `teams.toml`, and the actions of `actions.toml`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        from functools import partial

        from console.reports.clerk import Clerk
        from notifier.answers import answer
        from notifier.channels.settings import Around
        from notifier.links import Links
        from notifier.proofs import Proofs
        from notifier.service import Notifier, run_beside
        from notifier.staff import Hearing, Staff
        from notifier.store import Counter
        from notifier.watcher import Watcher
        from runtime.guard import ProcessGuard
        from runtime.redis import connect
        from runtime.settings import SettingsError
        from runtime.tasks import end
        from schemas.masking import Masker

        settings, clock = self._settings, self._clock
        redis, hearing = connect(settings), None
        proofs = Proofs(redis, settings.names)
        if settings.callbacks is not None:
            host, _, port = settings.listen.rpartition(":")
            links = Links(settings.callbacks, settings.link_keys, clock)
            do = partial(answer, Counter(redis, settings.names))
            hearing = Hearing(links, host.strip("[]"), int(port), do, proofs.tell)
        around = Around(settings.callbacks, settings.data / "outbox", clock)
        redact = Masker(settings.mask_bytes).text
        staff = Staff(settings.teams, around, clock, hearing, settings.dashboard, settings.actions, redact)
        beside: list[asyncio.Task[None]] = []
        try:
            try:
                duty = await staff.load()
            except OSError as error:
                raise SettingsError(
                    f"TILLWATCH_LISTEN: {settings.listen} cannot be listened on: {error.strerror or error}"
                ) from None
            notifier = Notifier(settings, clock, duty, staff.deliver, ProcessGuard(), staff.call)
            watcher = Watcher(settings, clock, notifier, staff)
            clerk = Clerk(settings, clock, staff, lambda: notifier.leading)
            running = (staff.follow(notifier.put_on_duty), watcher.run(), clerk.run())
            beside = [asyncio.create_task(one) for one in running]
            if hearing is not None:
                hear = partial(proofs.follow, staff.proven)
                beside.append(asyncio.create_task(run_beside("hearing of proof of delivery", hear)))
            await notifier.run(stop, on_ready)
        finally:
            await end(beside)
            await staff.close()
            await redis.aclose()
