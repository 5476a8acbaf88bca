"""How fast one worker folds a backlog: a real broker, a real store, `tillwatch worker` as it is shipped.

    python -m bench.measure [--events N] [--broker kafka|embedded] [--partitions N] [--repetitions N] [--parts PARTS] [--json]

The topic of payments is filled once with a few minutes of traffic. Each repetition empties the store, starts one
worker and watches the positions in the store until the end of the log is written; then the merged table of payments must
hold just what was produced. The rate is that from when the worker took its first partition until the merged table held it all;
what lies between the first flush that was seen and the last is told beside it, and flatters: the first is seen when most of the
next has been folded. Memory and CPU are the worker's own, as the kernel tells them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata
from pydantic import SecretStr
from redis.asyncio import Redis

from local.broker import EmbeddedBroker
from local.cast import CURRENCIES, DECLINES, MERCHANTS, METHODS, METHODS_OF, PRICES, PROVIDERS
from local.store import EmbeddedStore
from rollups.tables import TableStore
from runtime.kafka import create_topics, topic_logs
from runtime.names import Source
from runtime.redis import connect
from runtime.settings import Settings
from schemas.heartbeat import heartbeat
from schemas.time import rfc3339
from tests.support.kafka import start_kafka
from tests.support.worker import Worker

LOOK_EVERY_S = 0.05
FILL_LIMIT_S = 300.0
REPETITION_LIMIT_S = 180.0
MERGED_LIMIT_S = 30.0
BATCH_BYTES = 16_384
"""What a Kafka client puts into one batch unless told otherwise."""
IN_FLIGHT = 64
BEAT_EVERY_MS = 5_000
PROFILES = 8_192
HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
Parts = Literal["one", "apart", "alone"]
RUNNING: dict[Parts, tuple[Literal["measure", "evaluate"] | None, ...]] = {
    "one": (None,),
    "apart": ("measure", "evaluate"),
    "alone": ("measure",),
}
"""What runs while the clock does: the parts of the worker, each in a process of its own; None: all of them in one."""


class Failed(RuntimeError):
    """A repetition that gives no figure; the text says why."""


# --- the backlog ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mix:
    """What the backlog is made of.

    rate: events a second when it grew; repeats: share of events that come a second time soon after; heartbeats: whether
    workers ran meanwhile; merchants: how many there are, all of them as busy (0: forty, by Zipf's law); extra_bytes: of a
    field that Tillwatch does not know (0: there is none).
    """

    events: int
    partitions: int
    rate: float
    heartbeats: bool
    repeats: float
    merchants: int = 0
    extra_bytes: int = 0
    seed: int = 1


@dataclass(slots=True)
class Produced:
    """What the table of payments must hold."""

    outcomes: Counter[str]
    amount: int = 0
    bytes: int = 0


def backlog(mix: Mix, end_ms: int, produced: Produced) -> Iterator[tuple[int, bytes | None, bytes]]:
    """(partition, key, value), in the order in which they would have come; `produced` is counted up."""
    rng = random.Random(mix.seed)
    merchants = [f"m{number:06d}" for number in range(mix.merchants)]
    people = [_profile(rng, merchant) for merchant in merchants] or [_profile(rng) for _ in range(PROFILES)]
    basket = "".join(f"2 x course {number:05d} at 399.00; " for number in range(mix.extra_bytes // 24 + 1))
    extra = f',"basket":"{basket[: mix.extra_bytes]}"' if mix.extra_bytes else ""
    declines, faults = [DECLINES.draw(rng) for _ in range(64)], ("issuer_timeout", "gateway_error", "connection_reset")
    span_ms = int(mix.events / mix.rate * 1000)
    start_ms = end_ms - span_ms
    beat_ms = start_ms
    for number in range(mix.events):
        now_ms = start_ms + number * span_ms // mix.events
        if mix.heartbeats and now_ms - beat_ms >= BEAT_EVERY_MS:
            beat_ms = now_ms
            for partition in range(mix.partitions):
                yield partition, None, heartbeat("/tillwatch/worker", now_ms)
        ms = now_ms - rng.randrange(400)  # on its way for a moment, so a little out of order
        data, latency_ms = people[rng.randrange(len(people))]
        lot = rng.random()
        verb = "initiated" if lot < 0.20 else "succeeded" if lot < 0.88 else "refunded" if lot < 0.89 else "failed"
        more = extra
        if verb != "initiated":
            more += f',"latency_ms":{latency_ms},"initiated_at":"{rfc3339(ms - latency_ms)}"'
        if verb == "failed":
            fault, reason = ("business", declines[number % 64]) if lot < 0.99 else ("technical", faults[number % 3])
            more += f',"fault":"{fault}","reason":"{reason}"'
        hexes = f"{rng.getrandbits(128):032x}"
        event_id = f"{hexes[:8]}-{hexes[8:12]}-{hexes[12:16]}-{hexes[16:20]}-{hexes[20:]}"
        transaction = f"tx_{number:09d}"
        value = (
            f'{{"specversion":"1.0","id":"{event_id}","source":"/checkout/za-{number % 4}","type":"payment.{verb}",'
            f'"time":"{rfc3339(ms)}","subject":"{transaction}","data":{{"transaction_id":"{transaction}",{data}{more}}}}}'
        ).encode()
        produced.outcomes[verb] += 1
        produced.amount += int(data[data.index('"amount":') + 9 : data.index(',"currency"')])
        produced.bytes += len(value)
        partition = rng.randrange(mix.partitions)
        yield partition, transaction.encode(), value
        if mix.repeats and rng.random() < mix.repeats:
            yield partition, transaction.encode(), value


def _profile(rng: random.Random, merchant: str | None = None) -> tuple[str, int]:
    """The fields of a payment that repeat, as JSON, and how long it took. `merchant`: None draws one."""
    provider = PROVIDERS.draw(rng)
    method = METHODS_OF[provider].draw(rng)
    latency_ms = int(METHODS[method].latency_ms * rng.lognormvariate(0, METHODS[method].spread))
    fields = f'"provider":"{provider}","method":"{method}","merchant":"{merchant or MERCHANTS.draw(rng)}"'
    return f'{fields},"amount":{PRICES.draw(rng)},"currency":"{CURRENCIES.draw(rng)}"', latency_ms


async def fill(kafka: str, topic: str, records: Iterable[tuple[int, bytes | None, bytes]]) -> dict[int, int]:
    """Writes (partition, key, value) to a topic; returns the offset after the last one in each partition."""
    return await send(kafka, topic, batches(records))


def batches(records: Iterable[tuple[int, bytes | None, bytes]]) -> Iterator[tuple[int, BatchBuilder]]:
    """(partition, batch) of records as `fill` takes them."""
    filling: dict[int, BatchBuilder] = {}
    for partition, key, value in records:
        while True:
            batch = filling.setdefault(partition, BatchBuilder(BATCH_BYTES, 0))
            if batch.append(key=key, value=value, timestamp=None, headers=HEADERS) is not None:
                break
            yield partition, filling.pop(partition)
    yield from filling.items()


async def send(kafka: str, topic: str, made: Iterable[tuple[int, BatchBuilder]]) -> dict[int, int]:
    """Writes batches; returns as `fill` does, when all are acknowledged."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks=1)
    await producer.start()
    room = asyncio.Semaphore(IN_FLIGHT)
    ends = Counter[int]()

    async def acknowledged(partition: int, batch: BatchBuilder, future: asyncio.Future[RecordMetadata]) -> None:
        try:
            ends[partition] = max(ends[partition], (await future).offset + batch.record_count())
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as sending:
            for partition, batch in made:
                await room.acquire()
                future = await producer.send_batch(batch, topic, partition=partition)
                sending.create_task(acknowledged(partition, batch, future))
    finally:
        await producer.stop()
    return dict(ends)


# --- one repetition ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one repetition. `events`: those between the first flush that was seen and the last; none where one held all."""

    events: int
    seconds: float
    events_a_second: float
    cpu_seconds: float
    events_a_cpu_second: float
    servers_cpu_seconds: float
    others_cpu_seconds: float
    """Of every other process of the machine meanwhile, this one included: a figure taken on a busy machine says so."""
    peak_rss_mb: float
    from_start_s: float
    """From starting the process to the last flush."""
    merged_after_s: float
    """From the last flush until the merged table held everything."""
    whole_seconds: float
    """From when a worker took its first partition, so with all of the events, until the merged table held everything, or
    measure alone had written it."""
    whole_cpu_seconds: float
    whole_servers_cpu_seconds: float
    whole_others_cpu_seconds: float


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def machine_s() -> float:
    """CPU time that was spent by anyone."""
    fields = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) * _TICK_S  # all but idle and waiting


def peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def repetition(
    settings: Settings,
    workers: Sequence[Worker],
    servers: list[int],
    produced: Produced,
    ends: dict[int, int],
    then: Worker | None = None,
) -> Figures:
    """Empties the store, starts the workers, and watches them to the end. `then`: who merges what these have written, after the
    clock was stopped. Raises Failed."""

    def spent_s() -> float:
        return sum(cpu_s(worker.pid) for worker in workers if worker.running)

    redis = connect(settings)
    try:
        await redis.flushall()
        topic = settings.names.events("payments")
        log = (await topic_logs(settings.kafka or "", [topic]))[topic]
        sources = {Source(topic, log.topic_id, partition): end for partition, end in ends.items()}
        started = time.perf_counter()
        async with asyncio.timeout(REPETITION_LIMIT_S):
            starting = asyncio.gather(*(asyncio.to_thread(worker.start) for worker in workers))
            first = last = (0, 0.0, 0.0, 0.0, 0.0)
            taken: tuple[float, float, float, float] | None = None
            while first[0] == 0 or last[0] < sum(ends.values()):
                await asyncio.sleep(LOOK_EVERY_S)
                if taken is None and any([await redis.exists(settings.names.source_state(source)) for source in sources]):
                    taken = time.perf_counter(), spent_s(), sum(map(cpu_s, servers)), machine_s()
                for worker in workers:
                    if starting.done() and not worker.running:
                        raise Failed(f"the {worker.name} {worker.ending}: {worker.output[-2000:]}")
                done = await folded(redis, settings, sources)
                if done > last[0]:
                    last = (done, time.perf_counter(), spent_s(), sum(map(cpu_s, servers)), machine_s())
                    first = first if first[0] else last
            await starting
            assert taken is not None, "a flush writes below what was taken"
            if then is not None:
                await asyncio.to_thread(then.start)
            merged_at = await merged(redis, settings, sources)
            end = (merged_at, spent_s(), sum(map(cpu_s, servers)), machine_s()) if then is None else last[1:]
            whole, whole_cpu, whole_served, whole_machine = (at - began for at, began in zip(end, taken, strict=True))
        await compare(redis, settings, produced)
        events, seconds, cpu, served, machine = (last[n] - first[n] for n in range(5))
        return Figures(
            events=int(events),
            seconds=round(seconds, 3),
            events_a_second=round(events / seconds) if events else 0,
            cpu_seconds=round(cpu, 2),
            events_a_cpu_second=round(events / cpu) if cpu else 0,
            servers_cpu_seconds=round(served, 2),
            others_cpu_seconds=round(max(machine - cpu - served, 0.0), 2),
            peak_rss_mb=round(sum(peak_mb(worker.pid) for worker in workers), 1),
            from_start_s=round(last[1] - started, 2),
            merged_after_s=round(merged_at - last[1], 2),
            whole_seconds=round(whole, 2),
            whole_cpu_seconds=round(whole_cpu, 2),
            whole_servers_cpu_seconds=round(whole_served, 2),
            whole_others_cpu_seconds=round(max(whole_machine - whole_cpu - whole_served, 0.0), 2),
        )
    except TimeoutError:
        raise Failed(f"not done within {REPETITION_LIMIT_S:g} s: {workers[0].output[-2000:]}") from None
    finally:
        await redis.aclose()
        await asyncio.gather(*(asyncio.to_thread(one.stop) for one in (*workers, then) if one is not None))


async def folded(redis: Redis, settings: Settings, sources: dict[Source, int]) -> int:
    """Records before the positions that are written, up to the end of what was produced."""
    async with redis.pipeline(transaction=False) as asked:
        for source in sources:
            asked.hget(settings.names.source_state(source), "next")
        answers = await asked.execute()
    return sum(min(int(answer or 0), end) for answer, end in zip(answers, sources.values(), strict=True))


async def merged(redis: Redis, settings: Settings, sources: dict[Source, int]) -> float:
    """When the merged tables contain all of it."""
    store = TableStore(redis, settings.names)
    deadline = time.perf_counter() + MERGED_LIMIT_S
    while time.perf_counter() < deadline:
        offsets = await store.merged_offsets("payments")
        if all(offsets.get(str(source), 0) >= end for source, end in sources.items()):
            return time.perf_counter()
        await asyncio.sleep(LOOK_EVERY_S)
    raise Failed(f"not merged within {MERGED_LIMIT_S:g} s")


async def compare(redis: Redis, settings: Settings, produced: Produced) -> None:
    """Raises Failed unless the merged table of payments holds what was produced, no more and no less."""
    outcomes, amount = Counter[str](), 0
    async for rows in TableStore(redis, settings.names).chunks("payments", "10s"):
        for cells in rows.values():
            for key, cell in cells.items():
                outcomes[str(key[0])] += cell.count
                amount += cell.stats[0].total
    if (outcomes, amount) != (produced.outcomes, produced.amount):
        raise Failed(
            f"the table holds {dict(outcomes)}, {amount}; produced: {dict(produced.outcomes)}, {produced.amount}"
        )


# --- the whole --------------------------------------------------------------------------------------------------------


async def run(mix: Mix, broker: str, repetitions: int, say: bool, parts: Parts = "one") -> dict[str, object]:
    """Starts the servers, measures, and stops them."""

    def tell(sentence: str) -> None:
        if say:
            print(sentence, flush=True)

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-bench-")))
        store = stack.enter_context(EmbeddedStore(None, folder))
        servers = [store.pid]
        if broker == "embedded":
            embedded = stack.enter_context(EmbeddedBroker(None, folder))
            bootstrap = embedded.bootstrap
            servers.append(embedded.pid)
        else:
            kafka = start_kafka(folder / "kafka")
            stack.callback(kafka.stop)
            bootstrap = kafka.bootstrap
            servers += [pid for pid in (getattr(kafka, "pid", None),) if isinstance(pid, int)]
        settings = Settings(kafka=bootstrap, redis=SecretStr(store.url), namespace="bench", data=folder / "data")
        await create_topics(settings, mix.partitions)
        before = time.perf_counter()
        async with asyncio.timeout(FILL_LIMIT_S):
            produced = Produced(Counter())
            records = backlog(mix, int(time.time() * 1000), produced)
            ends = await fill(bootstrap, settings.names.events("payments"), records)
        size = produced.bytes / sum(produced.outcomes.values())
        tell(
            f"{broker}: {sum(ends.values()):,} records in {mix.partitions} partitions, {size:.0f} bytes an event, "
            f"produced in {time.perf_counter() - before:.0f} s"
        )
        results = []
        for number in range(1, repetitions + 1):
            workers = [Worker(settings, folder, f"worker-{number}-{only}", only=only) for only in RUNNING[parts]]
            then = Worker(settings, folder, f"worker-{number}-then", only="evaluate") if parts == "alone" else None
            one = await repetition(settings, workers, servers, produced, ends, then)
            results.append(one)
            tell(
                f"  {number}: {sum(ends.values()) / one.whole_seconds:>7,.0f} events/s, "
                f"{sum(ends.values()) / one.whole_cpu_seconds:>7,.0f} per CPU-second, "
                f"{one.whole_seconds:.1f} s ({one.whole_cpu_seconds:.1f} CPU, servers {one.whole_servers_cpu_seconds:.1f}, "
                f"others {one.whole_others_cpu_seconds:.1f}), {one.peak_rss_mb:.0f} MB; {one.from_start_s:.1f} s from start; "
                f"between the first flush and the last {one.events_a_second:,} events/s"
            )
    rates = [round(sum(ends.values()) / one.whole_seconds) for one in results]
    per_cpu = [round(sum(ends.values()) / one.whole_cpu_seconds) for one in results]
    tell(
        f"median {statistics.median(rates):,.0f} events/s (least {min(rates):,}, most {max(rates):,}); "
        f"per CPU-second {statistics.median(per_cpu):,.0f}; peak {max(one.peak_rss_mb for one in results):.0f} MB"
    )
    return {
        "broker": broker,
        "parts": parts,
        "mix": asdict(mix),
        "bytes_an_event": round(size, 1),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "median": statistics.median(rates),
        "min": min(rates),
        "max": max(rates),
        "median_a_cpu_second": statistics.median(per_cpu),
        "repetitions": [asdict(one) for one in results],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.measure", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3_333.0, help="events a second when the backlog grew (3333)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--repeats", type=float, default=0.001, help="share of events that come twice (0.001)")
    parser.add_argument("--no-heartbeats", action="store_true", help="as if no worker had run while the backlog grew")
    parser.add_argument(
        "--parts",
        choices=RUNNING,
        default="one",
        help="measure and evaluate in one process, as is usual; apart: each in one of its own, CPU time is that of both; "
        "alone: measure alone, until it has written everything, which is merged and compared after that",
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    mix = Mix(given.events, given.partitions, given.rate, not given.no_heartbeats, given.repeats)
    try:
        result = asyncio.run(run(mix, given.broker, given.repetitions, not given.json, given.parts))
    except Failed as error:
        print(f"bench.measure: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    if given.json:
        print(msgspec.json.format(json.dumps(result)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
