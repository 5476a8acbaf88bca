"""The merged rollup tables in Redis: one writer, many readers, three resolutions.

10 s rows are written as they come. 1 min and 1 h rows are made from finer ones once they are closed; until then, and
after an amendment, the script that wrote a finer row lists them as stale, and a reader makes them itself. So a reader
is exact at any moment: it sees every write that was finished when it began; only what is written while it reads may be
in one row and not yet in another. Rows are deleted by event time, and never while a coarser row is still to be made of
them.

Keys of one table share a hash tag; docs/redis-layout.md tells them one by one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from rollups.cells import Cell
from rollups.rows import COARSE_GRID, FINE_GRID, decode_rows, encode_rows, summed
from runtime.names import Names
from schemas.tables import TABLES, Key, Table

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Resolution:
    """Rows of `width_ms`, kept for `kept_ms`, in one Redis hash for each `group_ms`; made from rows of `finer`."""

    name: str
    width_ms: int
    kept_ms: int
    group_ms: int
    finer: str | None

    def start(self, ms: int) -> int:
        return ms - ms % self.width_ms

    def group(self, ms: int) -> int:
        return ms - ms % self.group_ms


RESOLUTIONS = {
    one.name: one
    for one in (
        Resolution("10s", 10 * SECOND, 7 * HOUR, HOUR, None),
        Resolution("1m", 60 * SECOND, 3 * DAY, 6 * HOUR, "10s"),
        Resolution("1h", HOUR, 396 * DAY, 10 * DAY, "1m"),
    )
}
COARSE = ("1m", "1h")
"""The resolutions that are made from finer ones, the finer first."""
_CUT_TO = {"1m": FINE_GRID, "1h": COARSE_GRID}
WRITTEN_AT_ONCE = 500
ROLLED_AT_ONCE = 120
"""Finer rows that one call of `materialise` adds up for each resolution, about: it shares the loop with judging."""
EXPIRED_AT_ONCE = 50
READ_AT_ONCE = 200
READ_TRIES = 5
CHANGES_KEPT = 720
"""Rows of 10 s that are known to have changed last: two hours of them where none comes late."""

Rows = dict[int, dict[Key, Cell]]
"""{bucket start in ms: {key: cell}}."""
Packed = dict[int, list[bytes]]
"""{bucket start in ms: what its row is made of, each a value of `rollups.rows`}."""

_TAKE = """
redis.call('HSET', KEYS[1], 'token', ARGV[1])
redis.call('HSETNX', KEYS[1], 'serial', 0)
return tonumber(redis.call('HGET', KEYS[1], 'serial'))
"""

# Every call has a serial of its own. What is held must be at least that of the last call that was answered: a Redis
# that came back without its last second has less. A call that comes late, after others, finds its own or more.
_CHECK = """
local held = redis.call('HMGET', KEYS[1], 'token', 'serial')
if held[1] ~= ARGV[1] then return 0 end
local serial = tonumber(held[2])
if serial < tonumber(ARGV[2]) or serial >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'serial', ARGV[3])
"""

# KEYS: writer, merged, stale, groups, changed, then the hash of each row.
# ARGV: token, serial answered last, serial, number of rows, changes kept; per row: bucket, value, group, its 1m, its 1h;
#       then pairs (source, offset).
_WRITE = (
    _CHECK
    + """
local rows = tonumber(ARGV[4])
for i = 1, rows do
  local a = 5 * i + 1
  redis.call('HSET', KEYS[5 + i], ARGV[a], ARGV[a + 1])
  redis.call('SADD', KEYS[4], ARGV[a + 2])
  redis.call('HSET', KEYS[3], '1m:' .. ARGV[a + 3], ARGV[3], '1h:' .. ARGV[a + 4], ARGV[3])
  redis.call('ZADD', KEYS[5], ARGV[3], ARGV[a])
end
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -ARGV[5] - 1)
for a = 5 * rows + 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[a], ARGV[a + 1]) end
return 1
"""
)

# KEYS: writer, stale, groups, the hash of the row.
# ARGV: token, serial answered last, serial; bucket, value, group, its name among the stale, the serial that it was read
#       with, HSET or HSETNX.
_ROLL = (
    _CHECK
    + """
if redis.call('HGET', KEYS[2], ARGV[7]) == ARGV[8] then
  redis.call(ARGV[9], KEYS[4], ARGV[4], ARGV[5])
  redis.call('SADD', KEYS[3], ARGV[6])
  redis.call('HDEL', KEYS[2], ARGV[7])
end
return 1
"""
)

# KEYS: writer, groups, then the hash of each group.
# ARGV: token, serial answered last, serial; per group: its name among the groups, the field of `writer` that tells how
#       far rows are gone, the end of the group.
_EXPIRE = (
    _CHECK
    + """
for i = 3, #KEYS do
  local a = 3 * i - 5
  redis.call('UNLINK', KEYS[i])
  redis.call('SREM', KEYS[2], ARGV[a])
  local gone = tonumber(redis.call('HGET', KEYS[1], ARGV[a + 1]) or 0)
  if gone < tonumber(ARGV[a + 2]) then redis.call('HSET', KEYS[1], ARGV[a + 1], ARGV[a + 2]) end
end
return 1
"""
)


class Mark(NamedTuple):
    """A moment in the life of a table: who wrote it, and the serial of its last write."""

    token: str
    serial: int


class NotWriter(RuntimeError):
    """Someone else writes the tables, or Redis lost what this writer wrote."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """What may be read and made of what, at one moment."""

    stale: Mapping[str, Mapping[int, int]]
    """{resolution: {bucket: serial of the write that made it stale}}."""
    gone: Mapping[str, int]
    """{resolution: the time before which rows were deleted}."""

    def must_be_made(self, resolution: Resolution, bucket: int) -> bool:
        return bucket in self.stale.get(resolution.name, ()) and not self.lossy(resolution, bucket)

    def lossy(self, resolution: Resolution, bucket: int) -> bool:
        """Whether finer rows of it were deleted, so that what was made before has more than they."""
        return resolution.finer is not None and bucket < self.gone.get(resolution.finer, 0)


class TableStore:
    """The merged tables of one installation. Methods raise what redis raises when it is away; all may be repeated."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._names = redis, names
        self._take_script = redis.register_script(_TAKE)
        self._write_script = redis.register_script(_WRITE)
        self._roll_script = redis.register_script(_ROLL)
        self._expire_script = redis.register_script(_EXPIRE)
        self._token = ""
        self._answered: dict[str, int] = {}
        self._serials: dict[str, int] = {}
        self._changing = asyncio.Lock()

    # --- writing --------------------------------------------------------------------------------------------------

    async def take(self, token: str) -> None:
        """Becomes the writer of every table: whoever was it before is refused from here on."""
        async with self._changing:
            self._token = token
            for table in TABLES:
                serial = await self._take_script(keys=[self._names.table(table, "writer")], args=[token])
                self._answered[table] = self._serials[table] = int(serial)

    async def _run(
        self, script: AsyncScript, table: str, keys: Sequence[str], args: Sequence[str | int | bytes]
    ) -> None:
        serial = self._serials[table] = self._serials.get(table, 0) + 1
        fence = (self._token, self._answered.get(table, 0), serial)
        if not await script(keys=[self._names.table(table, "writer"), *keys], args=[*fence, *args]):
            raise NotWriter(f"the table {table} has another writer, or Redis lost its last writes")
        self._answered[table] = serial

    async def write(self, table: str, rows: Mapping[int, Mapping[Key, Cell]], merged: Mapping[str, int]) -> None:
        """Writes 10 s rows, each whole, and how far each source is contained in them: {source: offset}.

        One script, or several where there are hundreds of rows: the offsets go with the last. Raises NotWriter.
        """
        items = iter(rows.items())
        left = len(rows)
        async with self._changing:
            while left > WRITTEN_AT_ONCE:
                await self._write(table, list(islice(items, WRITTEN_AT_ONCE)), {})
                left -= WRITTEN_AT_ONCE
            await self._write(table, list(items), merged)

    async def _write(
        self, table: str, rows: Sequence[tuple[int, Mapping[Key, Cell]]], merged: Mapping[str, int]
    ) -> None:
        names, fine = self._names, RESOLUTIONS["10s"]
        keys = [names.table(table, part) for part in ("merged", "stale", "groups", "changed")]
        args: list[str | int | bytes] = [len(rows), CHANGES_KEPT]
        for bucket, cells in rows:
            group = fine.group(bucket)
            keys.append(names.table_rows(table, "10s", group))
            args += (bucket, encode_rows(TABLES[table], cells), f"10s:{group}")
            args += (RESOLUTIONS["1m"].start(bucket), RESOLUTIONS["1h"].start(bucket))
        for source, offset in merged.items():
            args += (source, offset)
        await self._run(self._write_script, table, keys, args)

    async def materialise(self, table: str, watermark_ms: int) -> int:
        """Makes the coarse rows that are stale and closed, oldest first and a bounded number; returns how many.

        A row is left as it is where finer rows of it were deleted meanwhile: they would make it less. Raises NotWriter.
        """
        made = 0
        async with self._changing:
            for name in COARSE:
                resolution = RESOLUTIONS[name]
                marks = await self._marks(table)
                closed = sorted(b for b in marks.stale.get(name, ()) if b + resolution.width_ms <= watermark_ms)
                ready = (b for b in closed if not _unmade_parts(resolution, b, marks))
                for bucket in islice(ready, ROLLED_AT_ONCE * _finer(resolution).width_ms // resolution.width_ms):
                    await self._roll(table, resolution, bucket, marks)
                    made += 1
        return made

    async def _roll(self, table: str, resolution: Resolution, bucket: int, marks: _Marks) -> None:
        names, name, group = self._names, resolution.name, resolution.group(bucket)
        finer = await self._finer_values(table, resolution, [bucket], marks)
        value = encode_rows(TABLES[table], _unpacked(TABLES[table], finer.get(bucket, ())), cut=_CUT_TO[name])
        how = "HSETNX" if marks.lossy(resolution, bucket) else "HSET"
        keys = [names.table(table, "stale"), names.table(table, "groups"), names.table_rows(table, name, group)]
        stale = (f"{name}:{bucket}", marks.stale[name][bucket])
        await self._run(self._roll_script, table, keys, (bucket, value, f"{name}:{group}", *stale, how))

    async def expire(self, table: str, watermark_ms: int) -> int:
        """Deletes rows beyond their retention, as told by the table's own event time: a bounded number of groups, and
        none that a stale row is still to be made of. Returns how many groups. Raises NotWriter."""
        async with self._changing:
            marks = await self._marks(table)
            keys = [self._names.table(table, "groups")]
            args: list[str | int | bytes] = []
            for resolution, start in await self._groups(table):
                end = start + resolution.group_ms
                if end + resolution.kept_ms > watermark_ms or _needed(resolution, start, end, marks):
                    continue
                keys.append(self._names.table_rows(table, resolution.name, start))
                args += (f"{resolution.name}:{start}", f"gone:{resolution.name}", end)
                if len(keys) > EXPIRED_AT_ONCE:
                    break
            if args:
                await self._run(self._expire_script, table, keys, args)
        return len(keys) - 1

    async def merged_offsets(self, table: str) -> dict[str, int]:
        """{source: offset up to which its records are contained in the rows}."""
        held = await self._redis.hgetall(self._names.table(table, "merged"))
        return {_text(source): int(offset) for source, offset in held.items()}

    # --- reading --------------------------------------------------------------------------------------------------

    async def changes(self, table: str, since: Mark | None) -> tuple[Mark, frozenset[int] | None]:
        """The present mark, and the 10 s rows that were written since the one given: None where that is not known any more, and
        any row may have been. Ask before reading: what is written meanwhile is told again the next time."""
        names = self._names
        after = 0 if since is None else since.serial
        async with self._redis.pipeline(transaction=True) as asked:
            asked.hmget(names.table(table, "writer"), ["token", "serial"])
            asked.zrange(names.table(table, "changed"), 0, 0, withscores=True)
            asked.zrange(names.table(table, "changed"), f"({after}", "+inf", byscore=True)
            (token, serial), oldest, changed = await asked.execute()
        mark = Mark("" if token is None else _text(token), int(serial or 0))
        told = since is not None and since.token == mark.token and since.serial <= mark.serial
        if not told or (oldest and oldest[0][1] > after and len(changed) >= CHANGES_KEPT):
            return mark, None
        return mark, frozenset(int(bucket) for bucket in changed)

    async def read(self, table: str, resolution: str, start_ms: int | None = None, end_ms: int | None = None) -> Rows:
        """The rows whose bucket starts in [start, end), open ones included; all there are where no bound is given."""
        rows: Rows = {}
        async for some in self.chunks(table, resolution, start_ms, end_ms):
            rows |= some
        return rows

    async def chunks(
        self,
        table: str,
        resolution: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        sketches: bool = True,
    ) -> AsyncIterator[Rows]:
        """As `read`, a bounded number of buckets at a time, in their order; on demand quicker, without sketches."""
        async for some in self.packed(table, resolution, start_ms, end_ms):
            yield {bucket: _unpacked(TABLES[table], values, sketches) for bucket, values in some.items()}

    async def packed(
        self, table: str, resolution: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> AsyncIterator[Packed]:
        """The same as values of `rollups.rows`, for who adds them up (`add_rows`): one of each bucket, or those of the finer
        rows that make it up."""
        wanted = RESOLUTIONS[resolution]
        # What is stale first: a row that is written meanwhile is then read old or new, but never half.
        marks = await self._marks(table)
        some_ms = READ_AT_ONCE * wanted.width_ms
        if start_ms is not None and end_ms is not None and end_ms - start_ms <= some_ms:
            # So few are asked for by their names, whether or not there are such rows.
            buckets = list(range(-(-start_ms // wanted.width_ms) * wanted.width_ms, end_ms, wanted.width_ms))
        else:
            buckets = await self._buckets(table, wanted, start_ms, end_ms, marks)
        for first in range(0, len(buckets), READ_AT_ONCE):
            some = buckets[first : first + READ_AT_ONCE]
            for _ in range(READ_TRIES):
                values = await self._values(table, wanted, some, marks)
                # Unless what a stale row is made of was deleted meanwhile, once the row itself was made.
                after = await self._marks(table)
                if after.gone == marks.gone:
                    break
                marks = after
            yield dict(sorted(values.items()))

    async def _marks(self, table: str) -> _Marks:
        async with self._redis.pipeline(transaction=True) as both:
            both.hgetall(self._names.table(table, "stale"))
            both.hgetall(self._names.table(table, "writer"))
            listed, writer = await both.execute()
        stale: dict[str, dict[int, int]] = defaultdict(dict)
        for member, serial in listed.items():
            name, _, bucket = _text(member).partition(":")
            stale[name][int(bucket)] = int(serial)
        gone = {name: int(writer.get(f"gone:{name}".encode(), 0)) for name in RESOLUTIONS}
        return _Marks(stale, gone)

    async def _groups(self, table: str) -> list[tuple[Resolution, int]]:
        """Each hash of rows, the oldest first."""
        held = await self._redis.smembers(self._names.table(table, "groups"))
        members = (_text(member).partition(":") for member in held)
        return sorted(((RESOLUTIONS[name], int(start)) for name, _, start in members), key=lambda group: group[1])

    async def _buckets(
        self, table: str, resolution: Resolution, start_ms: int | None, end_ms: int | None, marks: _Marks
    ) -> list[int]:
        """The buckets of [start, end) that have a row, or will have one."""
        buckets = set(marks.stale.get(resolution.name, ()))
        low = -1 if start_ms is None else start_ms
        high = float("inf") if end_ms is None else end_ms
        for one, start in await self._groups(table):
            if one is resolution and start < high and start + resolution.group_ms > low:
                key = self._names.table_rows(table, resolution.name, start)
                buckets.update(int(field) for field in await self._redis.hkeys(key))
        return sorted(bucket for bucket in buckets if low <= bucket < high)

    async def _values(self, table: str, resolution: Resolution, buckets: Iterable[int], marks: _Marks) -> Packed:
        unmade: list[int] = []
        by_group: dict[int, list[int]] = defaultdict(list)
        for bucket in buckets:
            if marks.must_be_made(resolution, bucket):
                unmade.append(bucket)
            else:
                by_group[resolution.group(bucket)].append(bucket)
        found: Packed = {}
        for group, members in by_group.items():
            key = self._names.table_rows(table, resolution.name, group)
            for first in range(0, len(members), READ_AT_ONCE):
                some = members[first : first + READ_AT_ONCE]
                for bucket, value in zip(some, await self._redis.hmget(key, some), strict=True):
                    if isinstance(value, bytes):
                        found[bucket] = [value]
                    elif bucket in marks.stale.get(resolution.name, ()):
                        unmade.append(bucket)  # lossy, but never made before
        if unmade:
            found |= await self._finer_values(table, resolution, unmade, marks)
        return found

    async def _finer_values(
        self, table: str, resolution: Resolution, buckets: Iterable[int], marks: _Marks
    ) -> Packed:
        """Of coarse rows those that they are made of."""
        finer = _finer(resolution)
        parts = [b for bucket in buckets for b in range(bucket, bucket + resolution.width_ms, finer.width_ms)]
        found: Packed = {}
        for part, values in (await self._values(table, finer, parts, marks)).items():
            found.setdefault(resolution.start(part), []).extend(values)
        return found


def _unpacked(table: Table, values: Sequence[bytes], sketches: bool = True) -> dict[Key, Cell]:
    """The cells of a row."""
    if len(values) == 1:
        return decode_rows(table, values[0], sketches=sketches)
    return summed(table, values, frozenset(table.dimensions), sketches).cells


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _finer(resolution: Resolution) -> Resolution:
    assert resolution.finer is not None
    return RESOLUTIONS[resolution.finer]


def _unmade_parts(resolution: Resolution, bucket: int, marks: _Marks) -> bool:
    """Whether finer rows of it are to be made first."""
    unmade = marks.stale.get(_finer(resolution).name, {})
    return any(part in unmade for part in range(bucket, bucket + resolution.width_ms, _finer(resolution).width_ms))


def _needed(resolution: Resolution, start: int, end: int, marks: _Marks) -> bool:
    """Whether a coarser row is still to be made of rows of [start, end)."""
    return any(
        bucket < end and bucket + coarser.width_ms > start
        for coarser in map(RESOLUTIONS.__getitem__, COARSE)
        if coarser.width_ms > resolution.width_ms
        for bucket in marks.stale.get(coarser.name, ())
    )
