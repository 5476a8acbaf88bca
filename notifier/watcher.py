"""Watches a notifier from beside it: with its own connections, so that what holds up the notifier does not hold up this.

Each runs it, the leader and those that stand by. It says of its notifier how it is, in Redis; tells what `notifier.watch`
finds; calls the dead man's switch; and gives notice to who comes on call.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis.asyncio import Redis

from notifier.channels.base import Message
from notifier.courier import Health
from notifier.deadman import Switch
from notifier.people.cover import Handover, handovers
from notifier.people.directory import LEVELS, Person
from notifier.service import Notifier, Standing, run_beside
from notifier.staff import Staff
from notifier.store import Counter
from notifier.watch import BLIND, OWNER, PACK, Looked, Seen, Verdict, Watch, alert, blind_incident, blind_key
from runtime.clock import Clock
from runtime.kafka import KafkaUnreachable, TopicLogs, address
from runtime.redis import connect
from runtime.retry import AWAY
from runtime.settings import Settings
from runtime.tasks import end
from schemas.incident import digest
from schemas.time import rfc3339

log = logging.getLogger(__name__)

TURN_S, ANSWER_LIMIT_S = 2.0, 3.0
LOOK_EVERY_S = 10.0
STATUS_KEPT_S = 15
CALL_EVERY_S = 60.0
"""How often the dead man's switch is called."""
TURNED_WITHIN_S = 30.0
"""A notifier whose work has not gone round for longer is not well."""
HANDOVERS_EVERY_S, HANDOVERS_BACK_MS = 30.0, 3_600_000
"""How often it is looked who comes on call, and how late somebody may hear of it."""
FILE_READ_MS = 15_000
"""Within this a change of teams.toml is in force: an override that begins now is not overlooked."""
TELL_LIMIT_S = 5.0
LOUD = frozenset({"phone", "sms"})
"""Channels that wake people: not for a notice, unless there is no other."""
_NOT_KNOWN: tuple[type[Exception], ...] = (*AWAY, msgspec.MsgspecError)
_AHEAD = timedelta(days=60)
"""How far ahead the end of somebody's turn is looked for."""
_WHEN = "%a %d %b %Y %H:%M"


class Watcher:
    """What watches one notifier, until cancelled."""

    def __init__(self, settings: Settings, clock: Clock, notifier: Notifier, staff: Staff) -> None:
        self._settings, self._clock, self._notifier, self._staff = settings, clock, notifier, staff
        self._names = settings.names
        self._redis: Redis = connect(settings)
        self._counter = Counter(self._redis, self._names)
        self._logs = TopicLogs(address(settings))
        self._watch = Watch()
        self._switch = None if settings.deadman is None else Switch(settings.deadman.get_secret_value())
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._started_at = datetime.now(UTC)
        self._led = False
        self._looked_at = self._well_at = float("-inf")
        self._telling: set[asyncio.Task[None]] = set()
        self._blinded: list[tuple[Person, str]] = []
        """To whom the end of a blindness is to be told."""

    async def run(self) -> None:
        """Watches until cancelled."""
        beside: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("watching", self._turns),
            ("telling of hand-overs", self._hand_over),
        ]
        if self._switch is not None:
            beside.append(("calling the dead man's switch", self._call))
        tasks = [asyncio.create_task(run_beside(what, run)) for what, run in beside]
        try:
            await asyncio.gather(*tasks)
        finally:
            await end([*tasks, *self._telling])
            await self._does(lambda: self._redis.delete(self._names.notifier_process(self.name)))
            await self._redis.aclose()
            await self._does(self._logs.close)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    # --- looking ----------------------------------------------------------------------------------------------------------

    async def _turns(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(TURN_S)

    async def turn(self) -> None:
        """Looks once, and tells what is to be told."""
        standing = self._notifier.standing()
        # Redis is asked to take a write: one that only answers is of no use.
        redis, kafka = await asyncio.gather(self._does(lambda: self._say(standing)), self._does(self._ask_kafka))
        if not kafka:
            await self._does(self._logs.close)
        now = time.monotonic()
        looked = None
        if redis and kafka:
            if standing.leads and standing.turned_s < TURNED_WITHIN_S:
                self._well_at = now
            if now - self._looked_at >= LOOK_EVERY_S:
                looked, self._looked_at = await self._look(), now
        self._watch.adopt(standing.firing)
        self._led = standing.leads
        for verdict in self._watch.see(Seen(redis, kafka, standing.holder, looked), self._now_ms()):
            await self._tell(verdict, self._notifier.standing())

    @staticmethod
    async def _does(ask: Callable[[], Awaitable[Any]]) -> bool:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await ask()
        except AWAY as error:
            log.debug("no answer: %s", error or type(error).__name__)
            return False
        return True

    async def _ask_kafka(self) -> None:
        if self._names.alerts not in await self._logs.ask([self._names.alerts]):
            raise KafkaUnreachable(f"there is no topic {self._names.alerts}")

    async def _look(self) -> Looked | None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                keys = [key async for key in self._redis.scan_iter(match=self._names.worker("*"), count=1000)]
                values = await self._redis.mget(keys) if keys else []
                workers = [msgspec.json.decode(value) for value in values if value is not None]
                worked = bool(await self._redis.exists(self._names.sources))
                return Looked(workers, worked, await self._counter.due_ms())
        except _NOT_KNOWN as error:
            log.warning("looking after workers and incidents: %s", error or type(error).__name__)
            return None

    # --- telling ----------------------------------------------------------------------------------------------------------

    async def _tell(self, verdict: Verdict, standing: Standing) -> None:
        if verdict.name == BLIND:
            if verdict.over:
                log.info("no longer blind: Redis and Kafka can be used")
            else:
                log.error("blind: %s", verdict.text)
            task = asyncio.create_task(self._tell_blind(verdict))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        elif verdict.over == ((PACK, verdict.name) in standing.firing):
            # Otherwise the incidents have it already; without the lead there are none, so that ends are the leader's to tell.
            event = alert(self._names.namespace, verdict.name, verdict, self._settings.bucket_ms)
            try:
                async with asyncio.timeout(TELL_LIMIT_S):
                    await self._notifier.raise_alert(event)
            except AWAY as error:
                log.warning("%s cannot be told now: %s", verdict.name, error or type(error).__name__)
                return
        self._watch.done(verdict)

    async def _tell_blind(self, verdict: Verdict) -> None:
        """Around Kafka and Redis: to whoever is on call, through each of their channels."""
        if verdict.over:
            to, self._blinded = self._blinded, []
        else:
            to = self._blinded = [(person, channel) for person in self._on_call() for channel in person.contacts]
            if not to:
                log.error("blind, and nobody is on call who could be told")
        said = (self._blind_message(verdict, person, channel) for person, channel in to)
        await asyncio.gather(
            *(self._staff.send(one, channel, person) for one, (person, channel) in zip(said, to, strict=True))
        )

    def _on_call(self) -> tuple[Person, ...]:
        """The first level of the team that runs Tillwatch at which somebody is on call."""
        directory, at = self._staff.directory, datetime.fromtimestamp(self._clock.now(), UTC)
        team = directory.team_for(BLIND, PACK, OWNER, ()).key
        return next(filter(None, (directory.on_call(team, level, at) for level in LEVELS)), ())

    def _blind_message(self, verdict: Verdict, person: Person, channel: str) -> Message:
        since = f"since {rfc3339(verdict.since_ms)}"
        if verdict.over:
            title, summary = "Tillwatch sees again", f"Redis and Kafka can be used; it was blind {since}"
            lines = ["What happened meanwhile is told now."]
        else:
            title, summary = f"Tillwatch is blind: {verdict.text}", f"{verdict.text}, {since}"
            lines = [
                "Until it is over no alert becomes an incident, and nobody is paged.",
                f"See docs/runbooks/{BLIND}.md.",
            ]
        return Message(
            key=blind_key(self._names.namespace, verdict, person.key, channel),
            kind="resolved" if verdict.over else "page",
            incident=blind_incident(self._names.namespace),
            number=0,
            title=title,
            severity="critical",
            level="P0",
            status="resolved" if verdict.over else "triggered",
            summary=summary,
            lines=tuple(lines),
            since_ms=verdict.since_ms,
            recipient=person.name,
        )

    # --- what it says of itself -------------------------------------------------------------------------------------------

    async def _say(self, standing: Standing) -> None:
        key, said = self._names.notifier_process(self.name), msgspec.json.encode(self.status(standing))
        await self._redis.set(key, said, ex=STATUS_KEPT_S)

    def status(self, standing: Standing) -> dict[str, object]:
        """How this notifier is, for `tillwatch status`. Times are epoch seconds, ages seconds."""
        return {
            "name": self.name,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_at": self._started_at,
            "at": time.time(),
            "leader": standing.leads,
            "lag": standing.lag,
            "open_incidents": standing.open,
            "turned_age_s": round(min(standing.turned_s, 86_400.0), 1) if standing.leads else None,
            "last_page_at": None if standing.last_page_ms is None else standing.last_page_ms / 1000,
            "watch": [{"name": name, "says": text} for name, text in self._watch.told.items()],
            "channels": {name: _health(health) for name, health in self._staff.health().items()},
            "actions": self._staff.actions_problem,
            "deadman": None if self._switch is None else self._switch.status(),
        }

    # --- the dead man's switch --------------------------------------------------------------------------------------------

    async def _call(self) -> None:
        assert self._switch is not None
        while True:
            well = time.monotonic() - self._well_at < TURNED_WITHIN_S
            if well:
                await self._switch.call()
            await asyncio.sleep(CALL_EVERY_S if well else TURN_S)

    # --- hand-overs -------------------------------------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        while True:
            if self._led:
                await self.hand_over()
            await asyncio.sleep(HANDOVERS_EVERY_S)

    async def hand_over(self) -> None:
        """Gives notice of the hand-overs since it was done last, by whichever notifier. Raises what redis raises."""
        key, now_ms = self._names.notifier("handovers"), self._now_ms() - FILE_READ_MS
        held = await self._redis.get(key)
        begin_ms = now_ms if held is None else min(max(int(held), now_ms - HANDOVERS_BACK_MS), now_ms)
        begin, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (begin_ms, now_ms))
        if begin < until:
            directory = self._staff.directory
            found = await asyncio.to_thread(handovers, directory, begin, until)
            comers = ((one, directory.people[key]) for one in found for key in one.after if key not in one.before)
            await asyncio.gather(*(self._notify(one, person) for one, person in comers))
        await self._redis.set(key, now_ms)

    async def _notify(self, one: Handover, person: Person) -> None:
        directory = self._staff.directory
        team = directory.teams[one.team]
        before = ", ".join(directory.people[key].name for key in one.before) or "nobody"
        shift = next(iter(team.levels[one.level].shifts(one.at, one.at + _AHEAD)), None)
        at_ms = round(one.at.timestamp() * 1000)
        until = (
            ""
            if shift is None or shift.end >= one.at + _AHEAD
            else f" until {shift.end.astimezone(person.zone):{_WHEN}}"
        )
        channels = [name for name in person.contacts if name not in LOUD] or [
            name for name in person.contacts if name == "sms"
        ]
        for channel in channels:
            message = Message(
                key=digest("handover", self._names.namespace, one.team, one.level, at_ms, person.key, channel),
                kind="handover",
                incident=digest("handover", self._names.namespace, one.team, one.level),
                number=0,
                title=f"You are on call for {team.name} ({one.level})",
                severity="low",
                level="P3",
                status="on call",
                summary=f"From {one.at.astimezone(person.zone):{_WHEN}}{until} ({person.zone.key})",
                lines=(f"Before you: {before}",),
                since_ms=at_ms,
                recipient=person.name,
            )
            await self._staff.send(message, channel, person)


def _health(one: Health) -> dict[str, object]:
    failed = one.last_failure
    return {
        "failures": one.failures,
        "resting_s": round(one.resting_s, 1),
        "last_ok_at": None if one.last_ok_ms is None else one.last_ok_ms / 1000,
        "last_failure": None
        if failed is None
        else {"at": failed.at_ms / 1000, "result": failed.result, "detail": failed.detail},
    }
