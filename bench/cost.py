"""What an event costs Tillwatch: against partitions, cells and the size of an event, and with a second worker.

    python -m bench.cost [--events N] [--rate N] [--reps R] [--minutes M] [--only partitions,cells,size,workers] [--json FILE]

As `bench.compare`: a real Kafka, the store, `tillwatch worker` as it is shipped, and no figure unless the merged table
holds just what was produced. Each point is an installation of its own, whose workers have taken their partitions before the
first event comes. `cells`: as many merchants as that, all as busy; how many cells a 10 s row of all tables has then is
counted in the store. `size`: a field that Tillwatch does not know, so many bytes long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from aiokafka.producer.message_accumulator import BatchBuilder

from bench import describe, report
from bench.measure import (
    LOOK_EVERY_S,
    Failed,
    Mix,
    Produced,
    backlog,
    batches,
    compare,
    cpu_s,
    folded,
    machine_s,
    merged,
    peak_mb,
    send,
)
from bench.servers import Servers, start_servers
from local.process import StartFailed
from rollups.tables import TableStore
from runtime.kafka import create_topics, topic_logs
from runtime.names import Source
from runtime.redis import connect
from runtime.settings import Settings
from tests.support.kafka import NoKafka
from tests.support.worker import Worker

SETTLED_S = 6.0
"""The first heartbeats have come by then."""
RUN_LIMIT_S = 120.0
RATE, DENSE = 3_333.0, 10_000.0
"""Events a second when the backlog grew, and where cells are what is varied, so that a bucket has room for many."""

MOST_BYTES = 400_000_000
"""Large events are fewer, so that a topic takes no more than that."""


@dataclass(slots=True)
class Point:
    """One place on a curve. `cells`: in a 10 s row of all tables, the median; `failed`: why there are no more runs."""

    series: str
    value: int
    mix: Mix
    workers: int = 1
    bytes_an_event: float = 0.0
    cells: float = 0.0
    runs: list[Run] = field(default_factory=list)
    failed: str | None = None


def points(events: int, rate: float | None, chosen: list[str]) -> list[Point]:
    """Every point of the series that are wanted."""
    usual = Mix(events, 8, rate or RATE, heartbeats=False, repeats=0.0)
    found = [Point("partitions", number, replace(usual, partitions=number)) for number in (1, 4, 16, 64)]
    found += [
        Point("cells", number, replace(usual, rate=rate or DENSE, merchants=number))
        for number in (10, 100, 1_000, 10_000, 100_000)
    ]
    for size in (0, 100, 1_000, 4_000, 16_000):
        fewer = min(events, MOST_BYTES // (size + 400))
        found.append(Point("size", size, replace(usual, events=fewer, extra_bytes=size)))
    found += [Point("workers", number, usual, workers=number) for number in (1, 2)]
    return [point for point in found if point.series in chosen]


async def run(wanted: list[Point], reps: int, limit_s: float) -> dict[str, object]:
    """Starts the servers, takes every point `reps` times, and stops all. No run begins once `limit_s` is over."""
    deadline = time.monotonic() + limit_s
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    async with AsyncExitStack() as stack:
        servers = await start_servers(stack)
        for number in range(reps):
            for point in wanted:
                if point.failed is None and time.monotonic() < deadline:
                    await attempt(servers, point, f"-{point.series}-{point.value}-{number}")
        versions = await describe.versions(servers.settings(), servers.own_kafka)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe.machine(),
        "versions": versions,
        "points": [asdict(point) for point in wanted],
    }


@dataclass(frozen=True, slots=True)
class Run:
    """From the first event sent until the merged table holds all."""

    whole_seconds: float
    whole_cpu_seconds: float
    whole_servers_cpu_seconds: float
    whole_others_cpu_seconds: float
    peak_rss_mb: float


async def attempt(servers: Servers, point: Point, part: str) -> None:
    """Takes a point once, and says how it went."""
    settings = servers.settings(part)
    produced = Produced(Counter())
    workers = [Worker(settings, servers.folder, f"worker{part}-{number}") for number in range(point.workers)]
    try:
        made = list(batches(backlog(point.mix, int(time.time() * 1000), produced)))
        await create_topics(settings, point.mix.partitions)
        await asyncio.gather(*(asyncio.to_thread(worker.start) for worker in workers))
        await asyncio.sleep(SETTLED_S)
        async with asyncio.timeout(RUN_LIMIT_S):
            one = await _run(settings, servers, workers, made)
        redis = connect(settings)
        await compare(redis, settings, produced)
        await redis.aclose()
    except (Failed, StartFailed, TimeoutError) as error:
        point.failed = str(error) or f"not done within {RUN_LIMIT_S:g} s"
        say(f"  {point.series} {point.value:,}: failed: {point.failed}")
        return
    finally:
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))
        await servers.forget(part)
    point.runs.append(one)
    point.bytes_an_event = round(produced.bytes / point.mix.events, 1)
    point.cells = await _cells(settings)
    say(
        f"  {point.series} {point.value:,}: {one.whole_cpu_seconds / point.mix.events * 1e6:.1f} µs an event, broker and store "
        f"{one.whole_servers_cpu_seconds / point.mix.events * 1e6:.1f}; {point.mix.events / one.whole_seconds:,.0f} events/s, "
        f"{point.cells:,.0f} cells a row, {one.peak_rss_mb:.0f} MB"
    )


async def _run(
    settings: Settings, servers: Servers, workers: list[Worker], made: list[tuple[int, BatchBuilder]]
) -> Run:
    """Raises Failed."""

    def spent_s() -> tuple[float, float, float]:
        return sum(cpu_s(worker.pid) for worker in workers), sum(map(cpu_s, servers.pids)), machine_s()

    topic = settings.names.events("payments")
    log = (await topic_logs(servers.kafka, [topic]))[topic]
    redis = connect(settings)
    try:
        before, began = spent_s(), time.perf_counter()
        ends = await send(servers.kafka, topic, made)
        sources = {Source(topic, log.topic_id, partition): end for partition, end in ends.items()}
        while await folded(redis, settings, sources) < sum(ends.values()):
            await asyncio.sleep(LOOK_EVERY_S)
            for worker in workers:
                if not worker.running:
                    raise Failed(f"the {worker.name} {worker.ending}: {worker.output[-2000:]}")
        seconds = await merged(redis, settings, sources) - began
        own, served, machine = (now - then for now, then in zip(spent_s(), before, strict=True))
    finally:
        await redis.aclose()
    peak = sum(peak_mb(worker.pid) for worker in workers)
    return Run(*(round(one, 3) for one in (seconds, own, served, max(machine - own - served, 0.0), peak)))


async def _cells(settings: Settings) -> float:
    """In the fullest 10 s row, all tables of payments together."""
    redis, found = connect(settings), Counter[int]()
    try:
        for table in ("payments", "payment_cohorts", "merchants"):
            async for rows in TableStore(redis, settings.names).chunks(table, "10s"):
                for start, cells in rows.items():
                    found[start] += len(cells)
    finally:
        await redis.aclose()
    return max(found.values(), default=0)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=(__doc__ or "").partition("\n")[0])
    series = list(report.SERIES)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=float, help="events a second when the backlog grew (3333; 10000 where cells are varied)")
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0, help="after which no further run begins (5)")
    parser.add_argument("--only", default=",".join(series), help=f"of {','.join(series)}")
    parser.add_argument("--json", type=Path, default=report.CACHE / "cost.json", help="where the figures go")
    given = parser.parse_args()
    chosen = given.only.split(",")
    unknown = set(chosen) - set(series)
    if unknown:
        parser.error(f"no series {', '.join(sorted(unknown))}; there are {', '.join(series)}")
    if min(given.events, given.reps) < 1:
        parser.error("--events and --reps are 1 or more")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has no leader yet, and it asks again
    try:
        result = asyncio.run(run(points(given.events, given.rate, chosen), given.reps, given.minutes * 60))
    except NoKafka as error:
        print(f"bench.cost: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    only = "" if len(chosen) == len(series) else f" --only {given.only}"
    rate = "" if given.rate is None else f" --rate {given.rate:g}"
    result = {"command": f"python -m bench.cost --events {given.events} --reps {given.reps}{rate}{only}"} | result
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.cost(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
