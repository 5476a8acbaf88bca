"""How soon an alert is on the topic: a real broker, a real store, `tillwatch worker` as it is shipped, under load.

    python -m bench.latency [--trials N] [--rate N] [--broker kafka|embedded] [--json]

While so many payments a second go by, each trial publishes one of a provider of its own among them, at a random moment and
into a random partition, and watches the alerts topic until the alert of that provider can be read there. The clock runs
from just before the event is handed to the producer until the consumer has the alert.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from bench.measure import cpu_s, machine_s
from bench.torrent import Torrent
from local.broker import EmbeddedBroker
from local.store import EmbeddedStore
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.support.events import encoded, succeeded
from tests.support.kafka import start_kafka
from tests.support.worker import Worker

PACK = """
bench:
  any_probe: {condition: "payment_volume{method=probe} > 0 in 10 seconds", by: [provider], severity: low}
"""
PARTITIONS = 8
TRIAL_LIMIT_S = 15.0
WARM_S = 5.0
"""Nothing counts before."""
PAUSE_S = (0.3, 0.9)


async def measure(settings: Settings, trials: int, rate: float) -> tuple[list[float], float]:
    """Seconds of each trial, and how many payments a second came meanwhile. Raises TimeoutError if an alert does not come
    within 15 s."""
    payments = settings.names.events("payments")
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest", fetch_max_wait_ms=20)
    await producer.start()
    await consumer.start()
    try:
        consumer.assign([TopicPartition(settings.names.alerts, 0)])
        await consumer.seek_to_beginning()
        found: list[float] = []
        async with Torrent(settings.kafka or "", payments, PARTITIONS, rate) as torrent:
            warm_at = time.perf_counter() + WARM_S
            while len(found) < trials:
                await asyncio.sleep(random.uniform(*PAUSE_S))
                warm = time.perf_counter() >= warm_at
                provider = f"probe-{secrets.token_hex(4)}"
                probe = encoded(succeeded(time.time(), provider=provider, method="probe"))
                began = time.perf_counter()
                await producer.send_and_wait(payments, probe, partition=random.randrange(PARTITIONS))
                async with asyncio.timeout(TRIAL_LIMIT_S):
                    await _alert(consumer, provider)
                if not warm:
                    since, sent = time.perf_counter(), torrent.sent
                    continue
                found.append(time.perf_counter() - began)
                if sys.stderr.isatty():
                    print(f"\r  {len(found)} of {trials}", end="", file=sys.stderr)
            return found, (torrent.sent - sent) / (time.perf_counter() - since)
    finally:
        await producer.stop()
        await consumer.stop()


async def _alert(consumer: AIOKafkaConsumer, provider: str) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=20)).values():
            for record in records:
                if json.loads(record.value)["data"]["group"] == {"provider": provider}:
                    return


def quantile(values: list[float], q: float) -> float:
    """By linear interpolation."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(q * 100) - 1]


def run(broker: str, trials: int, rate: float) -> dict[str, object]:
    """Starts everything, measures, and stops everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-bench-")))
        (folder / "rules").mkdir()
        (folder / "rules" / "bench.yaml").write_text(PACK)
        if broker == "kafka":
            server = start_kafka(folder / "kafka")
            stack.callback(server.stop)
            bootstrap = server.bootstrap
        else:
            bootstrap = stack.enter_context(EmbeddedBroker(None, folder)).bootstrap
        store = stack.enter_context(EmbeddedStore(None, folder))
        settings = Settings(
            kafka=bootstrap, redis=SecretStr(store.url), namespace="bench", data=folder, rules=folder / "rules"
        )
        asyncio.run(create_topics(settings, PARTITIONS))
        worker = Worker(settings, folder, "worker")
        worker.start()
        stack.callback(worker.stop)
        began, spent = time.perf_counter(), (cpu_s(worker.pid), machine_s())
        found, came = asyncio.run(measure(settings, trials, rate))
        seconds = time.perf_counter() - began
        busy = [(now - before) / seconds for now, before in zip((cpu_s(worker.pid), machine_s()), spent, strict=True)]
    return {
        "broker": broker,
        "trials": trials,
        "load_events_a_second": rate,
        "came_a_second": round(came),
        "worker_cores": round(busy[0], 2),
        "machine_cores": round(busy[1], 2),
        "p50_ms": round(quantile(found, 0.50) * 1000),
        "p95_ms": round(quantile(found, 0.95) * 1000),
        "p99_ms": round(quantile(found, 0.99) * 1000),
        "max_ms": round(max(found) * 1000),
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0, help="payments a second beside")
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    try:
        found = run(asked.broker, asked.trials, asked.rate)
    except TimeoutError:
        sys.exit(f"bench.latency: an alert did not come within {TRIAL_LIMIT_S:g} s")
    if asked.json:
        print(json.dumps(found))
        return
    print(
        f"{found['broker']}: p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms, p99 {found['p99_ms']} ms, "
        f"most {found['max_ms']} ms ({asked.trials} trials beside {found['came_a_second']:,} payments a second; the worker "
        f"took {found['worker_cores']} cores of {found['machine_cores']} that were busy)"
    )


if __name__ == "__main__":
    main()
