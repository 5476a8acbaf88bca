"""Folding is a pure function of the log: read again into an empty Redis, it gives the same tables, to the last value."""

from __future__ import annotations

import time
from typing import Any

from pydantic import SecretStr

from rollups.query import columns_of, schema
from rollups.tables import TableStore
from runtime.settings import Settings
from schemas.tables import TABLES
from tests.integration.conftest import Crew
from tests.integration.oracle import RESOLUTIONS_MS, Event
from tests.integration.stream import mixed
from tests.integration.tables import merged, redis_of, written
from tests.support.events import event, rfc3339, succeeded
from tests.support.store import KillableStore
from tests.support.topics import produce, send
from tests.support.wait import eventually_async

Value = tuple[Any, ...]


async def everything(settings: Settings) -> dict[str, list[Value]]:
    """Every row of every table at every resolution, with all the columns that a query sees."""
    found = {}
    async with redis_of(settings) as redis:
        store = TableStore(redis, settings.names)
        for name, table in TABLES.items():
            for resolution in RESOLUTIONS_MS:
                rows = await store.read(name, resolution)
                cells = [(bucket, key, cell) for bucket, cells in rows.items() for key, cell in cells.items()]
                found[f"{name}_{resolution}"] = sorted(
                    zip(*columns_of(table, cells, [name for name, _ in schema(table)]), strict=True), key=repr
                )
    return found


def crowd(now: float) -> list[Event]:
    """More targets within one bucket than a table has cells for: who comes late is counted as `other`."""
    at = now - 60 - (now - 60) % 5
    return [event("request.served", at + number / 1000, target=f"/{number}") for number in range(1_300)]


def odd(now: float) -> list[Event]:
    """What is counted beside the tables of its own: a dead letter, a card number, an unknown field, an old cohort."""
    return [
        succeeded(now - 8 * 3600),
        succeeded(now, id="4111111111111111"),
        succeeded(now, colour="blue"),
        succeeded(now, initiated_at=rfc3339(now - 9 * 3600)),
        succeeded(now, latency_ms=-1),
    ]


async def test_a_log_that_is_read_again_gives_the_same_tables(
    installation: Settings, crew: Crew, patient: KillableStore
) -> None:
    now = time.time()
    events = mixed(4, 3_000, now)
    half = len(events) // 2
    assert installation.kafka is not None
    first = await crew.start(installation)
    ends = await produce(installation.kafka, installation.names, [*events[:half], *crowd(now)[:700]])
    await written(installation, ends)
    await crew.leave(first)  # the second one goes on from what Redis has
    second = await crew.start(installation)
    ends |= await produce(installation.kafka, installation.names, [*crowd(now)[700:], *odd(now), *events[half:]])
    ends |= await send(installation.kafka, [(installation.names.events("payments"), b"k", b"no JSON")])
    await written(installation, ends)
    await crew.leave(second)
    await crew.start(installation)  # leads anew, and writes what the second had sent last
    await merged(installation, ends)
    live = await everything(installation)
    await crew.leave()

    again = installation.model_copy(update={"redis": SecretStr(patient.url)})
    await crew.start(again)
    await written(again, ends)

    async def same() -> bool:
        replayed = await everything(again)
        for table, rows in live.items():
            assert replayed[table] == rows, f"{table}: {_first_difference(table, rows, replayed[table])}"
        return True

    await eventually_async(same, "the replay is the same", 60)
    counted = {row[1:3] for row in live["pipeline_1h"]}
    assert {("dead_letter", "too_late"), ("dead_letter", "not_json"), ("dead_letter", "invalid_field")} <= counted
    assert {
        ("overflow", "requests"),
        ("unknown_field", "payment.succeeded"),
        ("repeat", "payment.succeeded"),
    } <= counted
    assert ("cohort_out_of_range", "payment.succeeded") in counted


def _first_difference(table: str, one: list[Value], other: list[Value]) -> str:
    names = [name for name, _ in schema(TABLES[table.rpartition("_")[0]])]
    left, right = ([row for row in rows if row not in others][:2] for rows, others in ((one, other), (other, one)))
    return f"{len(one)} and {len(other)} rows; {names}: {left} and then {right}"
