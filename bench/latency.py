"""How soon an alert is on the topic: a real broker, a real store, `tillwatch worker` as it is shipped, light load.

    python -m bench.latency [--trials N] [--rate N] [--broker kafka|embedded] [--json]

While a few payments a second go by, each trial publishes one critical error of a component of its own, at a random
moment, and watches the alerts topic until the alert of that component can be read there. The clock runs from just before
the event is handed to the producer until the consumer has the alert.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from local.broker import EmbeddedBroker
from local.store import EmbeddedStore
from runtime.kafka import create_topics
from runtime.settings import Settings
from schemas.time import rfc3339
from tests.support.events import encoded, event, succeeded
from tests.support.kafka import start_kafka
from tests.support.worker import Worker

PACK = """
bench:
  any_error: {condition: "critical_errors > 0", by: [component], severity: low}
"""
TRIAL_LIMIT_S = 15.0
PAUSE_S = (0.3, 0.9)


async def measure(settings: Settings, trials: int, rate: float) -> list[float]:
    """Seconds of each trial. Raises TimeoutError if an alert does not come within 15 s."""
    names = settings.names
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest", fetch_max_wait_ms=20)
    await producer.start()
    await consumer.start()
    load = asyncio.create_task(_load(producer, names.events("payments"), rate))
    try:
        consumer.assign([TopicPartition(names.alerts, 0)])
        await consumer.seek_to_beginning()
        found = []
        for trial in range(trials + 1):
            await asyncio.sleep(random.uniform(*PAUSE_S))
            component = f"component-{trial}"
            error = event("error.raised", time.time(), component=component, critical=True, category="payment")
            began = time.perf_counter()
            await producer.send_and_wait(names.events("errors"), encoded(error), key=component.encode())
            async with asyncio.timeout(TRIAL_LIMIT_S):
                await _alert(consumer, component)
            if trial:  # the first one warms up
                found.append(time.perf_counter() - began)
                if sys.stderr.isatty():
                    print(f"\r  {trial} of {trials}", end="", file=sys.stderr)
        return found
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        await producer.stop()
        await consumer.stop()


async def _alert(consumer: AIOKafkaConsumer, component: str) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=20)).values():
            for record in records:
                if json.loads(record.value)["data"]["group"] == {"component": component}:
                    return


async def _load(producer: AIOKafkaProducer, topic: str, rate: float) -> None:
    due = time.perf_counter()
    while True:
        due += random.expovariate(rate)
        if due > time.perf_counter():  # else it is behind, and catches up
            await asyncio.sleep(due - time.perf_counter())
        now = time.time()
        await producer.send(topic, encoded(succeeded(now, initiated_at=rfc3339(int(now * 1000) - 900))))


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
        asyncio.run(create_topics(settings))
        worker = Worker(settings, folder, "worker")
        worker.start()
        stack.callback(worker.stop)
        found = asyncio.run(measure(settings, trials, rate))
    return {
        "broker": broker,
        "trials": trials,
        "load_events_a_second": rate,
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
    found = run(asked.broker, asked.trials, asked.rate)
    if asked.json:
        print(json.dumps(found))
        return
    print(
        f"{found['broker']}: p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms, p99 {found['p99_ms']} ms, "
        f"most {found['max_ms']} ms ({asked.trials} trials beside {asked.rate:g} payments a second)"
    )


if __name__ == "__main__":
    main()
