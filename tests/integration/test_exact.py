"""Totals equal what was produced, in every table and at every resolution, whatever happens meanwhile."""

from __future__ import annotations

import signal
import time

import pytest
from aiokafka import TopicPartition

from agents.transport import METADATA_AGE_MS
from local.process import StartFailed
from rollups.query import query
from rollups.tables import TableStore
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.conftest import PARTITIONS, Broker
from tests.integration.conftest import Crew
from tests.integration.oracle import Event, Oracle, found_rows
from tests.integration.stream import mixed, repeats
from tests.integration.tables import difference, exact, owned, pipeline, redis_of, sent_beyond, written
from tests.support.store import KillableStore
from tests.support.topics import produce
from tests.support.wait import eventually_async

COUNT = 1_800
SEEN_S = 20.0
"""What a group takes to share partitions anew and a worker to load them, on a busy machine."""
ON_ONE_BROKER = pytest.mark.parametrize("broker", ["embedded"], indirect=True)
"""Where the broker plays no part."""


def thirds() -> tuple[list[Event], list[Event], list[Event]]:
    """A stream in three parts, to be produced before, while and after something happens."""
    events = mixed(2, COUNT, time.time())
    third = len(events) // 3
    return events[:third], events[third : 2 * third], events[2 * third :]


class Log:
    """What was produced, and what the tables must hold because of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ends: dict[TopicPartition, int] = {}
        self.oracle = Oracle()

    async def put(self, events: list[Event], partition: int | None = None) -> None:
        """Produces events, as producers key them or into one partition."""
        assert self._settings.kafka is not None
        self._ends |= await produce(self._settings.kafka, self._settings.names, events, partition)
        for event in events:
            self.oracle.add(event)

    async def written(self) -> None:
        """Waits until measure has written all of it."""
        await written(self._settings, self._ends)

    async def settled(self, crew: Crew) -> None:
        """The tables become exact, and stay so when the workers write the last of what they have and leave."""
        await self.written()
        await exact(self._settings, self.oracle)
        await crew.leave()
        assert await difference(self._settings, self.oracle) == ""


async def test_plainly(installation: Settings, crew: Crew) -> None:
    log, events = Log(installation), mixed(1, 8_000, time.time())
    await crew.start(installation)

    await log.put(events)

    await log.settled(crew)
    counted = await pipeline(installation)
    assert sum(count for (kind, _, _), count in counted.items() if kind == "repeat") == repeats(events)
    assert {kind for kind, _, _ in counted} == {"repeat"}
    async with redis_of(installation) as redis:
        store = TableStore(redis, installation.names)
        for table, resolution in (("payments", "10s"), ("merchants", "1m"), ("resources", "1h")):
            answer = (await query(store, f"select * from {table}_{resolution}")).objects()
            assert found_rows(table, answer) == log.oracle.rows(table, resolution)


# --- workers ----------------------------------------------------------------------------------------------------------


async def test_a_stop_and_a_start(installation: Settings, crew: Crew) -> None:
    log, (first, second, third) = Log(installation), thirds()
    before = await crew.start(installation)
    await log.put(first)
    await log.written()
    await log.put(second)

    await crew.leave(before)
    await log.put(third)
    await crew.start(installation)

    await log.settled(crew)


async def test_a_worker_joins_and_leaves(installation: Settings, crew: Crew) -> None:
    log, (first, second, third) = Log(installation), thirds()
    await crew.start(installation)
    await log.put(first)

    joining = crew.hire(installation)
    await crew.begin(joining)
    await log.put(second)
    await log.written()
    await crew.leave(joining)
    await log.put(third)

    await log.settled(crew)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("fault", "accompanied"),
    [
        ("before_letters:0.1", False),
        ("after_letters:0.1", False),
        ("after_script:0.1", True),
        ("after_send:0.1", True),
        ("after_commit:0.5", False),
    ],
)
async def test_a_worker_dies_within_a_flush(installation: Settings, crew: Crew, fault: str, accompanied: bool) -> None:
    log, (first, second, third) = Log(installation), thirds()
    doomed, other = crew.hire(installation, TILLWATCH_FAULT=fault), crew.hire(installation)
    await log.put(first)
    try:
        await crew.begin(doomed, *([other] if accompanied else []))
    except StartFailed:
        assert not doomed.running, "it may die before it is ready"

    await log.put(second)
    await eventually_async(lambda: not doomed.running, "the worker is dead")
    assert doomed.exit_code == -signal.SIGKILL
    await log.put(third)
    if not other.running:
        await crew.begin(other)

    await log.settled(crew)


@pytest.mark.fault
async def test_a_frozen_worker_wakes_up_without_its_partitions(installation: Settings, crew: Crew) -> None:
    log, (first, second, third) = Log(installation), thirds()
    zombie, other = crew.hire(installation), crew.hire(installation)
    await crew.begin(zombie, other)
    await log.put(first)
    await log.written()

    zombie.freeze()
    before = await owned(installation)
    await log.put(second)
    await log.written()  # the other one has them all
    await exact(installation, log.oracle)
    after = await owned(installation)
    taken = {source: held for source, held in before.items() if after[source][0] != held[0]}
    zombie.thaw()
    await log.put(third)

    await log.settled(crew)
    assert zombie.exit_code == 0, "it was put to work again, not ended"
    assert taken
    last = await owned(installation)
    assert not [source for source, (token, _) in taken.items() if last[source][0] == token]
    assert await sent_beyond(installation, taken) == 0, "it wrote nothing of what it had"


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault
@ON_ONE_BROKER
async def test_redis_comes_back_without_its_last_writes(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    log, (first, second, third) = Log(fragile), thirds()
    worker = await crew.start(fragile)
    await log.put(first)
    await log.written()

    patient.mark()
    await log.put(second)
    await log.written()
    patient.fall_back()
    await log.put(third)

    assert worker.running
    await log.settled(crew)


@pytest.mark.fault
@ON_ONE_BROKER
async def test_redis_loses_everything(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    log, (first, second, third) = Log(fragile), thirds()
    worker = await crew.start(fragile)
    await log.put(first)
    await log.written()

    await log.put(second)
    patient.empty()
    await log.put(third)

    assert worker.running
    await log.settled(crew)


@pytest.mark.fault
@ON_ONE_BROKER
async def test_redis_goes_away_and_comes_back(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    log, (first, second, third) = Log(fragile), thirds()
    worker = await crew.start(fragile)
    await log.put(first)

    patient.kill()
    await log.put(second)
    await eventually_async(lambda: "trying again" in worker.output, "the worker has noticed")
    patient.start()
    await log.put(third)

    assert worker.running
    await log.settled(crew)


@pytest.mark.fault
@ON_ONE_BROKER
async def test_redis_runs_out_of_memory(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    log, (first, second, third) = Log(fragile), thirds()
    worker = await crew.start(fragile)
    await log.put(first)
    await log.written()

    patient.limit_memory(0)
    await log.put(second)
    await eventually_async(lambda: "maxmemory" in worker.output, "a write was refused")
    patient.limit_memory(None)
    await log.put(third)

    assert worker.running
    await log.settled(crew)


# --- Kafka ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)  # the embedded one cannot
async def test_partitions_are_added(installation: Settings, crew: Crew) -> None:
    log, (first, second, third) = Log(installation), thirds()
    into_it = [one for one in second if one["id"] not in {other["id"] for other in (*first, *third)}]  # repeats stay together
    worker = await crew.start(installation)
    await log.put(first)

    grown = await create_topics(installation, PARTITIONS + 1)
    assert {one.did for one in grown} == {"grown", "exists"}
    await log.put(into_it, partition=PARTITIONS)
    added_at = time.monotonic()
    await log.written()
    assert time.monotonic() - added_at < METADATA_AGE_MS / 1000 + SEEN_S
    await log.put(third)

    assert worker.running
    await log.settled(crew)


@pytest.mark.fault
@pytest.mark.parametrize("broker", ["kafka"], indirect=True)  # the embedded one forgets everything
async def test_kafka_is_killed_and_comes_back(installation: Settings, crew: Crew, broker: Broker) -> None:
    log, (first, second, third) = Log(installation), thirds()
    worker = await crew.start(installation)
    await log.put(first)
    await log.written()
    await log.put(second)

    broker.kill()
    broker.start()
    await log.put(third)

    assert worker.running
    await log.settled(crew)
