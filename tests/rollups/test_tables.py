"""The merged tables on a real store: exact at three resolutions at any moment, one writer, nothing made less."""

import asyncio
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from local.store import EmbeddedStore
from rollups.cells import Cell, Stat
from rollups.sketch import bin_of
from rollups.tables import RESOLUTIONS, WRITTEN_AT_ONCE, NotWriter, TableStore
from runtime.names import Names

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
FAILED = ("failed", "ikhokha", "card", "ZAR", "technical", "issuer_timeout")
SUCCEEDED = ("succeeded", "ozow", "eft", "ZAR", None, None)
NUMBERS = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with EmbeddedStore(None, tmp_path_factory.mktemp("data")) as store:
        yield store


class Installation:
    """Fresh tables in the store, and as many processes that use them as a test likes."""

    def __init__(self, url):
        self.redis = Redis.from_url(url)
        self.names = Names(f"test-{next(NUMBERS)}")

    def process(self):
        return TableStore(self.redis, self.names)

    async def writer(self, token="writer"):
        tables = self.process()
        await tables.take(token)
        return tables

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.redis.aclose()


@pytest.fixture
async def tables(store):
    async with Installation(store.url) as tables:
        yield tables


def paid(*latencies_ms, amount=39_900):
    """The cell of payments with these latencies."""
    n = len(latencies_ms)
    values = [1_000 * one for one in latencies_ms]
    bins = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    stats = [Stat(n, n * amount, amount, amount), Stat(n, sum(values), min(values), max(values), bins)]
    return Cell(count=n, times=None, stats=stats)


def by(width_ms, rows):
    """What 10 s rows add up to in wider buckets."""
    wide = {}
    for bucket, cells in rows.items():
        for key, cell in cells.items():
            wide.setdefault(bucket - bucket % width_ms, {}).setdefault(key, Cell()).add(cell)
    return wide


async def drain(tables, watermark_ms, table="payments"):
    while await tables.materialise(table, watermark_ms):
        pass


# --- exact at any moment ----------------------------------------------------------------------------------------------

CELLS = st.dictionaries(
    st.sampled_from((FAILED, SUCCEEDED)), st.lists(st.integers(0, 9_000), min_size=1, max_size=3), min_size=1
).map(lambda cells: {key: paid(*latencies) for key, latencies in cells.items()})
STEPS = st.one_of(
    # rows of up to 6 h ago, and how far the watermark then comes
    st.tuples(
        st.just("write"),
        st.dictionaries(st.integers(0, 6 * 360 - 1) | st.integers(0, 12), CELLS, max_size=4),
        st.sampled_from((0, 10 * SECOND, MINUTE, 25 * MINUTE, 3 * HOUR)),
    ),
    st.tuples(st.just("materialise")),
    st.tuples(st.just("expire")),
    st.tuples(st.just("new leader")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14))
def test_any_sequence_of_writes_and_amendments_reads_as_if_all_were_added_in_memory(store, steps):
    async def run():
        async with Installation(store.url) as installation:
            reader = installation.process()
            writer = await installation.writer()
            watermark, truth = NOON, {}
            for number, (step, *given) in enumerate(steps):
                if step == "write":
                    rows = {watermark - watermark % 10_000 - 10_000 * ago: cells for ago, cells in given[0].items()}
                    truth |= rows
                    await writer.write("payments", rows, {"a/b/0": number})
                    watermark += given[1]
                elif step == "materialise":
                    await writer.materialise("payments", watermark)
                elif step == "expire":
                    await writer.expire("payments", watermark)
                else:
                    writer = await installation.writer(f"writer {number}")
                assert await reader.read("payments", "1m") == by(MINUTE, truth)
                assert await reader.read("payments", "1h") == by(HOUR, truth)
                since = watermark - 7 * HOUR
                kept = {bucket: cells for bucket, cells in truth.items() if bucket >= since}
                assert await reader.read("payments", "10s", since) == kept

    asyncio.run(run())


async def test_rows_that_are_made_read_as_they_did_before(tables):
    writer = await tables.writer()
    rows = {NOON + at: {FAILED: paid(at // 1000, 7)} for at in range(0, 2 * HOUR, 10 * SECOND)}
    await writer.write("payments", rows, {})
    before = {name: await writer.read("payments", name) for name in ("1m", "1h")}
    await drain(writer, NOON + 2 * HOUR)
    assert await writer.read("payments", "1m") == before["1m"] == by(MINUTE, rows)
    after = await writer.read("payments", "1h")
    for cells in (*before["1h"].values(), *after.values()):
        for cell in cells.values():
            cell.stats[1].bins = None  # cut to percentiles when the row is made: see test_rows
    assert after == before["1h"]


async def test_an_open_bucket_is_read_but_not_made(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    assert await writer.materialise("payments", NOON + MINUTE - 1) == 0
    assert await writer.read("payments", "1h") == {NOON: {FAILED: paid(5)}}


async def test_a_row_is_replaced_whole(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5), SUCCEEDED: paid(1)}}, {})
    await writer.write("payments", {NOON: {SUCCEEDED: paid(1, 2)}}, {})
    for resolution in RESOLUTIONS:
        assert await writer.read("payments", resolution) == {NOON: {SUCCEEDED: paid(1, 2)}}


async def test_a_range_holds_its_start_and_not_its_end(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON + MINUTE * at: {FAILED: paid(at)} for at in range(4)}, {})
    await writer.materialise("payments", NOON + 2 * MINUTE)
    assert list(await writer.read("payments", "1m", NOON + MINUTE, NOON + 3 * MINUTE)) == [
        NOON + MINUTE,
        NOON + 2 * MINUTE,
    ]


async def test_tables_are_apart(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {"p/1/0": 7})
    assert await writer.read("payment_cohorts", "10s") == {}
    assert await writer.merged_offsets("payment_cohorts") == {}


async def test_offsets_of_sources_are_kept_with_the_rows(tables):
    writer = await tables.writer()
    await writer.write("payments", {}, {"p/1/0": 7, "p/1/1": 2})
    await writer.write("payments", {}, {"p/1/0": 9})
    assert await tables.process().merged_offsets("payments") == {"p/1/0": 9, "p/1/1": 2}


async def test_a_backlog_is_written_and_made_in_bounded_steps(tables):
    writer = await tables.writer()
    rows = {NOON + 10 * SECOND * at: {FAILED: paid(3)} for at in range(2 * WRITTEN_AT_ONCE + 1)}
    await writer.write("payments", rows, {"p/1/0": 5})
    assert await writer.read("payments", "10s") == rows
    assert await writer.merged_offsets("payments") == {"p/1/0": 5}
    first = await writer.materialise("payments", NOON + 3 * HOUR)
    assert 0 < first < len(by(MINUTE, rows))
    await drain(writer, NOON + 3 * HOUR)
    assert await writer.read("payments", "1m") == by(MINUTE, rows)


# --- one writer -------------------------------------------------------------------------------------------------------


async def test_whoever_was_the_writer_before_is_refused_in_everything(tables):
    old = await tables.writer("old")
    await old.write("payments", {NOON: {FAILED: paid(5)}}, {})
    new = await tables.writer("new")
    with pytest.raises(NotWriter):
        await old.write("payments", {NOON: {}}, {"p/1/0": 3})
    with pytest.raises(NotWriter):
        await old.materialise("payments", NOON + HOUR)
    await drain(new, NOON + HOUR)
    with pytest.raises(NotWriter):
        await old.expire("payments", NOON + 8 * HOUR)
    assert await new.read("payments", "10s") == {NOON: {FAILED: paid(5)}}
    assert await new.merged_offsets("payments") == {}
    await new.write("payments", {NOON: {FAILED: paid(6)}}, {})


async def test_who_never_took_the_tables_is_refused(tables):
    with pytest.raises(NotWriter):
        await tables.process().write("payments", {NOON: {}}, {})


@pytest.mark.parametrize("lost", ("the last write", "everything"))
async def test_a_store_that_lost_what_it_confirmed_is_noticed_by_the_next_write(tables, lost):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    held = {
        key: await tables.redis.dump(key) for key in await tables.redis.keys(f"{tables.names.namespace}:{{payments}}*")
    }
    await writer.write("payments", {NOON: {FAILED: paid(5, 6)}}, {})
    await tables.redis.delete(*held)
    if lost == "the last write":
        for key, value in held.items():
            await tables.redis.restore(key, 0, value)
    with pytest.raises(NotWriter):
        await writer.write("payments", {}, {})
    await writer.take("again")
    await writer.write("payments", {NOON: {FAILED: paid(5, 6)}}, {})
    assert await writer.read("payments", "1m") == {NOON: {FAILED: paid(5, 6)}}


class Losing:
    """A script whose answer gets lost once it has run; `late` brings the same call to the store again."""

    def __init__(self, script):
        self._script = script

    async def __call__(self, keys, args):
        self.late = lambda: self._script(keys=keys, args=args)
        await self._script(keys=keys, args=args)
        raise TimeoutError


async def test_a_write_whose_answer_was_lost_may_be_repeated(tables):
    writer = await tables.writer()
    script = writer._write_script
    writer._write_script = Losing(script)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await writer.write("payments", {NOON: {FAILED: paid(5)}}, {"p/1/0": 1})
    writer._write_script = script
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {"p/1/0": 1})
    assert await writer.read("payments", "1h") == {NOON: {FAILED: paid(5)}}


async def test_a_write_that_comes_late_changes_nothing(tables):
    writer = await tables.writer()
    script = writer._write_script
    writer._write_script = losing = Losing(script)
    with pytest.raises(TimeoutError):
        await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    writer._write_script = script
    await writer.write("payments", {NOON: {FAILED: paid(5, 6)}}, {})
    assert await losing.late() == 0
    assert await writer.read("payments", "10s") == {NOON: {FAILED: paid(5, 6)}}


async def test_a_row_that_was_amended_while_it_was_made_stays_stale(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    before = await writer._marks("payments")
    await writer.write("payments", {NOON: {FAILED: paid(5, 6)}}, {})
    await writer._roll("payments", RESOLUTIONS["1m"], NOON, before)
    assert NOON in (await writer._marks("payments")).stale["1m"]


# --- retention --------------------------------------------------------------------------------------------------------


async def test_rows_are_deleted_once_their_group_is_past_its_retention(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}, NOON + 7 * HOUR: {FAILED: paid(6)}}, {})
    await drain(writer, NOON + 8 * HOUR)
    await writer.expire("payments", NOON + 8 * HOUR - 1)
    assert list(await writer.read("payments", "10s")) == [NOON, NOON + 7 * HOUR]
    await writer.expire("payments", NOON + 8 * HOUR)
    assert list(await writer.read("payments", "10s")) == [NOON + 7 * HOUR]
    assert list(await writer.read("payments", "1m")) == [NOON, NOON + 7 * HOUR]
    await drain(writer, NOON + 9 * HOUR)
    await writer.expire("payments", NOON + 4 * DAY)
    assert (await writer.read("payments", "10s"), await writer.read("payments", "1m")) == ({}, {})
    assert list(await writer.read("payments", "1h")) == [NOON, NOON + 7 * HOUR]
    await writer.expire("payments", NOON + 420 * DAY)
    assert await writer.read("payments", "1h") == {}
    assert await tables.redis.smembers(tables.names.table("payments", "groups")) == set()


async def test_rows_that_a_coarser_one_is_still_to_be_made_of_stay(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    assert await writer.expire("payments", NOON + 30 * DAY) == 0
    await drain(writer, NOON + 30 * DAY)
    assert await writer.expire("payments", NOON + 30 * DAY) == 2
    assert await writer.read("payments", "1h") == {NOON: {FAILED: paid(5)}}


async def test_a_row_is_never_made_less_because_what_it_was_made_of_is_gone(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}, NOON + 10_000: {FAILED: paid(6)}}, {})
    await drain(writer, NOON + HOUR)
    await writer.expire("payments", NOON + 9 * HOUR)
    await writer.write("payments", {NOON: {FAILED: paid(5, 7)}}, {})
    for _ in ("stale", "made"):
        for resolution in ("1m", "1h"):
            assert await writer.read("payments", resolution) == {NOON: {FAILED: paid(5, 6)}}
        await drain(writer, NOON + 9 * HOUR)
    assert (await writer._marks("payments")).stale == {}


async def test_a_minute_that_was_never_made_is_made_of_what_there_is(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    await drain(writer, NOON + HOUR)
    await writer.expire("payments", NOON + 9 * HOUR)
    await writer.write("payments", {NOON + MINUTE: {FAILED: paid(8)}}, {})
    for _ in ("stale", "made"):
        assert await writer.read("payments", "1m") == {NOON: {FAILED: paid(5)}, NOON + MINUTE: {FAILED: paid(8)}}
        await drain(writer, NOON + 9 * HOUR)


async def test_a_reader_is_exact_though_what_it_reads_is_made_and_deleted_meanwhile(tables):
    writer, reader = await tables.writer(), tables.process()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {})
    buckets, calls = reader._buckets, count()

    async def after_the_marks(*args):
        if next(calls) == 0:
            await drain(writer, NOON + 9 * HOUR)
            await writer.expire("payments", NOON + 9 * HOUR)
        return await buckets(*args)

    reader._buckets = after_the_marks
    assert await reader.read("payments", "1m") == {NOON: {FAILED: paid(5)}}


async def test_no_key_has_a_time_to_live(tables):
    writer = await tables.writer()
    await writer.write("payments", {NOON: {FAILED: paid(5)}}, {"p/1/0": 1})
    await drain(writer, NOON + HOUR)
    keys = await tables.redis.keys(f"{tables.names.namespace}:{{payments}}*")
    assert len(keys) == 7  # writer, merged, changed, groups, and three hashes of rows; nothing is stale
    assert [await tables.redis.ttl(key) for key in keys] == [-1] * 7
