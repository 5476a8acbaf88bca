"""Where an event's CPU time goes, in one process without servers: by partitions and by merchants.

    python -m bench.stages [--events N] [--partitions 4 64] [--merchants 10 10000] [--flush N] [--reps N] [--profile STAGE]

A backlog of payments (`bench.measure`) is folded partition by partition, and all of them are flushed each so many events, as a
worker does it every few seconds: the cut, its JSON, what the store and evaluate take of it, and the rows of the merged tables.
No server, no rules. A stage's time is that of the fastest of several runs.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import msgspec

from agents.measure import PART_BYTES
from bench.measure import HEADERS, Mix, Produced, backlog
from rollups.merger import Merger
from rollups.partition import Partition
from rollups.rows import encode_rows
from rollups.sources import Encoded, encode, pack_met, squeeze
from runtime.names import Source
from schemas.decode import Decoder
from schemas.rollup import PackedPart, Partial, decode_partial, encode_partials
from schemas.tables import TABLES

BUCKET_MS, LATENESS_MS, IDLE_MS = 5_000, 30_000, 60_000
END_MS = 1_795_420_800_000
CHUNK = 4_000
STAGES = ("apply", "cut", "encode", "squeeze", "partials", "decode", "offer", "judged", "rows", "encode rows")
JUDGED = {"payments", "payment_cohorts"}
"""Tables whose changed cells are added up for the rules."""


class Rec(NamedTuple):
    """A record as a consumer hands it out."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Stopwatch:
    """CPU time by stage, in seconds. `profiled`: the stage that is looked into."""

    def __init__(self, profiled: str | None) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._profiled, self.profile = profiled, cProfile.Profile()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.process_time()
        if name == self._profiled:
            self.profile.enable()
        yield
        if name == self._profiled:
            self.profile.disable()
        self.spent[name] += time.process_time() - began


def logs_of(mix: Mix) -> list[list[Rec]]:
    """The records of each partition; the broker has them when they were sent."""
    logs: list[list[Rec]] = [[] for _ in range(mix.partitions)]
    span_ms = int(mix.events / mix.rate * 1000)
    for number, (partition, key, value) in enumerate(backlog(mix, END_MS, Produced(Counter()))):
        log = logs[partition]
        log.append(Rec(len(log), END_MS - span_ms + number * span_ms // mix.events, key, value, HEADERS))
    return logs


def run(logs: list[list[Rec]], flush: int, watch: Stopwatch) -> tuple[int, int]:
    """Folds it all; how many cells were packed, and written in merged rows."""
    stage = watch.stage
    folds = [
        Partition(Decoder("payments", b"-" * 32), bucket_ms=BUCKET_MS, lateness_ms=LATENESS_MS, idle_ms=IDLE_MS) for _ in logs
    ]
    sources = [Source("payments", "id", partition) for partition in range(len(logs))]
    merger, packed, merged, folded = Merger(BUCKET_MS), 0, 0, 0
    for start in range(0, max(map(len, logs)), CHUNK):
        for log, fold in zip(logs, folds, strict=True):
            chunk = log[start : start + CHUNK]
            if not chunk:
                continue
            with stage("apply"):
                assert fold.apply(chunk) == (len(chunk), None)
            folded += len(chunk)
            if folded >= flush:
                folded = 0
                cells, rows = flushed(folds, sources, merger, watch)
                packed, merged = packed + cells, merged + rows
    cells, rows = flushed(folds, sources, merger, watch)
    return packed + cells, merged + rows


def flushed(folds: list[Partition], sources: list[Source], merger: Merger, watch: Stopwatch) -> tuple[int, int]:
    """One flush of every partition; how many cells it packed, and wrote in merged rows."""
    stage, cells, written = watch.stage, 0, 0
    for fold, source in zip(folds, sources, strict=True):
        with stage("cut"):
            cut = fold.cut(slow=True)
        if cut is None:
            continue
        cells += sum(len(part) for change in cut.changes for part in change.cells.values())
        with stage("encode"):
            encoded = encode(cut)
        with stage("squeeze"):
            squeeze(encoded)
            if cut.met is not None:
                pack_met(cut.met)
        with stage("partials"):
            head = Partial(str(source), "token", cut.progress.next, cut.clocks.watermark, cut.clocks.newest, False)
            messages = encode_partials(head, parts_of(encoded), PART_BYTES)
        with stage("decode"):
            partials = [decode_partial(message) for message in messages]
        with stage("offer"):
            merger.progress(source).advance(cut.progress.next, cut.clocks.watermark, cut.clocks.newest, False)
            for partial in partials:
                for part in partial.tables:
                    merger.offer(source, part.table, part.bucket, part.first, part.last, part.rows)
        fold.evict()
    with stage("judged"):
        merger.take_changed(JUDGED, set())
    with stage("rows"):
        rows = merger.take_rows()
    with stage("encode rows"):
        for table, buckets in rows.items():
            for found in buckets.values():
                written += len(found)
                encode_rows(TABLES[table], found)
    merger.evict(0)
    return cells, written


def parts_of(encoded: list[Encoded]) -> list[PackedPart]:
    return [
        PackedPart(table, change.bucket, change.first, change.last, msgspec.Raw(some))
        for change in encoded
        for table, rows in change.rows.items()
        for some in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, nargs="*", default=[4, 64])
    parser.add_argument("--merchants", type=int, nargs="*", default=[10, 10_000])
    parser.add_argument("--rate", type=float, help="events a second when the backlog grew (3333; 10000 by merchants)")
    parser.add_argument("--flush", type=int, default=50_000, help="events from one flush to the next (50000)")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--profile", choices=STAGES)
    given = parser.parse_args()
    usual = Mix(given.events, 8, given.rate or 10_000.0, heartbeats=False, repeats=0.0)
    few = given.rate or 3_333.0
    mixes = {f"{number} partitions": replace(usual, partitions=number, rate=few) for number in given.partitions}
    mixes |= {f"{number:,} merchants": replace(usual, merchants=number) for number in given.merchants}
    gc.disable()  # as a worker does, but for once a minute
    print("| | " + " | ".join((*STAGES, "all, µs", "cells packed", "in rows")) + " |\n" + "|---" * (len(STAGES) + 4) + "|")
    for name, mix in mixes.items():
        logs = logs_of(mix)
        watches, counts = [Stopwatch(given.profile) for _ in range(given.reps)], (0, 0)
        for watch in watches:
            counts = run(logs, given.flush, watch)
        each = [min(watch.spent[stage] for watch in watches) / mix.events * 1e6 for stage in STAGES]
        shown = [*(f"{one:.2f}" for one in each), f"**{sum(each):.1f}**", *(f"{count / mix.events:.2f}" for count in counts)]
        print(f"| {name} | {' | '.join(shown)} |", flush=True)
        if given.profile:
            pstats.Stats(watches[-1].profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
