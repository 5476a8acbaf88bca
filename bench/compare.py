"""Tillwatch beside plain Faust, Quix Streams and Kafka Streams: the same events, the same sums, one run.

    python -m bench.compare [--events N] [--reps R] [--partitions P] [--only a,b] [--json FILE]

A real Kafka on the loopback interface (or that of TILLWATCH_KAFKA) is filled once with payments as the architecture's example
has them. Each contender reads them from the start as a process of its own, several times, in an order that rotates (plain
Faust the first tenth: at its speed all of them would take an hour); it must come to the count and the amount of every 10 s
window, outcome, provider and method, or it has no figure.

Tillwatch runs as it is shipped, `tillwatch worker` with its store, and does all it does: three tables with sketches,
repeats, card numbers, rules. Once more it runs as `tillwatch worker --only measure`, which leaves merging and rules to another
process: decoding, validation, repeats, three tables with sketches, the store and the topic. The others do that sum alone. Quix
Streams and the drivers below it are installed into .cache/bench by `make bench`; Kafka Streams needs Maven and a JDK.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench import describe, report
from bench.measure import RUNNING, Failed, Mix, Parts, Produced, backlog, cpu_s, fill, machine_s, peak_mb, repetition
from bench.servers import Servers, start_servers
from local.process import Process, StartFailed, quiet_environment
from rollups.tables import TableStore
from runtime.kafka import create_topics
from runtime.redis import connect
from runtime.settings import Settings
from tests.support.kafka import NoKafka, fetched, new_enough_java
from tests.support.worker import Worker

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
QUIX_PYTHON = CACHE / "venv" / "bin" / "python"
HERE = Path(__file__).with_name("contenders")
WINDOW_S = 10
LOOK_EVERY_S = 0.05
FILL_LIMIT_S = 300.0
FEWER = 10
"""Where an event takes tens of times as long, a tenth of the events gives the same rate in bearable time."""
SLOWEST = 2_000
"""Events a second below which a contender is given up, but not before LEAST_LIMIT_S."""
START_LIMIT_S = 60.0
LEAST_LIMIT_S = 150.0

Cell = tuple[int, str, str, str]
"""(start of the 10 s window in epoch s, outcome, provider, method)."""
Produce = tuple[int, bytes | None, bytes]
"""(partition, key, value)."""
Totals = dict[Cell, tuple[int, int]]
"""{cell: (count, amount)}."""


class Missing(RuntimeError):
    """A contender that cannot run here; the text says what is lacking."""


# --- what must come out -----------------------------------------------------------------------------------------------


def sorted_out(value: bytes) -> tuple[Cell, int]:
    """The cell and the amount of an event, with nothing but the standard library."""
    event = json.loads(value)
    data = event["data"]
    start = int(datetime.fromisoformat(event["time"]).timestamp()) // WINDOW_S * WINDOW_S
    return (start, event["type"].partition(".")[2], data["provider"], data["method"]), data["amount"]


def watched(records: Iterable[Produce], totals: Totals) -> Iterator[Produce]:
    """The records as they come; they are added up in `totals`."""
    for record in records:
        cell, amount = sorted_out(record[2])
        count, so_far = totals.get(cell, (0, 0))
        totals[cell] = count + 1, so_far + amount
        yield record


def keyed(records: Iterable[Produce], partitions: int) -> Iterator[Produce]:
    """The same events, with `outcome|provider|method` as key."""
    for _, _, value in records:
        group = "|".join(sorted_out(value)[0][1:]).encode()
        yield zlib.crc32(group) % partitions, group, value


def difference(found: Totals, wanted: Totals) -> str | None:
    """What is wrong with the totals that a contender came to; None: nothing."""
    cells = [cell for cell in wanted.keys() | found.keys() if wanted.get(cell) != found.get(cell)]
    if not cells:
        return None
    events, of = sum(count for count, _ in found.values()), sum(count for count, _ in wanted.values())
    return f"{len(cells)} of {len(wanted)} cells differ; it counted {events:,} of {of:,} events"


# --- contenders -------------------------------------------------------------------------------------------------------


Kind = Literal["all", "few", "keyed"]


@dataclass(frozen=True, slots=True)
class Log:
    """A topic that is filled. `totals`: what a contender must come to."""

    topic: str
    events: int
    produced: Produced
    totals: Totals
    ends: dict[int, int]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run stands on."""

    servers: Servers
    settings: Settings
    logs: dict[Kind, Log]


@dataclass(frozen=True, slots=True)
class Run:
    """One contender, once.

    events: how many it read; seconds, cpu_seconds: from its first event until its sums hold the last one; second_half:
    events a second of the second half alone, when all is warm, None where it cannot be seen; from_start_s: from starting
    the process; servers_cpu_seconds: broker and store meanwhile; others_cores: how much of the machine every other process
    took, so that a figure from a busy machine says so; wrong: what is wrong with its sums.
    """

    events: int
    seconds: float
    cpu_seconds: float
    second_half: float | None
    peak_mb: float
    from_start_s: float
    servers_cpu_seconds: float
    others_cores: float
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """`command`: of the process, given the words that it takes last; raises Missing. None: Tillwatch itself. `log`: what it
    reads. `counts`: whether it adds anything up. `parts`: of Tillwatch, what runs while the clock does."""

    name: str
    title: str
    command: Callable[[list[str]], list[str]] | None
    log: Kind = "all"
    counts: bool = True
    parts: Parts = "one"


def _faust(what: str) -> Callable[[list[str]], list[str]]:
    return lambda words: [sys.executable, "-P", str(HERE / "plain_faust.py"), *words, what]


def _quix(what: str) -> Callable[[list[str]], list[str]]:
    def command(words: list[str]) -> list[str]:
        if not QUIX_PYTHON.exists():
            raise Missing("Quix Streams is not installed: make bench does that")
        return [str(QUIX_PYTHON), "-P", "-W", "ignore", str(HERE / "quix.py"), *words, what]

    return command


def _streams(what: str) -> Callable[[list[str]], list[str]]:
    def command(words: list[str]) -> list[str]:
        try:
            java, jars = new_enough_java(), fetched(HERE / "streams" / "pom.xml")
        except NoKafka as error:
            raise Missing(str(error)) from error
        return [java, "-Xmx1g", "-cp", f"{_compiled(jars)}:{jars}/*", "PaymentTotals", *words, what]

    return command


def _compiled(jars: Path) -> Path:
    """The folder of the compiled program."""
    javac = shutil.which("javac")
    if javac is None:
        raise Missing("no javac: it takes a JDK")
    classes = CACHE / "classes"
    done = subprocess.run(
        [javac, "-d", str(classes), "-cp", f"{jars}/*", str(HERE / "streams" / "PaymentTotals.java")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"javac: {done.stderr.strip()[-500:]}")
    return classes


CONTENDERS = (
    Contender("tillwatch", "Tillwatch, all of it", None),
    Contender("tillwatch-measure", "Tillwatch, measure alone", None, parts="alone"),
    Contender("faust", "plain Faust, tumbling table", _faust("count"), "few"),
    Contender("faust-empty", "plain Faust, empty agent", _faust("empty"), "few", counts=False),
    Contender("quix", "Quix Streams, tumbling window", _quix("grouped")),
    Contender("quix-keyed", "Quix Streams, topic keyed by group", _quix("keyed"), "keyed"),
    Contender("kafka-streams", "Kafka Streams, tumbling window", _streams("grouped")),
    Contender("kafka-streams-keyed", "Kafka Streams, topic keyed by group", _streams("keyed"), "keyed"),
)


# --- one run of one contender -----------------------------------------------------------------------------------------


async def tillwatch(bench: Bench, name: str, parts: Parts) -> Run:
    """One worker, with an empty store. Raises Failed."""
    log = bench.logs["all"]
    workers = [Worker(bench.settings, bench.servers.folder, f"{name}-{only}", only=only) for only in RUNNING[parts]]
    then = Worker(bench.settings, bench.servers.folder, f"{name}-then", only="evaluate") if parts == "alone" else None
    one = await repetition(bench.settings, workers, bench.servers.pids, log.produced, log.ends, then)
    return Run(
        events=log.events,
        seconds=one.whole_seconds,
        cpu_seconds=one.whole_cpu_seconds,
        second_half=None,  # its sums are seen a flush at a time
        peak_mb=one.peak_rss_mb,
        from_start_s=round(one.from_start_s + one.merged_after_s, 2),
        servers_cpu_seconds=one.whole_servers_cpu_seconds,
        others_cores=round(one.whole_others_cpu_seconds / one.whole_seconds, 2),
        wrong=difference(await _merged(bench.settings), log.totals),
    )


async def _merged(settings: Settings) -> Totals:
    """What the merged table of payments holds."""
    redis = connect(settings)
    found, amounts = Counter[Cell](), Counter[Cell]()
    try:
        async for rows in TableStore(redis, settings.names).chunks("payments", "10s"):
            for start, cells in rows.items():
                for key, cell in cells.items():
                    where = (start // 1000, str(key[0]), str(key[1]), str(key[2]))
                    found[where] += cell.count
                    amounts[where] += cell.stats[0].total
    finally:
        await redis.aclose()
    return {cell: (count, amounts[cell]) for cell, count in found.items()}


async def other(bench: Bench, contender: Contender, name: str) -> Run:
    """Any other contender. Raises Failed; Missing where it cannot run here."""
    assert contender.command is not None
    folder = bench.servers.folder / name
    folder.mkdir()
    result = folder / "result.json"
    log = bench.logs[contender.log]
    words = [bench.servers.kafka, log.topic, f"{bench.settings.namespace}-{name}", str(log.events), str(folder)]
    process = Process(name, contender.command(words), folder / "log", env=quiet_environment(), stop_within_s=10.0)
    limit_s = max(START_LIMIT_S + log.events / SLOWEST, LEAST_LIMIT_S)
    began, served, machine = time.perf_counter(), sum(map(cpu_s, bench.servers.pids)), machine_s()
    try:
        await asyncio.to_thread(process.start)
        while not result.exists():
            await asyncio.sleep(LOOK_EVERY_S)
            if not process.running:
                raise Failed(f"{process.ending}: {' / '.join(process.last_lines()[-3:])}")
            if time.perf_counter() - began > limit_s:
                raise Failed(f"did not count {log.events:,} events within {limit_s:.0f} s")
        from_start, served = time.perf_counter() - began, sum(map(cpu_s, bench.servers.pids)) - served
        machine, own, peak = machine_s() - machine, cpu_s(process.pid), peak_mb(process.pid)
    finally:
        await asyncio.to_thread(process.stop)
    told = json.loads(result.read_bytes())
    found: Totals = {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in told["rows"]}
    return Run(
        events=log.events,
        seconds=round(told["seconds"], 3),
        cpu_seconds=round(told["cpu_seconds"], 2),
        second_half=round((log.events - log.events // 2) / told["half_seconds"]),
        peak_mb=round(peak, 1),
        from_start_s=round(from_start, 2),
        servers_cpu_seconds=round(served, 2),
        others_cores=round(max(machine - own - served, 0.0) / from_start, 2),
        wrong=difference(found, log.totals) if contender.counts else None,
    )


# --- the whole --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What became of a contender. `lacking`: why it did not run at all; `failed`: what ended it early."""

    contender: Contender
    runs: list[Run]
    lacking: str | None = None
    failed: str | None = None


async def run(mix: Mix, chosen: Sequence[Contender], reps: int, limit_s: float) -> dict[str, object]:
    """Starts the servers, lets each contender run `reps` times, and stops all. No run begins once `limit_s` is over."""
    deadline = time.monotonic() + limit_s
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # everything is stopped on the way out
    async with AsyncExitStack() as stack:
        bench = await prepare(stack, mix, {"all", *(one.log for one in chosen)})
        outcomes = {one.name: Outcome(one, []) for one in chosen}
        for number in range(reps):
            for place in range(len(chosen)):
                contender = chosen[(number + place) % len(chosen)]
                outcome = outcomes[contender.name]
                if outcome.lacking is None and outcome.failed is None and time.monotonic() < deadline:
                    await attempt(bench, outcome, number + 1)
        versions = await describe.versions(bench.settings, bench.servers.own_kafka, QUIX_PYTHON)
    log = bench.logs["all"]
    windows = len({cell[0] for cell in log.totals})
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe.machine(),
        "versions": versions,
        "mix": asdict(mix),
        "bytes_an_event": round(log.produced.bytes / mix.events, 1),
        "windows": windows,
        "cells_a_window": round(len(log.totals) / windows, 1),
        "events_a_cell": round(mix.events / len(log.totals)),
        "contenders": [
            {
                "name": outcome.contender.name,
                "title": outcome.contender.title,
                "counts": outcome.contender.counts,
                "lacking": outcome.lacking,
                "failed": outcome.failed,
                "runs": [asdict(one) for one in outcome.runs],
            }
            for outcome in outcomes.values()
        ],
    }


async def prepare(stack: AsyncExitStack, mix: Mix, wanted: set[Kind]) -> Bench:
    """Servers that run and topics that are filled, until the stack is left."""
    servers = await start_servers(stack)
    kafka, settings = servers.kafka, servers.settings()
    await create_topics(settings, mix.partitions)
    bench = Bench(servers, settings, {})
    now_ms, began = int(time.time() * 1000), time.perf_counter()
    for kind in wanted:
        smaller = replace(mix, events=max(mix.events // FEWER, 1)) if kind == "few" else mix
        topic = settings.names.events("payments") + ("" if kind == "all" else f"-{kind}")
        log = bench.logs[kind] = Log(topic, smaller.events, Produced(Counter()), {}, {})
        if kind != "all":
            await create_topic(kafka, topic, mix.partitions)
        records: Iterable[Produce] = watched(backlog(smaller, now_ms, log.produced), log.totals)
        async with asyncio.timeout(FILL_LIMIT_S):
            log.ends.update(await fill(kafka, topic, keyed(records, mix.partitions) if kind == "keyed" else records))
    say(
        f"{mix.events:,} payments of {bench.logs['all'].produced.bytes / mix.events:.0f} bytes in {mix.partitions} partitions, "
        f"{len(wanted)} topics filled in {time.perf_counter() - began:.0f} s"
    )
    return bench


async def create_topic(kafka: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def attempt(bench: Bench, outcome: Outcome, number: int) -> None:
    """Lets a contender run once, and says how it went."""
    contender = outcome.contender
    name = f"{contender.name}-{number}"
    try:
        one = await (other(bench, contender, name) if contender.command else tillwatch(bench, name, contender.parts))
    except Missing as error:
        outcome.lacking = str(error)
        say(f"  {contender.title}: skipped: {error}")
    except (Failed, StartFailed) as error:
        outcome.failed = str(error)
        say(f"  {number} {contender.title}: failed: {error}")
    else:
        outcome.runs.append(one)
        say(
            f"  {number} {contender.title}: {one.events / one.seconds:,.0f} events/s, "
            f"{one.events / one.cpu_seconds:,.0f} per CPU-second, {one.seconds:.1f} s ({one.cpu_seconds:.1f} CPU, "
            f"servers {one.servers_cpu_seconds:.1f}, others {one.others_cores:.1f} cores), {one.peak_mb:.0f} MB"
            + (f"; second half {one.second_half:,.0f} events/s" if one.second_half else "")
            + (f"; WRONG: {one.wrong}" if one.wrong else "")
        )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").partition("\n")[0])
    names = [one.name for one in CONTENDERS]
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3_333.0, help="events a second when the backlog grew (3333)")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which no further run begins (7)")
    parser.add_argument("--only", default=",".join(names), help=f"of {','.join(names)}")
    parser.add_argument("--json", type=Path, default=CACHE / "compare.json", help="where the figures go")
    given = parser.parse_args()
    unknown = set(given.only.split(",")) - set(names)
    if unknown:
        parser.error(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [one for one in CONTENDERS if one.name in given.only.split(",")]
    mix = Mix(given.events, given.partitions, given.rate, heartbeats=False, repeats=0.0)
    if min(given.events, given.reps) < 1:
        parser.error("--events and --reps are 1 or more")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has no leader yet, and it asks again
    try:
        result = asyncio.run(run(mix, chosen, given.reps, given.minutes * 60))
    except NoKafka as error:
        print(f"bench.compare: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    only = "" if len(chosen) == len(CONTENDERS) else f" --only {given.only}"
    command = (
        f"python -m bench.compare --events {given.events} --reps {given.reps} --partitions {given.partitions}{only}"
    )
    result = {"command": command} | result
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.comparison(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
