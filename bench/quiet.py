"""How often healthy traffic pages somebody: simulated days through the engine, with the rules as they are shipped.

    python -m bench.quiet [--days N] [--volumes 2,20,1200] [--rules FOLDER] [--within SECONDS] [--json]

Payments come at 2, 20 and 1,200 a minute, by the simulator's shape of days and weeks, mix of providers, share of declines and
of technical failures (0.8 %); nothing is wrong at any time. Whatever fires is a false page unless another alert inhibits it,
and so is NO DATA, which is counted apart. The machines beside (probes, samples of memory and CPU, wrong passwords,
connections that are lost once) do not depend on the volume and are simulated once.

Nothing is folded event by event: the cells of each bucket are drawn directly, with the exact times that a cell of fewer
than 64 events keeps, and go into the engine with a watermark that moves on. tests/bench/test_quiet.py holds that this gives
the alerts that the same events give through the real fold and merge. Up to 100 payments a minute each payment is drawn
with its own steps; above, the finished ones of a bucket are drawn together. The days are cut into pieces that run side by
side, each with an hour ahead that is not counted, and with eight days of history for the rules that compare with a baseline.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from heapq import nlargest, nsmallest
from itertools import accumulate, count
from pathlib import Path
from random import Random
from typing import Any, Protocol

from local import cast
from local import past as before
from local.simulator import (
    ABANDONED,
    FRAUD,
    HEALTH_EVERY_MS,
    RESOURCE_EVERY_MS,
    TECHNICAL,
    UNKNOWN,
    daily_shape,
)
from rollups.cells import EXACT_BELOW, KEPT_RECENT, KEPT_SAMPLES, Cell, Stat
from rollups.sketch import bin_of
from rules.engine import Engine, Progress
from rules.learned import Imported
from rules.loader import RuleSet, load
from rules.rule import Rule
from schemas.alert import AlertEvent
from schemas.tables import TABLES, Key

BUCKET_MS = 5_000
START_MS = 1_795_392_000_000
"""A Monday, 00:00 UTC."""
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
LATENESS_MS = 30_000
SINGLY_BELOW = 100.0
"""Payments a minute, below which each is drawn with its steps."""
POOL = 16_384
"""Values of a distribution that are drawn from again and again."""


class Pool:
    """Values of a distribution, drawn once; some are those from a random place on."""

    def __init__(self, rng: Random, draw: Callable[[], int]) -> None:
        self._rng = rng
        self._values = [draw() for _ in range(POOL)]

    def some(self, n: int) -> list[int]:
        at = int(self._rng.random() * (POOL - n))
        return self._values[at : at + n]

    def one(self) -> int:
        return self._values[int(self._rng.random() * POOL)]


PIECE_DAYS = 5.0
"""What a piece costs before its first day, its history above all, is about what two days at 2 payments a minute cost."""
AHEAD_MS = HOUR_MS
PAST_DAYS = 8
LOOKS_S = {"few": 60.0, "many": 60.0, "machines": 1_800.0}
"""Between two looks. What fires does not depend on them. NO DATA would, so while a table is quiet it looks with each bucket."""
NO_DATA_AFTER_MS = 120_000
WITHIN_S = 600.0
PLATFORM = "the machines beside"


# --- what happens in a bucket -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Batch:
    """The events of one table, bucket and key: their times, and what each measure of the table adds up."""

    times: list[int]
    columns: list[list[int]]


Drawn = dict[tuple[str, Key], Batch]


class Feed(Protocol):
    """Healthy traffic. `tables`: those that it feeds; `counted`: those of them in which only what goes wrong is drawn, which
    does for counts alone."""

    tables: frozenset[str]
    counted: frozenset[str]

    def draw(self, bucket: int) -> Drawn:
        """The events of the next bucket; buckets follow one another."""


def _key(table: str, **dimensions: Any) -> Key:
    return tuple(dimensions.get(name) for name in TABLES[table].dimensions)


class _Add:
    """Gathers events into batches."""

    def __init__(self) -> None:
        self.drawn: Drawn = {}

    def __call__(self, table: str, key: Key, ms: int, *values: int) -> None:
        batch = self.drawn.get((table, key))
        if batch is None:
            batch = self.drawn[table, key] = Batch([], [[] for _ in TABLES[table].measures])
        batch.times.append(ms)
        for column, value in zip(batch.columns, values, strict=False):
            column.append(value)


class Shop:
    """Payments and requests. rate: payments begun a minute, averaged over a week. wrong: share of finished payments that
    fail for technical or unknown reasons, in place of the simulator's."""

    tables = frozenset({"payments", "requests"})
    counted: frozenset[str] = frozenset()

    def __init__(self, rate: float, rng: Random, *, wrong: float = TECHNICAL + UNKNOWN) -> None:
        self._per_bucket, self._rng, self._wrong = rate * BUCKET_MS / 60_000, rng, wrong
        self._singly = rate < SINGLY_BELOW
        self._pools = {name: Pool(rng, partial(self._latency, rng, how)) for name, how in cast.METHODS.items()}
        self._pages = Pool(rng, lambda: round(rng.lognormvariate(math.log(100), 0.6) * 1_000))
        self._offsets = Pool(rng, lambda: rng.randrange(BUCKET_MS))
        self._later: defaultdict[int, list[tuple[Key, int, tuple[int, ...]]]] = defaultdict(list)
        self._classes: list[tuple[Key, str]] = []
        weights = []
        for provider, method in _pairs():
            for (verb, fault, reason), share in self._shares(method):
                self._classes.append((self._payment(verb, provider, None, "ZAR", fault, reason), method))
                weights.append(_weight(provider, method) * share)
        self._weights = list(accumulate(weights))
        self._prices = Pool(rng, lambda: cast.PRICES.draw(rng))

    @staticmethod
    def _latency(rng: Random, how: cast.Method) -> int:
        return round(min(how.latency_ms * rng.lognormvariate(0, how.spread), 90_000) * 1_000)

    def _shares(self, method: str) -> Iterator[tuple[tuple[str, str | None, str | None], float]]:
        technical = self._wrong * TECHNICAL / (TECHNICAL + UNKNOWN)
        declines = cast.METHODS[method].declines
        failing = (
            ("technical", "gateway_timeout", technical),
            ("unknown", "no_answer", self._wrong - technical),
            ("fraud", "risk_score", FRAUD),
            ("business", "insufficient_funds", declines),
        )
        for fault, reason, share in failing:
            yield ("failed", fault, reason), share
        yield ("succeeded", None, None), 1 - self._wrong - FRAUD - declines

    @staticmethod
    def _payment(
        outcome: str, provider: str, method: str | None, currency: str, fault: str | None = None, reason: str | None = None
    ) -> Key:
        return (outcome, provider, method, currency, fault, reason)

    def draw(self, bucket: int) -> Drawn:
        add = _Add()
        mean = self._per_bucket * daily_shape(bucket / 1000)
        if self._singly:
            self._each(bucket, mean, add)
        else:
            self._together(bucket, mean, add)
        return add.drawn

    def _together(self, bucket: int, mean: float, add: _Add) -> None:
        """Finished payments by class, and requests, each a number and then their times. Methods differ in their latencies, and
        are not told apart."""
        rng = self._rng
        finished = before.poisson(rng, mean * (1 - ABANDONED))
        counts = Counter(rng.choices(range(len(self._classes)), cum_weights=self._weights, k=finished))
        for number, n in counts.items():
            key, method = self._classes[number]
            batch = add.drawn.setdefault(("payments", key), Batch([], [[], []]))
            batch.times += self._times(bucket, n)
            batch.columns[0] += self._prices.some(n)
            batch.columns[1] += self._pools[method].some(n)
        for target, n in (("POST /checkout", before.poisson(rng, mean)), ("GET /courses", before.poisson(rng, 2 * mean))):
            if n:
                key = _key("requests", component="checkout", target=target, outcome="ok")
                add.drawn["requests", key] = Batch(self._times(bucket, n), [self._pages.some(n)])

    def _times(self, bucket: int, n: int) -> list[int]:
        return [bucket + offset for offset in self._offsets.some(n)]

    def _each(self, bucket: int, mean: float, add: _Add) -> None:
        """Payments one by one: begun, redirected, finished when the customer has made up his mind and the provider answers."""
        rng = self._rng
        for _ in range(before.poisson(rng, mean)):
            self._begin(bucket + int(rng.random() * BUCKET_MS), add, bucket)
        for _ in range(before.poisson(rng, 2 * mean)):
            key = _key("requests", component="checkout", target=cast.ROUTES.draw(rng), outcome="ok")
            add("requests", key, bucket + int(rng.random() * BUCKET_MS), self._pages.one())
        for key, ms, values in self._later.pop(bucket, ()):
            add("payments", key, ms, *values)

    def _begin(self, ms: int, add: _Add, bucket: int) -> None:
        rng = self._rng
        provider = cast.PROVIDERS.draw(rng)
        method = cast.METHODS_OF[provider].draw(rng)
        currency, amount = cast.CURRENCIES.draw(rng), self._prices.one()
        add("payments", self._payment("initiated", provider, method, currency), ms, amount)
        add("requests", _key("requests", component="checkout", target="POST /checkout", outcome="ok"), ms, 120_000)
        redirected = ms + int(rng.lognormvariate(math.log(120), 0.5))
        self._put(self._payment("redirected", provider, method, currency), redirected, (amount,), add, bucket)
        if rng.random() < ABANDONED:
            return
        latency = self._pools[method].one()
        think_ms = min(rng.lognormvariate(math.log(5_000), 0.6), 60_000)
        ends = list(self._shares(method))
        (verb, fault, reason), _ = rng.choices(ends, [share for _, share in ends])[0]
        key = self._payment(verb, provider, method, currency, fault, reason)
        self._put(key, redirected + int(think_ms + latency / 1_000), (amount, latency), add, bucket)

    def _put(self, key: Key, ms: int, values: tuple[int, ...], add: _Add, bucket: int) -> None:
        due = ms - ms % BUCKET_MS
        if due == bucket:
            add("payments", key, ms, *values)
        else:
            self._later[due].append((key, ms, values))


def _pairs() -> Iterator[tuple[str, str]]:
    for provider in cast.PROVIDERS.things:
        for method in cast.METHODS_OF[provider].things:
            yield provider, method


def _weight(provider: str, method: str) -> float:
    return _share(cast.PROVIDERS, provider) * _share(cast.METHODS_OF[provider], method)


def _share(mix: cast.Mix[str], thing: str) -> float:
    steps = [0.0, *mix._steps]
    at = mix.things.index(thing)
    return (steps[at + 1] - steps[at]) / steps[-1]


class Machines:
    """Probes, samples of resources, and what happens now and then whatever the traffic is."""

    tables = frozenset({"health", "resources", "security", "webhooks", "calls", "queries", "errors", "reconciliations"})
    counted = frozenset({"webhooks", "calls", "queries", "errors", "reconciliations"})
    SELDOM = (
        (1 / 150, "security", _key("security", kind="auth.failed", component="login", reason="wrong_password")),
        (1 / 900, "security", _key("security", kind="request.blocked", component="login", reason="rate_limit")),
        (1 / 1200, "security", _key("security", kind="authz.violated", component="enrollment-api")),
        (1 / 1800, "security", _key("security", kind="api.suspicious", component="checkout", reason="unknown_route")),
        (1 / 2400, "webhooks", _key("webhooks", outcome="rejected", provider="ozow", reason="invalid_signature")),
        (1 / 1800, "calls", _key("calls", component="checkout", target="ozow", outcome="connection_failed")),
        (1 / 8000, "errors", _key("errors", kind="error.raised", category="configuration", component="checkout")),
    )
    """As in the simulator: how often a second, and what."""
    BLIP = 0.0005

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._probes = [
            (component, instance, place, rng.randrange(HEALTH_EVERY_MS))
            for component, instances in cast.PROBED.items()
            for instance in instances
            for place in cast.PLACES
        ]
        self._samples = [
            (host, resource, cast.RESOURCES[resource] + rng.uniform(-6, 6), rng.randrange(RESOURCE_EVERY_MS))
            for host in cast.HOSTS
            for resource in ("cpu", "memory", "disk")  # what rules look at
        ]

    def draw(self, bucket: int) -> Drawn:
        add, rng = _Add(), self._rng
        shape = daily_shape(bucket / 1000)
        for component, instance, place, phase in self._probes:
            ms = bucket + (phase - bucket) % HEALTH_EVERY_MS
            if ms < bucket + BUCKET_MS:
                status = "down" if rng.random() < self.BLIP else "up"
                add("health", (component, instance, place, status), ms, 45_000)
        for host, resource, level, phase in self._samples:
            noise = rng.gauss(0, 1.2)
            value = level + noise + ((10 * (shape - 1) + 3 * noise) if resource == "cpu" else 0.0)
            ms = bucket + (phase - bucket) % RESOURCE_EVERY_MS
            add("resources", (host, resource), ms, round(min(max(value, 0.5), 99.5) * 1_000), RESOURCE_EVERY_MS)
        for often, table, key in self.SELDOM:
            if rng.random() < often * BUCKET_MS / 1_000:
                add(table, key, bucket + rng.randrange(BUCKET_MS))
        return add.drawn


# --- from there to alerts ---------------------------------------------------------------------------------------------

_numbers = count(1)
_bins = cache(bin_of)
"""The values of a pool come again and again."""


def cell_of(table: str, batch: Batch, sketch: bool) -> Cell:
    """The cell that folding these events makes. sketch: whether quantiles are wanted."""
    info, times = TABLES[table], batch.times
    stats = []
    for values, measure in zip(batch.columns, info.measures, strict=True):
        stat = Stat()
        if values:
            stat.fold(values, False)
            if sketch and measure.sketch:
                stat.bins = dict(Counter(map(_bins, values)))
        stats.append(stat)
    samples = []
    for ms in nsmallest(KEPT_SAMPLES, times) if len(times) > 1 else times:
        name = f"e{next(_numbers)}"
        samples.append((ms, name, name))
    return Cell(
        count=len(times),
        times=times if len(times) < EXACT_BELOW else None,
        samples=samples,
        recent=nlargest(KEPT_RECENT, times) if info.keeps_recent else None,
        stats=stats,
    )


class Simulation:
    """The engine fed from batches. It looks every `look_ms`, and with each bucket while a table is quiet whose silence somebody
    is told of."""

    def __init__(self, rules: RuleSet, look_ms: int) -> None:
        self.engine = Engine(rules, "quiet", BUCKET_MS, 900_000, NO_DATA_AFTER_MS)
        self._look_ms, self._looks = look_ms, 0
        self._sketched = {p.query.table for rule in rules.rules for p in rule.parts if p.query.sketch}
        told = [rule for rule in rules.rules if rule.no_data == "alert" and not rule.regular]
        self._latest: dict[str, int] = {table: 0 for rule in told for table in rule.tables}

    def learn(self, history: Imported) -> None:
        """Gives the baselines history."""
        self.engine.baselines.restore({}, [history])
        for _ in self.engine.baselines.learn([history]):
            pass

    def bucket(self, bucket: int, drawn: Mapping[tuple[str, Key], Batch]) -> list[AlertEvent]:
        """Takes in the events of a bucket that is over, and says what is told then."""
        for (table, key), batch in drawn.items():
            self.engine.update(table, bucket, key, cell_of(table, batch, table in self._sketched))
            if table in self._latest:
                self._latest[table] = bucket
        end = bucket + BUCKET_MS
        quiet = any(0 < latest < end - NO_DATA_AFTER_MS for latest in self._latest.values())
        return self.look(end) if quiet or not end % self._look_ms else []

    def look(self, now_ms: int) -> list[AlertEvent]:
        """What is told now, by a watermark that lies behind by the lateness."""
        self._looks += 1
        one = Progress(now_ms - LATENESS_MS, False, self._looks)
        progress = {table: one for table in TABLES}
        told: list[AlertEvent] = []
        while transitions := self.engine.judge(now_ms, progress):
            told += [transition.event for transition in transitions if transition.event is not None]
        if now_ms % HOUR_MS == 0:
            self.engine.forgettable()
        return told


# --- one piece of the whole -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Some days of one volume (payments a minute; None: the machines beside)."""

    volume: float | None
    first_day: float
    days: float
    seed: int
    look_ms: int
    rules: Path | None


@dataclass(slots=True)
class Found:
    """What a piece gave: pages by (pack, rule, severity), with NO DATA and what was inhibited apart; some sentences."""

    piece: Piece
    pages: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    no_data: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    inhibited: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    summaries: list[str] = field(default_factory=list)
    cpu_s: float = 0.0


def chosen(rules: RuleSet, feed: type[Feed]) -> RuleSet:
    """The rules that a feed suffices for."""
    return RuleSet(tuple(rule for rule in rules.rules if suffices(rule, feed)))


def suffices(rule: Rule, feed: type[Feed]) -> bool:
    counts = all(part.signal.aggregate == "count" for part in rule.parts)
    return rule.tables <= feed.tables and (counts or not rule.tables & feed.counted)


@cache
def shipped(folder: Path | None) -> RuleSet:
    """The rules of a folder, or those that ship. Raises SystemExit where one has an error."""
    found = load(None if folder is None else [folder])
    if found.problems:
        raise SystemExit("\n".join(map(str, found.problems)))
    return found


def simulate(piece: Piece) -> Found:
    """One piece, from an hour before its first day."""
    rng = Random(f"{piece.seed} {piece.volume} {piece.first_day}")
    feed: Feed = Machines(rng) if piece.volume is None else Shop(piece.volume, rng)
    counted = START_MS + int(piece.first_day * DAY_MS)
    simulation = Simulation(chosen(shipped(piece.rules), type(feed)), piece.look_ms)
    if piece.volume is not None:
        past = before.volume(piece.volume / 60, (counted - AHEAD_MS) / 1000, PAST_DAYS, rng.getrandbits(32))
        simulation.learn(Imported("past", "payment_volume", {}, past.step_ms, past.rows))
    found = Found(piece)
    began = time.process_time()
    for bucket in range(counted - AHEAD_MS, counted + int(piece.days * DAY_MS), BUCKET_MS):
        for alert in simulation.bucket(bucket, feed.draw(bucket)):
            data = alert.data
            if alert.transition not in ("firing", "no_data") or bucket < counted:
                continue
            of = (
                found.inhibited
                if data.inhibited_by
                else found.no_data
                if alert.transition == "no_data"
                else found.pages
            )
            of[data.pack, data.rule, data.severity] += 1
            if of is found.pages and len(found.summaries) < 5:
                found.summaries.append(f"{data.summary}")
    found.cpu_s = time.process_time() - began
    return found


def pieces(days: Mapping[float | None, float], seed: int, rules: Path | None, look_s: float | None) -> list[Piece]:
    """The days of each volume in pieces, in an order in which all volumes come forward alike."""
    made = []
    for volume, span in days.items():
        at = 0.0
        while at < span:
            look_ms = int((look_s or LOOKS_S[_kind(volume)]) * 1_000)
            length = min(PIECE_DAYS, span - at)
            made.append((at / span, Piece(volume, at, length, seed, look_ms, rules)))
            at += length
    return [piece for _, piece in sorted(made, key=lambda item: item[0])]


def _kind(volume: float | None) -> str:
    return "machines" if volume is None else "few" if volume < SINGLY_BELOW else "many"


def _nicely(by: int) -> None:
    os.nice(by)


def run(todo: Sequence[Piece], processes: int, within_s: float, nice: int) -> list[Found]:
    """Simulates the pieces, several at a time, as many as can be done in time; tells of each on stderr."""
    began = time.perf_counter()
    done: list[Found] = []
    with multiprocessing.get_context("spawn").Pool(processes, initializer=_nicely, initargs=(nice,)) as pool:
        coming = pool.imap_unordered(simulate, todo)
        while len(done) < len(todo):
            try:
                found = coming.next(max(began + within_s - time.perf_counter(), 0.01))
            except multiprocessing.TimeoutError:
                print(f"  {within_s:g} s are over", file=sys.stderr, flush=True)
                break
            done.append(found)
            piece = found.piece
            print(
                f"  {named(piece.volume)}: {piece.days:g} days from day {piece.first_day:g} in {found.cpu_s:.0f} s of CPU, "
                f"{found.pages.total()} pages, {found.no_data.total()} NO DATA; "
                f"{len(done)} of {len(todo)} pieces after {time.perf_counter() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return done


# --- what is told of it -----------------------------------------------------------------------------------------------


def named(volume: float | None) -> str:
    return PLATFORM if volume is None else f"{volume:g} payments a minute"


@dataclass(slots=True)
class Line:
    """One rule at one volume: false pages, how many a week, NO DATA, and what was inhibited."""

    volume: str
    pack: str
    rule: str
    severity: str
    days: float
    pages: int
    pages_a_week: float
    no_data: int
    no_data_a_week: float
    inhibited: int


def lines(done: Sequence[Found], rules: RuleSet) -> list[Line]:
    """One for each volume and rule that was judged there, also where it never paged."""
    days: Counter[float | None] = Counter()
    pages: Counter[tuple[float | None, str, str]] = Counter()
    silent, held = Counter(pages), Counter(pages)
    for one in done:
        days[one.piece.volume] += one.piece.days  # type: ignore[assignment]
        for into, counts in ((pages, one.pages), (silent, one.no_data), (held, one.inhibited)):
            for (pack, rule, _), n in counts.items():
                into[one.piece.volume, pack, rule] += n
    found = []
    for volume, span in sorted(days.items(), key=lambda item: item[0] or math.inf):
        for judged in chosen(rules, Machines if volume is None else Shop).rules:
            key = (volume, judged.pack, judged.name)
            weeks = span / 7
            found.append(
                Line(
                    named(volume),
                    judged.pack,
                    judged.name,
                    judged.severity,
                    span,
                    pages[key],
                    round(pages[key] / weeks, 2),
                    silent[key],
                    round(silent[key] / weeks, 2),
                    held[key],
                )
            )
    return found


def report(found: Sequence[Line]) -> str:
    """A table in Markdown for each volume, with sums."""
    rows: list[str] = []
    for volume in dict.fromkeys(line.volume for line in found):
        mine = [line for line in found if line.volume == volume]
        rows += [
            f"{volume}, {mine[0].days:g} days",
            "",
            "| pack | rule | severity | false pages | a week | NO DATA | a week | inhibited |",
            "|---|---|---|---|---|---|---|---|",
        ]
        rows += [
            f"| {line.pack} | {line.rule} | {line.severity} | {line.pages} | {line.pages_a_week:.2f} "
            f"| {line.no_data} | {line.no_data_a_week:.2f} | {line.inhibited} |"
            for line in mine
        ]
        urgent = [line for line in mine if line.severity in ("critical", "high")]
        for name, some in (("critical and high", urgent), ("all", mine)):
            weeks = mine[0].days / 7
            fired, silent = sum(line.pages for line in some), sum(line.no_data for line in some)
            rows.append(
                f"| **{name}** | | | {fired} | {fired / weeks:.2f} | {silent} | {silent / weeks:.2f} "
                f"| {sum(line.inhibited for line in some)} |"
            )
        rows.append("")
    return "\n".join(rows)


def unsimulated(rules: RuleSet) -> list[str]:
    """The rules that no traffic of this benchmark is for."""
    return [
        f"{rule.pack}/{rule.name}" for rule in rules.rules if not suffices(rule, Shop) and not suffices(rule, Machines)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quiet", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument(
        "--days-of-many", type=float, help="days at 100 payments a minute and more, where they are fewer"
    )
    parser.add_argument(
        "--volumes", default="2,20,1200,0", help="payments a minute, with commas between; 0: the machines"
    )
    parser.add_argument(
        "--look", type=float, help="seconds between two looks (60; machines 1800)"
    )
    parser.add_argument(
        "--within", type=float, default=WITHIN_S, help="seconds after which it tells of the days done (600)"
    )
    parser.add_argument("--rules", type=Path, help="a folder of packs; those that ship unless given")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--nice", type=int, default=10, help="so much everything else goes first (10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.look and given.look * 1000 % BUCKET_MS:
        parser.error("--look: a multiple of 5 seconds")
    volumes = [float(text) or None for text in given.volumes.split(",")]
    days = {one: given.days_of_many or given.days if _kind(one) == "many" else given.days for one in volumes}
    todo = pieces(days, given.seed, given.rules, given.look)
    rules = shipped(given.rules)
    done = run(todo, given.processes, given.within, given.nice)
    found = lines(done, rules)
    if given.json:
        print(
            json.dumps(
                {
                    "python": platform.python_version(),
                    "cpu_s": round(sum(one.cpu_s for one in done)),
                    "not_simulated": unsimulated(rules),
                    "lines": [{name: getattr(line, name) for name in Line.__slots__} for line in found],
                }
            )
        )
        return 0
    print(report(found))
    print(f"not simulated: {', '.join(unsimulated(rules)) or 'none'}")
    print(f"{sum(one.cpu_s for one in done):.0f} s of CPU")
    for one in done:
        for summary in one.summaries[:2]:
            print(f"  {named(one.piece.volume)}: {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
