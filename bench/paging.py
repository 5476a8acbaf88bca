"""From alert to page: how soon, in a storm, and after the leader's death, with `tillwatch notifier` as it is shipped.

    python -m bench.paging [--only latency storm failover] [--alerts N] [--storms N] [--trials N] [--json FILE]

On a real broker and store. Pages go to a mail server and an HTTP server on this machine (`tests.support.recipients`), that tell
when something came. *Latency*: an alert of its own incident every half second or so, from just before it is handed to the
producer until the first request of its page. *Storm*: 10,000 alerts in a minute from known causes that begin at moments of
their own; from the alert that opened an incident to the first request of its page, and what was sent in all. *Failover*: two
notifiers, the leader is killed with -9; from then until the other pages of a timer that came due, and of an alert that came,
at that moment. In a storm, channels send as many messages as they may unless told otherwise (1 a second, 10 at once); else as
many as there are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from bench import describe, report
from bench.latency import quantile
from bench.measure import Failed, cpu_s, machine_s, peak_mb
from bench.servers import Servers, start_servers
from local.process import StartFailed
from notifier.store import Counter as Desk
from runtime.kafka import KafkaUnreachable, create_topics
from runtime.redis import connect
from runtime.settings import Settings
from schemas.alert import AlertEvent, Transition
from schemas.incident import Incident
from schemas.severity import SeverityName
from tests.support.clock import ClockFile
from tests.support.kafka import NoKafka
from tests.support.night import alert
from tests.support.recipients import Recipients, directory, recipients
from tests.support.worker import Worker, led_since

WAYS = ("email", "webhook")
LEVELS = {"primary": ["thandi"], "secondary": ["sipho"], "lead": ["lerato"]}
LOOK_EVERY_S = 0.005
PAGED_WITHIN_S = 60.0
APART_S = 20.0
"""So far apart alerts are by the notifier's clock, so that they are no storm."""
PAUSE_S = (0.2, 0.6)
UNBOUND = 1_000
"""Messages a second: as many as there are."""
OVER_S, LATE_S = 1_000.0, 901.0
STORM_ALERTS, STORM_S = 10_000, 60.0
PROVIDERS, COMPONENTS, PLAIN = 6, 5, 2
"""Causes of a storm: providers and components, each with alerts of several rules, and rules whose alerts name neither."""
QUIET_S = 5.0
"""Where no incident has changed for so long, nothing more is to come."""
DETAILS, MANY = 40, 1_500
"""Groups that a rule tells of, and those of the one that tells of most."""


# --- an installation ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Ground:
    """Notifiers of an installation of its own, and whom they page."""

    settings: Settings
    clock: ClockFile
    they: Recipients
    notifiers: list[Worker]
    producer: AIOKafkaProducer
    now: float = field(default_factory=time.time)

    def later(self, seconds: float) -> None:
        """By the notifiers' clock."""
        self.now += seconds
        self.clock.set(self.now)

    async def tell(self, *alerts: AlertEvent) -> None:
        """Puts alerts on their topic."""
        topic = self.settings.names.alerts
        for one in alerts:
            value = one.model_dump_json(exclude_none=False).encode()
            await self.producer.send_and_wait(topic, value, key=one.data.fingerprint.encode())

    def alert(
        self, rule: str, transition: Transition = "firing", severity: SeverityName = "high", **more: object
    ) -> AlertEvent:
        return alert(rule, transition, severity, at_ms=int(self.now * 1000), channels=WAYS, **more)

    async def first(self, title: str, recipient: str = "thandi", kind: str = "page") -> float:
        """When the first request of this message came (epoch seconds). Raises Failed."""
        deadline = time.monotonic() + PAGED_WITHIN_S
        while time.monotonic() < deadline:
            for one in self.they.arrived:
                if (one.what.title, one.what.recipient, one.what.kind) == (title, recipient, kind):
                    return one.at
            await asyncio.sleep(LOOK_EVERY_S)
        raise Failed(f"no {kind} for {recipient} within {PAGED_WITHIN_S:g} s: {self.notifiers[0].output[-1000:]}")

    async def incidents(self) -> tuple[Incident, ...]:
        redis = connect(self.settings)
        try:
            return (await Desk(redis, self.settings.names).all())[0]
        finally:
            await redis.aclose()


@asynccontextmanager
async def ground(servers: Servers, part: str, notifiers: int, rate: float | None) -> AsyncIterator[Ground]:
    """rate: messages a second that a channel may send; None: as many as it may unless told otherwise."""
    async with recipients() as they:
        folder = servers.folder / part
        clock = ClockFile(directory(folder, they, LEVELS, rate).with_name("clock"), time.time())
        changes = {"clock": clock.setting, "teams": folder / "teams.toml", "data": folder}
        settings = servers.settings(f"-{part}").model_copy(update=changes)
        await create_topics(settings, 1)  # no event comes into those of events
        staff = [Worker(settings, folder, f"notifier-{number}", command="notifier") for number in range(notifiers)]
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=0)
        await producer.start()
        try:
            await asyncio.gather(*(asyncio.to_thread(one.start) for one in staff))
            yield Ground(settings, clock, they, staff, producer)
        finally:
            await producer.stop()
            await asyncio.gather(*(asyncio.to_thread(one.stop) for one in staff))


# --- latency ------------------------------------------------------------------------------------------------------------


async def latency(servers: Servers, alerts: int, draw: random.Random) -> dict[str, object]:
    """From an alert to the first request of its page."""
    async with ground(servers, "latency", 1, UNBOUND) as place:
        found, (notifier,) = [], place.notifiers
        spent, machine, began = 0.0, 0.0, 0.0
        for number in range(alerts + 1):
            if number == 1:  # the first one warms up
                spent, machine, began = cpu_s(notifier.pid), machine_s(), time.monotonic()
            await asyncio.sleep(draw.uniform(*PAUSE_S))
            place.later(APART_S)
            rule = f"rule_{number}"
            at = time.time()
            await place.tell(place.alert(rule, provider=f"p{number}"))
            paged = await place.first(f"{rule} is bad")
            if number:
                found.append(paged - at)
            await place.tell(place.alert(rule, "resolved", provider=f"p{number}"))
        spent, machine = cpu_s(notifier.pid) - spent, machine_s() - machine
        return {
            "alerts": alerts,
            "p50_ms": round(quantile(found, 0.50) * 1000),
            "p95_ms": round(quantile(found, 0.95) * 1000),
            "p99_ms": round(quantile(found, 0.99) * 1000),
            "max_ms": round(max(found) * 1000),
            "cpu_ms_an_alert": round(spent / alerts * 1000, 1),
            "busy_cores": round(machine / (time.monotonic() - began), 2),
        }


# --- a storm ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cause:
    """What goes wrong from `at` on. groups: of which its alerts tell; share: of all alerts."""

    name: str
    at: float
    rules: tuple[str, ...]
    groups: tuple[dict[str, str], ...]
    share: float


def causes(draw: random.Random) -> list[Cause]:
    """Known ones: everything that one of them tells is about one thing, or by one rule."""
    found = []
    for kind, count in (("provider", PROVIDERS), ("component", COMPONENTS)):
        for number in range(count):
            name = f"{kind}-{number}"
            groups = tuple({kind: name, "detail": f"d{one}"} for one in range(MANY // 4 if number == 0 else DETAILS))
            rules = tuple(f"{kind}_rule_{number}_{one}" for one in range(4))
            found.append(Cause(name, draw.uniform(0, STORM_S - 10), rules, groups, draw.uniform(1, 4)))
    for number in range(PLAIN):
        groups = tuple({"merchant": f"m{one}"} for one in range(MANY))
        found.append(Cause(f"rule-{number}", draw.uniform(0, STORM_S - 10), (f"plain_{number}",), groups, 4.0))
    return found


class Blow(NamedTuple):
    """An alert of a storm, `at` seconds after its beginning."""

    at: float
    cause: str
    rule: str
    group: dict[str, str]
    says: Transition
    episode: int


def storm(seed: int) -> Iterator[Blow]:
    """All of one, in order: what began is told again, ends, and begins anew."""
    draw = random.Random(f"storm {seed}")
    known, firing, episodes = causes(draw), set[tuple[str, str]](), Counter[tuple[str, str]]()
    total = sum(one.share for one in known)
    moments = [
        (at, one)
        for one in known
        for at in (one.at, *(draw.uniform(one.at, STORM_S) for _ in range(round(STORM_ALERTS * one.share / total) - 1)))
    ]
    for at, cause in sorted(moments, key=lambda pair: pair[0]):
        rule, group = draw.choice(cause.rules), draw.choice(cause.groups)
        mark = rule, json.dumps(group)
        says: Transition = draw.choices(("updated", "resolved"), (2, 1))[0] if mark in firing else "firing"
        if says == "firing":
            firing.add(mark)
            episodes[mark] += 1
        elif says == "resolved":
            firing.remove(mark)
        yield Blow(at, cause.name, rule, group, says, episodes[mark])


async def one_storm(servers: Servers, seed: int) -> dict[str, object]:
    """10,000 alerts in a minute."""
    async with ground(servers, f"storm-{seed}", 1, None) as place:
        (notifier,) = place.notifiers
        ticking = asyncio.create_task(_tick(place))
        began, sent, pending = time.time() + 0.5, dict[str, float](), list[asyncio.Future[object]]()
        cause_of, behind, spent, machine = dict[str, str](), 0.0, cpu_s(notifier.pid), machine_s()
        try:
            for number, blow in enumerate(storm(seed)):
                await asyncio.sleep(max(began + blow.at - time.time(), 0))
                behind = max(behind, time.time() - began - blow.at)
                title = f"{blow.rule} is bad ({number})"
                one = place.alert(blow.rule, blow.says, group=blow.group, episode=blow.episode, n=number, summary=title)
                value, key = one.model_dump_json(exclude_none=False).encode(), one.data.fingerprint.encode()
                sent[title], cause_of[title] = time.time(), blow.cause
                pending.append(await place.producer.send(place.settings.names.alerts, value, key=key))
            await asyncio.gather(*pending)
            found = await _quiet(place, time.time())
            spent, machine = cpu_s(notifier.pid) - spent, machine_s() - machine
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        lags, missing = [], []
        for incident in found:
            came = [
                one.at for one in place.they.arrived if one.what.title == incident.title and one.what.kind == "page"
            ]
            opened = incident.title.rpartition("such as: ")[2]
            if came:
                lags.append(min(came) - sent[opened])
            else:
                missing.append(incident.number)
        by_cause = Counter(cause_of[one.title.rpartition("such as: ")[2]] for one in found)
        return {
            "seed": seed,
            "alerts": len(sent),
            "causes": len(by_cause),
            "incidents": dict(sorted(by_cause.items())),
            "unpaged": missing,
            "first_page_s": [round(one, 3) for one in lags],
            "messages": dict(Counter(f"{one.what.kind} by {one.what.way}" for one in place.they.arrived)),
            "repeats": len(place.they.repeats),
            "refused": place.they.refused,
            "sent_late_s": round(behind, 2),
            "cpu_s": round(spent, 2),
            "machine_cpu_s": round(machine, 2),
            "peak_mb": round(peak_mb(notifier.pid), 1),
        }


async def _tick(place: Ground) -> None:
    while True:
        place.now = time.time()
        place.clock.set(place.now)
        await asyncio.sleep(0.04)


async def _quiet(place: Ground, since: float) -> tuple[Incident, ...]:
    """The incidents, once nothing more is to be sent. Raises Failed."""
    while time.time() - since < PAGED_WITHIN_S:
        await asyncio.sleep(1.0)
        found = await place.incidents()
        waits = sum(page.state == "queued" for incident in found for page in incident.pages)
        if found and not waits and time.time() - max(one.changed_ms for one in found) / 1000 > QUIET_S:
            return found
    raise Failed(f"messages were still under way after {PAGED_WITHIN_S:g} s")


# --- failover -----------------------------------------------------------------------------------------------------------


async def failover(servers: Servers, trials: int, draw: random.Random) -> dict[str, object]:
    """From the leader's death until the other has paged."""
    timers, alerts = [], []
    async with ground(servers, "failover", 2, UNBOUND) as place:
        for number in range(trials):
            before, meanwhile = f"before_{number}", f"meanwhile_{number}"
            place.later(OVER_S)
            await place.tell(place.alert(before, provider=before))
            await place.first(f"{before} is bad")
            await asyncio.sleep(draw.uniform(1.0, 3.0))  # anywhere between two heartbeats
            leader = max(place.notifiers, key=lambda one: led_since(one.output))
            at = time.time()
            await asyncio.to_thread(leader.kill)
            place.later(LATE_S)
            await place.tell(place.alert(meanwhile, provider=meanwhile))
            timer, paged = await asyncio.gather(
                place.first(f"{before} is bad", "sipho"), place.first(f"{meanwhile} is bad")
            )
            timers.append(timer - at)
            alerts.append(paged - at)
            say(f"  failover {number + 1} of {trials}: timer {timers[-1]:.2f} s, alert {alerts[-1]:.2f} s")
            await place.tell(*(place.alert(one, "resolved", provider=one) for one in (before, meanwhile)))
            await place.first(f"{before} is bad", "sipho", "resolved")
            await asyncio.to_thread(leader.start)
        return {
            "trials": trials,
            "session_timeout_s": place.settings.session_timeout,
            "timers_s": [round(one, 3) for one in timers],
            "alerts_s": [round(one, 3) for one in alerts],
            "repeats": len(place.they.repeats),
        }


# --- the command --------------------------------------------------------------------------------------------------------

PARTS = ("latency", "storm", "failover")


async def measured(given: argparse.Namespace) -> dict[str, object]:
    """Starts the servers, measures, and stops all."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    found: dict[str, object] = {}
    draw = random.Random(given.seed)
    async with AsyncExitStack() as stack:
        servers = await start_servers(stack)
        if "latency" in given.only:
            found["latency"] = await latency(servers, given.alerts, draw)
            say(f"  {found['latency']}")
        if "storm" in given.only:
            found["storms"] = storms = []
            for seed in range(given.seed, given.seed + given.storms):
                storms.append(await one_storm(servers, seed))
                say(f"  {storms[-1]}")
        if "failover" in given.only:
            found["failover"] = await failover(servers, given.trials, draw)
        return found | {"versions": await describe.versions(servers.settings(), servers.own_kafka)}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.paging", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="(all)")
    parser.add_argument("--alerts", type=int, default=300, help="whose latency is measured (300)")
    parser.add_argument("--storms", type=int, default=3, help="(3)")
    parser.add_argument("--trials", type=int, default=20, help="deaths of the leader (20)")
    parser.add_argument("--seed", type=int, default=1, help="(1)")
    parser.add_argument("--json", type=Path, default=report.CACHE / "paging.json", help="where the figures go")
    given = parser.parse_args()
    if given.alerts < 2 or given.storms < 1 or given.trials < 2:
        parser.error("--alerts and --trials are 2 or more, --storms 1 or more")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has no leader yet, and it asks again
    load = [os.getloadavg()[0]]
    try:
        found = asyncio.run(measured(given))
    except (NoKafka, KafkaUnreachable, StartFailed, Failed) as error:
        print(f"bench.paging: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    load.append(os.getloadavg()[0])
    result = {
        "command": f"python -m bench.paging --only {' '.join(given.only)} --alerts {given.alerts} --storms {given.storms} "
        f"--trials {given.trials} --seed {given.seed}",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe.machine(),
        "load": load,
        **found,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.paging(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
