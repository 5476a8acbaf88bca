"""Redis, measure's side: where one source partition stands, and its cells, written together by one script.

Keys of one source share a hash tag (`runtime.names`):

- `state`, a hash: `token` of the owner, `serial` of its last write, `next`, and `clocks`, a JSON object (`slow_next`, `now`,
  `warm`, `known`);
- `buckets`, a sorted set {bucket: `next` of the last flush that changed it};
- `ids`, a hash: the memory of ids, one stretch of the log after the other from `warm` to `known`. Field: where a stretch
  begins; value: zlib over msgpack (`rollups.partition.Met`, a time as the difference to the one before);
- a string for each bucket and part, `fast` or `slow` (tables of high cardinality): zlib over JSON
  {"first", "last", "tables": {table: [[key, row]]}}, a row as `rollups.cells.pack` makes it.
"""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from rollups.cells import Cell, pack, unpack
from rollups.partition import RESIDENT_MS, Change, Checkpoint, Cut, Met, Page, Progress
from runtime.names import Names, Source
from runtime.together import Together
from schemas.rollup import PackedPage
from schemas.tables import Key

EXPIRED_AT_ONCE = 200
PAGES_AT_ONCE = 500
ROWS_A_PART = 100
"""What one part of a partial holds at most, so that a message can be filled well."""
BESIDE_BYTES, BESIDE_IDS = 32_768, 500
"""From so much on it is worth a thread to compress."""

_TAKE = """
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'serial', 0)
return redis.call('HMGET', KEYS[1], 'next', 'clocks')
"""

# A flush of the slow part alone leaves `next` as it is, so it is the serial, one for each write of an owner, that tells a
# Redis which lost its last second. KEYS: state, buckets, ids, then two for each change (fast, slow), then those of expired
# buckets. ARGV: token; serial of this owner's last write; serial; next; clocks; beginning of a stretch of ids and its value,
# or '' twice; number of stretches that go; number of changes; the stretches; per change: bucket, fast value or '', slow value
# or ''; then the expired buckets.
_WRITE = """
local held = redis.call('HMGET', KEYS[1], 'token', 'serial')
if held[1] ~= ARGV[1] then return 'token' end
if held[2] ~= ARGV[2] and held[2] ~= ARGV[3] then return 'serial' end
redis.call('HSET', KEYS[1], 'serial', ARGV[3], 'next', ARGV[4], 'clocks', ARGV[5])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[3], ARGV[6], ARGV[7]) end
local gone, changes = tonumber(ARGV[8]), tonumber(ARGV[9])
for a = 10, 9 + gone do redis.call('HDEL', KEYS[3], ARGV[a]) end
for i = 1, changes do
  local a, k = 3 * i + gone + 7, 2 * i + 2
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[a])
  if ARGV[a + 1] ~= '' then redis.call('SET', KEYS[k], ARGV[a + 1]) end
  if ARGV[a + 2] ~= '' then redis.call('SET', KEYS[k + 1], ARGV[a + 2]) end
end
for k = 2 * changes + 4, #KEYS do redis.call('DEL', KEYS[k]) end
for a = 3 * changes + gone + 10, #ARGV do redis.call('ZREM', KEYS[2], ARGV[a]) end
return 'ok'
"""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """What a script is called with."""

    keys: list[str]
    args: list[str | int | bytes]


class Refused(RuntimeError):
    """The script wrote nothing. `token`: another owner took the source, or Redis came back empty. `serial`: it came back
    without its last second."""

    def __init__(self, why: str) -> None:
        super().__init__(f"refused by {why}")
        self.why = why


@dataclass(slots=True)
class Held:
    """A source as its owner holds it: the token, what Redis has, and the buckets that exist there."""

    source: Source
    token: str
    written: int | None
    """`next` as Redis has it."""
    serial: int
    buckets: list[int]
    """A heap."""
    known: set[int]
    stretches: frozenset[int] = frozenset()
    """The beginnings of the stretches of ids that exist there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What an owner finds: where the source stands, its memory of ids, the buckets that must be resident, and those to send
    again."""

    held: Held
    progress: Progress
    memory: list[Met]
    floor: int | None
    pages: dict[int, Page]
    resend: frozenset[int]


class SourceStore:
    """Reads and writes sources. Methods raise redis.RedisError or OSError when Redis is away; nothing is retried here."""

    def __init__(self, redis: Redis, names: Names, bucket_ms: int) -> None:
        self._redis, self._names, self._bucket_ms = redis, names, bucket_ms
        self._take_script = redis.register_script(_TAKE)
        self._write_script = redis.register_script(_WRITE)
        self._writes = Together(self._write_together)

    async def take(self, source: Source, token: str) -> Taken:
        """Makes the holder of `token` the owner: from here on, whoever owned the source before is refused."""
        names = self._names
        await self._redis.sadd(names.sources, str(source))
        written, clocks = await self._take_script(keys=[names.source_state(source)], args=[token])
        changed = await self.changes(source)
        held = Held(source, token, None if written is None else int(written), 0, sorted(changed), set(changed))
        if held.written is None or clocks is None:
            # An emptied Redis: cells that outlived their state would be counted twice.
            await self._forget(held)
            return Taken(held, Progress(), [], None, {}, frozenset())
        progress, now = _progress(held.written, clocks)
        stretches = await self._stretches(source)
        held.stretches = frozenset(stretches)
        memory = remembered(progress, stretches)
        if memory is None:  # the log has them, too
            progress = replace(progress, known=progress.warm)
        floor = None
        if now.watermark is not None:
            floor = now.watermark - RESIDENT_MS
            floor -= floor % self._bucket_ms
        resend = frozenset(bucket for bucket, offset in changed.items() if offset >= held.written)
        wanted = {bucket for bucket in changed if floor is None or bucket >= floor} | resend
        pages = {bucket: unpacked(bucket, page) for bucket, page in (await self.pages(source, wanted)).items()}
        return Taken(held, progress, memory or [], floor, pages, resend)

    async def still_mine(self, held: Held) -> bool:
        """Whether Redis has just what this owner wrote last."""
        token, serial = await self._redis.hmget(self._names.source_state(held.source), ["token", "serial"])
        return token == held.token.encode() and serial == b"%d" % held.serial

    async def write(self, held: Held, cut: Cut, encoded: Sequence[Encoded]) -> None:
        """Writes a cut, all or nothing, as `encode` packed it. Raises Refused.

        A repeat of a write that had gone through (its answer was lost) succeeds.
        """
        names, source = self._names, held.source
        expired: list[int] = []
        while held.buckets and cut.horizon is not None and held.buckets[0] < cut.horizon and len(expired) < EXPIRED_AT_ONCE:
            expired.append(heapq.heappop(held.buckets))
        changing = {one.bucket for one in encoded}
        keys = [names.source_state(source), names.source_buckets(source), names.source_ids(source)]
        values: list[bytes | int] = []
        aside = sum(len(one.fast) + len(one.slow) for one in encoded) > BESIDE_BYTES
        parts = await asyncio.to_thread(squeeze, encoded) if aside else squeeze(encoded)
        stretch: tuple[int | bytes, bytes] = b"", b""
        stretches = held.stretches
        if cut.met is not None:
            begins = cut.met.since.offset
            aside = len(cut.met.ids) > BESIDE_IDS
            stretch = begins, await asyncio.to_thread(pack_met, cut.met) if aside else pack_met(cut.met)
            stretches |= {begins}
        forgotten = stretches - cut.remembered
        for one, (fast, slow) in zip(encoded, parts, strict=True):
            keys += (names.source_cells(source, one.bucket, "fast"), names.source_cells(source, one.bucket, "slow"))
            values += (one.bucket, fast, slow)
        gone = [bucket for bucket in expired if bucket not in changing]
        for bucket in gone:
            keys += (names.source_cells(source, bucket, "fast"), names.source_cells(source, bucket, "slow"))
        clocks = msgspec.json.encode(
            {
                "slow_next": cut.progress.slow_next,
                "now": asdict(cut.clocks),
                "warm": asdict(cut.progress.warm),
                "known": asdict(cut.progress.known),
            }
        )
        serial = held.serial + 1
        args = [held.token, held.serial, serial, cut.progress.next, clocks, *stretch]
        args += [len(forgotten), len(encoded), *forgotten, *values, *gone]
        try:
            answer: Any = await self._writes.ask(_Call(keys, args))
            if isinstance(answer, Exception):
                raise answer
        except BaseException:
            for bucket in expired:
                heapq.heappush(held.buckets, bucket)
            raise
        if answer != b"ok":
            raise Refused(answer.decode())
        held.written, held.serial, held.stretches = cut.progress.next, serial, stretches - forgotten
        held.known.difference_update(gone)
        for bucket in changing - held.known:
            heapq.heappush(held.buckets, bucket)
        held.known |= changing
        for bucket in expired:
            if bucket in changing:
                heapq.heappush(held.buckets, bucket)

    async def _write_together(self, calls: Set[_Call]) -> Mapping[_Call, Any]:
        """One round trip for all that write at the same time; each has an answer, or an error, of its own."""
        async with self._redis.pipeline(transaction=False) as together:
            for call in calls:
                await self._write_script(keys=call.keys, args=call.args, client=together)
            return dict(zip(calls, await together.execute(raise_on_error=False), strict=True))

    async def _forget(self, held: Held) -> None:
        names, source = self._names, held.source
        while held.buckets:
            some, held.buckets = held.buckets[:PAGES_AT_ONCE], held.buckets[PAGES_AT_ONCE:]
            await self._redis.delete(
                *(names.source_cells(source, bucket, part) for bucket in some for part in ("fast", "slow"))
            )
        await self._redis.delete(names.source_buckets(source), names.source_ids(source))
        held.known.clear()

    # --- reading, also by evaluate --------------------------------------------------------------------------------

    async def all(self) -> list[Source]:
        """Every source that was ever taken and not forgotten."""
        members = cast("set[bytes]", await self._redis.smembers(self._names.sources))
        return sorted(Source.parse(member.decode()) for member in members)

    async def forget(self, source: Source) -> None:
        """Removes a source whose log is gone for good."""
        buckets = sorted(await self.changes(source))
        await self._forget(Held(source, "", None, 0, buckets, set()))
        await self._redis.delete(self._names.source_state(source))
        await self._redis.srem(self._names.sources, str(source))

    async def state(self, source: Source) -> tuple[int, Checkpoint] | None:
        """(next, clocks) as last written; None where nothing was."""
        key = self._names.source_state(source)
        written, clocks = cast("list[bytes | None]", await self._redis.hmget(key, ["next", "clocks"]))
        return None if written is None or clocks is None else (int(written), _progress(int(written), clocks)[1])

    async def changes(self, source: Source) -> dict[int, int]:
        """{bucket: `next` of the flush that last changed it}."""
        key = self._names.source_buckets(source)
        pairs = cast("list[tuple[bytes, float]]", await self._redis.zrange(key, 0, -1, withscores=True))
        return {int(bucket): int(offset) for bucket, offset in pairs}

    async def _stretches(self, source: Source) -> dict[int, bytes]:
        """{beginning of a stretch of ids: its value}."""
        key = self._names.source_ids(source)
        found = cast("dict[bytes, bytes]", await self._redis.hgetall(key))
        return {int(begins): value for begins, value in found.items()}

    async def pages(self, source: Source, buckets: Iterable[int]) -> dict[int, PackedPage]:
        """The cells of some buckets, packed; a bucket that does not exist gives an empty page."""
        names = self._names
        wanted = sorted(buckets)
        pages = {}
        for start in range(0, len(wanted), PAGES_AT_ONCE):
            some = wanted[start : start + PAGES_AT_ONCE]
            keys = [names.source_cells(source, bucket, part) for bucket in some for part in ("fast", "slow")]
            values = cast("list[bytes | None]", await self._redis.mget(keys))
            for index, bucket in enumerate(some):
                pages[bucket] = decode(values[2 * index], values[2 * index + 1])
        return pages


def _progress(written: int, clocks: bytes) -> tuple[Progress, Checkpoint]:
    held: dict[str, Any] = msgspec.json.decode(clocks)
    warm = held["warm"]
    known = held.get("known", warm)  # releases that did not write ids
    return Progress(written, held["slow_next"], Checkpoint(**warm), Checkpoint(**known)), Checkpoint(**held["now"])


def remembered(progress: Progress, stretches: Mapping[int, bytes]) -> list[Met] | None:
    """The memory of ids from `warm` to `known`, of its values by where they begin; None if one is not there."""
    memory, at = list[Met](), progress.warm.offset
    while at < progress.known.offset and at in stretches:
        memory.append(unpack_met(stretches[at]))
        at = memory[-1].end
    return memory if at == progress.known.offset else None


def pack_met(met: Met) -> bytes:
    """A stretch of ids as Redis keeps it. A random UUID takes some 24 bytes, and half a microsecond."""
    steps = [ms - before for before, ms in zip([0, *met.times], met.times, strict=False)]
    return zlib.compress(msgspec.msgpack.encode(replace(met, times=steps)), 1)


def unpack_met(value: bytes) -> Met:
    """What `pack_met` packed."""
    met = _met.decode(zlib.decompress(value))
    return replace(met, times=list(accumulate(met.times)))


@dataclass(frozen=True, slots=True)
class Encoded:
    """One change of a cut: its parts as JSON (one that did not change is empty), and by table its changed cells, some at a
    time: arrays of [key, row]."""

    bucket: int
    first: int
    last: int
    fast: bytes
    slow: bytes
    rows: dict[str, list[bytes]]


def encode(cut: Cut) -> list[Encoded]:
    """Packs each cell once, for Redis and for the partial."""
    encoded = []
    for change in cut.changes:
        rows: dict[str, list[bytes]] = {}
        fast, slow = (b"" if part is None else _value(change, part, rows) for part in (change.fast, change.slow))
        encoded.append(Encoded(change.bucket, change.first, change.last, fast, slow, rows))
    return encoded


def _value(change: Change, part: Mapping[str, Mapping[Key, Cell]], rows: dict[str, list[bytes]]) -> bytes:
    """The value of a part. Leaves in `rows` those that changed."""
    tables = {}
    for table, cells in part.items():
        changed = change.cells.get(table, {})
        arrays = _arrays(list(changed.items()), change.bucket)
        if changed:
            rows[table] = arrays
        others = _arrays([item for item in cells.items() if item[0] not in changed], change.bucket)
        tables[table] = msgspec.Raw(b"[" + b",".join([array[1:-1] for array in (*arrays, *others)]) + b"]")
    return _encode({"first": change.first, "last": change.last, "tables": tables})


def _arrays(cells: Sequence[tuple[Key, Cell]], bucket: int) -> list[bytes]:
    """JSON arrays of [key, row], some in each."""
    packed = [(key, pack(cell, bucket)) for key, cell in cells]
    return [_encode(packed[start : start + ROWS_A_PART]) for start in range(0, len(packed), ROWS_A_PART)]


def squeeze(encoded: Sequence[Encoded]) -> list[tuple[bytes, bytes]]:
    """The values of each change's parts as Redis keeps them. It runs beside the event loop: zlib lets go of Python's lock."""
    return [(one.fast and zlib.compress(one.fast, 1), one.slow and zlib.compress(one.slow, 1)) for one in encoded]


_encode = msgspec.json.Encoder().encode
_part = msgspec.json.Decoder(PackedPage)
_met = msgspec.msgpack.Decoder(Met)


def decode(fast: bytes | None, slow: bytes | None) -> PackedPage:
    """The page of a bucket's two values; None or empty where a part does not exist."""
    parts = [_part.decode(zlib.decompress(value)) for value in (fast, slow) if value]
    first = min((part.first for part in parts if part.first is not None), default=None)
    tables = {table: rows for part in parts for table, rows in part.tables.items()}
    return PackedPage(first, max((part.last for part in parts), default=-1), tables)


def unpacked(bucket: int, page: PackedPage) -> Page:
    """The page as its owner folds on into it."""
    cells = {table: {key: unpack(row, bucket) for key, row in rows} for table, rows in page.tables.items()}
    return Page(cells, first=page.first, last=page.last)
