"""A source partition on a real store: its memory of ids is there with its offset, or not at all."""

from __future__ import annotations

import json
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from local.store import EmbeddedStore
from rollups.partition import Checkpoint, Met, Partition
from rollups.sources import Refused, SourceStore, Taken, encode, pack_met, unpack_met
from runtime.names import Names, Source
from schemas.decode import Decoder
from tests.rollups.test_partition import BUCKET, START, Log

NUMBERS = count()
CLOCKS = st.none() | st.integers(0, 2**62)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with EmbeddedStore(None, tmp_path_factory.mktemp("data")) as server:
        yield server


class Place:
    """A source in a store of its own namespace, and its log."""

    def __init__(self, redis: Redis) -> None:
        self.redis, self.names = redis, Names(f"test-{next(NUMBERS)}")
        self.source = Source("payments", "log", 0)
        self.log = Log()

    def store(self) -> SourceStore:
        return SourceStore(self.redis, self.names, BUCKET)

    async def kept(self) -> dict[int, Met]:
        found = await self.redis.hgetall(self.names.source_ids(self.source))
        return {int(begins): unpack_met(value) for begins, value in found.items()}


class Owner:
    """Who owns the source: a fold with what the store knew."""

    def __init__(self, place: Place, taken: Taken) -> None:
        self.place, self.taken, self.held = place, taken, taken.held
        self.store = place.store()
        self.fold = Partition(
            Decoder("payments", b"key"),
            bucket_ms=BUCKET,
            lateness_ms=30_000,
            idle_ms=30_000,
            progress=taken.progress,
            memory=taken.memory,
            floor=taken.floor,
        )
        for bucket, page in taken.pages.items():
            self.fold.put_page(bucket, page)

    def read(self) -> None:
        self.fold.apply(self.place.log.records[self.fold.position :])

    async def flush(self, *, slow: bool = True, times: int = 1) -> None:
        cut = self.fold.cut(slow=slow)
        assert cut is not None
        held = self.held
        before = held.written, held.serial, held.stretches
        for _ in range(times):  # the answer of all but the last one was lost
            held.written, held.serial, held.stretches = before
            await self.store.write(held, cut, encode(cut))


@pytest.fixture
async def place(server):
    async with Redis.from_url(server.url) as redis:
        yield Place(redis)


async def owner(place: Place, token: str) -> Owner:
    return Owner(place, await place.store().take(place.source, token))


async def three_stretches(place: Place) -> Owner:
    first = await owner(place, "first")
    for number in range(30):
        place.log.payment(START + number)
        if number % 10 == 9:
            first.read()
            await first.flush()
    return first


@given(st.builds(Checkpoint, st.integers(0, 2**62), CLOCKS, CLOCKS, CLOCKS, CLOCKS, st.integers(0, 2**62)), st.data())
def test_a_stretch_comes_back_as_it_was(since, data):
    ids = data.draw(st.lists(st.text(max_size=5), max_size=5))
    times = sorted(data.draw(st.lists(st.integers(0, 2**62), min_size=len(ids), max_size=len(ids))))
    met = Met(since, data.draw(st.integers(0, 2**62)), ids, times)
    assert unpack_met(pack_met(met)) == met


async def test_the_next_owner_knows_every_id_and_reads_on_where_the_slow_tables_end(place):
    first = await three_stretches(place)
    place.log.payment(START + 30)
    first.read()
    await first.flush(slow=False)
    second = await owner(place, "second")
    assert [(met.since.offset, met.end) for met in second.taken.memory] == [(0, 10), (10, 20), (20, 30)]
    assert [id for met in second.taken.memory for id in met.ids] == [f"/checkout\ne{number}" for number in range(30)]
    assert (second.fold.position, second.fold.next) == (30, 31)


async def test_a_write_that_is_repeated_changes_nothing(place):
    first = await three_stretches(place)
    place.log.payment(START + 400_000)
    first.read()
    await first.flush(times=2)
    assert set(await place.kept()) == {30}, "what is over five minutes old is gone"
    place.log.payment(START + 400_001)
    first.read()
    await first.flush()
    assert set(await place.kept()) == {30, 31}


async def test_who_does_not_own_the_source_writes_no_ids(place):
    first = await three_stretches(place)
    await owner(place, "second")
    place.log.payment(START + 30)
    first.read()
    with pytest.raises(Refused):
        await first.flush()
    assert set(await place.kept()) == {0, 10, 20}


@pytest.mark.parametrize("lost", (0, 10, 20))
async def test_a_stretch_that_is_missing_is_read_from_the_log(place, lost):
    await three_stretches(place)
    await place.redis.hdel(place.names.source_ids(place.source), lost)
    second = await owner(place, "second")
    assert (second.taken.memory, second.fold.position, second.fold.next) == ([], 0, 30)
    second.read()
    place.log.payment(START + 30)
    second.read()
    await second.flush()
    assert {begins: met.end for begins, met in (await place.kept()).items()} == {0: 31}
    assert (await owner(place, "third")).fold.position == 31


async def test_what_a_release_that_wrote_no_ids_has_left_is_read_from_the_log(place):
    """It may have come between two that do: the ids that are there are not those of its offset."""
    await three_stretches(place)
    key = place.names.source_state(place.source)
    clocks = json.loads(await place.redis.hget(key, "clocks"))
    await place.redis.hset(key, "clocks", msgspec.json.encode({name: clocks[name] for name in ("slow_next", "now", "warm")}))
    second = await owner(place, "second")
    assert (second.taken.memory, second.fold.position) == ([], 0)
    second.read()
    place.log.beat(START + 5_000)
    second.read()
    await second.flush(slow=False)
    assert await place.kept() == {}
    place.log.payment(START + 5_000)
    second.read()
    await second.flush()
    assert {begins: met.end for begins, met in (await place.kept()).items()} == {0: 32}


async def test_ids_go_with_their_source(place):
    await three_stretches(place)
    await place.redis.delete(place.names.source_state(place.source))
    second = await owner(place, "second")
    assert (second.fold.position, await place.kept()) == (0, {})
    second.read()
    await second.flush()
    assert await place.kept()
    await place.store().forget(place.source)
    assert await place.kept() == {}
