"""The notifier: one process leads, others stand by. Reads alerts and commands, keeps the desk, hands messages to couriers.

Each change is saved in Redis (unsent), sent to the incidents topic with the whole incident in a header, marked sent; only then
are its messages handed out. What came of a message is a change like any other. So whoever leads next finds all of it in Redis,
or in the topic, and sends again, with the same keys, the messages of which nobody said what came of them. Actions go the same
way, with one step more: that one runs is saved and told before it is called, so that no command is run twice by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from pydantic import ValidationError
from redis.asyncio import Redis

from notifier.actions.calls import Ran
from notifier.changes import Changes as Recent
from notifier.desk import Changes, Desk, Duty, Result, Told
from notifier.draft import worse
from notifier.impact import costs
from notifier.store import Place, Store
from rollups.tables import TableStore
from runtime.clock import Clock
from runtime.faults import crash_point
from runtime.guard import Guard
from runtime.kafka import KafkaUnreachable, TopicLogs, address, require_topics, stop_consumer
from runtime.outbox import HEADER, NotLeader, tail
from runtime.redis import RedisAway, check, connect
from runtime.retry import AWAY, NotWanted, until_done
from runtime.settings import Settings
from runtime.tasks import end
from schemas.alert import AlertEvent
from schemas.incident import Action, Impact, Incident, Page

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_MS = 100
TAKEN_AT_ONCE = 5_000
"""Alerts that are taken together: what began and ended in them asks nobody."""
MANY, PACE_S = 10, 0.5
"""Where so many alerts come at once, they are taken no more often than this: each time a whole incident is saved and told."""
TAIL = 2_000
"""Lifecycle events that a new leader looks at."""
CHECK_EVERY_S, FORGET_EVERY_S = 5.0, 60.0
COST_EVERY_S, COST_LIMIT_S = 15.0, 10.0
"""How often it is asked what incidents cost, and how long that may take."""
BESIDE_AGAIN_S, READ_AGAIN_S = 5.0, 0.5
JOIN_LIMIT_S, KAFKA_WITHIN_S = 60.0, 600.0
COURIERS, CALLS = 32, 8
"""Messages, and actions, that are under way at a time."""
COURIERS_LIMIT_S, STOP_LIMIT_S = 3.0, 9.0
HAND_OVER_SHARE = 1 / 3
"""Of the session timeout: so long a leader that must hand over waits for messages, and then for noting what came of them."""
MESSAGE_BYTES = 8 * 1024 * 1024
CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")

Deliver = Callable[[Incident, Page], Awaitable[Result]]
"""Brings one message to its recipient: tries as often as is sensible, takes a bounded time, raises nothing."""


Call = Callable[[Incident, Action], Awaitable[Ran]]
"""Calls one action: takes a bounded time, raises nothing."""


async def call_nothing(incident: Incident, call: Action) -> Ran:
    """Where no actions are set up."""
    return Ran(incident.id, call.key, "failed", "no actions are registered here")


class Outdated(RuntimeError):
    """What this leader knows of the alerts topic is not what is there now."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a notifier is. holder: it has the lead, or had it when that could last be told; turned_s: for so long its work has
    not gone round; lag: alerts that wait; open: incidents; firing: (pack, rule) of alerts that go on → when they came."""

    leads: bool
    holder: bool
    turned_s: float
    lag: int
    open: int
    last_page_ms: int | None
    firing: Mapping[tuple[str, str], int]


class NotifierFailed(RuntimeError):
    """A notifier that is a guest in its process could not go on; the log says why."""


class Notifier:
    """One notifier. `guard`: a ProcessGuard where the process is its own."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        duty: Duty,
        deliver: Deliver,
        guard: Guard | None = None,
        call: Call = call_nothing,
    ) -> None:
        self._settings, self._clock, self._duty, self._deliver, self._call = settings, clock, duty, deliver, call
        self._guard = guard or Guard()
        self._names = settings.names
        self._kafka = address(settings)
        self._redis: Redis = connect(settings)
        self._logs = TopicLogs(self._kafka)
        self._store = Store(self._redis, self._names)
        self.recent = Recent(settings, self._kafka)
        self._tables = TableStore(self._redis, self._names)
        self._tp = TopicPartition(self._names.alerts, 0)
        self._ours = asyncio.Event()
        """Whether the partition of the alerts topic is ours, and with it the lead."""
        self._joined = asyncio.Event()
        self._working = asyncio.Lock()
        self._desk: Desk | None = None
        self._place = Place("", 0, 0)
        self._commands = "0"
        self._couriers: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(COURIERS)
        self._results: list[Result] = []
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._ran: list[Ran] = []
        self._costs: dict[str, Impact] = {}
        self._checked_at = self._forgot_at = 0.0
        self._stopping = self._handing_over = self._redis_checked = False
        self._held_last = False
        self._turned_at = 0.0
        self._last_page_ms: int | None = None

    @property
    def leading(self) -> bool:
        return self._desk is not None

    def standing(self) -> Standing:
        """How it is, for whoever watches it."""
        desk = self._desk
        incidents = () if desk is None else tuple(desk.incidents.values())
        end = None if desk is None else self._consumer.highwater(self._tp)
        return Standing(
            leads=desk is not None,
            holder=self._held_last,
            turned_s=time.monotonic() - self._turned_at,
            lag=0 if end is None else max(end - (self._place.next - self._place.base), 0),
            open=sum(one.open for one in incidents),
            last_page_ms=self._last_page_ms,
            firing={
                (member.pack, member.rule): member.at_ms
                for one in incidents
                for member in one.members
                if member.active
            },
        )

    async def raise_alert(self, alert: AlertEvent) -> None:
        """Puts an alert of our own on the alerts topic, where it takes the way of every alert. Raises KafkaError."""
        value = alert.model_dump_json(exclude_none=False).encode()
        key = alert.data.fingerprint.encode()
        await self._producer.send_and_wait(self._names.alerts, value, key, 0, None, [CONTENT_TYPE])

    def put_on_duty(self, duty: Duty) -> None:
        """Other people answer from now on."""
        self._duty = duty
        if self._desk is not None:
            self._desk.duty = duty

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Works until `stop` is set; `on_ready` is called once the group is joined.

        A Kafka that does not answer is waited for, ten minutes at most; a Redis that does not is as one that goes away later.
        Raises RedisUnusable, KafkaUnreachable or TopicsMissing if it cannot begin, and NotifierFailed. After `stop` it waits
        3 s for messages that are under way, and returns within 9 s where its guard ends the process otherwise.
        """
        try:
            await self._check_redis()
        except RedisAway as error:
            log.warning("%s; until it does, nobody is paged but of that", error)
        await self._reach_kafka()
        self._guard.begin()
        session_ms = int(self._settings.session_timeout * 1000)
        consumer = self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            client_id="tillwatch-notifier",
            group_id=self._names.group("notifier"),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(1_000, session_ms // 4),
            max_poll_records=TAKEN_AT_ONCE,
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka,
            client_id="tillwatch-notifier",
            acks="all",
            max_request_size=MESSAGE_BYTES,
            compression_type="gzip",
            request_timeout_ms=10_000,
        )
        tasks: list[asyncio.Task[None]] = []
        over = [asyncio.create_task(event.wait()) for event in (stop, self._guard.failed)]
        try:
            await self._producer.start()
            consumer.subscribe([self._names.alerts], listener=_Listener(self))
            await consumer.start()
            joining = asyncio.create_task(self._joined.wait())
            tasks = [joining, self._guard.task(self._work)]  # type: ignore[list-item]
            await asyncio.wait([joining, *over], timeout=JOIN_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if joining.done():
                self._guard.settled()
                on_ready()
            elif not any(one.done() for one in over):
                raise KafkaUnreachable(f"the consumer group was not joined within {JOIN_LIMIT_S:.0f} s")
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            noted: list[bool] = []
            self._guard.end_within(STOP_LIMIT_S, lambda: bool(noted))
            self._stopping = True
            await self._finish(COURIERS_LIMIT_S)
            await end((*tasks, *over, *self._couriers.values(), *self._calls.values()))
            noted.append(True)  # what is left is to leave the group
            await stop_consumer(consumer)
            with contextlib.suppress(*AWAY):
                await self._producer.stop()
            await self._logs.close()
            await self._redis.aclose()
        if self._guard.failed.is_set():
            raise NotifierFailed(self._guard.why)

    async def _check_redis(self) -> None:
        """Once, as soon as it answers. Raises RedisAway or RedisUnusable."""
        if not self._redis_checked:
            await check(self._redis)
            self._redis_checked = True

    async def _reach_kafka(self) -> None:
        """Raises KafkaUnreachable where it does not answer for long, and TopicsMissing."""
        ask = partial(require_topics, self._kafka, (self._names.alerts, self._names.incidents))
        deadline, what = time.monotonic() + KAFKA_WITHIN_S, f"starting, within {KAFKA_WITHIN_S:g} s"
        try:
            await until_done(what, ask, lambda: time.monotonic() < deadline, (KafkaUnreachable,))
        except NotWanted:
            await ask()  # which says why

    async def _finish(self, within_s: float) -> None:
        """Lets messages that are under way arrive and actions end, and notes what came of them; each takes so long at most. A
        command that takes longer is ended, and whoever leads next says that its outcome is not known."""
        if under_way := (*self._couriers.values(), *self._calls.values()):
            await asyncio.wait(under_way, timeout=within_s)
        with contextlib.suppress(TimeoutError, NotWanted, NotLeader, *AWAY):
            async with asyncio.timeout(within_s), self._working:
                await self._note_results()

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    # --- leadership -------------------------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        self._held_last = self._tp in partitions
        if self._held_last:
            self._handing_over = False
            self._ours.set()
        self._joined.set()

    async def revoked(self) -> None:
        """Whoever joins or leaves the group makes the leader hand over: what it has sent must not be sent again."""
        self._handing_over = True
        if self._desk is not None:
            await self._finish(self._settings.session_timeout * HAND_OVER_SHARE)
        self._ours.clear()
        async with self._working:
            self._desk = None
            self._results.clear()
            self._ran.clear()
            couriers, self._couriers = self._couriers, {}
            calls, self._calls = self._calls, {}
            await end((*couriers.values(), *calls.values()))

    async def _lead(self) -> None:
        """Takes the lead: what Redis has, what the incidents topic has beyond it, then on from where alerts were taken."""
        async with self._working:
            self._desk = None
            await self._check_redis()
            token = secrets.token_hex(8)
            told = await tail(self._kafka, self._names.incidents, "tillwatch-notifier", TAIL)
            held = await self._store.take(token, told)
            now = (await self._logs.ask([self._names.alerts])).get(self._names.alerts)
            log_id = "" if now is None else now.topic_id
            place = held.place or Place(log_id, 0, 0)
            if place.log != log_id:  # the topic was made anew: its records come after all that was
                place = Place(log_id, place.next, place.next)
            if not self._ours.is_set():
                raise NotWanted("taking the lead")
            self._consumer.seek(self._tp, place.next - place.base)
            self._place, self._commands, self._turned_at = place, held.commands, time.monotonic()
            desk = Desk(self._names.namespace, self._duty, held.incidents, held.silences, last=held.last)
            sent = (page.at_ms for one in held.incidents for page in one.pages if page.kind == "page" and page.state == "sent")
            self._last_page_ms = max(sent, default=None)
            self._desk = desk
            await self._tell()
            await self._note_results()
            self._hand_out(desk.unsent())
            now_ms = self._now_ms()
            await self._apply(desk.resume(now_ms, self._calls.keys()), now_ms)
        log.info("leading, with %d open incidents", sum(one.open for one in desk.incidents.values()))

    # --- work -------------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        beside = (("following change events", self.recent.run), ("counting what incidents cost", self._count_costs))
        following = [asyncio.create_task(run_beside(what, run)) for what, run in beside]
        try:
            while True:
                await self._ours.wait()
                try:
                    if self._desk is None:
                        await until_done("taking the lead", self._lead, self._ours.is_set, (*AWAY, RedisAway))
                    await self._once()
                except NotWanted:
                    self._desk = None
                except (NotLeader, Outdated) as error:
                    self._desk = None
                    if self._ours.is_set():
                        log.warning("%s; taking the lead again", error)
                except KafkaError as error:  # the partition went while it was read, or could not be read
                    log.info("alerts cannot be read now: %s", error or type(error).__name__)
                    await asyncio.sleep(READ_AGAIN_S)
        finally:
            await end(following)

    async def _once(self) -> None:
        records = await self._records()
        if len(records) >= MANY:
            await asyncio.sleep(PACE_S)
            records += await self._records(records[-1].offset + 1)
        commands, read = await self._kept("reading commands", partial(self._store.commands, self._commands))
        async with self._working:
            desk = self._desk
            if desk is None:
                return
            now_ms = self._now_ms()
            await self._apply(desk.tick(now_ms), now_ms)
            if records:
                place = self._place
                after = Place(place.log, place.base, place.base + records[-1].offset + 1)
                alerts = [
                    Told(place.base + one.offset, alert) for one in records if (alert := _alert(one)) is not None
                ]
                changes = desk.take(alerts, now_ms, self.recent.before(now_ms))
                await self._apply(changes, now_ms, after)
            if read != self._commands:
                await self._apply(desk.act(commands, now_ms), now_ms, commands=read)
            await self._note_results()
            if not self._closing:
                await self._apply(desk.begin(now_ms, CALLS - len(self._calls)), now_ms)
            costs, self._costs = self._costs, {}
            await self._apply(desk.assess(costs, now_ms), now_ms)
            await self._check(desk, now_ms)
        self._turned_at = time.monotonic()

    async def _count_costs(self) -> None:
        """Finds out now and then what incidents cost."""
        while True:
            await asyncio.sleep(COST_EVERY_S)
            if self._desk is not None:
                async with asyncio.timeout(COST_LIMIT_S):
                    self._costs = await costs(self._tables, list(self._desk.incidents.values()), self._now_ms())

    async def _records(self, start: int | None = None) -> list[ConsumerRecord]:
        """The next alerts, in a moment; all that are there, up to a bound. start: the offset of the next, where it is not that
        of the place."""
        found: list[ConsumerRecord] = []
        start = self._place.next - self._place.base if start is None else start
        while len(found) < TAKEN_AT_ONCE:
            some = (await self._consumer.getmany(self._tp, timeout_ms=0 if found else POLL_MS)).get(self._tp, [])
            if not some:
                break
            found += some
        if found and found[0].offset < start:
            raise Outdated("the alerts topic is another log than it was")
        return found

    async def _apply(
        self, changes: Changes, now_ms: int, after: Place | None = None, commands: str | None = None
    ) -> None:
        """Saves, tells, marks, and hands the messages out."""
        before, after, read = self._place, after or self._place, commands or self._commands
        if changes or read != self._commands:
            save = partial(self._store.save, changes, before, after, read, self._last, now_ms)
            await self._kept("saving incidents", save)
            self._place, self._commands = after, read
            crash_point("after_incident_saved")
            await self._tell()
            self._hand_out([(one.incident, page) for one in changes.incidents for page in one.pages])
            for one in changes.incidents:
                for call in one.calls:
                    self._calls[call.key] = asyncio.create_task(self._run(one.incident, call))
            if changes.answers:
                with contextlib.suppress(*AWAY):  # whoever waits is told that it takes long
                    await self._store.answer(changes.answers)
        elif after != before:
            self._place = after  # the next save or check writes it
            self._checked_at = 0.0

    async def _tell(self) -> None:
        """Sends to the topic what it does not have."""
        unsent = self._store.unsent()
        for entry in unsent:
            event = (entry.event or "").encode()
            headers = [CONTENT_TYPE, (HEADER, entry.header())]
            send = partial(self._producer.send_and_wait, self._names.incidents, event, entry.key.encode(), 0, None, headers)
            await self._kept("telling of incidents", send)
            crash_point("after_incident_told")
        if unsent:
            await self._kept("marking incidents as told", partial(self._store.sent, unsent))
            crash_point("after_incident_marked")

    async def _check(self, desk: Desk, now_ms: int) -> None:
        """Now and then: whether this is still our Redis and our log, and what need not be kept."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        place = self._place
        await self._kept("checking the lead", partial(self._store.check, place, self._commands, self._last))
        with contextlib.suppress(KafkaError):  # for lag tools
            await self._consumer.commit({self._tp: place.next - place.base})
        found = await self._kept("asking which log the alerts are", partial(self._logs.ask, [self._names.alerts]))
        if self._names.alerts in found and found[self._names.alerts].topic_id != place.log:
            raise Outdated("the alerts topic was made anew")
        if now - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = now
            incidents, silences = desk.forgettable(now_ms)
            await self._kept("forgetting old incidents", partial(self._store.forget, incidents, silences))
            desk.forget(incidents, silences)

    @property
    def _last(self) -> int:
        return 0 if self._desk is None else self._desk.last

    async def _kept(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        return await until_done(what, call, self._ours.is_set)

    # --- messages ---------------------------------------------------------------------------------------------------------

    @property
    def _closing(self) -> bool:
        """Whether no message and no action is begun any more."""
        return self._stopping or self._handing_over

    def _hand_out(self, pages: Sequence[tuple[Incident, Page]]) -> None:
        """Sets couriers going, the worst first."""
        ranked = sorted(pages, key=lambda pair: (pair[1].kind != "page", _rank(pair[0]), pair[1].at_ms))
        for incident, page in ranked:
            if page.key not in self._couriers and not self._closing:
                self._couriers[page.key] = asyncio.create_task(self._carry(incident, page))

    async def _carry(self, incident: Incident, page: Page) -> None:
        try:
            async with self._slots:
                if self._closing:
                    return  # whoever leads next finds it queued
                desk = self._desk
                latest = incident if desk is None else desk.incidents.get(incident.id, incident)
                try:
                    result = await self._deliver(latest, page)
                except Exception as error:
                    log.exception("a courier failed in a way that it does not know")
                    result = Result(incident.id, page.key, False, f"failed with {type(error).__name__}")
            crash_point("after_page")
            if result.sent and page.kind == "page":
                self._last_page_ms = self._now_ms()
            self._results.append(result)
            await self._note_soon()
        finally:
            self._couriers.pop(page.key, None)

    async def _run(self, incident: Incident, call: Action) -> None:
        crash_point("before_action")
        try:
            try:
                ran = await self._call(incident, call)
            except Exception as error:
                log.exception("an action failed in a way that it does not know")
                ran = Ran(incident.id, call.key, "failed", f"failed with {type(error).__name__}")
            crash_point("after_action")
            self._ran.append(ran)
        finally:
            if self._calls.get(call.key) is asyncio.current_task():
                del self._calls[call.key]

    async def _note_soon(self) -> None:
        """Once nothing else is being done: the less time until it is recorded, the less comes again where we die."""
        async with self._working:
            try:
                await self._note_results()
            except (NotLeader, NotWanted):
                self._desk = None  # what it knows is not what is kept

    async def _note_results(self) -> None:
        results, now_ms = list(self._results), self._now_ms()
        if results and self._desk is not None:
            await self._apply(self._desk.record(results, now_ms), now_ms)
            del self._results[: len(results)]  # not before: a new lead notes them again
        ran = list(self._ran)
        if ran and self._desk is not None:
            await self._apply(self._desk.ended(ran, now_ms), now_ms)
            del self._ran[: len(ran)]


async def run_beside(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs what pages do without, and again where it fails."""
    while True:
        try:
            await run()
        except AWAY as error:
            log.info("%s: %s; trying again", what, error or type(error).__name__)
        except Exception:
            log.exception("%s failed; trying again", what)
        await asyncio.sleep(BESIDE_AGAIN_S)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    async def on_partitions_revoked(self, revoked: object) -> None:
        await self._notifier.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._notifier.assigned(assigned)


def _rank(incident: Incident) -> int:
    return sum(worse(name, incident.severity) for name in incident.policy.severities)


def _alert(record: ConsumerRecord) -> AlertEvent | None:
    try:
        return AlertEvent.model_validate_json(record.value or b"")
    except ValidationError as error:
        log.error("offset %d of %s is no alert (%d faults); left out", record.offset, record.topic, error.error_count())
        return None
