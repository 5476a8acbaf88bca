"""While events come in: how soon an event is an alert under load, and how long a worker that dies is missed.

    python -m bench.live [--rates 20 1000] [--trials N] [--ways takeover restart stop] [--rounds N] [--json FILE]

Latency is that of `bench.latency`. Recovery: payments come in at a steady rate; a worker is killed, and the clock runs until
the merged table holds every payment that the broker had when it died. `takeover`: one of two is killed, and the other takes
its partitions once its session is over; `restart`: the only one is killed and started again at once; `stop`: one of two is
told to end. In the end the merged table must hold just what was produced, or there is no figure.
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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer

from bench import describe, latency, report
from bench.measure import Failed
from bench.report import WAYS
from bench.servers import Servers, start_servers
from local.process import StartFailed
from rollups.tables import TableStore
from runtime.kafka import create_topics, topic_logs
from runtime.names import Source
from runtime.redis import connect
from schemas.time import rfc3339
from tests.support.events import encoded, succeeded
from tests.support.kafka import NoKafka
from tests.support.worker import Worker

RATE = 500.0
"""Payments a second meanwhile."""
PARTITIONS = 8
SETTLED_S = 3.0
"""So long everything runs undisturbed before a worker dies."""
LOOK_EVERY_S = 0.02
RECOVERED_WITHIN_S = 60.0


@dataclass(slots=True)
class Stream:
    """Payments that come in at a steady rate. ends: what the broker has acknowledged, by partition."""

    kafka: str
    topic: str
    ends: dict[int, int] = field(default_factory=dict)
    produced: int = 0

    async def run(self) -> None:
        """Until it is cancelled; then everything is acknowledged."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=5)
        await producer.start()
        began, pending = time.perf_counter(), set[asyncio.Future[object]]()
        try:
            while True:
                await asyncio.sleep(0.01)
                while self.produced < (time.perf_counter() - began) * RATE:
                    now = time.time()
                    payment = succeeded(now, initiated_at=rfc3339(int(now * 1000) - 900))
                    future = await producer.send(self.topic, encoded(payment), key=str(self.produced).encode())
                    self.produced += 1
                    pending.add(future)
                    future.add_done_callback(pending.discard)
                    future.add_done_callback(self._acknowledged)
        finally:
            await asyncio.gather(*pending)
            await producer.stop()

    def _acknowledged(self, future: asyncio.Future[object]) -> None:
        told = future.result()
        self.ends[told.partition] = max(self.ends.get(told.partition, 0), told.offset + 1)  # type: ignore[attr-defined]


async def recovery(servers: Servers, way: str, rounds: int) -> list[float]:
    """Seconds from each death until everything up to it is in the merged table. Raises Failed."""
    settings = servers.settings(f"-{way}")
    topic = settings.names.events("payments")
    await create_topics(settings, PARTITIONS)
    log = (await topic_logs(servers.kafka, [topic]))[topic]
    stream = Stream(servers.kafka, topic)
    workers = [Worker(settings, servers.folder, f"{way}-{number}") for number in range(1 if way == "restart" else 2)]
    redis = connect(settings)
    store = TableStore(redis, settings.names)

    async def caught_up(ends: dict[int, int]) -> float:
        """When the merged table held all of that."""
        deadline = time.perf_counter() + RECOVERED_WITHIN_S
        while time.perf_counter() < deadline:
            held = await store.merged_offsets("payments")
            if all(held.get(str(Source(topic, log.topic_id, partition)), 0) >= end for partition, end in ends.items()):
                return time.perf_counter()
            await asyncio.sleep(LOOK_EVERY_S)
        raise Failed(f"not caught up within {RECOVERED_WITHIN_S:g} s: {workers[-1].output[-1000:]}")

    found = []
    load = asyncio.create_task(stream.run())
    try:
        await asyncio.gather(*(asyncio.to_thread(worker.start) for worker in workers))
        for number in range(rounds):
            await caught_up(dict(stream.ends))
            await asyncio.sleep(SETTLED_S)
            worker, ends = workers[number % len(workers)], dict(stream.ends)
            died = time.perf_counter()
            if way == "stop":
                worker.terminate()
            else:
                await asyncio.to_thread(worker.kill)
            if way == "restart":
                recovered, _ = await asyncio.gather(caught_up(ends), asyncio.to_thread(worker.start))
            else:
                recovered = await caught_up(ends)
                await asyncio.to_thread(worker.restart)
            found.append(recovered - died)
            say(f"  {way}: {found[-1]:.2f} s")
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        await caught_up(stream.ends)
        await _compare(store, stream.produced)
        return found
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))
        await redis.aclose()


async def _compare(store: TableStore, produced: int) -> None:
    """Raises Failed unless the merged table of payments holds so many."""
    found = Counter[str]()
    async for rows in store.chunks("payments", "10s"):
        for cells in rows.values():
            for key, cell in cells.items():
                found[str(key[0])] += cell.count
    if found != {"succeeded": produced}:
        raise Failed(f"the table holds {dict(found)}; produced: {produced}")


async def recoveries(ways: list[str], rounds: int) -> dict[str, object]:
    """Starts the servers, tries each way, and stops all."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    found: list[dict[str, object]] = []
    async with AsyncExitStack() as stack:
        servers = await start_servers(stack)
        for way in ways:
            try:
                seconds, failed = await recovery(servers, way, rounds), None
            except (Failed, StartFailed) as error:
                seconds, failed = [], str(error)
                say(f"  {way}: failed: {error}")
            found.append({"way": way, "seconds": [round(one, 3) for one in seconds], "failed": failed})
        return {"recovery": found, "versions": await describe.versions(servers.settings(), servers.own_kafka)}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", nargs="*", type=float, default=[20.0, 1_000.0], help="payments a second (20 1000)")
    parser.add_argument("--trials", type=int, default=40, help="alerts that are waited for at each rate (40)")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS), help="in which a worker dies")
    parser.add_argument("--rounds", type=int, default=3, help="how often a worker dies in each way (3)")
    parser.add_argument("--json", type=Path, default=report.CACHE / "live.json", help="where the figures go")
    given = parser.parse_args()
    if given.trials < 2 or given.rounds < 1 or min(given.rates, default=1.0) <= 0:
        parser.error("--trials are 2 or more, --rounds 1 or more, --rates above 0")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has no leader yet, and it asks again
    latencies = []
    try:
        for rate in given.rates:
            one = latency.run("kafka", given.trials, rate)
            say(
                f"  beside {one['came_a_second']:,} payments/s: p50 {one['p50_ms']} ms, p95 {one['p95_ms']} ms, "
                f"p99 {one['p99_ms']} ms, most {one['max_ms']} ms; the worker took {one['worker_cores']} cores of "
                f"{one['machine_cores']} that were busy"
            )
            latencies.append(one)
        recovered = asyncio.run(recoveries(given.ways, given.rounds))
    except (NoKafka, TimeoutError) as error:
        print(f"bench.live: {error or 'an alert did not come'}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    result = {
        "command": f"python -m bench.live --rates {' '.join(f'{rate:g}' for rate in given.rates)} --trials {given.trials} "
        f"--ways {' '.join(given.ways)} --rounds {given.rounds}",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe.machine(),
        "latency": latencies,
        **recovered,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.live(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
