"""The demonstration: the whole system on this machine, simulated traffic with outages in it, and the story of it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from redis.exceptions import RedisError

from agents import imports
from local.epochs import Epochs
from local.flow import recent
from local.machine import Machine, machine
from local.narrator import Line, Narrator
from local.past import volume
from local.responder import Responder
from local.scenarios import Scenario
from local.simulator import Simulator, daily_shape
from local.traffic import Traffic, publish
from rollups.tables import TableStore
from runtime.clock import WallClock
from runtime.kafka import address, stop_consumer
from runtime.redis import connect
from runtime.settings import Settings
from runtime.tasks import end
from schemas.alert import AlertEvent

log = logging.getLogger(__name__)

PAYMENTS_A_SECOND = 10.0
PLAN_S = 6 * 3600.0
LATENESS_S, IDLE_S = 5.0, 10.0
"""Shorter than the settings' defaults, so that `resolved` comes soon."""
HISTORY_S = 300.0
"""What the shop did before: a window of five minutes is full from the beginning."""
PUBLISHED_WITHIN_S = 30.0
PAST_DAYS = 8
QUIET_S = 10
_CYCLE_S = 1200.0
_TICK_S = 0.1
_POLL_MS = 100
_ROUND: tuple[tuple[str, float, float, dict[str, str | float]], ...] = (
    ("provider_outage", 25, 55, {"provider": "ikhokha"}),
    ("brute_force", 80, 95, {}),
    ("bad_webhook_signatures", 115, 135, {}),
    ("database_down", 160, 190, {}),
    ("provider_outage", 260, 305, {"provider": "ozow"}),
    ("provider_outage", 400, 445, {"provider": "peach"}),
    ("volume_drop", 480, 1020, {"share": 0.95}),
)
"""What goes wrong in each cycle: scenario, start and end in seconds, parameters."""


async def run(settings: Settings, seconds: float | None, out: Callable[[Line], None], workers: int = 2) -> bool:
    """Runs the demonstration for `seconds` (None: until cancelled); whether its first outage was detected.

    Always on embedded servers, whatever the settings name, and on data that is thrown away before the next. `out` gets
    one line at a time. Raises as `machine` and `watch` do.
    """
    began = time.monotonic()
    teller = _Teller(out, _now_ms())
    say = teller.say
    say(f"starting a broker, a store and {_number(workers, 'worker')} on this machine; Ctrl-C ends it all")
    if settings.kafka is not None or settings.redis is not None:
        say("the servers that the settings name are left alone: the demonstration has its own")
    mine = _for_demo(settings)
    shop = _Shop(teller)
    try:
        async with machine(mine, workers, say, scratch=True, first=shop.open) as running:
            left = None if seconds is None else max(seconds - (time.monotonic() - began), 0.0)
            return await _story(running, shop, teller, left)
    finally:
        await shop.close()


class _Shop:
    """The simulated shop. What it did before is in the log when the first worker starts, as it would be for a shop that is
    watched from now on: published under a worker's eyes, it would come one partition after another, and late."""

    def __init__(self, teller: _Teller) -> None:
        self._teller, self.traffic, self._stop = teller, Traffic(), asyncio.Event()
        now_s = time.time()
        rate = PAYMENTS_A_SECOND / daily_shape(now_s)  # whatever the hour, so that the story is the same
        self.simulator = Simulator(secrets.randbits(32), now_s - HISTORY_S, rate)
        self.publishing: asyncio.Task[Traffic] | None = None

    async def open(self, settings: Settings, epochs: Epochs) -> None:
        """Begins to publish, and returns once everything of the past is there."""
        simulator = self.simulator
        self._teller.say(f"publishing what a simulated shop did in the last {HISTORY_S / 60:g} minutes")
        await _import_past(settings, simulator.rate, simulator.start_s)
        publishing = publish(simulator, settings, WallClock(), self._stop, self.traffic, epochs, simulator.start_s)
        self.publishing = asyncio.create_task(publishing)
        caught_up = asyncio.create_task(self.traffic.caught_up.wait())
        await asyncio.wait(
            [self.publishing, caught_up], timeout=PUBLISHED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        caught_up.cancel()

    async def close(self) -> None:
        """Ends the publishing."""
        self._stop.set()
        if self.publishing is not None:
            await end([self.publishing])


async def _import_past(settings: Settings, rate: float, end_s: float) -> None:
    """What `tillwatch baseline import` does with a file."""
    redis = connect(settings)
    try:
        past = volume(rate, end_s, PAST_DAYS, secrets.randbits(32))
        await imports.store(redis, settings.names, "payment_volume", {}, past)
    finally:
        await redis.aclose()


class _Teller:
    """Hands lines on, and knows how long none came."""

    def __init__(self, out: Callable[[Line], None], start_ms: int) -> None:
        self._out, self.start_ms, self.last_ms = out, start_ms, start_ms

    def tell(self, line: Line) -> None:
        self.last_ms = _now_ms()
        self._out(line)

    def say(self, sentence: str, tone: str = "") -> None:
        """A sentence with the time since the start."""
        self.tell(Line(f"{(_now_ms() - self.start_ms) / 1000:6.1f} s  {sentence}", tone))


async def _story(running: Machine, shop: _Shop, teller: _Teller, seconds: float | None) -> bool:
    assert shop.publishing is not None, "it opened before the workers started"
    link = await running.sign_in_link()
    start_s = time.time()
    scenarios = list(plan(start_s, seconds))
    shop.simulator.plan(scenarios)
    narrator = Narrator(scenarios, teller.start_ms)
    teller.say(f"a simulated shop is open: {PAYMENTS_A_SECOND:g} payments a second")
    teller.say(f"what is usual is learned from the {PAST_DAYS} days before, so that a drop in volume is told, too")
    teller.say(f"open {running.address} to watch it")
    teller.say(f"to act there, too: {link} (once, within 15 minutes)")
    if scenarios:
        teller.say(f"all is well; the first outage comes in {scenarios[0].start_s - start_s:.0f} s")
    tasks = [
        asyncio.create_task(running.watch()),
        shop.publishing,
        asyncio.create_task(_listen(running, narrator, teller)),
        asyncio.create_task(_tell(narrator, teller)),
        asyncio.create_task(_look(running, shop.traffic, teller)),
        asyncio.create_task(Responder(running.settings, teller.say).run()),
    ]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)
        failed = shop.traffic.failed
        unsent = f", {failed:,} could not be" if failed else ""
        teller.say(f"the demonstration ends; {shop.traffic.sent:,} events were published{unsent}")
        for line in narrator.summary(_now_ms()):
            teller.tell(line)
    return narrator.outage_detected


async def _tell(narrator: Narrator, teller: _Teller) -> None:
    while True:
        for line in narrator.tick(_now_ms()):
            teller.tell(line)
        await asyncio.sleep(_TICK_S)


async def _look(running: Machine, traffic: Traffic, teller: _Teller) -> None:
    """Says what flows whenever nothing else was said for a while: silence must not be taken for death."""
    redis = connect(running.settings)
    tables = TableStore(redis, running.settings.names)
    looked_s, sent = time.monotonic(), traffic.sent
    try:
        while True:
            await asyncio.sleep(_TICK_S)
            if _now_ms() - teller.last_ms < QUIET_S * 1000:
                continue
            now_s = time.monotonic()
            rate, looked_s, sent = (traffic.sent - sent) / (now_s - looked_s), now_s, traffic.sent
            try:
                counted = f"counted of late: {await recent(tables, _now_ms() / 1000)}"
            except (RedisError, OSError):
                counted = "the store does not answer"
            teller.say(f"· {rate:,.0f} events/s; {counted}", "flow")
    finally:
        await redis.aclose()


async def _listen(running: Machine, narrator: Narrator, teller: _Teller) -> None:
    """Reads the alerts topic from its start, in each of the broker's epochs."""
    while True:
        epoch = await running.epochs.current()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=address(running.settings), auto_offset_reset="earliest", enable_auto_commit=False
        )
        try:
            await consumer.start()
            consumer.assign([TopicPartition(running.settings.names.alerts, 0)])
            while running.epochs.holds(epoch):
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        _hear(record.value, narrator, teller)
        except KafkaError as error:  # it went away; the next epoch will tell
            log.debug("listening for alerts: %s", error)
            await asyncio.sleep(_TICK_S)
        finally:
            await stop_consumer(consumer)


def _hear(value: bytes | None, narrator: Narrator, teller: _Teller) -> None:
    try:
        event = AlertEvent.model_validate_json(value or b"")
    except ValidationError as error:
        teller.say(f"an alert that cannot be read: {error.errors()[0]['msg']}", "bad")
        return
    for line in narrator.alert(event, _now_ms()):
        teller.tell(line)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _for_demo(settings: Settings) -> Settings:
    shorter = {"lateness": LATENESS_S, "idle": IDLE_S}
    changes = {name: value for name, value in shorter.items() if name not in settings.model_fields_set}
    # Nobody is paged for a simulated shop: every message goes to the outbox.
    nobody = dict.fromkeys(("teams", "callbacks", "deadman"))
    return settings.model_copy(update={"kafka": None, "redis": None, "clock": "wall", **nobody, **changes})


def plan(start_s: float, seconds: float | None) -> Iterator[Scenario]:
    """The scenarios that begin within `seconds` of `start_s`; without a limit those of the first six hours."""
    limit = PLAN_S if seconds is None else min(seconds, PLAN_S)
    for cycle in range(int(limit // _CYCLE_S) + 1):
        for name, begins, ends, params in _ROUND:
            if cycle * _CYCLE_S + begins < limit:
                yield Scenario(name, start_s + cycle * _CYCLE_S + begins, start_s + cycle * _CYCLE_S + ends, **params)
