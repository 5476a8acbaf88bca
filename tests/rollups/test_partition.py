"""Folding one partition: a pure function of its log, however it is cut into chunks and whenever it is begun again."""

from __future__ import annotations

import json
import random
from collections.abc import Set
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rollups.partition
from rollups.cells import Cell
from rollups.partition import AMEND_HORIZON_MS, DEDUPE_MS, Page, Partition, Progress
from rollups.sources import decode, encode, pack_met, remembered, squeeze, unpacked
from schemas.decode import Decoder
from schemas.time import rfc3339

START = 1_795_420_800_000  # a multiple of every bucket
BUCKET = 5_000
SLOW = {"merchants", "actors"}


@dataclass(frozen=True)
class Written:
    """A record as a consumer hands it out."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Log:
    """A partition's log, written line by line."""

    def __init__(self) -> None:
        self.records: list[Written] = []

    def raw(self, value: bytes | None, at: int) -> None:
        self.records.append(Written(len(self.records), at, value))

    def event(self, kind: str, ms: int, at: int | None = None, id: str | None = None, **data: Any) -> None:
        event = {
            "specversion": "1.0",
            "id": id or f"e{len(self.records)}",
            "source": "/checkout",
            "type": kind,
            "time": rfc3339(ms),
            "data": data,
        }
        self.raw(json.dumps(event).encode(), ms if at is None else at)

    def payment(self, ms: int, at: int | None = None, id: str | None = None, **data: Any) -> None:
        outcome = data.pop("outcome", "succeeded")
        filled = {
            "transaction_id": f"t{len(self.records)}",
            "provider": "ikhokha",
            "method": "card",
            "merchant": "m1",
            "amount": 100,
            "currency": "ZAR",
            **data,
        }
        if outcome == "failed":
            filled = {"fault": "technical", "reason": "timeout", **filled}
        self.event(f"payment.{outcome}", ms, at, id, **filled)

    def beat(self, ms: int) -> None:
        self.event("pipeline.heartbeat", ms)


def partition(subject: str = "payments", **more: Any) -> Partition:
    return Partition(Decoder(subject, b"key"), bucket_ms=BUCKET, lateness_ms=30_000, idle_ms=30_000, **more)


class Redis:
    """What a Redis keeps of a partition: the last progress, and each bucket's two values."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.fast: dict[int, bytes] = {}
        self.slow: dict[int, bytes] = {}
        self.letters: list[tuple[int, str]] = []
        self.stretches: dict[int, bytes] = {}

    def flush(self, fold: Partition, slow: bool) -> None:
        cut = fold.cut(slow=slow)
        if cut is None:
            return
        encoded = encode(cut)
        for change, (fast, slow) in zip(encoded, squeeze(encoded), strict=True):
            if fast:
                self.fast[change.bucket] = fast
            if slow:
                self.slow[change.bucket] = slow
        self.letters += [(letter.record.offset, letter.reason) for letter in cut.letters]
        self.progress = cut.progress
        if cut.met is not None:
            self.stretches[cut.met.since.offset] = pack_met(cut.met)
        self.stretches = {begins: self.stretches[begins] for begins in cut.remembered}
        fold.evict()

    def page(self, bucket: int) -> Page:
        return unpacked(bucket, decode(self.fast.get(bucket), self.slow.get(bucket)))

    def load(self, lost: Set[int] = frozenset()) -> Partition:
        """A new owner's partition: nothing is resident, so every bucket is loaded when it is asked for. lost: stretches of ids
        that are not there any more."""
        for begins in lost:
            del self.stretches[begins]
        memory = remembered(self.progress, self.stretches)
        progress = self.progress if memory is not None else replace(self.progress, known=self.progress.warm)
        return partition(progress=progress, memory=memory or (), floor=2**62)

    def cells(self) -> dict[tuple[int, str, Any], Cell]:
        return {
            (bucket, table, key): cell
            for bucket in self.fast.keys() | self.slow.keys()
            for table, cells in self.page(bucket).cells.items()
            for key, cell in cells.items()
        }


def feed(fold: Partition, redis: Redis, records: list[Written]) -> None:
    """Applies records, handing in the buckets that are asked for."""
    index = 0
    while index < len(records):
        index, missing = fold.apply(records, index)
        if missing is not None:
            fold.put_page(missing, redis.page(missing))


def folded(log: Log, **more: Any) -> Redis:
    redis, fold = Redis(), partition(**more)
    feed(fold, redis, log.records)
    redis.flush(fold, slow=True)
    return redis


def counts(redis: Redis, table: str) -> dict[Any, int]:
    total: dict[Any, int] = {}
    for (_, name, key), cell in redis.cells().items():
        if name == table:
            total[key] = total.get(key, 0) + cell.count
    return total


def pipeline(redis: Redis) -> dict[tuple[str, str], int]:
    """What is counted beside the events themselves."""
    return {(kind, what): n for (kind, what, _), n in counts(redis, "pipeline").items() if kind != "event"}


# --- the two properties that everything else rests on ---------------------------------------------------------------


def mixed_log(seed: int, size: int) -> Log:
    """Payments in and out of order, repeats, late and future ones, garbage, unknown fields, heartbeats, a card number."""
    rnd, log, now = random.Random(seed), Log(), START
    for number in range(size):
        now += rnd.choice([0, 1, 20, 400, 6_000])
        if rnd.random() < 0.01:
            now += 3_600_000
        kind = rnd.random()
        if kind < 0.72:
            ms = now - (rnd.choice([0, 0, 0, 3_000, 70_000, 4_000_000, AMEND_HORIZON_MS + 60_000]) if kind < 0.4 else 0)
            data: dict[str, Any] = {"merchant": f"m{rnd.randrange(4)}", "outcome": rnd.choice(["succeeded", "failed"])}
            if rnd.random() < 0.5:
                data |= {
                    "latency_ms": rnd.randrange(5_000),
                    "initiated_at": rfc3339(ms - rnd.choice([0, 1_500, 90_000])),
                }
            log.payment(ms, now, **data)
        elif kind < 0.80 and log.records:
            again = rnd.choice(log.records[-40:])
            log.raw(again.value, now)
        elif kind < 0.84:
            log.raw(rnd.choice([b"", b"{", b"[]", b'{"specversion":"1.0"}', b"\xff"]), now)
        elif kind < 0.88:
            log.payment(now + 120_000, now)
        elif kind < 0.91:
            log.payment(now, reason_code="new", id=f"x{number}")
        elif kind < 0.93:
            log.payment(now, merchant="4111 1111 1111 1111")
        else:
            log.beat(now)
    return log


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 90), min_size=1, max_size=12))
def test_the_cells_do_not_depend_on_how_the_log_is_cut_into_chunks(seed, sizes):
    log = mixed_log(seed, 300)
    whole = folded(log)
    redis, fold, start = Redis(), partition(), 0
    while start < len(log.records):
        for size in sizes:
            feed(fold, redis, log.records[start : start + size])
            start += size
    redis.flush(fold, slow=True)
    assert redis.cells() == whole.cells()
    assert redis.letters == whole.letters


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["flush", "slow", "slow", "crash", "crash", "loss", "go on"])),
        min_size=4,
        max_size=40,
    ),
    st.sampled_from([3, 20, 100_000]),
)
def test_whoever_begins_again_from_what_was_written_comes_to_the_same_cells(seed, steps, ids):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rollups.partition, "DEDUPE_IDS", ids)
        begin_again(mixed_log(seed, 250), steps, random.Random(seed))


def begin_again(log: Log, steps: list[tuple[int, str]], rng: random.Random) -> None:
    whole = folded(log)
    redis, fold = Redis(), partition()
    for size, then in steps:
        feed(fold, redis, [r for r in log.records if r.offset >= fold.position][:size])
        if then in ("crash", "loss"):
            lost = [begins for begins in redis.stretches if then == "loss" and rng.random() < 0.3]
            fold = redis.load(frozenset(lost))
        elif then != "go on":
            redis.flush(fold, slow=then == "slow")
    feed(fold, redis, log.records)
    redis.flush(fold, slow=True)
    assert redis.cells() == whole.cells()
    assert sorted(set(redis.letters)) == sorted(whole.letters)
    assert len(redis.letters) == len(set(redis.letters)), "a letter that was written is not written again"


def test_a_full_table_sends_the_same_keys_to_other_however_the_log_is_cut(monkeypatch):
    few = rollups.partition.TABLES["merchants"]
    monkeypatch.setitem(rollups.partition.TABLES, "merchants", type(few)(**{**_fields(few), "max_cells": 3}))
    log = Log()
    for number in range(60):
        log.payment(START + number, merchant=f"m{number % 7}", outcome="failed" if number % 3 else "succeeded")
    whole = folded(log)
    redis, fold = Redis(), partition()
    for start in range(0, 60, 5):
        feed(fold, redis, log.records[start : start + 5])
    redis.flush(fold, slow=True)
    assert redis.cells() == whole.cells()
    merchants = counts(whole, "merchants")
    assert sum(merchants.values()) == 60
    assert {merchant for _, merchant, _ in merchants} == {"m0", "m1", "m2", "other"}
    assert pipeline(whole)["overflow", "merchants"] == sum(n for (_, m, _), n in merchants.items() if m == "other")


def _fields(table: Any) -> dict[str, Any]:
    return {name: getattr(table, name) for name in table.__slots__}


# --- what an event adds ---------------------------------------------------------------------------------------------


def test_a_payment_is_counted_by_its_time_by_its_initiation_and_by_merchant():
    log = Log()
    log.payment(START + 6_000, latency_ms=1_500.5, initiated_at=rfc3339(START + 1_000), amount=39_900)
    cells = folded(log).cells()
    key = ("succeeded", "ikhokha", "card", "ZAR", None, None)
    paid = cells[START + 5_000, "payments", key]
    assert (paid.count, paid.times) == (1, [START + 6_000])
    assert [stat.total for stat in paid.stats] == [39_900, 1_500_500]
    assert cells[START, "payment_cohorts", key].count == 1
    assert cells[START + 5_000, "merchants", ("succeeded", "m1", "ZAR")].count == 1


def test_a_repeat_counts_once_within_five_minutes_and_anew_after_them():
    log = Log()
    log.payment(START, id="same")
    log.payment(START, START + DEDUPE_MS, id="same")
    log.payment(START, START + 2 * DEDUPE_MS + 1, id="same")
    redis = folded(log)
    assert sum(counts(redis, "payments").values()) == 2
    assert pipeline(redis)["repeat", "payment.succeeded"] == 1


def test_an_id_is_forgotten_after_so_many_others(monkeypatch):
    monkeypatch.setattr(rollups.partition, "DEDUPE_IDS", 3)
    log = Log()
    for id in ("a", "b", "c", "a", "d", "e", "f", "a"):
        log.payment(START, id=id)
    redis = folded(log)
    assert sum(counts(redis, "payments").values()) == 7, "the second a is a repeat, the third is not"


def test_what_a_new_owner_reads_again_is_what_came_since_the_slow_tables_were_written():
    log = Log()
    for number in range(600):
        log.payment(START + number, id=f"e{number % 580}")
    redis, fold = Redis(), partition()
    for end in (200, 400, 500):
        feed(fold, redis, log.records[fold.position : end])
        redis.flush(fold, slow=end < 500)
    fold = redis.load()
    assert (fold.position, fold.slow_next, fold.next) == (400, 400, 500)
    feed(fold, redis, log.records[400:])
    redis.flush(fold, slow=True)
    assert redis.cells() == folded(log).cells()
    assert pipeline(redis)["repeat", "payment.succeeded"] == 20


def test_of_ids_that_are_forgotten_nothing_is_kept():
    log = Log()
    for minute in range(30):
        log.payment(START + minute * 60_000)
    log.beat(START + 3_600_000)
    redis, fold = Redis(), partition()
    kept = []
    for record in log.records:
        feed(fold, redis, [record])
        redis.flush(fold, slow=True)
        kept.append(len(redis.stretches))
    assert max(kept) == DEDUPE_MS // 60_000 + 1
    assert kept[-1] == 0
    assert redis.progress.warm == redis.progress.known, "of what has come since an hour there is nothing to know"


def test_a_log_that_lost_its_end_is_read_on_with_what_was_known():
    log = Log()
    for number in range(60):
        log.payment(START + number, id=f"e{number}")
    redis, fold = Redis(), partition()
    for end in (20, 40, 60):
        feed(fold, redis, log.records[fold.position : end])
        redis.flush(fold, slow=True)
    fold = redis.load()
    fold.clamp(0, 45)
    del log.records[45:]
    for number in range(40, 50):  # five that are in the log, and five that were
        log.payment(START + number, id=f"e{number}")
    feed(fold, redis, log.records)
    redis.flush(fold, slow=True)
    fold = redis.load()
    log.payment(START, id="e59")
    feed(fold, redis, log.records)
    redis.flush(fold, slow=True)
    assert sum(counts(redis, "payments").values()) == 60
    assert pipeline(redis)["repeat", "payment.succeeded"] == 11


def test_a_mended_event_counts_under_the_id_of_the_dead_letter_it_was():
    log = Log()
    log.payment(START, id="e", amount=-1)
    log.payment(START + 120_000, START, id="e")
    log.payment(START, id="e")
    redis = folded(log)
    assert redis.letters == [(0, "invalid_field"), (1, "from_future")]
    assert sum(counts(redis, "payments").values()) == 1
    assert pipeline(redis) == {("dead_letter", "invalid_field"): 1, ("dead_letter", "from_future"): 1}


@pytest.mark.parametrize(("ahead", "reason"), [(60_000, None), (60_001, "from_future")])
def test_an_event_may_be_a_minute_ahead_of_the_broker(ahead, reason):
    log = Log()
    log.payment(START + ahead, START)
    assert [letter[1] for letter in folded(log).letters] == ([reason] if reason else [])


@pytest.mark.parametrize(("behind", "reason"), [(AMEND_HORIZON_MS, None), (AMEND_HORIZON_MS + 1, "too_late")])
def test_before_its_first_event_a_partition_takes_what_is_six_hours_behind_the_broker(behind, reason):
    log = Log()
    log.payment(START - behind, START)
    assert [letter[1] for letter in folded(log).letters] == ([reason] if reason else [])


@pytest.mark.parametrize(("behind", "reason"), [(AMEND_HORIZON_MS, None), (AMEND_HORIZON_MS + 1, "too_late")])
def test_later_on_what_is_six_hours_behind_the_watermark(behind, reason):
    log = Log()
    log.payment(START)
    log.payment(START - 30_000 - behind, START)
    assert [letter[1] for letter in folded(log).letters] == ([reason] if reason else [])


def test_a_card_number_is_a_security_finding_of_the_same_partition():
    log = Log()
    log.payment(START, merchant="4111111111111111")
    redis = folded(log)
    assert counts(redis, "security") == {("security.violated", "tillwatch", "card_number", None, None): 1}
    assert counts(redis, "actors") == {("security.violated", "/checkout"): 1}
    ((_, merchant, _),) = counts(redis, "merchants")
    assert merchant.startswith("card_")


def test_an_initiation_that_cannot_be_placed_is_counted_as_such():
    log = Log()
    log.payment(START, initiated_at=rfc3339(START + 90_000))
    redis = folded(log)
    assert counts(redis, "payment_cohorts") == {}
    assert pipeline(redis) == {("cohort_out_of_range", "payment.succeeded"): 1}
    assert sum(counts(redis, "payments").values()) == 1


# --- watermark ------------------------------------------------------------------------------------------------------


def test_the_watermark_is_the_newest_event_less_the_lateness_and_never_goes_back():
    fold, log = partition(), Log()
    log.payment(START)
    log.payment(START - 10_000, START)
    fold.apply(log.records)
    assert fold.watermark == START - 30_000


def test_one_clock_that_runs_ahead_does_not_carry_the_watermark_with_it():
    fold, log = partition(), Log()
    log.payment(START + 50_000, START)
    fold.apply(log.records)
    assert fold.watermark == START - 30_000


def test_heartbeats_move_the_watermark_of_an_idle_partition_only():
    fold, log = partition(), Log()
    log.beat(START)
    fold.apply(log.records)
    assert fold.watermark == START - 30_000, "never an event: idle"
    log.payment(START + 1_000)
    for second in range(5, 31, 5):
        log.beat(START + second * 1_000)
    fold.apply(log.records)
    assert fold.watermark == START + 1_000 - 30_000, "an event came less than 30 s ago"
    log.beat(START + 31_000)
    fold.apply(log.records)
    assert fold.watermark == START + 31_000 - 30_000


def test_the_first_heartbeat_does_not_take_events_that_just_came_for_old_ones():
    fold, log = partition(), Log()
    log.payment(START - 600_000, START)
    log.beat(START)
    fold.apply(log.records)
    assert fold.watermark == START - 630_000, "what follows may be of the same ten minutes"
    log.beat(START + 30_000)
    fold.apply(log.records)
    assert fold.watermark == START


def test_heartbeats_are_no_data():
    log = Log()
    log.beat(START)
    assert folded(log).cells() == {}


def test_what_was_gathered_while_a_cut_was_written_is_not_forgotten_with_its_bucket():
    fold, log = partition(), Log()
    log.payment(START)
    log.payment(START + 200_000)
    fold.apply(log.records)
    assert fold.cut(slow=True) is not None
    log.payment(START + 1, START + 200_000)
    fold.apply(log.records[2:])
    fold.evict()
    cut = fold.cut(slow=True)
    assert cut is not None
    counts = {change.bucket: [cell.count for cell in change.cells["payments"].values()] for change in cut.changes}
    assert counts == {START: [2]}


@given(
    many=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=30),
    cuts=st.sets(st.integers(1, 29), max_size=4),
)
@example(many=[(30, 1), (31, 2), (32, 3), (1, 0), (2, 0), (3, 0), (4, 0), (5, 4)], cuts={3})
def test_samples_are_the_earliest_of_distinct_transactions_however_many_come_at_once(
    many: list[tuple[int, int]], cuts: set[int]
) -> None:
    log, redis, fold = Log(), Redis(), partition()
    for ms, transaction in many:
        log.payment(START + ms, transaction_id=f"t{transaction}")
    for begins, ends in pairwise([0, *sorted(cut for cut in cuts if cut < len(many)), len(many)]):
        feed(fold, redis, log.records[begins:ends])
        redis.flush(fold, slow=True)
    earliest: dict[str, tuple[int, str, str]] = {}
    for ms, event, transaction in sorted((START + ms, f"e{n}", f"t{tx}") for n, (ms, tx) in enumerate(many)):
        earliest.setdefault(transaction, (ms, event, transaction))
    found = redis.cells()[START, "merchants", ("succeeded", "m1", "ZAR")]
    assert found.samples == list(earliest.values())[:4]
