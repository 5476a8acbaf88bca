"""Totals equal what was produced, in every table and at every resolution, whatever happens meanwhile."""

from __future__ import annotations

import signal
import time

import pytest

from local.process import StartFailed
from rollups.query import query
from rollups.tables import TableStore
from runtime.settings import Settings
from tests.conftest import Broker
from tests.integration.conftest import Crew
from tests.integration.oracle import Event, Oracle, found_rows
from tests.integration.stream import mixed, repeats
from tests.integration.tables import difference, exact, pipeline, redis_of, written
from tests.support.store import KillableStore
from tests.support.topics import produce
from tests.support.wait import eventually_async

COUNT = 1_800


def thirds() -> tuple[list[Event], list[Event], list[Event]]:
    """A stream in three parts, to be produced before, while and after something happens."""
    events = mixed(2, COUNT, time.time())
    third = len(events) // 3
    return events[:third], events[third : 2 * third], events[2 * third :]


async def put(settings: Settings, events: list[Event], *, wait: bool = False) -> None:
    """Produces events; `wait`: until measure has written them."""
    assert settings.kafka is not None
    ends = await produce(settings.kafka, settings.names, events)
    if wait:
        await written(settings, ends)


async def settled(settings: Settings, crew: Crew, *parts: list[Event]) -> None:
    """The tables are exact, and stay so when the workers write the last of what they have and leave."""
    oracle = Oracle(event for part in parts for event in part)
    await exact(settings, oracle)
    await crew.leave()
    assert await difference(settings, oracle) == ""


async def test_plainly(installation: Settings, crew: Crew) -> None:
    events = mixed(1, 8_000, time.time())
    await crew.start(installation)

    await put(installation, events)

    await settled(installation, crew, events)
    counted = await pipeline(installation)
    assert sum(count for (kind, _, _), count in counted.items() if kind == "repeat") == repeats(events)
    assert {kind for kind, _, _ in counted} == {"repeat"}
    oracle = Oracle(events)
    async with redis_of(installation) as redis:
        store = TableStore(redis, installation.names)
        for table, resolution in (("payments", "10s"), ("merchants", "1m"), ("resources", "1h")):
            answer = (await query(store, f"select * from {table}_{resolution}")).objects()
            assert found_rows(table, answer) == oracle.rows(table, resolution)


# --- workers ----------------------------------------------------------------------------------------------------------


async def test_a_stop_and_a_start(installation: Settings, crew: Crew) -> None:
    first, second, third = thirds()
    before = await crew.start(installation)
    await put(installation, first, wait=True)
    await put(installation, second)

    await crew.leave(before)
    await put(installation, third)
    await crew.start(installation)

    await settled(installation, crew, first, second, third)


async def test_a_worker_joins_and_leaves(installation: Settings, crew: Crew) -> None:
    first, second, third = thirds()
    await crew.start(installation)
    await put(installation, first)

    joining = crew.hire(installation)
    await crew.begin(joining)
    await put(installation, second, wait=True)
    await crew.leave(joining)
    await put(installation, third)

    await settled(installation, crew, first, second, third)


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
    first, second, third = thirds()
    doomed, other = crew.hire(installation, TILLWATCH_FAULT=fault), crew.hire(installation)
    await put(installation, first)
    try:
        await crew.begin(doomed, *([other] if accompanied else []))
    except StartFailed:
        assert not doomed.running, "it may die before it is ready"

    await put(installation, second)
    await eventually_async(lambda: not doomed.running, "the worker is dead")
    assert doomed.exit_code == -signal.SIGKILL
    await put(installation, third)
    if not other.running:
        await crew.begin(other)

    await settled(installation, crew, first, second, third)


@pytest.mark.fault
async def test_a_frozen_worker_wakes_up_without_its_partitions(installation: Settings, crew: Crew) -> None:
    first, second, third = thirds()
    zombie, other = crew.hire(installation), crew.hire(installation)
    await crew.begin(zombie, other)
    await put(installation, first, wait=True)

    zombie.freeze()
    await put(installation, second, wait=True)  # the other one has them all
    await exact(installation, Oracle([*first, *second]))
    zombie.thaw()
    await put(installation, third)

    await settled(installation, crew, first, second, third)


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault
async def test_redis_comes_back_without_its_last_writes(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    first, second, third = thirds()
    worker = await crew.start(fragile)
    await put(fragile, first, wait=True)

    patient.mark()
    await put(fragile, second, wait=True)
    patient.fall_back()
    await put(fragile, third)

    assert worker.running
    await settled(fragile, crew, first, second, third)


@pytest.mark.fault
async def test_redis_loses_everything(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    first, second, third = thirds()
    worker = await crew.start(fragile)
    await put(fragile, first, wait=True)

    await put(fragile, second)
    patient.empty()
    await put(fragile, third)

    assert worker.running
    await settled(fragile, crew, first, second, third)


@pytest.mark.fault
async def test_redis_goes_away_and_comes_back(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    first, second, third = thirds()
    worker = await crew.start(fragile)
    await put(fragile, first)

    patient.kill()
    await put(fragile, second)
    await eventually_async(lambda: "trying again" in worker.output, "the worker has noticed")
    patient.start()
    await put(fragile, third)

    assert worker.running
    await settled(fragile, crew, first, second, third)


@pytest.mark.fault
async def test_redis_runs_out_of_memory(fragile: Settings, crew: Crew, patient: KillableStore) -> None:
    first, second, third = thirds()
    worker = await crew.start(fragile)
    await put(fragile, first, wait=True)

    patient.limit_memory(0)
    await put(fragile, second)
    await eventually_async(lambda: "maxmemory" in worker.output, "a write was refused")
    patient.limit_memory(None)
    await put(fragile, third)

    assert worker.running
    await settled(fragile, crew, first, second, third)


# --- Kafka ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize("broker", ["kafka"], indirect=True)  # the embedded one forgets everything
async def test_kafka_is_killed_and_comes_back(installation: Settings, crew: Crew, broker: Broker) -> None:
    first, second, third = thirds()
    worker = await crew.start(installation)
    await put(installation, first, wait=True)
    await put(installation, second)

    broker.kill()
    broker.start()
    await put(installation, third)

    assert worker.running
    await settled(installation, crew, first, second, third)
