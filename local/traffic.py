"""Simulated traffic in real time: from the simulator to the event topics."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from local.epochs import Epochs
from local.simulator import Emission, Simulator
from runtime.clock import Clock
from runtime.kafka import address
from runtime.settings import Settings
from schemas.time import epoch_ms

log = logging.getLogger(__name__)

EVERY_S = 0.02
IN_FLIGHT = 5_000
AT_ONCE = 200
LINGER_MS = 10
BATCH_BYTES = 512 * 1024
STOP_WITHIN_S = 2.0


@dataclass(slots=True)
class Traffic:
    """What was published so far. `caught_up`: the broker has everything of the past."""

    sent: int = 0
    failed: int = 0
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)


async def publish(
    simulator: Simulator,
    settings: Settings,
    clock: Clock,
    stop: asyncio.Event,
    traffic: Traffic | None = None,
    epochs: Epochs | None = None,
    since_s: float | None = None,
) -> Traffic:
    """Publishes each event when its time comes, until `stop` is set or the task is cancelled.

    It begins with the events of the present, or with those of `since_s` (epoch seconds): what lies in the past is sent
    as fast as the broker takes it, with its own times.

    At most `IN_FLIGHT` events wait for the broker; while it is away, or between two of its epochs, those that come due
    wait and are sent late, with their own times. `traffic` is counted up as it goes. Raises KafkaUnreachable where no
    address is set, or KafkaError where no broker answers at first.
    """
    traffic = Traffic() if traffic is None else traffic
    epochs = Epochs.only() if epochs is None else epochs
    names = settings.names
    producer = AIOKafkaProducer(
        bootstrap_servers=address(settings),
        client_id="tillwatch-traffic",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        acks=1,
        enable_idempotence=False,  # the embedded broker has none
    )
    room = asyncio.Semaphore(IN_FLIGHT)

    def done(future: asyncio.Future[object]) -> None:
        room.release()
        if future.cancelled() or future.exception() is not None:
            traffic.failed += 1
            log.debug("an event was not sent: %s", "cancelled" if future.cancelled() else future.exception())
        else:
            traffic.sent += 1

    await producer.start()
    try:
        events = _Due(simulator.events(clock.now() if since_s is None else since_s))
        while not stop.is_set():
            due = events.until(clock.now()) if epochs.running else ()
            for number, (subject, key, event) in enumerate(due, 1):
                await room.acquire()
                try:
                    future = await producer.send(
                        names.events(subject), json.dumps(event, separators=(",", ":")).encode(), key.encode()
                    )
                except KafkaError as error:
                    room.release()
                    traffic.failed += 1
                    log.debug("an event was not sent: %s", error)
                else:
                    future.add_done_callback(done)
                if stop.is_set() or not epochs.running:
                    break
                if number % AT_ONCE == 0:  # sending does not wait while there is room
                    await asyncio.sleep(0)
            else:
                if not traffic.caught_up.is_set() and epochs.running:
                    await producer.flush()
                    traffic.caught_up.set()
            await asyncio.sleep(EVERY_S)
    finally:
        try:
            await asyncio.wait_for(producer.stop(), STOP_WITHIN_S)
        except (TimeoutError, KafkaError):
            log.warning("what was not sent within %g s is lost", STOP_WITHIN_S)
    return traffic


class _Due:
    """Hands out events once their time has come."""

    def __init__(self, events: Iterator[Emission]) -> None:
        self._events = events
        self._next = next(events)  # without an end

    def until(self, now_s: float) -> Iterator[Emission]:
        while epoch_ms(str(self._next[2]["time"])) <= now_s * 1000:
            yield self._next
            self._next = next(self._events)
