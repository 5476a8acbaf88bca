"""Events with known totals, harm on a seeded schedule, and a verdict: `python -m tests.faults.run --seed N`.

Real workers as processes, a real broker, a real store. When the last event is acknowledged and the last harm undone, every
table must hold what was produced, to the cell, and every episode must have been told once: it is compared with what is
known of the events, and with what one undisturbed worker tells of the same log. The same seed and options give the same
events and the same schedule.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from local.broker import EmbeddedBroker
from runtime.kafka import create_topics
from schemas.alert import AlertEvent
from tests.faults.harm import HARMS, inflict
from tests.faults.schedule import Planned, schedule
from tests.faults.site import Site, Tell, site
from tests.faults.traffic import Episode, Traffic
from tests.integration.tables import Difference, difference, differences, written
from tests.support.kafka import KafkaServer, start_kafka
from tests.support.topics import read_all
from tests.support.wait import eventually_async, pause

SETTLE_S = 240.0
TOLD_S = 180.0
LEAD_S = 1.0
NEAR_MS = 5_000
"""So much may the beginning of an episode over several partitions lie behind its last event that is bad."""
SHOWN = 20
DECISIVE = ("firing", "resolved", "retracted")
Group = tuple[tuple[str, str], ...]
Told = tuple[str, Group, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to be. harms: their names; longest_s: no harm lasts longer; replay: whether an undisturbed worker reads the
    log again; brief: the ends of episodes are not waited for."""

    seed: int
    events: int
    rate: float
    workers: int
    kills: int
    harms: tuple[str, ...]
    longest_s: float = 60.0
    replay: bool = True
    brief: bool = False
    namespace: str = "faults"


@dataclass(slots=True)
class Verdict:
    """What came of a run. `differences`: rows that are not what was produced; `alerts`: what is wrong with them, in words;
    `endings`: workers that ended as they should not have."""

    seed: int
    events: int = 0
    records: int = 0
    seconds: float = 0.0
    kills: int = 0
    settled_s: float = 0.0
    done: list[str] = field(default_factory=list)
    not_done: dict[str, str] = field(default_factory=dict)
    episodes: int = 0
    differences: list[Difference] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    endings: dict[str, int] = field(default_factory=dict)
    failed: str = ""

    @property
    def exact(self) -> bool:
        return not (self.differences or self.alerts or self.failed or self.endings)

    def lines(self) -> list[str]:
        word = "exact" if self.exact else "NOT EXACT"
        told = [
            f"seed {self.seed}: {word}; {self.events:,} events ({self.records:,} records), {len(self.done)} harms "
            f"({self.kills} × kill -9) in {self.seconds:.0f} s, settled {self.settled_s:.0f} s later, {self.episodes} episodes"
        ]
        told += [f"  not done: {name}: {why}" for name, why in self.not_done.items()]
        told += [f"  {count} × {ending}" for ending, count in self.endings.items()]
        for one in self.differences[:SHOWN]:
            told.append(f"  {one.table} {one.bucket_ms} {one.key}: expected {one.expected}, found {one.found}")
        if len(self.differences) > SHOWN:
            told.append(f"  … {len(self.differences)} rows differ")
        told += [f"  {one}" for one in self.alerts]
        return told + ([f"  {self.failed}"] if self.failed else [])


async def run(wanted: Wanted, broker: KafkaServer, folder: Path, tell: Tell, kafka: bool) -> Verdict:
    """One seed, in a folder of its own. Raises what keeps it from beginning; what fails later is in the verdict."""
    verdict = Verdict(wanted.seed)
    small_disk = "full_disk" in wanted.harms
    async with site(folder, broker, wanted.namespace, wanted.workers, tell, small_disk=small_disk) as place:
        verdict.not_done = {n: why for n in wanted.harms if (why := HARMS[n].missing(place, kafka)) is not None}
        harms = [name for name in wanted.harms if name not in verdict.not_done]
        place.rng.seed(wanted.seed)
        seconds = wanted.events / wanted.rate
        plan = schedule(wanted.seed, seconds, list(place.posts), harms, wanted.kills, wanted.longest_s)
        for planned in plan:
            tell(f"planned: {planned}")
        began = time.time() + LEAD_S
        traffic = Traffic(wanted.seed, wanted.events, wanted.rate, began, brief=wanted.brief)
        verdict.events = wanted.events
        harming = [asyncio.create_task(_harm(place, one, began, verdict, tell)) for one in plan]
        try:
            await asyncio.gather(place.producer.run(iter(traffic)), *harming)
            verdict.seconds, verdict.records = time.time() - began, place.producer.sent
            await _settle(place, traffic, verdict, tell, wanted.replay)
        except (AssertionError, RuntimeError, TimeoutError, KafkaError, OSError) as error:
            verdict.failed = f"{type(error).__name__}: {str(error)[:1500]}"
        finally:
            for one in harming:
                one.cancel()
            await asyncio.gather(*harming, return_exceptions=True)
        verdict.endings, verdict.kills = dict(place.endings), place.kills
    return verdict


async def _harm(place: Site, planned: Planned, began: float, verdict: Verdict, tell: Tell) -> None:
    await pause(max(began + planned.at - time.time(), 0))
    at = time.time() - began
    tell(f"{at:7.1f} s  {planned.harm} {planned.target}; {place.producer.sent:,} records")
    await inflict(place, planned.harm, planned.target, planned.lasts)
    verdict.done.append(f"{at:.1f} to {time.time() - began:.1f} s: {planned.harm} {planned.target}")


async def _settle(place: Site, traffic: Traffic, verdict: Verdict, tell: Tell, replay: bool) -> None:
    tell(f"{verdict.records:,} records are produced and every harm is undone")
    since = time.monotonic()
    await place.complete()
    settings, oracle = place.settings, place.producer.oracle
    await written(settings, place.producer.ends, SETTLE_S)
    await _exact_or_not(place, verdict)
    verdict.settled_s = time.monotonic() - since
    tell(f"written after {verdict.settled_s:.0f} s; {'exact' if not verdict.differences else 'NOT exact'}")
    if verdict.differences:
        return
    found = await _all_told(place, traffic.episodes)
    verdict.alerts, verdict.episodes = complaints(found, traffic.episodes), len(traffic.episodes)
    codes = await place.leave()
    if codes != [0] * len(codes):
        verdict.alerts.append(f"told to end, the workers ended with {codes}")
    verdict.differences = await differences(settings, oracle)
    if replay and not verdict.differences:
        verdict.alerts += await _undisturbed(place, verdict, found, traffic.episodes, tell)


async def _exact_or_not(place: Site, verdict: Verdict) -> None:
    async def check() -> bool:
        told = await difference(place.settings, place.producer.oracle)
        assert not told, told
        return True

    try:
        await eventually_async(check, "the tables are exact", SETTLE_S)
    except AssertionError:
        verdict.differences = await differences(place.settings, place.producer.oracle)


# --- alerts -----------------------------------------------------------------------------------------------------------


async def told(place: Site) -> list[AlertEvent]:
    """Every alert, the repeats of an id left out."""
    records = await read_all(place.broker.bootstrap, place.settings.names.alerts)
    found = [AlertEvent.model_validate_json(record.value) for record in records]
    return list({one.id: one for one in reversed(found)}.values())[::-1]


async def _all_told(place: Site, episodes: Sequence[Episode]) -> list[AlertEvent]:
    """The alerts, once every episode has begun and ended on the topic, or the limit is over."""
    wanted = {(one.rule, one.group, word) for one in episodes for word in ("firing", *(["resolved"] if one.ends else []))}

    async def check() -> list[AlertEvent]:
        found = await told(place)
        missing = wanted - {_told(one) for one in found}
        assert not missing, f"{len(missing)} are missing, such as {sorted(missing)[:3]}"
        return found

    try:
        return await eventually_async(check, "every episode is told", TOLD_S)
    except AssertionError:
        return await told(place)


def _told(alert: AlertEvent) -> Told:
    return alert.data.rule, tuple((k, str(v)) for k, v in alert.data.group.items()), alert.transition


def complaints(found: Sequence[AlertEvent], episodes: Sequence[Episode]) -> list[str]:
    """What is wrong with alerts whose episodes are known: one that is missing, told twice, late, early, or made up."""
    by_group: dict[tuple[str, Group], dict[str, list[AlertEvent]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        rule, group, transition = _told(one)
        by_group[rule, group][transition].append(one)
    wrong = []
    for episode in episodes:
        held = by_group.pop((episode.rule, episode.group), {})
        name = f"{episode.rule} {dict(episode.group)}"
        firing = held.get("firing", [])
        if len(firing) != 1:
            wrong.append(f"{name}: told {len(firing)} times instead of once: {[one.id for one in firing]}")
        for one in firing:
            wrong += _at_the_right_time(name, one, episode)
        ends = len(held.get("resolved", []))
        if ends != 1 if episode.ends else ends > 1:
            wrong.append(f"{name}: resolved {ends} times")
        wrong += [f"{name}: {word}" for word in held if word in ("retracted", "no_data")]
    wrong += [f"{rule} {dict(group)}: {', '.join(held)}, and there was nothing" for (rule, group), held in by_group.items()]
    return wrong


def _at_the_right_time(name: str, alert: AlertEvent, episode: Episode) -> list[str]:
    at, (first, last) = alert.data.first_bad_at, episode.between_ms
    if episode.first_bad_ms is not None:
        return [] if at == episode.first_bad_ms else [f"{name}: first bad at {at}, not {episode.first_bad_ms}"]
    return [] if at is not None and first <= at <= last + NEAR_MS else [f"{name}: first bad at {at}, not in {first} to {last}"]


async def _undisturbed(
    place: Site, verdict: Verdict, disturbed: Sequence[AlertEvent], episodes: Sequence[Episode], tell: Tell
) -> list[str]:
    """What is told otherwise by one worker that reads the same log with an empty store and no alert told yet. The verdict gets
    what its tables hold that was not produced."""
    if isinstance(place.broker, EmbeddedBroker):
        tell("no undisturbed run to compare with: the embedded broker deletes no topics")
        return []
    names = place.settings.names
    open_ended = {one.rule for one in episodes if not one.ends}

    def decisive(found: Sequence[AlertEvent]) -> dict[Told, str]:
        """What began and ended; not the end of what is not waited for."""
        return {
            _told(one): one.id
            for one in found
            if one.transition in DECISIVE and not (one.transition == "resolved" and one.data.rule in open_ended)
        }

    await asyncio.to_thread(place.store.empty)
    admin = AIOKafkaAdminClient(bootstrap_servers=place.broker.bootstrap)
    await admin.start()
    await admin.delete_topics([names.alerts, names.rollups])
    await admin.close()
    await eventually_async(lambda: _made_anew(place), "the topics are made anew", 60)
    post = next(iter(place.posts.values()))
    post.wanted = True
    await written(place.settings, place.producer.ends, SETTLE_S)
    wanted = decisive(disturbed)

    async def check() -> bool:
        again = decisive(await told(place))
        assert again.keys() == wanted.keys(), f"{again.keys() ^ wanted.keys()}"
        return True

    wrong = []
    try:
        await eventually_async(check, "an undisturbed run tells the same", TOLD_S)
    except AssertionError as error:
        wrong.append(f"an undisturbed run does not tell the same: {error}")
    ids = decisive(await told(place))
    same = sum(ids.get(what) == identity for what, identity in wanted.items())
    tell(f"an undisturbed run tells {len(ids)} transitions; {same} of {len(wanted)} ids are the same")
    others = [what for what in wanted if what in ids and ids[what] != wanted[what] and what[0] != "outages"]
    wrong += [f"{' '.join(map(str, what))}: an undisturbed run gives another id" for what in others]
    await _exact_or_not(place, verdict)  # before it leaves: tables of high cardinality come up to 5 s after the others
    await place.leave()
    return wrong


async def _made_anew(place: Site) -> bool:
    try:
        return all(one.did != "kept" for one in await create_topics(place.settings, place.partitions))
    except KafkaError:  # still being deleted
        return False


# --- the command ------------------------------------------------------------------------------------------------------


def _wanted(given: argparse.Namespace, seed: int) -> Wanted:
    harms = tuple(HARMS) if given.harms is None else tuple(filter(None, given.harms.split(",")))
    unknown = sorted(set(harms) - HARMS.keys())
    if unknown:
        raise SystemExit(f"no harm {', '.join(unknown)}; there are {', '.join(HARMS)}")
    return Wanted(seed, given.events, given.rate, given.workers, given.kills, harms, replay=not given.no_replay)


async def _all(given: argparse.Namespace, seeds: Collection[int], tell: Tell, say: Tell) -> list[Verdict]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    verdicts = []
    for seed in seeds:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-faults-")))
            broker: KafkaServer
            if given.broker == "kafka":
                broker = await asyncio.to_thread(start_kafka, folder / "kafka")
            else:
                broker = EmbeddedBroker(None, folder / "broker").start()
            stack.callback(broker.stop)
            verdict = await run(_wanted(given, seed), broker, folder / "site", tell, given.broker == "kafka")
            if not verdict.exact and given.keep is not None:
                kept = given.keep / f"seed-{seed}"
                kept.mkdir(parents=True, exist_ok=True)
                for log in (folder / "site").glob("*.log*"):
                    shutil.copy(log, kept)
        verdicts.append(verdict)
        for line in verdict.lines():
            say(line)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other (1)")
    parser.add_argument("--events", type=int, default=500_000, help="(500000)")
    parser.add_argument("--rate", type=float, default=2_500.0, help="events a second (2500)")
    parser.add_argument("--workers", type=int, default=3, help="(3)")
    parser.add_argument("--kills", type=int, default=20, help="of workers, with kill -9 (20)")
    parser.add_argument("--harms", help="only these, with commas between them; --list tells all")
    parser.add_argument("--list", action="store_true", help="tell what harms there are, and end")
    parser.add_argument("--plan", action="store_true", help="tell what a seed does and when, and end")
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--no-replay", action="store_true", help="do not compare with an undisturbed run")
    parser.add_argument("--keep", type=Path, help="folder for the workers' logs of a run that was not exact")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.seeds)
    if given.list:
        for one in HARMS.values():
            print(f"{one.name:<18} {one.words}")
        return 0
    if given.plan:
        for seed in seeds:
            wanted = _wanted(given, seed)
            workers = [f"worker-{number}" for number in range(1, wanted.workers + 1)]
            print(f"seed {seed}")
            for planned in schedule(seed, wanted.events / wanted.rate, workers, wanted.harms, wanted.kills):
                print(f"  {planned}")
        return 0
    say: Tell = (lambda line: None) if given.json else (lambda line: print(line, flush=True))

    def progress(line: str) -> None:
        say(f"  {time.strftime('%H:%M:%S')} {line}")

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is away is what is wanted
    try:
        verdicts = asyncio.run(_all(given, seeds, progress, say))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    if given.json:
        print(json.dumps([dataclasses.asdict(one) | {"exact": one.exact} for one in verdicts], default=str, indent=1))
    bad = [one.seed for one in verdicts if not one.exact]
    say(f"{len(verdicts) - len(bad)} of {len(verdicts)} seeds exact" + (f"; not: {bad}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
