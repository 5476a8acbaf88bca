"""One worker: how it begins, how it ends, and how a test drives one on a clock of its own."""

from __future__ import annotations

import json
import threading
import time

from aiokafka import TopicPartition

from runtime.settings import Settings
from tests.integration.conftest import Crew, Run
from tests.integration.oracle import Oracle
from tests.integration.stream import mixed
from tests.integration.tables import difference, exact, redis_of, written
from tests.support.events import failed, succeeded
from tests.support.topics import produce
from tests.support.wait import eventually_async


async def test_it_says_that_it_is_ready_and_ends_with_zero(installation: Settings, crew: Crew) -> None:
    worker = await crew.start(installation)
    assert worker.output.splitlines()[-1] == "ready"

    await crew.leave(worker)  # within 10 s, with 0

    assert not [line for line in worker.output.splitlines() if " ERROR agents." in line or " CRITICAL " in line]


async def test_what_it_has_read_is_written_when_it_is_told_to_end(installation: Settings, crew: Crew) -> None:
    events = mixed(3, 400, time.time())
    seldom = installation.model_copy(update={"flush": installation.bucket})
    worker = await crew.start(seldom)
    assert seldom.kafka is not None
    ends = await produce(seldom.kafka, seldom.names, events)
    await eventually_async(lambda: _read(seldom, ends), "it has read them")

    await crew.leave(worker)

    await written(installation, ends, limit_s=0.1)
    await crew.start(installation)
    await exact(installation, Oracle(events))


async def test_its_parts_may_run_apart(installation: Settings, crew: Crew) -> None:
    measure, evaluate = [await crew.start(installation, only=part) for part in ("measure", "evaluate")]
    events = mixed(4, 400, time.time())
    assert installation.kafka is not None
    await produce(installation.kafka, installation.names, events)
    await exact(installation, Oracle(events))

    async with redis_of(installation) as redis:
        keys = [key async for key in redis.scan_iter(installation.names.worker("*"))]
        told = [json.loads(value) for value in await redis.mget(keys) if value]
    assert {(one["pid"], bool(one["partitions"]), one["leader"]) for one in told} == {
        (measure.pid, True, False),
        (evaluate.pid, False, True),
    }


async def _read(settings: Settings, ends: dict[TopicPartition, int]) -> bool:
    """Whether the worker says so."""
    async with redis_of(settings) as redis:
        keys = [key async for key in redis.scan_iter(settings.names.worker("*"))]
        told = [json.loads(value) for value in await redis.mget(keys) if value] if keys else []
    found = {TopicPartition(one["topic"], one["partition"]): one["next"] for each in told for one in each["partitions"]}
    return all(found.get(tp, 0) >= end for tp, end in ends.items())


async def test_one_within_the_test_folds_and_writes_when_it_is_told(running_worker: Run) -> None:
    running = await running_worker()
    now = running.clock.now()
    sent = [failed(now - 1, merchant="m1"), succeeded(now), failed(now + 0.5, merchant="m1")]

    await running.produce(sent)

    assert await difference(running.settings, Oracle(sent)) == ""
    rows = await running.rows("merchants", "1h")
    assert sum(cell.count for cells in rows.values() for key, cell in cells.items() if key[:2] == ("failed", "m1")) == 2


async def test_a_clock_that_is_moved_moves_the_watermark_of_what_is_idle(running_worker: Run) -> None:
    running = await running_worker()
    now = running.clock.now()
    await running.produce([succeeded(now)])
    before = running.worker.evaluate.table_progress(int(running.clock.now() * 1000))["payments"]

    await running.advance(120)

    after = running.worker.evaluate.table_progress(int(running.clock.now() * 1000))["payments"]
    assert after.watermark_ms is not None
    assert before.watermark_ms is None or after.watermark_ms > before.watermark_ms
    assert after.watermark_ms == int((now + 120) * 1000) - int(running.settings.lateness * 1000)


async def test_one_within_a_test_leaves_nothing_that_could_end_the_process(running_worker: Run) -> None:
    await running_worker()
    assert not [
        thread for thread in threading.enumerate() if thread.name == "watchdog" or isinstance(thread, threading.Timer)
    ]
