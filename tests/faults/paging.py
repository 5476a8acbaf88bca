"""Pages while notifiers are killed: `python -m tests.faults.paging --seed N`.

Two notifiers as processes, a real broker, a real store, a real mail server and a real HTTP server. In each round some alerts
come; some of their incidents are acknowledged, now or once the secondary was asked, the others climb to the team lead; then
all are over. Meanwhile notifiers are killed with -9 at instants that the seed draws, or kill themselves between two steps
of their work, and now and then the store is killed, or comes back without its last second. Each round goes on once everything
that must be said was said. In the end: every message was said under one key; what came again came with the same key, after
a death, and was not recorded before; every timer fired once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from local.broker import EmbeddedBroker
from local.process import StartFailed
from notifier.store import Counter as Desk
from runtime.faults import NOTIFIER
from runtime.outbox import HEADER, Entry
from schemas.alert import AlertEvent, Transition
from schemas.incident import Command, Incident
from tests.faults.harm import HARMS, inflict
from tests.faults.site import Post, Site, Tell, site
from tests.integration.tables import redis_of
from tests.support.kafka import KafkaServer, NoKafka, start_kafka
from tests.support.night import alert
from tests.support.recipients import Arrived, Recipients, What, directory, recipients
from tests.support.topics import read_all
from tests.support.wait import eventually_async, pause
from tests.support.worker import led_since

SESSION_S = 3.0
WAYS = ("email", "webhook")
LEVELS = {"primary": ["thandi"], "secondary": ["sipho"], "lead": ["lerato"]}
TO_SECONDARY_S, TO_LEAD_S, APART_S = 901.0, 1_801.0, 1_000.0
"""How far the clock is moved for a level of a P1 to be late, and for what is over to be over."""
SAID_WITHIN_S = 120.0
LINGER_S = 0.06
KILLED_WITHIN_S = 1.2
"""So long after a step has begun somebody is killed."""
STORE = ("lose_last_second", "stop_redis")
STORE_SHARE, SECOND_SHARE, FAULTY_SHARE = 0.3, 0.15, 0.2
AT_ONCE_S = 0.1
CLOCK_READ_S = 0.1
SHOWN, STORIES = 60, 2
"""Faults that are told, and incidents whose timeline is told with them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to be. alerts: in each round, fewer than make a storm."""

    seed: int
    rounds: int
    alerts: int = 18
    store: bool = True
    namespace: str = "paging"


@dataclass(frozen=True, slots=True)
class Hurt:
    """From when to when (epoch seconds) something was done that may make a message come again."""

    since: float
    until: float
    what: str


class Office(Site):
    """Notifiers that are looked after. met: how often whom a kill met."""

    COMMAND = "notifier"

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.met: Counter[str] = Counter()
        self.hurt: list[Hurt] = []
        self._killed: set[int] = set()

    @property
    def now_ms(self) -> int:
        return int((time.time() + self.clock_ahead_s) * 1000)

    def leader(self) -> Post | None:
        """Who said last that it leads, if it still runs."""
        said = {post.name: led_since(post.process.output) for post in self.posts.values()}
        name = max(said, key=said.__getitem__)
        return self.posts[name] if said[name] and self.posts[name].process.running else None

    def kill(self, whom: str) -> None:
        """kill -9 of the leader, of whoever stands by, or of both."""
        leader = self.leader()
        posts = list(self.posts.values())
        if whom == "leader":
            posts = [leader or posts[0]]
        elif whom == "standby":
            posts = [post for post in posts if post is not leader][:1]
        for post in posts:
            at, leads, pid = time.time(), post is leader, post.process.pid
            if post.kill():
                self._killed.add(pid)
                self.met["leader" if leads else "standby"] += 1
                if leads:
                    self.hurt.append(Hurt(at - AT_ONCE_S, at + AT_ONCE_S, f"kill -9 of {post.name}"))

    async def _start(self, post: Post) -> None:
        if post.process.exit_code == -signal.SIGKILL and post.process.pid not in self._killed:
            last_sign = post.process.log.stat().st_mtime if post.process.log.exists() else time.time()
            self.met["by itself"] += 1
            self.hurt.append(Hurt(last_sign - AT_ONCE_S, time.time(), f"{post.name} died by itself"))
        fault = self.rng.choice(NOTIFIER) if self.rng.random() < FAULTY_SHARE else None
        more = {} if fault is None else {"TILLWATCH_FAULT": f"{fault}:0.1"}
        kept = {name: value for name, value in (post.process.env or {}).items() if name != "TILLWATCH_FAULT"}
        post.process.env = kept | more
        await super()._start(post)


# --- a run ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    """What came of a run. wrong: in words."""

    seed: int
    alerts: int = 0
    messages: int = 0
    repeats: int = 0
    seconds: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    store: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        kills = ", ".join(f"{count} × {whom}" for whom, count in self.met.most_common())
        harms = ", ".join(f"{count} × {what}" for what, count in self.store.most_common()) or "not hurt"
        told = [
            f"seed {self.seed}: {'as it must be' if not self.wrong else 'WRONG'}; {self.alerts:,} alerts, "
            f"{self.messages:,} messages, {self.met.total()} × kill -9 ({kills}), store: {harms}; {self.repeats} messages came "
            f"again with their key; {self.seconds:.0f} s"
        ]
        told += [f"  {one}" for one in self.wrong[:SHOWN]]
        return told + ([f"  … {len(self.wrong)} faults"] if len(self.wrong) > SHOWN else [])


class Run:
    """One seed. expected: everything that must have been said until now."""

    def __init__(self, wanted: Wanted, office: Office, they: Recipients, tell: Tell) -> None:
        self.wanted, self.office, self.they, self.tell = wanted, office, they, tell
        self.expected: Counter[What] = Counter()
        self.verdict = Verdict(wanted.seed)
        self._draw = random.Random(f"paging {wanted.seed}")

    async def go(self) -> None:
        for number in range(self.wanted.rounds):
            await self._round(number)
            told = (
                f"{self.office.met.total()} killed, {len(self.they.arrived)} messages, {len(self.they.repeats)} repeats"
            )
            self.tell(f"round {number + 1} of {self.wanted.rounds}: {told}")
        await self.office.complete()
        await eventually_async(self._settled, "everything is recorded", SAID_WITHIN_S)

    async def _round(self, number: int) -> None:
        names = [f"rule_{number}_{one}" for one in range(self.wanted.alerts)]
        early = set(self._draw.sample(names, len(names) // 3))
        late = set(self._draw.sample([name for name in names if name not in early], len(names) // 3))
        slow, slowest = [n for n in names if n not in early], [n for n in names if n not in early | late]
        self.verdict.alerts += len(names)

        self._expect("page", "thandi", names)
        await self._amid(self._publish(names, "firing"))
        await self._amid(self._acknowledge(early))
        self._expect("page", "sipho", slow)
        await self._amid(self._later(TO_SECONDARY_S))
        await self._amid(self._acknowledge(late))
        self._expect("page", "lerato", slowest)
        await self._amid(self._later(TO_LEAD_S))
        for whom, of in (("thandi", names), ("sipho", slow), ("lerato", slowest)):
            self._expect("resolved", whom, of)
        await self._amid(self._publish(names, "resolved"))
        await self._later(APART_S)

    def _expect(self, kind: str, whom: str, names: Iterable[str]) -> None:
        self.expected.update(What(whom, way, kind, f"{name} is bad") for name in names for way in WAYS)

    async def _amid(self, doing: Awaitable[None]) -> None:
        """Does it while somebody is killed, and waits until everything was said."""
        harming = [asyncio.create_task(one) for one in self._harms()]
        try:
            await doing
            await eventually_async(self._said, "everything is said", SAID_WITHIN_S)
            await asyncio.gather(*harming)
        finally:
            for one in harming:
                one.cancel()
            await asyncio.gather(*harming, return_exceptions=True)

    def _harms(self) -> list[Awaitable[None]]:
        draw = self._draw
        found = [
            self._kill(draw.uniform(0, KILLED_WITHIN_S), draw.choices(["leader", "standby", "both"], [7, 1, 2])[0])
        ]
        if draw.random() < SECOND_SHARE:
            found.append(self._kill(draw.uniform(0, 5 * KILLED_WITHIN_S), draw.choice(["leader", "both"])))
        name, at, share = draw.choice(STORE), draw.uniform(0, KILLED_WITHIN_S), draw.random()
        lasts = draw.uniform(*HARMS[name].lasts or (0.0, 0.0))
        if self.wanted.store and share < STORE_SHARE / 5:
            found.append(self._hurt_store(name, at, lasts))
        return found

    async def _kill(self, after_s: float, whom: str) -> None:
        await pause(after_s)
        await asyncio.to_thread(self.office.kill, whom)

    async def _hurt_store(self, name: str, after_s: float, lasts: float) -> None:
        await pause(after_s)
        since = time.time()
        await inflict(self.office, name, "redis", lasts)
        self.verdict.store[name] += 1
        self.office.hurt.append(Hurt(since, time.time(), name))

    def _said(self) -> bool:
        missing = self.expected - self.they.told()
        assert not missing, f"{missing.total()} messages are missing, such as {sorted(missing)[:3]}"
        return True

    # --- what happens ---------------------------------------------------------------------------------------------------

    async def _publish(self, names: Sequence[str], transition: Transition) -> None:
        settings = self.office.settings
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all")
        await producer.start()
        try:
            for name in names:
                await pause(self._draw.uniform(0, 0.12))
                one = self._alert(name, transition)
                value = one.model_dump_json(exclude_none=False).encode()
                await producer.send_and_wait(settings.names.alerts, value, key=one.data.fingerprint.encode())
        finally:
            await producer.stop()

    def _alert(self, name: str, transition: Transition) -> AlertEvent:
        return alert(name, transition, "high", at_ms=self.office.now_ms, channels=WAYS, provider=f"provider-{name}")

    async def _later(self, seconds: float) -> None:
        self.office.clock_ahead_s += seconds
        self.office.tick()
        await pause(CLOCK_READ_S)  # what comes now must not be taken for what was before

    async def _acknowledge(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            await eventually_async(lambda name=name: self._handed_in(name), f"{name} is acknowledged", SAID_WITHIN_S)

    async def _handed_in(self, name: str) -> bool:
        """As a person would who tries again: with the same id, so that it is done once."""
        settings = self.office.settings
        async with redis_of(settings) as redis:
            desk = Desk(redis, settings.names)
            try:
                mine = [one for one in (await desk.all())[0] if one.title == f"{name} is bad"]
                assert mine, f"{name} has no incident"
                answer = await desk.send(Command(f"ack-{name}", "ack", "Thandi", mine[0].id), 5.0)
            except (RedisError, OSError) as error:
                raise AssertionError(f"the store is away: {error}") from error
        assert answer is not None, "no answer"
        if not answer.done:
            raise RuntimeError(f"{name}: {answer.text}")
        return True

    # --- whether it is as it must be --------------------------------------------------------------------------------------

    async def _settled(self) -> bool:
        for one in await self._incidents():
            assert one.status == "resolved", f"#{one.number} is {one.status}"
            waits = [page for page in one.pages if page.state == "queued"]
            assert not waits, f"#{one.number} waits for {len(waits)} messages"
        return True

    async def _incidents(self) -> Sequence[Incident]:
        async with redis_of(self.office.settings) as redis:
            return (await Desk(redis, self.office.settings.names).all())[0]

    async def judge(self) -> list[str]:
        """Everything that is wrong."""
        they, names = self.they, self.office.settings.names
        told = they.told()
        wrong = said_wrongly(self.expected, told)
        wrong += they.refused
        found = await self._incidents()
        odd = {what.title for what in (self.expected - told) + (told - self.expected)}
        for one in [one for one in found if one.title in odd][:STORIES]:
            wrong += [f"  #{one.number} {_clock(entry.at_ms)} {entry.kind}: {entry.text}" for entry in one.timeline]
        wrong += [
            f"#{one.number}: a message could not be sent" for one in found for p in one.pages if p.state == "failed"
        ]
        titles = Counter(one.title for one in found)
        if (
            len({one.number for one in found}) != len(found)
            or len(found) != self.verdict.alerts
            or max(titles.values()) > 1
        ):
            wrong.append(f"{len(found)} incidents, {len(titles)} of them different, of {self.verdict.alerts} alerts")
        for one in found:
            fired = [entry.text for entry in one.timeline if entry.kind == "escalated"]
            wrong += [
                f"#{one.number}: a timer fired twice: {text}" for text, times in Counter(fired).items() if times > 1
            ]
        recorded, versions = {}, dict[tuple[str, int], set[str]]()
        for record in await read_all(self.office.settings.kafka or "", names.incidents, SAID_WITHIN_S):
            entry = Entry.decode(record.key.decode(), dict(record.headers)[HEADER])
            incident = msgspec.convert(entry.state["incident"], Incident)
            # The same change may be told twice, by whoever died before it was marked; never another of the same number.
            versions.setdefault((incident.id, incident.version), set()).add(record.value.decode())
            for page in incident.pages:
                if page.state == "sent":
                    recorded.setdefault(page.key, record.timestamp / 1000)
        wrong += [f"{which} was told in {len(all_)} ways" for which, all_ in versions.items() if len(all_) > 1]
        return wrong + repeats_that_may_not_be(they.repeats, recorded, self.office.hurt)


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def said_wrongly(expected: Counter[What], told: Counter[What]) -> list[str]:
    """What was not said, was said under several keys, or was not to be said."""
    wrong = [f"never said: {' '.join(what)}" for what in expected - told]
    return wrong + [f"said under {told[what]} keys, not {expected[what]}: {' '.join(what)}" for what in told - expected]


def repeats_that_may_not_be(
    repeats: Sequence[tuple[Arrived, Arrived]], recorded: dict[str, float], hurt: Sequence[Hurt]
) -> list[str]:
    """What came again though nobody died between sending and recording."""
    wrong = []
    for before, again in repeats:
        said = f"{' '.join(again.what)} came again after {again.at - before.at:.2f} s"
        if again.at > recorded.get(again.key, float("inf")):
            wrong.append(f"{said}, though it had been recorded")
        elif not any(one.since <= again.at and one.until >= before.at for one in hurt):
            wrong.append(f"{said}, though nobody had died")
    return wrong


async def run(wanted: Wanted, broker: KafkaServer, folder: Path, tell: Tell) -> Verdict:
    """One seed, in a folder of its own. Raises what keeps it from beginning; what fails later is in the verdict."""
    draw = random.Random(f"lingering {wanted.seed}")
    async with recipients(lambda: draw.uniform(0, LINGER_S)) as they:
        more = {"teams": directory(folder, they, LEVELS), "session_timeout": SESSION_S}
        async with site(
            folder / "site", broker, wanted.namespace, 2, tell, small_disk=False, kind=Office, **more
        ) as office:
            office.rng.seed(wanted.seed)
            return await _watched(Run(wanted, office, they, tell))


async def _watched(one: Run) -> Verdict:
    began, verdict = time.monotonic(), one.verdict
    try:
        await one.go()
    except (AssertionError, RuntimeError, TimeoutError, KafkaError, RedisError, OSError) as error:
        verdict.wrong.append(f"{type(error).__name__}: {str(error)[:1500]}")
    verdict.seconds = time.monotonic() - began
    verdict.wrong += await one.judge()
    verdict.messages, verdict.repeats, verdict.met = len(one.they.arrived), len(one.they.repeats), one.office.met
    verdict.wrong += [f"{count} × {ending}" for ending, count in one.office.endings.items()]
    codes = await one.office.leave()
    if codes != [0] * len(codes):
        verdict.wrong.append(f"told to end, the notifiers ended with {codes}")
    return verdict


# --- the command ------------------------------------------------------------------------------------------------------


async def _all(given: argparse.Namespace, tell: Tell, say: Callable[[str], None]) -> list[Verdict]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    verdicts = []
    for seed in range(given.seed, given.seed + given.seeds):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-paging-")))
            broker: KafkaServer
            if given.broker == "kafka":
                broker = await asyncio.to_thread(start_kafka, folder / "kafka")
            else:
                broker = EmbeddedBroker(None, folder / "broker").start()
            stack.callback(broker.stop)
            wanted = Wanted(seed, given.rounds, given.alerts, not given.leave_store)
            verdict = await run(wanted, broker, folder / "run", tell)
            if verdict.wrong and given.keep is not None:
                kept = given.keep / f"seed-{seed}"
                kept.mkdir(parents=True, exist_ok=True)
                for log in (folder / "run" / "site").glob("*.log*"):
                    shutil.copy(log, kept)
        verdicts.append(verdict)
        for line in verdict.lines():
            say(line)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.paging", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other (1)")
    parser.add_argument("--rounds", type=int, default=28, help="(28)")
    parser.add_argument("--alerts", type=int, default=18, help="in each round; 20 would be a storm (18)")
    parser.add_argument("--leave-store", action="store_true", help="do no harm to the store")
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--keep", type=Path, help="folder for the notifiers' logs of a run that was wrong")
    given = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a group whose members die is what is wanted
    try:
        verdicts = asyncio.run(_all(given, lambda line: say(f"  {time.strftime('%H:%M:%S')} {line}"), say))
    except (NoKafka, StartFailed) as error:
        print(f"tests.faults.paging: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    bad = [one.seed for one in verdicts if one.wrong]
    say(f"{len(verdicts) - len(bad)} of {len(verdicts)} seeds as it must be" + (f"; not: {bad}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
