"""Traffic in real time: each event in its own topic once its time has come, and late when the broker was away."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from local.broker import EmbeddedBroker
from local.epochs import Epochs
from local.simulator import Simulator
from local.traffic import Traffic, _Due, publish
from runtime.kafka import KafkaUnreachable, create_topics, topic_logs
from runtime.settings import Settings
from schemas.time import epoch_ms
from tests.local.traffic import START_S
from tests.support.wait import eventually_async


class HandClock:
    """A clock that stands where it was put."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def move(self, seconds: float) -> None:
        self._now += seconds


@asynccontextmanager
async def publishing(
    settings: Settings, clock: HandClock, epochs: Epochs | None = None
) -> AsyncIterator[Traffic]:
    """Traffic since `START_S`, until the block ends."""
    traffic, stop = Traffic(), asyncio.Event()
    simulator = Simulator(7, START_S, 5.0)
    task = asyncio.create_task(publish(simulator, settings, clock, stop, traffic, epochs, START_S))
    try:
        yield traffic
    finally:
        stop.set()
        assert await asyncio.wait_for(task, 15) is traffic


def expected(until_s: float, from_s: float = START_S) -> list[tuple[str, str]]:
    """Subject and id of what is due."""
    emissions = Simulator(7, START_S, 5.0).events(from_s, until_s)
    return [(subject, str(event["id"])) for subject, _, event in emissions]


async def read(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The events of every event topic."""
    assert settings.kafka is not None
    names = settings.names
    logs = await topic_logs(settings.kafka, names.event_topics)
    partitions = [TopicPartition(log.topic, number) for log in logs.values() for number in range(log.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        found: dict[str, list[dict[str, Any]]] = {names.subject(topic): [] for topic in names.event_topics}
        left = {one for one, end in ends.items() if end}

        async def all_read() -> bool:
            for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                found[names.subject(partition.topic)] += [json.loads(record.value) for record in records]
                if records[-1].offset + 1 >= ends[partition]:
                    left.discard(partition)
            return not left

        await eventually_async(all_read, "everything is read")
        return found
    finally:
        await consumer.stop()


async def reached(traffic: Traffic, count: int) -> None:
    await eventually_async(lambda: traffic.sent + traffic.failed >= count, f"{count} events are sent")


async def test_what_is_due_is_sent_each_to_its_topic_and_no_more(installation: Settings) -> None:
    clock = HandClock(START_S)
    async with publishing(installation, clock) as traffic:
        clock.move(10)
        due = expected(START_S + 10.001)
        await reached(traffic, len(due))
    assert (traffic.sent, traffic.failed) == (len(due), 0)
    found = await read(installation)
    assert Counter((subject, event["id"]) for subject, events in found.items() for event in events) == Counter(due)


async def test_the_past_comes_first_and_with_its_own_times(installation: Settings) -> None:
    clock = HandClock(START_S + 60)
    async with publishing(installation, clock) as traffic:
        due = expected(START_S + 60.001)
        await reached(traffic, len(due))
    found = await read(installation)
    times = [epoch_ms(event["time"]) for events in found.values() for event in events]
    assert len(times) == len(due)
    assert min(times) < (START_S + 1) * 1000


async def test_between_two_epochs_nothing_is_sent_and_afterwards_all(tmp_path: Path) -> None:
    clock, epochs = HandClock(START_S), Epochs()
    with EmbeddedBroker(None, tmp_path) as broker:
        settings = Settings(kafka=broker.bootstrap)
        await create_topics(settings, 2)
        epochs.begin()
        async with publishing(settings, clock, epochs) as traffic:
            clock.move(5)
            first = len(expected(START_S + 5.001))
            await reached(traffic, first)
            epochs.end()
            broker.kill()
            clock.move(5)
            broker.start()
            await create_topics(settings, 2)
            epochs.begin()
            await reached(traffic, len(expected(START_S + 10.001)))
        found = await read(settings)
    assert Counter((subject, event["id"]) for subject, events in found.items() for event in events) == Counter(
        expected(START_S + 10.001)[first:]
    )
    assert traffic.failed == 0


async def test_no_address_is_said_at_once() -> None:
    with pytest.raises(KafkaUnreachable, match="TILLWATCH_KAFKA"):
        await publish(Simulator(7, START_S), Settings(kafka=None), HandClock(START_S), asyncio.Event())


async def test_events_are_handed_out_up_to_the_present_and_the_next_one_is_kept() -> None:
    due = _Due(Simulator(7, START_S, 5.0).events(START_S))
    taken = [str(event["id"]) for _, _, event in due.until(START_S + 1)]
    taken += [str(event["id"]) for _, _, event in due.until(START_S + 2)]
    assert taken == [identity for _, identity in expected(START_S + 2.001)]


async def test_epochs_tell_which_log_there_is() -> None:
    epochs = Epochs()
    assert not epochs.running
    waiting = asyncio.create_task(epochs.current())
    await asyncio.sleep(0)
    assert not waiting.done()
    epochs.begin()
    assert await waiting == 1
    assert epochs.holds(1)
    epochs.end()
    assert not epochs.holds(1)
    epochs.begin()
    assert [epochs.holds(1), epochs.holds(2)] == [False, True]
    assert Epochs.only().holds(1)
