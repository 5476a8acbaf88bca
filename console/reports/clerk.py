"""Writes reports when their period is over, and sends them to who asked for them: beside a notifier, by the one that leads.

A report is made at a time of the morning after its period (06:00 unless said: by then events that were late are counted). What
was done is kept in Redis, so that whoever leads next goes on there, and what was missed is made up for, up to some days. A
message that may have gone out before a process died goes out again, with the same Message-ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from console.aside import Aside
from console.reports.facts import gather
from console.reports.page import page
from console.reports.periods import KINDS, Kind, Period, last_over
from console.reports.report import Report, report
from console.reports.shelf import FOLDER, file_of, keep
from console.reports.text import summary
from notifier.channels.base import Attachment, Message
from notifier.courier import Outcome
from notifier.people.directory import Directory, Person
from notifier.people.reports import Reports
from runtime.clock import Clock
from runtime.outbox import text
from runtime.redis import connect
from runtime.retry import AWAY
from runtime.schedule import instant
from runtime.settings import Settings
from schemas.incident import digest

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
MADE_UP: Mapping[Kind, int] = {"daily": 7, "weekly": 4, "monthly": 2}
"""So many that were missed are made up for, the latest."""
TRIES = 6
"""How often a message is tried, each time after a pause that is twice as long; each time its channel tries for itself."""
FIRST_PAUSE_S = 60.0
_DAY = timedelta(days=1)


class Mailer(Protocol):
    """`notifier.staff.Staff` is one."""

    @property
    def directory(self) -> Directory: ...

    async def send(self, message: Message, channel: str, person: Person) -> Outcome: ...


def due(kind: Kind, done: str | None, now_ms: int, zone: ZoneInfo, said: Reports) -> list[Period]:
    """The periods whose report is to be made now, the oldest first. `done`: the name of the last that was; None: none ever was,
    and what is over when Tillwatch begins is nobody's concern."""
    found: list[Period] = []
    period = last_over(kind, now_ms, zone)
    if now_ms < made_at_ms(period, said):
        period = period.before
    while done is not None and period.name > done and len(found) < MADE_UP[kind]:
        found.insert(0, period)
        period = period.before
    return found


def made_at_ms(period: Period, said: Reports) -> int:
    """When the report of a period is made."""
    return round(instant(period.last + _DAY, said.at, period.zone).timestamp() * 1000)


def newest(kind: Kind, now_ms: int, zone: ZoneInfo, said: Reports) -> str:
    """The name of the latest period whose report is not to come any more."""
    period = last_over(kind, now_ms, zone)
    return period.name if now_ms >= made_at_ms(period, said) else period.before.name


class Clerk:
    """The reports of one installation. `leads`: whether it is ours to do now."""

    def __init__(self, settings: Settings, clock: Clock, mailer: Mailer, leads: Callable[[], bool]) -> None:
        self._settings, self._clock, self._mailer, self._leads = settings, clock, mailer, leads
        self._redis: Redis = connect(settings)
        self._key = settings.names.notifier("reports")
        self._aside = Aside(1, 1)
        self._tried: dict[str, tuple[int, float]] = {}
        """Message → how often it was tried in vain, and until when it is left alone (epoch seconds)."""

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """It can make reports until the block is left."""
        self._aside.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self._aside.stop)
            await self._redis.aclose()

    async def run(self) -> None:
        """Works until cancelled."""
        async with self.ready():
            while True:
                try:
                    if self._leads():
                        await self.turn()
                except AWAY as error:
                    log.info("reports wait: %s", error or type(error).__name__)
                except Exception:
                    log.exception("a report failed; trying again")
                await asyncio.sleep(LOOK_EVERY_S)

    async def turn(self) -> None:
        """Does what is due. Raises what redis raises when it is away: then it is due all the same."""
        directory = self._mailer.directory
        zone, said = directory.calendar.zone, directory.reports
        held = await self._held()
        for kind in KINDS:
            now_ms = int(self._clock.now() * 1000)
            if kind not in held:
                await self._redis.hsetnx(self._key, kind, newest(kind, now_ms, zone, said))
            for period in due(kind, held.get(kind), now_ms, zone, said):
                if not self._leads():
                    return
                if not await self._see_to(period, said):
                    break  # those after it wait, so that one name says what was done
                await self._redis.hset(self._key, kind, period.name)
                marks = [field for field in await self._held() if field.startswith(_sent(period))]
                if marks:
                    await self._redis.hdel(self._key, *marks)

    async def _held(self) -> dict[str, str]:
        return {text(name): text(value) for name, value in (await self._redis.hgetall(self._key)).items()}

    async def _see_to(self, period: Period, said: Reports) -> bool:
        """Writes and sends one report; whether there is nothing left to do about it."""
        held, now = await self._held(), self._clock.now()
        messages = {_sent(period) + digest(one)[:16]: one for one in (said.to if period.kind in said.kinds else ())}
        left = [mark for mark in messages if mark not in held]
        turn = [mark for mark in left if self._tried.get(mark, (0, 0.0))[1] <= now]
        if left and not turn:
            return False
        told = await self._aside.run(lambda: self._told(period))
        content, name = page(told), file_of(period)
        try:
            await asyncio.to_thread(keep, self._settings.data / FOLDER, period, content)
            log.info("the report %s is written", name)
        except OSError as error:
            log.error("the report %s cannot be written: %s", self._settings.data / FOLDER / name, error.strerror)
        attached = Attachment(f"tillwatch-{name}", "text/html", content.encode())
        over = [await self._send(told, attached, mark, messages[mark], said.channel) for mark in turn]
        return len(left) == len(turn) and all(over)

    async def _told(self, period: Period) -> Report:
        """Reads beside the event loop that pages people, with a connection of its own."""
        redis = connect(self._settings)
        try:
            return report(await gather(redis, self._settings.names, self._clock, period))
        finally:
            await redis.aclose()

    async def _send(self, told: Report, attached: Attachment, mark: str, address: str, channel: str) -> bool:
        """Sends it to one address; whether it is there, or was tried often enough. What a fallback took did not get there."""
        message = Message(
            key=digest("report", self._settings.namespace, mark),
            kind="report",
            incident=digest("report", self._settings.namespace, told.kind),
            number=0,
            title=told.title,
            severity="low",
            level="P3",
            status="report",
            summary=told.sentence,
            lines=tuple(summary(told)),
            since_ms=told.period.start,
            recipient=address,
            attached=attached,
        )
        zone = self._mailer.directory.calendar.zone
        outcome = await self._mailer.send(message, channel, Person(address, address, zone, {channel: address}))
        times = self._tried.pop(mark, (0, 0.0))[0] + 1
        if outcome.channel != channel and times < TRIES:
            self._tried[mark] = times, self._clock.now() + FIRST_PAUSE_S * 2 ** (times - 1)
            return False
        if outcome.channel != channel:
            log.error("%s did not get to one of its addresses, and is not tried again", attached.name)
        await self._redis.hset(self._key, mark, round(self._clock.now()))
        return True


def _sent(period: Period) -> str:
    """What the fields begin with that say who has a report."""
    return f"sent/{period.kind}/{period.name}/"
