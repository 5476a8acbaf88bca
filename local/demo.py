"""The demonstration: the whole system on this machine, simulated traffic with outages in it, and the story of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from local.machine import SCRATCH, Machine, machine
from local.narrator import Narrator
from local.scenarios import Scenario
from local.simulator import Simulator, daily_shape
from local.traffic import Traffic, publish
from runtime.clock import WallClock
from runtime.kafka import address
from runtime.settings import Settings
from schemas.alert import AlertEvent

PAYMENTS_A_SECOND = 10.0
PLAN_S = 6 * 3600.0
LATENESS_S, IDLE_S = 5.0, 10.0
_CYCLE_S = 900.0
_TICK_S = 0.1
_POLL_MS = 100
_ROUND: tuple[tuple[str, float, float, dict[str, str | float]], ...] = (
    ("provider_outage", 12, 57, {"provider": "ikhokha"}),
    ("brute_force", 80, 95, {}),
    ("bad_webhook_signatures", 115, 135, {}),
    ("database_down", 160, 190, {}),
    ("provider_outage", 260, 305, {"provider": "ozow"}),
    ("provider_outage", 400, 445, {"provider": "peach"}),
)
"""What goes wrong in each cycle: scenario, start and end in seconds, parameters."""


async def run(settings: Settings, seconds: float | None, out: Callable[[str], None], workers: int = 2) -> bool:
    """Runs the demonstration for `seconds` (None: until cancelled); whether its first outage was detected.

    Always on embedded servers, whatever the settings name, and on data that is thrown away before the next. `out` gets
    one line at a time. Raises as `machine` and `watch` do.
    """
    began = time.monotonic()
    start_ms = _now_ms()

    def say(sentence: str) -> None:
        out(f"{(_now_ms() - start_ms) / 1000:6.1f} s  {sentence}")

    say(f"starting a broker, a store and {workers} workers on this machine; data in {settings.data / SCRATCH}")
    if settings.kafka is not None or settings.redis is not None:
        say("the servers that the settings name are left alone: the demonstration has its own")
    mine = _for_demo(settings)
    say(f"lateness is {mine.lateness:g} s here, so that 'resolved' comes soon (default 30 s)")
    async with machine(mine, workers, say, scratch=True) as running:
        left = None if seconds is None else max(seconds - (time.monotonic() - began), 0.0)
        return await _story(running, say, out, start_ms, left)


async def _story(
    running: Machine, say: Callable[[str], None], out: Callable[[str], None], start_ms: int, seconds: float | None
) -> bool:
    clock, traffic, stop = WallClock(), Traffic(), asyncio.Event()
    start_s = clock.now()
    rate = PAYMENTS_A_SECOND / daily_shape(start_s)  # whatever the hour, so that the story is the same
    scenarios = list(plan(start_s, seconds))
    narrator = Narrator(scenarios, start_ms)
    simulator = Simulator(secrets.randbits(32), start_s, rate, scenarios)
    say(f"simulated traffic begins: {PAYMENTS_A_SECOND:g} payments a second, and all that goes with them")
    tasks = [
        asyncio.create_task(running.watch()),
        asyncio.create_task(_publish(simulator, running.settings, traffic, stop)),
        asyncio.create_task(_listen(running.settings, narrator, out)),
        asyncio.create_task(_tell(narrator, out)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        say(f"the demonstration ends; {traffic.sent:,} events were published, {traffic.failed:,} were not")
        for line in narrator.summary():
            out(line)
    return narrator.outage_detected


async def _publish(simulator: Simulator, settings: Settings, traffic: Traffic, stop: asyncio.Event) -> None:
    await publish(simulator, settings, WallClock(), stop, traffic)


async def _tell(narrator: Narrator, out: Callable[[str], None]) -> None:
    while True:
        for line in narrator.tick(_now_ms()):
            out(line)
        await asyncio.sleep(_TICK_S)


async def _listen(settings: Settings, narrator: Narrator, out: Callable[[str], None]) -> None:
    """Reads the alerts topic from its start."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address(settings), auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(settings.names.alerts, 0)])
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    try:
                        event = AlertEvent.model_validate_json(record.value or b"")
                    except ValidationError as error:
                        out(f"          an alert that cannot be read: {error.errors()[0]['msg']}")
                        continue
                    for line in narrator.alert(event, _now_ms()):
                        out(line)
    finally:
        await consumer.stop()


def _now_ms() -> int:
    return int(time.time() * 1000)


def _for_demo(settings: Settings) -> Settings:
    shorter = {"lateness": LATENESS_S, "idle": IDLE_S}
    changes = {name: value for name, value in shorter.items() if name not in settings.model_fields_set}
    return settings.model_copy(update={"kafka": None, "redis": None, "clock": "wall", **changes})


def plan(start_s: float, seconds: float | None) -> Iterator[Scenario]:
    """The scenarios that begin within `seconds` of `start_s`; without a limit those of the first six hours."""
    limit = PLAN_S if seconds is None else min(seconds, PLAN_S)
    for cycle in range(int(limit // _CYCLE_S) + 1):
        for name, begins, ends, params in _ROUND:
            if cycle * _CYCLE_S + begins < limit:
                yield Scenario(name, start_s + cycle * _CYCLE_S + begins, start_s + cycle * _CYCLE_S + ends, **params)
