"""How much of Redis the merged tables take, measured on the embedded store.

    python -m bench.redis_memory [--cells 200] [--rates 20 200 2000] [--tables payments requests errors]

For each table it writes an hour of 10 s rows (360 buckets) of as many cells each as asked for, through
`rollups.tables.TableStore`, has the store make the 1 min rows and the 1 h row of them (which then is copied to the other
239 buckets of its hash), and asks for `used_memory` with and without each resolution's keys, on a connection that has
written nothing. That is a sample: the figures for the whole retention (10 s: 7 h, 1 min: 3 days, 1 h: 13
months) are these times the number of buckets, since every bucket is a value of its own.

The cells are as traffic makes them: their shares follow Zipf's law, durations are lognormal around a median of each
cell's own with a tail of time-outs, amounts are prices. `--rates`: events a second over all cells of the table. The more
events a bucket holds, the longer are its sketches, up to the point where an hour's are cut to percentiles.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from redis.asyncio import Redis

from local.store import EmbeddedStore
from rollups.cells import Cell, Stat
from rollups.sketch import bin_of
from rollups.tables import RESOLUTIONS, Rows, TableStore
from runtime.names import Names
from schemas.tables import TABLES, Key, Measure, Table, Value

BUDGET_BYTES = 150_000_000
"""What one table may take with all its resolutions, at 200 cells a bucket."""
CELLS = 200
HOUR_MS = 3_600_000
START_MS = 1_790_000_400_000 - 1_790_000_400_000 % HOUR_MS

_WRITTEN_AT_ONCE = 30
_LOOKS, _LOOK_EVERY_S = 500, 0.02
_PRICES = (4_900, 9_900, 19_900, 39_900, 129_900)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the rows of one resolution take: `sample_bytes` for `buckets` of them."""

    resolution: str
    buckets: int
    sample_bytes: int

    @property
    def whole_bytes(self) -> int:
        """For as many buckets as are kept."""
        resolution = RESOLUTIONS[self.resolution]
        return self.sample_bytes * (resolution.kept_ms // resolution.width_ms) // self.buckets


# --- cells ------------------------------------------------------------------------------------------------------------


class Traffic:
    """Events of one table, folded into the cells of one 10 s bucket after another. keys: what the cells are, and how busy each
    is; made up unless said."""

    def __init__(
        self, table: Table, cells: int, rate: float, seed: int = 1, keys: Sequence[tuple[Key, float]] | None = None
    ) -> None:
        self._table, self._rng = table, random.Random(seed)
        found = keys or [(key, 1 / (place + 1)) for place, key in enumerate(_keys(table, cells))]
        self._keys = [key for key, _ in found]
        self._shares = list(accumulate(share for _, share in found))
        cells = len(found)
        # Each cell has its own idea of what is usual: 200 ms to 3 s.
        self._medians = [200 * 15 ** self._rng.random() for _ in range(cells)]
        self._events = max(cells, round(rate * RESOLUTIONS["10s"].width_ms / 1_000))

    def bucket(self) -> dict[Key, Cell]:
        """The cells of the next bucket; each has one event at least, so that there are as many as asked for."""
        places = range(len(self._keys))
        drawn = self._rng.choices(places, cum_weights=self._shares, k=self._events - len(places))
        counts = dict.fromkeys(places, 1)
        for place in drawn:
            counts[place] += 1
        return {self._keys[place]: self._cell(place, count) for place, count in counts.items()}

    def _cell(self, place: int, count: int) -> Cell:
        stats = [self._stat(measure, self._medians[place], count) for measure in self._table.measures]
        return Cell(count=count, times=None, stats=stats)

    def _stat(self, measure: Measure, median: float, count: int) -> Stat:
        rng = self._rng
        if not measure.thousandths:
            values = [rng.choice(_PRICES) * rng.randint(1, 3) for _ in range(count)]
        else:
            values = [
                round(1_000 * (30_000 if rng.random() < 0.01 else median * rng.lognormvariate(0, 0.5)))
                for _ in range(count)
            ]
        bins: dict[int, int] | None = None
        if measure.sketch:
            bins = {}
            for value in values:
                bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
        return Stat(count, sum(values), min(values), max(values), bins)


def _keys(table: Table, cells: int) -> Iterator[Key]:
    """Distinct keys, the first dimensions with the fewest values, as is usual."""
    for place in range(cells):
        key: list[Value] = []
        left = place
        for at, name in enumerate(table.dimensions):
            last = at == len(table.dimensions) - 1
            left, value = (0, left) if last else divmod(left, 3)
            if table.kinds[name] == "bool" and not last:
                key.append(bool(value % 2))
            else:
                key.append(value if table.kinds[name] == "int" else f"{name}-{value}")
        yield tuple(key)


# --- measuring --------------------------------------------------------------------------------------------------------


async def measure(url: str, table: str, cells: int = CELLS, rate: float = 200.0) -> list[Taken]:
    """What the rows of `table` take. Everything is written under a namespace of its own, and deleted again."""
    names = Names(f"memory-{table}")
    async with Redis.from_url(url) as redis:  # the buffers of this connection end with it
        await fill(TableStore(redis, names), table, cells, rate)
        hour = RESOLUTIONS["1h"]
        group = hour.group(START_MS)
        key = names.table_rows(table, "1h", group)
        row = await redis.hget(key, str(START_MS))
        assert row is not None, "the hour was made"
        await redis.hset(key, mapping={bucket: row for bucket in range(group, group + hour.group_ms, hour.width_ms)})
    taken = []
    async with Redis.from_url(url) as redis:
        for name in RESOLUTIONS:
            keys = [key async for key in redis.scan_iter(f"{names.table(table, name)}:*", count=1_000)]
            buckets = sum([await redis.hlen(key) for key in keys])
            before = await _used(redis)
            await redis.delete(*keys)
            taken.append(Taken(name, buckets, before - await _used(redis)))
        await redis.delete(*[key async for key in redis.scan_iter(f"{names.namespace}:*")])
    return taken


async def fill(store: TableStore, table: str, cells: int, rate: float, hours: int = 1) -> int:
    """Writes hours of believable rows from START_MS on, and makes the coarse ones. Returns the end in ms."""
    await store.take("bench")
    traffic = Traffic(TABLES[table], cells, rate)
    width = RESOLUTIONS["10s"].width_ms
    end = START_MS + hours * HOUR_MS
    for first in range(START_MS, end, _WRITTEN_AT_ONCE * width):
        rows: Rows = {first + at * width: traffic.bucket() for at in range(_WRITTEN_AT_ONCE)}
        await store.write(table, rows, {"bench/0/0": first})
    while await store.materialise(table, end):
        pass
    return end


async def _used(redis: Redis) -> int:
    """Once nothing is left that was deleted and not yet freed."""
    for _ in range(_LOOKS):
        found: dict[str, int] = await redis.info("memory")
        if not found["lazyfree_pending_objects"]:
            return found["used_memory"]
        await asyncio.sleep(_LOOK_EVERY_S)
    raise TimeoutError("the store does not free what was deleted")


def report(table: str, rate: float, taken: Sequence[Taken]) -> str:
    """A line of the table that `main` prints."""
    whole = sum(one.whole_bytes for one in taken)
    parts = "".join(f"{one.whole_bytes / 1e6:>9.1f}" for one in taken)
    each = "".join(f"{one.sample_bytes / one.buckets / 1e3:>9.1f}" for one in taken)
    verdict = "" if whole <= BUDGET_BYTES else "  over the budget"
    return f"{table:<16}{rate:>9g}{each}{parts}{whole / 1e6:>9.1f}{verdict}"


async def _run(tables: Sequence[str], rates: Sequence[float], cells: int) -> bool:
    names = list(RESOLUTIONS)
    print(f"{cells} cells a bucket; budget {BUDGET_BYTES / 1e6:.0f} MB a table; used_memory, from a sample of one hour")
    print(f"{'':25}{'kB a bucket':>{9 * len(names)}}{'MB with the whole retention':>{9 * len(names) + 9}}")
    print(f"{'table':<16}{'events/s':>9}{''.join(f'{name:>9}' for name in [*names, *names, 'sum'])}")
    within = True
    with tempfile.TemporaryDirectory(prefix="tillwatch-bench-") as folder, EmbeddedStore(None, Path(folder)) as store:
        for table in tables:
            for rate in rates:
                taken = await measure(store.url, table, cells, rate)
                within &= sum(one.whole_bytes for one in taken) <= BUDGET_BYTES
                print(report(table, rate, taken), flush=True)
    return within


def main() -> None:
    """Prints the figures; exit code 1 where a table is over the budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=CELLS, help="cells a bucket")
    parser.add_argument("--rates", type=float, nargs="+", default=[20.0, 200.0, 2000.0], help="events a second")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=["payments", "requests", "errors"])
    given = parser.parse_args()
    raise SystemExit(not asyncio.run(_run(given.tables, given.rates, given.cells)))


if __name__ == "__main__":
    main()
