"""Figures for docs/guarantees.md: `python -m tests.faults.measure recovery|restart|zombie|outage|flood|merchants|lag`.

Each starts what it needs on the loopback interface, with the settings that ship unless it says otherwise, and tells its figures
as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import os
import random
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import SecretStr

from bench.measure import peak_mb
from bench.torrent import Torrent
from rollups.tables import TableStore
from runtime.kafka import EVENT_MESSAGE_BYTES, create_topics
from runtime.names import Source
from runtime.settings import Settings
from schemas.time import rfc3339
from tests.integration.tables import owned, redis_of, sent_beyond, written
from tests.support.crew import Crew
from tests.support.events import HEADERS, encoded, event, succeeded
from tests.support.kafka import KafkaServer, start_kafka
from tests.support.store import KillableStore
from tests.support.wait import eventually_async, pause
from tests.support.worker import Worker

PACK = 'probes: {told: {condition: "security_incidents > 0 in 10 seconds", by: [component], severity: low}}\n'
"""Its episodes end soon, so that there are never many of them: their number must not be what is measured."""
PARTITIONS = 8
PROBE_EVERY_S = 0.25
PROMPT_S = 2.0
"""An alert that comes within this of its event was not held up."""
CALM_PROBES, UNTOLD_PROBES = 20, 10
"""So many probes are looked at, and so many that were sent after them are not yet."""
RECOVERY_LIMIT_S = 90.0
TICK_S = 0.05
POOL = 2_000
FLOOD_RATE, AHEAD = 200_000.0, 300_000
"""More a second than any worker folds, but never so many ahead of it that retention takes what it has not read."""
CAUGHT_UP_LIMIT_S = 300.0
CURVE_S = 30

Figures = dict[str, Any]


# --- an installation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """A broker, a store and an installation on them, with workers to be hired."""

    broker: KafkaServer
    store: KillableStore
    settings: Settings
    crew: Crew


@contextlib.asynccontextmanager
async def ground(folder: Path, broker: KafkaServer, **changes: object) -> AsyncIterator[Ground]:
    """What is left running is ended, but for the broker."""
    rules = folder / "rules"
    rules.mkdir(parents=True)
    (rules / "probes.yaml").write_text(PACK)
    store = KillableStore(folder / "store").start()
    settings = Settings(
        kafka=broker.bootstrap, redis=SecretStr(store.url), namespace=f"m{secrets.token_hex(4)}", data=folder, rules=rules
    ).model_copy(update=changes)
    crew = Crew(folder)
    try:
        await create_topics(settings, PARTITIONS)
        yield Ground(broker, store, settings, crew)
    finally:
        await asyncio.to_thread(crew.end)
        store.end()


def payments(rng: random.Random) -> Iterator[bytes]:
    """Payments of the present, some hundred bytes each, as fast as they are asked for."""
    pool = [
        succeeded(
            0.0, id="ID", merchant=f"m{rng.randint(1, 40)}", amount=rng.randint(100, 10**6), latency_ms=rng.randint(50, 3_000)
        )
        for _ in range(POOL)
    ]
    made = [encoded(one | {"time": "TIME"}).replace(b"tx-", b"tx-%d-" % at) for at, one in enumerate(pool)]
    for number in itertools.count():
        value = made[number % POOL]
        yield value.replace(b'"ID"', b'"p-%d"' % number).replace(b"TIME", rfc3339(int(time.time() * 1000)).encode())


class Load:
    """Payments at a rate, in the background. `sent`: how many."""

    def __init__(self, settings: Settings, rate: float) -> None:
        self._settings, self._rate = settings, rate
        self.sent = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        topic = self._settings.names.events("payments")
        producer = AIOKafkaProducer(bootstrap_servers=self._settings.kafka, acks=1, linger_ms=5)
        await producer.start()
        try:
            values, began = payments(random.Random(1)), time.monotonic()
            while True:
                due = int((time.monotonic() - began) * self._rate) - self.sent
                for _ in range(due):
                    await producer.send(topic, next(values), headers=HEADERS, partition=self.sent % PARTITIONS)
                    self.sent += 1
                await pause(TICK_S)
        finally:
            await producer.stop()


@dataclass(slots=True)
class Probe:
    """An event that must be told at once: when it was sent, and when its alert was on the topic; by the wall clock."""

    sent_s: float
    told_s: float | None = None

    def late(self, now: float) -> bool:
        return (now if self.told_s is None else self.told_s) - self.sent_s > PROMPT_S


@dataclass(slots=True)
class Probes:
    """A probe every 250 ms, round the partitions, in the background."""

    settings: Settings
    all: list[Probe] = field(default_factory=list)
    _name: str = field(default_factory=lambda: f"probe-{secrets.token_hex(3)}-")
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Probes:
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self) -> None:
        topic = self.settings.names.events("security")
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka, acks=1)
        await producer.start()
        try:
            while True:
                number = len(self.all)
                one = event("security.incident", time.time(), component=f"{self._name}{number}")
                self.all.append(Probe(time.time()))
                await producer.send(topic, encoded(one), headers=HEADERS, partition=number % PARTITIONS)
                await pause(PROBE_EVERY_S)
        finally:
            await producer.stop()

    async def _listen(self) -> None:
        tp = TopicPartition(self.settings.names.alerts, 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka, fetch_max_wait_ms=50)
        await consumer.start()
        try:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            while True:
                for record in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                    component: str = json.loads(record.value)["data"]["group"]["component"]
                    if component.startswith(self._name):
                        probe = self.all[int(component.removeprefix(self._name))]
                        probe.told_s = record.timestamp / 1000 if probe.told_s is None else probe.told_s
        finally:
            await consumer.stop()

    def calm(self) -> bool:
        """Whether each of the latest probes was told in time."""
        now = time.time()
        some = self.all[-CALM_PROBES - UNTOLD_PROBES : -UNTOLD_PROBES]
        return len(some) == CALM_PROBES and not any(one.told_s is None or one.late(now) for one in some)

    def held_up_until(self, since: float) -> float:
        """When the last probe was told that was held up, of those that were sent from a moment on; that moment if none was."""
        now = time.time()
        held_up = (one for one in self.all if one.sent_s >= since - PROMPT_S and one.late(now))
        return max((now if one.told_s is None else one.told_s for one in held_up), default=since)


async def statuses(settings: Settings) -> dict[int, dict[str, Any]]:
    """What each worker says of itself, by its process id."""
    async with redis_of(settings) as redis:
        keys = [key async for key in redis.scan_iter(settings.names.worker("*"))]
        found = [json.loads(value) for value in await redis.mget(keys) if value] if keys else []
    return {one["pid"]: one for one in found}


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def spread(values: Sequence[float]) -> Figures:
    some = sorted(values)
    p95 = some[min(len(some) - 1, int(0.95 * len(some)))]
    return {"n": len(some), "p50": round(statistics.median(some), 1), "p95": round(p95, 1), "most": round(some[-1], 1)}


# --- how soon the survivors judge again -------------------------------------------------------------------------------


async def recovery(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """Seconds from kill -9 of one of three workers until no alert is held up any more, under load; the dead one comes back only
    after that."""
    rng = random.Random(given.seed)
    taken: list[dict[str, object]] = []
    async with ground(folder, broker) as place:
        workers = [place.crew.hire(place.settings) for _ in range(3)]
        await place.crew.begin(*workers)
        async with Load(place.settings, given.rate) as load, Probes(place.settings) as probes:
            for number in range(given.kills):
                await eventually_async(probes.calm, "alerts come in time", 120)
                await pause(rng.uniform(0, 3))
                victim = rng.choice(workers)
                led = bool((await statuses(place.settings)).get(victim.pid, {}).get("leader"))
                killed, sent = time.time(), load.sent
                os.kill(victim.pid, signal.SIGKILL)
                await pause((CALM_PROBES + UNTOLD_PROBES) * PROBE_EVERY_S)  # what is looked at then was sent since
                await eventually_async(probes.calm, "alerts come in time again", RECOVERY_LIMIT_S)
                seconds = probes.held_up_until(killed) - killed
                rate = (load.sent - sent) / (time.time() - killed)
                taken.append({"seconds": round(seconds, 2), "led": led, "rate": round(rate)})
                who = "the leader" if led else "not the leader"
                _tell(f"{number + 1} of {given.kills}: {seconds:.1f} s, {who}, {rate:,.0f}/s")
                victim.kill()
                await place.crew.begin(victim)
    all_of_them = [float(str(one["seconds"])) for one in taken]
    return {"seconds": spread(all_of_them), "session_timeout_s": place.settings.session_timeout, "kills": taken}


# --- how soon everything is there again -------------------------------------------------------------------------------


async def restart(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """Seconds from starting everything, after kill -9 of everything, until a new event is told: topics hold so many MB."""
    async with ground(folder, broker) as place:
        settings, values = place.settings, payments(random.Random(1))
        worker = place.crew.hire(settings)
        await place.crew.begin(worker)
        topic, ends, size, count = settings.names.events("payments"), dict[TopicPartition, int](), 0, 0
        began = time.monotonic()
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks=1, linger_ms=5, max_batch_size=65_536)
        await producer.start()
        while size < given.megabytes * 1e6:
            sent = []
            for value in itertools.islice(values, 4_000):
                sent.append(await producer.send(topic, value, headers=HEADERS, partition=count % PARTITIONS))
                size, count = size + len(value), count + 1
            for one in await asyncio.gather(*sent):
                ends[one.topic_partition] = max(ends.get(one.topic_partition, 0), one.offset + 1)
        await producer.stop()
        filled_s = time.monotonic() - began
        _tell(f"{size / 1e6:.0f} MB, {count:,} events in {filled_s:.0f} s")
        await written(settings, ends, 600)
        _tell(f"counted after {time.monotonic() - began:.0f} s")
        taken = []
        for number in range(given.repetitions):
            await pause(given.rest)
            worker.kill()
            place.store.kill()
            await asyncio.to_thread(broker.kill)
            started = time.time()
            await asyncio.gather(asyncio.to_thread(place.store.start), asyncio.to_thread(broker.start))
            servers_s = time.time() - started
            starting = asyncio.create_task(asyncio.to_thread(worker.start))
            async with Probes(settings) as probes:
                await eventually_async(lambda: any(one.told_s for one in probes.all), "something is told", 180)
                told = min(one.told_s for one in probes.all if one.told_s) - started
                await starting
            taken.append({"told_s": round(told, 1), "servers_s": round(servers_s, 1)})
            _tell(f"{number + 1}: told {told:.1f} s after the start, the servers were there after {servers_s:.1f} s")
        held = sum([sum(cell.count for cell in cells.values()) for cells in (await _payments(settings)).values()])
    return {
        "megabytes": round(size / 1e6),
        "events": count,
        "filled_s": round(filled_s),
        "restarts": taken,
        "rest_s": given.rest,
        "exact": held == count,
    }


async def _payments(settings: Settings) -> Any:
    async with redis_of(settings) as redis:
        return await TableStore(redis, settings.names).read("payments", "1h")


# --- the zombie -------------------------------------------------------------------------------------------------------


async def zombie(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """A worker is stopped for much longer than its session lasts, while it has events that it has not written, and wakes up:
    what it writes then, and when it is at work again."""
    async with ground(folder, broker, session_timeout=given.session) as place:
        settings = place.settings
        sleeper, other = place.crew.hire(settings), place.crew.hire(settings)
        await place.crew.begin(sleeper, other)
        async with Load(settings, given.rate) as load:
            await eventually_async(lambda: _shared(settings, sleeper, other), "both have partitions", 60)
            await pause(2.0)
            sleeper.freeze()
            before = await owned(settings)
            mine = {f"{one['topic']}/{one['partition']}" for one in (await statuses(settings))[sleeper.pid]["partitions"]}
            held = {source: state for source, state in before.items() if _short(source) in mine}
            await pause(given.frozen)
            after = await owned(settings)
            taken = sum(after[source][0] != token for source, (token, _) in held.items())
            known = {token for states in (before, after) for token, _ in states.values()}
            _tell(f"it owned {len(held)} partitions; {taken} have another owner now")
            woken = time.time()
            sleeper.thaw()
            again, written_by_it = None, 0
            while time.time() - woken < given.watched:
                last = await owned(settings)
                written_by_it += sum(last[source][0] == token for source, (token, _) in held.items())
                if again is None and {token for token, _ in last.values()} - known:
                    again = time.time() - woken  # somebody has taken partitions anew, and the other one keeps what it has
                await pause(0.02)
            sent = load.sent
        partials = await sent_beyond(settings, held)
        alive = sleeper.running
        await eventually_async(lambda: _counted(settings, sent), "the totals are exact", 120)
        told = [line for line in sleeper.output.splitlines() if "refused" in line or "revoked before" in line]
    return {
        "frozen_s": given.frozen,
        "session_timeout_s": given.session,
        "partitions_owned": len(held),
        "taken_over": taken,
        "writes_after_waking": written_by_it,
        "partials_beyond_what_it_had_written": partials,
        "alive": alive,
        "works_again_after_s": None if again is None else round(again, 1),
        "it_said": [line[26:160] for line in told[-3:]],
        "exact": True,
    }


async def _shared(settings: Settings, *workers: Worker) -> bool:
    found = await statuses(settings)
    return all(found.get(one.pid, {}).get("partitions") for one in workers)


async def _counted(settings: Settings, wanted: int) -> bool:
    rows = await _payments(settings)
    found = sum(cell.count for cells in rows.values() for cell in cells.values())
    assert found == wanted, f"{found} of {wanted}"
    return True


def _short(source: str) -> str:
    topic, _, partition = source.rsplit("/", 2)
    return f"{topic}/{partition}"


# --- what stays within bounds -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process in MB, about each second: (seconds since the first look, size)."""

    sizes: list[tuple[float, float]]

    def figures(self) -> Figures:
        """`slope`: of the straight line through the second half."""
        half = self.sizes[len(self.sizes) // 2 :]
        slope = statistics.linear_regression(*zip(*half, strict=True)).slope * 60 if len(half) > 1 else 0.0
        each = itertools.groupby(self.sizes, key=lambda one: one[0] // CURVE_S)
        return {
            "first_mb": round(self.sizes[0][1]),
            "most_mb": round(max(size for _, size in self.sizes)),
            "last_mb": round(self.sizes[-1][1]),
            "slope_mb_a_minute": round(slope, 2),
            "each_half_minute_mb": [round(next(some)[1]) for _, some in each],
        }


async def watched(seconds: float, look: Callable[[], Awaitable[None]] | None = None, **pids: int) -> dict[str, Memory]:
    """Memory of some processes for so long. `look`: called each second as well."""
    found = {name: Memory([]) for name in pids}
    began = told = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        for name, pid in pids.items():
            found[name].sizes.append((now - began, rss_mb(pid)))
        if now - told >= 60:
            told = now
            _tell(", ".join(f"{name} {one.sizes[-1][1]:.0f} MB" for name, one in found.items()))
        if look is not None:
            await look()
        await pause(1)
    return found


async def outage(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """Memory of a worker while the store is away and events go on coming, and how long it takes to catch up."""
    async with ground(folder, broker) as place:
        settings = place.settings
        worker = await place.crew.start(settings)
        async with Torrent(broker.bootstrap, settings.names.events("payments"), PARTITIONS, given.rate) as torrent:
            before = (await watched(given.warm, worker=worker.pid))["worker"]
            counted = torrent.sent
            place.store.kill()
            away = (await watched(given.away, worker=worker.pid))["worker"]
            await asyncio.to_thread(place.store.start)
        back, waiting = time.monotonic(), torrent.sent - counted
        await _caught_up(settings, torrent.ends)
        caught_up_s = time.monotonic() - back
        await _counted(settings, torrent.sent)
        return {
            "rate": given.rate,
            "away_s": given.away,
            "before": before.figures(),
            "away": away.figures(),
            "waiting": waiting,
            "caught_up_s": round(caught_up_s, 1),
            "most_mb": round(peak_mb(worker.pid)),
            "exact": True,
            "alive": worker.running,
        }


async def flood(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """Memory of a worker and of the store while there is always more to fold than the worker can. The topic keeps little."""
    async with ground(folder, broker) as place:
        settings = place.settings
        topic = settings.names.events("payments")
        await keep_little(broker, topic)
        with place.store.client() as client:  # its file is written anew now and then, as where it ships
            client.config_set("auto-aof-rewrite-percentage", "100")
        worker = await place.crew.start(settings)
        torrent = Torrent(broker.bootstrap, topic, PARTITIONS, FLOOD_RATE, limit=AHEAD)

        async def raise_limit() -> None:
            told = (await statuses(settings)).get(worker.pid, {"partitions": []})
            torrent.limit = AHEAD + sum(one["next"] for one in told["partitions"] if one["topic"] == topic)

        async with torrent:
            began = time.monotonic()
            memory = await watched(given.flooded, raise_limit, worker=worker.pid, store=place.store.pid)
            seconds, sent = time.monotonic() - began, torrent.sent
        await _caught_up(settings, torrent.ends)
        await _counted(settings, torrent.sent)
        return {
            "seconds": round(seconds),
            "events": torrent.sent,
            "events_a_second": round(sent / seconds),
            **{name: one.figures() for name, one in memory.items()},
            "most_mb": round(peak_mb(worker.pid)),
            "exact": True,
            "alive": worker.running,
        }


async def _caught_up(settings: Settings, ends: Mapping[TopicPartition, int]) -> None:
    """Waits until the merged table of payments contains everything before these offsets."""
    async with redis_of(settings) as redis:

        async def check() -> bool:
            offsets = await TableStore(redis, settings.names).merged_offsets("payments")
            found = {(one.topic, one.partition): offset for name, offset in offsets.items() for one in [Source.parse(name)]}
            return all(found.get(tuple(tp), 0) >= end for tp, end in ends.items())

        await eventually_async(check, "the table of payments contains it", CAUGHT_UP_LIMIT_S)


async def keep_little(broker: KafkaServer, topic: str) -> None:
    """Lets a topic hold some tens of MB a partition, so that minutes of full load fit any disk."""
    kept = {"retention.bytes": 48 * 2**20, "segment.bytes": 16 * 2**20, "file.delete.delay.ms": 1_000}
    usual = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": EVENT_MESSAGE_BYTES}
    configs = {name: str(value) for name, value in (usual | kept).items()}
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    finally:
        await admin.close()


async def merchants(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """So many merchants in one bucket of five seconds."""
    async with ground(folder, broker) as place:
        worker = await place.crew.start(place.settings)
        settings, pid, at = place.settings, worker.pid, time.time() // 5 * 5
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks=1, linger_ms=5)
        await producer.start()
        topic = settings.names.events("payments")
        for number in range(given.merchants):
            one = succeeded(at + number % 5_000 / 1000, merchant=f"shop-{number}")
            await producer.send(topic, encoded(one), headers=HEADERS, partition=number % PARTITIONS)
        await producer.stop()
        sizes = [rss_mb(pid)]

        async def counted() -> bool:
            sizes.append(rss_mb(pid))
            return await _counted(settings, given.merchants)

        began = time.monotonic()
        await eventually_async(counted, "all are counted", 300)
        async with redis_of(settings) as redis:

            async def in_merchants() -> list[Any]:
                rows = await TableStore(redis, settings.names).read("merchants", "1h")
                cells = [item for cells in rows.values() for item in cells.items()]
                assert sum(cell.count for _, cell in cells) == given.merchants
                return cells

            cells = await eventually_async(in_merchants, "the merchants add up", 60)
        other = sum(cell.count for key, cell in cells if "other" in key)
        return {
            "merchants": given.merchants,
            "alive": worker.running and worker.pid == pid,
            "most_mb": round(max(sizes)),
            "counted_after_s": round(time.monotonic() - began, 1),
            "cells": len(cells),
            "in_other": other,
        }


async def lag(folder: Path, broker: KafkaServer, given: argparse.Namespace) -> Figures:
    """How far the other worker's partitions fall behind while evaluate's leader does nothing: it is stopped, and its session is
    long enough to keep the lead."""
    async with ground(folder, broker, session_timeout=40.0) as place:
        settings = place.settings
        workers = [place.crew.hire(settings) for _ in range(2)]
        await place.crew.begin(*workers)
        async with Load(settings, given.rate), redis_of(settings) as redis:
            await eventually_async(lambda: _shared(settings, *workers), "both have partitions", 60)
            await pause(5)
            found = await statuses(settings)
            leader = next(one for one in workers if found[one.pid]["leader"])
            other = next(one for one in workers if one is not leader)
            calm = await _lags(settings, other, 5)
            leader.freeze()
            try:
                lags = await _lags(settings, other, 12)
                rollups = max((await TableStore(redis, settings.names).merged_offsets("payments")).values())
                positions = [
                    one["next"] for one in (await statuses(settings))[other.pid]["partitions"] if "payments" in one["topic"]
                ]
            finally:
                leader.thaw()
        return {
            "rate": given.rate,
            "behind_before_s": round(max(calm), 2),
            "behind_while_evaluate_stands_s": round(max(lags), 2),
            "tables_are_behind_by_events": max(positions) - rollups,
        }


async def _lags(settings: Settings, worker: Worker, seconds: float) -> list[float]:
    """How old the newest event was that the worker had written, in each look."""
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        told = (await statuses(settings)).get(worker.pid, {"partitions": []})
        marks = [
            one["watermark_ms"] for one in told["partitions"] if "payments" in one["topic"] and one["watermark_ms"] is not None
        ]
        if marks:
            found.append(max(told["at"] - settings.lateness - min(marks) / 1000, 0.0))
        await pause(0.5)
    return found


# --- the command ------------------------------------------------------------------------------------------------------


def _tell(line: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


Measure = Callable[[Path, KafkaServer, argparse.Namespace], Awaitable[Figures]]
MEASURES: dict[str, Measure] = {one.__name__: one for one in (recovery, restart, zombie, outage, flood, merchants, lag)}


async def _measure(name: str, given: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tillwatch-faults-") as text:
        folder = Path(text)
        broker = await asyncio.to_thread(start_kafka, folder / "kafka")
        try:
            return await MEASURES[name](folder / "site", broker, given)
        finally:
            await asyncio.to_thread(broker.stop)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.measure", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--rate", type=float, default=5_000.0, help="events a second (5000)")
    parser.add_argument("--kills", type=int, default=10, help="recovery: how many (10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=float, default=500.0, help="restart: how much the topics hold (500)")
    parser.add_argument("--repetitions", type=int, default=3, help="restart: how often (3)")
    parser.add_argument("--rest", type=float, default=0.0, help="restart: seconds of silence before it (0)")
    parser.add_argument("--session", type=float, default=6.0, help="zombie: session timeout in seconds (6)")
    parser.add_argument("--frozen", type=float, default=30.0, help="zombie: seconds (30)")
    parser.add_argument("--watched", type=float, default=20.0, help="zombie: seconds after it has woken (20)")
    parser.add_argument("--warm", type=float, default=20.0, help="outage: seconds of load before it (20)")
    parser.add_argument("--away", type=float, default=600.0, help="outage: seconds (600)")
    parser.add_argument("--flooded", type=float, default=600.0, help="flood: seconds (600)")
    parser.add_argument("--merchants", type=int, default=100_000, help="merchants: how many (100000)")
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    print(json.dumps(asyncio.run(_measure(given.what, given)), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
