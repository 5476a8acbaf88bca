"""How soon an outage is told: a real broker, a real store, `tillwatch worker` and the rules as they are shipped.

    python -m bench.early [--trials N] [--broker kafka|embedded] [--cases outage,provider,twelve] [--together N] [--json]

Each trial is an installation of its own. Five and a half healthy minutes of payments are published first, with their own
times; then payments come in real time, and at a random moment within a bucket the fault begins. The clock runs from the
event time of the first payment that the fault fails until the alert can be read on the topic. Three cases: everything
fails (50 payments a second), one of three providers fails (50), 12 % fail (20 a second, which is 1,200 a minute).

`payment_processing_failure` is told with its floor: the time of the payment with which the rule's condition becomes true,
worked out here from the payments that were sent, as docs/rules.md says it and without the code that judges. No monitor
can be earlier than that; what is measured is how much later the alert is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from local.broker import EmbeddedBroker
from local.cast import BREAKDOWNS, DECLINES, METHODS, METHODS_OF, PRICES, Mix
from local.store import EmbeddedStore
from runtime.kafka import create_topics, topic_logs
from runtime.names import Source
from runtime.redis import connect
from runtime.settings import Settings
from schemas.time import epoch_ms, rfc3339
from tests.support.events import encoded, event
from tests.support.kafka import start_kafka
from tests.support.worker import Worker

BASE = 0.01
"""Share of payments that fail for technical reasons on a good day."""
HISTORY_S = 330.0
SETTLE_S = 8.0
CAUGHT_UP_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
BUCKET_MS = 5_000
WINDOW_MS = 300_000
LIMIT, CONFIDENT_Z, LEAST, LEAST_FAILING, A_MONTH = 0.05, 1.959964, 5, 3, 8_640
"""Of the five-minute rule: over 5 %, surely so (95 %), on 5 payments, 3 of which fail; so many windows has a month."""
THREE = Mix({name: weight for name, weight in (("ikhokha", 0.40), ("ozow", 0.33), ("peach", 0.27))})
FIVE_MINUTES = "payment_processing_failure"
PARTITIONS = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A fault and what is awaited. rate: payments a second; share: how many fail from then on; one: of one provider alone;
    first: the alert that counts; limit_s: so long it is waited for."""

    name: str
    title: str
    rate: float
    share: float
    one: bool
    first: Callable[[Mapping[str, Any], str], bool]
    goal_s: float
    limit_s: float
    five_minutes: bool
    """Whether the five-minute rule is waited for, too."""
    tuned_s: float | None = None
    stock_s: float | None = None
    """What the same rule needs in Prometheus, scraped every second and tuned by hand, and as it comes."""


def _critical(data: Mapping[str, Any], provider: str) -> bool:
    return bool(data["severity"] == "critical")


def _provider(data: Mapping[str, Any], provider: str) -> bool:
    return bool(data["rule"] == "provider_down" and data["group"] == {"provider": provider})


def _fast(data: Mapping[str, Any], provider: str) -> bool:
    return bool(data["rule"] == "payment_failing_fast")


CASES = (
    Case("outage", "everything down: first critical alert", 50, 1.0, False, _critical, 3.0, 60.0, True, 15.8, 58.6),
    Case("provider", "one provider down: provider_down", 50, 1.0, True, _provider, 6.0, 60.0, False),
    Case("twelve", "12 % failing: payment_failing_fast", 20, 0.12, False, _fast, 60.0, 240.0, True, 129.0, 174.0),
)


@dataclass(slots=True)
class Trial:
    """What one trial gave, in seconds; None: it was not told in time.

    first_s: from the first payment that the fault failed to the alert. five_minutes_s: likewise, of the five-minute rule;
    floor_s: to the payment that makes its condition true; after_floor_s: from there to the alert. agrees: whether the alert's
    `first_bad_at` is that payment's time. offset_s: where in a bucket the fault began.
    """

    case: str
    offset_s: float
    load: float
    first_s: float | None = None
    five_minutes_s: float | None = None
    floor_s: float | None = None
    after_floor_s: float | None = None
    agrees: bool | None = None
    before: list[str] = field(default_factory=list)
    """What was told before the fault began: false pages."""
    told: list[str] = field(default_factory=list)
    """What was told from then on."""


# --- the floor --------------------------------------------------------------------------------------------------------


def surely_beyond(k: int, n: int) -> bool:
    """Whether k of n is over the threshold, by the lower bound of Wilson's interval too (JASA 22, 1927), and comes less than
    once a month by chance where half as many fail."""
    if n < LEAST or k < LEAST_FAILING or k <= LIMIT * n:
        return False
    zz, share = CONFIDENT_Z**2, k / n
    spread = CONFIDENT_Z * math.sqrt(share * (1 - share) / n + zz / (4 * n * n))
    if (share + zz / (2 * n) - spread) / (1 + zz / n) <= LIMIT:
        return False
    odds, term = LIMIT / 2 / (1 - LIMIT / 2), (1 - LIMIT / 2) ** n
    fewer = 0.0
    for failing in range(k):
        fewer += term
        term *= (n - failing) / (failing + 1) * odds
    return (1 - fewer) * A_MONTH <= 1


def floor_ms(sent: Iterable[tuple[int, bool]], not_before: int = 0) -> int | None:
    """The time of the first payment from `not_before` on with which the condition of the five-minute rule is true, of
    (time, whether it failed) in order of time: over the open bucket and those before it that make five minutes."""
    window: deque[tuple[int, bool]] = deque()
    failing = 0
    coming = list(sent)
    for place, (ms, bad) in enumerate(coming):
        window.append((ms, bad))
        failing += bad
        if place + 1 < len(coming) and coming[place + 1][0] == ms:
            continue  # what happens in one millisecond has no order
        first = ms - ms % BUCKET_MS + BUCKET_MS - WINDOW_MS
        while window[0][0] < first:
            failing -= window.popleft()[1]
        if ms >= not_before and surely_beyond(failing, len(window)):
            return ms
    return None


# --- one trial --------------------------------------------------------------------------------------------------------


class Shop:
    """Sends payments that have just finished, and remembers when each was and whether it failed."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, rng: random.Random) -> None:
        self._producer, self._topic, self._rng = producer, topic, rng
        self.sent: list[tuple[int, bool]] = []
        self.first_failed_ms: int | None = None
        self.share, self.only = BASE, ""
        """Of the payments through `only` (through anyone where that is empty) so many fail; of others, `BASE`."""

    async def pay(self, ms: int) -> None:
        """One payment that finished at `ms`."""
        rng = self._rng
        provider = THREE.draw(rng)
        method = METHODS_OF[provider].draw(rng)
        how = METHODS[method]
        latency_ms = round(min(how.latency_ms * rng.lognormvariate(0, how.spread), 60_000), 1)
        hit = self.share if not self.only or self.only == provider else BASE
        lot = rng.random()
        bad = lot < hit
        data: dict[str, Any] = {
            "transaction_id": f"tx_{ms}_{len(self.sent)}",
            "provider": provider,
            "method": method,
            "amount": PRICES.draw(rng),
            "currency": "ZAR",
            "latency_ms": latency_ms,
            "initiated_at": rfc3339(ms - int(latency_ms)),
        }
        if bad:
            made = event("payment.failed", ms / 1000, **data, fault="technical", reason=BREAKDOWNS.draw(rng))
        elif rng.random() < how.declines:
            made = event("payment.failed", ms / 1000, **data, fault="business", reason=DECLINES.draw(rng))
        else:
            made = event("payment.succeeded", ms / 1000, **data)
        assert epoch_ms(made["time"]) == ms
        self.sent.append((ms, bad))
        if bad and hit > BASE and self.first_failed_ms is None:
            self.first_failed_ms = ms
        await self._producer.send(self._topic, encoded(made), key=data["transaction_id"].encode())

    async def history(self, rate: float, seconds: float) -> None:
        """Healthy payments of the past, up to now."""
        at = time.time() - seconds
        while (at := at + self._rng.expovariate(rate)) < time.time():
            await self.pay(int(at * 1000))
        await self._producer.flush()

    async def open(self, rate: float) -> None:
        """Payments as they come, until cancelled."""
        due = time.time()
        while True:
            due += self._rng.expovariate(rate)
            while (wait := due - time.time()) > 0:
                await asyncio.sleep(wait)
            await self.pay(int(time.time() * 1000))


@dataclass(frozen=True, slots=True)
class Heard:
    """An alert that pages, and when it could be read (epoch seconds)."""

    at: float
    data: Mapping[str, Any]


async def listen(consumer: AIOKafkaConsumer, heard: list[Heard]) -> None:
    """Collects what begins, until cancelled."""
    while True:
        for records in (await consumer.getmany(timeout_ms=20)).values():
            now = time.time()
            for record in records:
                alert = json.loads(record.value)
                data = alert["data"]
                if (
                    alert["type"] == "tillwatch.alert.firing"
                    and data["inhibited_by"] is None
                    and not data["historical"]
                ):
                    heard.append(Heard(now, data))


async def caught_up(settings: Settings, events: int) -> None:
    """Waits until the worker has written so many events. Raises TimeoutError if it takes it more than a minute."""
    redis = connect(settings)
    topic = settings.names.events("payments")
    log = (await topic_logs(settings.kafka or "", [topic]))[topic]
    sources = [Source(topic, log.topic_id, partition) for partition in range(log.partitions)]
    try:
        async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
            while (
                sum([int(await redis.hget(settings.names.source_state(one), "next") or 0) for one in sources]) < events
            ):
                await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await redis.aclose()


async def trial(case: Case, settings: Settings, folder: Path, rng: random.Random) -> Trial:
    """One installation from its first topic to its alert."""
    await create_topics(settings, PARTITIONS)
    worker = Worker(settings, folder, settings.namespace)
    kafka, names = settings.kafka, settings.names
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks=1, linger_ms=0, enable_idempotence=False)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=20)
    heard: list[Heard] = []
    tasks: list[asyncio.Task[None]] = []
    await producer.start()
    await consumer.start()
    try:
        consumer.assign([TopicPartition(names.alerts, 0)])
        await consumer.seek_to_beginning()
        shop = Shop(producer, names.events("payments"), rng)
        await shop.history(case.rate, HISTORY_S)
        tasks = [asyncio.create_task(shop.open(case.rate)), asyncio.create_task(listen(consumer, heard))]
        await asyncio.to_thread(worker.start)
        await caught_up(settings, len(shop.sent))
        await asyncio.sleep(SETTLE_S + rng.uniform(0, BUCKET_MS / 1000))
        began = time.time()
        result = Trial(case.name, round(began % (BUCKET_MS / 1000), 2), round(os.getloadavg()[0], 1))
        result.before = [f"{one.data['rule']} {one.data['group'] or ''}".strip() for one in heard]
        provider = THREE.draw(rng)
        shop.share, shop.only = case.share, provider if case.one else ""
        ignored = len(heard)

        def found(wanted: Callable[[Mapping[str, Any], str], bool]) -> Heard | None:
            return next((one for one in heard[ignored:] if wanted(one.data, provider)), None)

        first = literal = None
        while time.time() < began + case.limit_s:
            await asyncio.sleep(LOOK_EVERY_S)
            first, literal = found(case.first), found(lambda data, _: bool(data["rule"] == FIVE_MINUTES))
            if first is not None and (literal is not None or not case.five_minutes):
                break
        start = shop.first_failed_ms
        assert start is not None, "the fault failed no payment"
        if first is not None:
            result.first_s = round(first.at - start / 1000, 3)
        floor = floor_ms(sorted(shop.sent), start)
        result.told = [f"{one.data['rule']} after {one.at - start / 1000:.2f} s" for one in heard[ignored:]]
        if case.five_minutes and floor is not None:
            result.floor_s = round((floor - start) / 1000, 3)
        if case.five_minutes and literal is not None and floor is not None:
            result.five_minutes_s = round(literal.at - start / 1000, 3)
            result.after_floor_s = round(literal.at - floor / 1000, 3)
            result.agrees = epoch_ms(literal.data["first_bad_at"]) == floor
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await producer.stop()
        await consumer.stop()
        await asyncio.to_thread(worker.stop)


# --- the whole --------------------------------------------------------------------------------------------------------


async def trials(
    base: Settings, folder: Path, cases: Sequence[Case], count: int, together: int, seed: int
) -> list[Trial]:
    """All trials, some at a time; tells of each on stderr."""
    room = asyncio.Semaphore(together)
    done: list[Trial] = []

    async def one(case: Case, number: int) -> None:
        async with room:
            name = f"early-{case.name}-{number}"
            settings = base.model_copy(update={"namespace": name, "data": folder / name})
            found = await trial(case, settings, folder, random.Random(f"{seed} {name}"))
            done.append(found)
            told = ", ".join(
                f"{label} {value:.2f} s"
                for label, value in (
                    ("told after", found.first_s),
                    ("five-minute rule", found.five_minutes_s),
                    ("after its floor", found.after_floor_s),
                )
                if value is not None
            )
            print(f"  {case.name} {number}: {told or 'nothing told'} (load {found.load})", file=sys.stderr, flush=True)

    await asyncio.gather(*(one(case, number) for case in cases for number in range(1, count + 1)))
    return done


def run(broker: str, cases: Sequence[Case], count: int, together: int, seed: int) -> list[Trial]:
    """Starts the servers, runs the trials, and stops everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-bench-")))
        if broker == "kafka":
            server = start_kafka(folder / "kafka")
            stack.callback(server.stop)
            bootstrap = server.bootstrap
        else:
            bootstrap = stack.enter_context(EmbeddedBroker(None, folder)).bootstrap
        store = stack.enter_context(EmbeddedStore(None, folder))
        settings = Settings(kafka=bootstrap, redis=SecretStr(store.url), data=folder)
        return asyncio.run(trials(settings, folder, cases, count, together, seed))


@dataclass(frozen=True, slots=True)
class Line:
    """Median, least and most of one figure, and how many trials have none."""

    title: str
    goal_s: float
    median_s: float | None
    min_s: float | None
    max_s: float | None
    missed: int
    tuned_s: float | None = None
    stock_s: float | None = None


def _line(
    title: str,
    goal_s: float,
    values: Sequence[float | None],
    tuned_s: float | None = None,
    stock_s: float | None = None,
) -> Line:
    there = [value for value in values if value is not None]
    if not there:
        return Line(title, goal_s, None, None, None, len(values), tuned_s, stock_s)
    median = round(statistics.median(there), 3)
    return Line(title, goal_s, median, min(there), max(there), len(values) - len(there), tuned_s, stock_s)


def lines(cases: Sequence[Case], done: Sequence[Trial]) -> list[Line]:
    """The figures of each case."""
    result = []
    for case in cases:
        mine = [one for one in done if one.case == case.name]
        result.append(_line(case.title, case.goal_s, [one.first_s for one in mine], case.tuned_s, case.stock_s))
        if case.five_minutes:
            name = f"{case.title.partition(':')[0]}: {FIVE_MINUTES}"
            result.append(_line(name, math.inf, [one.five_minutes_s for one in mine], case.tuned_s, case.stock_s))
            result.append(_line(f"{name}, after its floor", 1.0, [one.after_floor_s for one in mine]))
    return result


def report(found: Sequence[Line], done: Sequence[Trial]) -> str:
    """A table in Markdown, and what else is to be said."""

    def shown(value: float | None) -> str:
        return "" if value is None or math.isinf(value) else f"{value:.2f} s"

    rows = [
        "| case | goal | median | least | most | Prometheus, tuned | as it comes |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        cells = (one.goal_s, one.median_s, one.min_s, one.max_s, one.tuned_s, one.stock_s)
        missed = f" ({one.missed} not told)" if one.missed else ""
        rows.append(f"| {one.title}{missed} | {' | '.join(map(shown, cells))} |")
    judged = [one for one in done if one.agrees is not None]
    agreeing, before = sum(bool(one.agrees) for one in judged), [text for one in done for text in one.before]
    rows += ["", f"first_bad_at is the floor in {agreeing} of {len(judged)} trials"]
    rows += [f"told before the fault: {', '.join(before) or 'nothing'}"]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.early", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=7, help="of each case (7)")
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument(
        "--cases", default=",".join(case.name for case in CASES), help="some of them, with commas between"
    )
    parser.add_argument("--together", type=int, default=2, help="installations that run at a time (2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    wanted = given.cases.split(",")
    cases = [case for case in CASES if case.name in wanted]
    if len(cases) != len(wanted):
        parser.error(f"--cases: there are {', '.join(case.name for case in CASES)}")
    done = run(given.broker, cases, given.trials, given.together, given.seed)
    found = lines(cases, done)
    if given.json:
        machine = {"broker": given.broker, "python": platform.python_version(), "cores": os.cpu_count()}
        listed = [asdict(one) | {"goal_s": None if math.isinf(one.goal_s) else one.goal_s} for one in found]
        print(json.dumps(machine | {"lines": listed, "trials": [asdict(one) for one in done]}))
    else:
        print(report(found, done))
    return 1 if any(one.missed for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
