"""A cell: the mergeable summary of the events that share a bucket and a key of dimensions.

All numbers are integers (measures declared as numbers are kept in thousandths), so that a merge gives the same
result in any order, to the last digit. Two operations, and they are different:

- `Cell.add`, and `added` of rows as they came, ADD cells of different sources or buckets: associative, commutative, with
  `Cell()` as the neutral one.
- The merger CHOOSES between two versions of the same cell of one source. Such a cell only grows along its log, and each
  event adds one to its count: the version with more events is the later one. That is why nothing that crosses the
  rollups topic needs an order: twice, late, out of order or from a zombie, the outcome is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import chain, zip_longest
from typing import Any

import msgspec

from rollups.sketch import Bins, add_bins, add_values
from schemas.rollup import Row, StatRow

EXACT_BELOW = 64
"""A cell of fewer events keeps their exact times."""
KEPT_SAMPLES = 4
KEPT_RECENT = 16

Sample = tuple[int, str, str]
"""Event time (epoch ms), event id, identity (the transaction for a payment, else the event id)."""


class Stat:
    """Sum, extremes and, if wanted, the sketch of one measure; `n` counts the events that carried it."""

    __slots__ = ("bins", "high", "low", "n", "total")

    def __init__(
        self, n: int = 0, total: int = 0, low: int | None = None, high: int | None = None, bins: Bins | None = None
    ) -> None:
        self.n, self.total, self.low, self.high, self.bins = n, total, low, high, bins

    def add(self, other: Stat, *, sketch: bool = True) -> None:
        if not other.n:
            return
        self.tally(other.n, other.total, other.low, other.high)  # type: ignore[arg-type]  # with n there are extremes
        if other.bins and sketch:
            if self.bins is None:
                self.bins = {}
            add_bins(self.bins, other.bins)

    def tally(self, n: int, total: int, low: int, high: int) -> None:
        """Adds n events that carried the measure, with what these come to."""
        if self.n:
            self.n += n
            self.total += total
            if self.low is None or low < self.low:
                self.low = low
            if self.high is None or high > self.high:
                self.high = high
        else:
            self.n, self.total, self.low, self.high = n, total, low, high

    def fold(self, values: Sequence[int | None], sketch: bool) -> None:
        """Adds the values of some events, None where one has none; into the sketch if there is to be one."""
        found: Sequence[Any] = [value for value in values if value is not None] if None in values else values
        if not found:
            return
        self.n += len(found)
        self.total += sum(found)
        low, high = min(found), max(found)
        if self.low is None or low < self.low:
            self.low = low
        if self.high is None or high > self.high:
            self.high = high
        if sketch:
            if self.bins is None:
                self.bins = {}
            add_values(self.bins, found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stat) and self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def _fields(self) -> tuple[object, ...]:
        return (self.n, self.total, self.low, self.high, self.bins or None)

    def __repr__(self) -> str:
        return f"Stat{self._fields()}"


class Cell:
    """Count, exact times of a small count, samples, latest times, and a `Stat` for each measure of the table.

    times: event times in epoch ms while count < 64, else None.
    samples: the earliest events of up to four distinct identities, by (time, id).
    recent: the latest 16 event times of a table that keeps them, else None.
    """

    __slots__ = ("count", "recent", "samples", "stats", "times")

    def __init__(
        self,
        measures: int = 0,
        *,
        count: int = 0,
        times: list[int] | None = None,
        samples: list[Sample] | None = None,
        recent: list[int] | None = None,
        stats: list[Stat] | None = None,
    ) -> None:
        self.count = count
        self.times: list[int] | None = [] if times is None and count == 0 else times
        self.samples: list[Sample] = samples or []
        self.recent = recent
        self.stats: list[Stat] = stats if stats is not None else [Stat() for _ in range(measures)]

    def add(self, other: Cell, *, sketches: bool = True) -> None:
        """Merges another cell into this one; without sketches where nobody asks for quantiles."""
        self.count += other.count
        if self.times is not None and other.times is not None and self.count < EXACT_BELOW:
            self.times = self.times + other.times
        else:
            self.times = None
        full = len(self.samples) == KEPT_SAMPLES
        if other.samples and not (full and other.samples[0] > self.samples[-1]):
            self.samples = earliest_samples([*self.samples, *other.samples]) if self.samples else list(other.samples)
        if other.recent is not None:
            self.recent = nlargest(KEPT_RECENT, [*(self.recent or ()), *other.recent])
        while len(self.stats) < len(other.stats):
            self.stats.append(Stat())
        for mine, theirs in zip(self.stats, other.stats, strict=False):
            mine.add(theirs, sketch=sketches)

    def tallied(self, *, sketches: bool = True) -> Cell:
        """A cell of its own with the count and the stats of this one."""
        found = Cell(count=self.count, times=None)
        if self.stats:
            found.stats = [
                Stat(one.n, one.total, one.low, one.high, dict(one.bins) if sketches and one.bins else None)
                for one in self.stats
            ]
        return found

    def tally(self, other: Cell, *, sketches: bool = True) -> None:
        """Adds the count and the stats of another cell: all that one of a merged table has."""
        self.count += other.count
        self.times = None
        stats = self.stats
        while len(stats) < len(other.stats):
            stats.append(Stat())
        for mine, theirs in zip(stats, other.stats, strict=False):
            mine.add(theirs, sketch=sketches)

    def fold(self, times: Sequence[int], columns: Sequence[tuple[Sequence[int | None], bool]]) -> None:
        """Adds some events: their times, and for each measure their values and whether these are sketched.
        Samples and latest times are the caller's."""
        self.count += len(times)
        if self.times is not None:
            self.times = [*self.times, *times] if self.count < EXACT_BELOW else None
        while len(self.stats) < len(columns):
            self.stats.append(Stat())
        for stat, (values, sketch) in zip(self.stats, columns, strict=False):
            if values:
                stat.fold(values, sketch)

    def add_sample(self, ms: int, event_id: str, identity: str) -> None:
        """Offers one event as a sample; kept if it is among the earliest of four distinct identities."""
        self.samples = earliest_samples([*self.samples, (ms, event_id, identity)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def _fields(self) -> tuple[object, ...]:
        times = None if self.times is None else sorted(self.times)
        recent = None if self.recent is None else sorted(self.recent)
        return (self.count, times, self.samples, recent, self.stats)

    def __repr__(self) -> str:
        return f"Cell{self._fields()}"


def earliest_samples(samples: Sequence[Sample]) -> list[Sample]:
    """The earliest sample of each of the first four distinct identities, by (time, id)."""
    if len(samples) < 2:
        return list(samples)
    kept: dict[str, Sample] = {}
    for sample in sorted(samples):
        kept.setdefault(sample[2], sample)
        if len(kept) == KEPT_SAMPLES:
            break
    return list(kept.values())


# --- on the wire and in Redis: JSON --------------------------------------------------------------------------------

_BIG = 2**63
_flat = chain.from_iterable


def pack(cell: Cell, bucket: int) -> tuple[Any, ...]:
    """A `Row` to be encoded: (count, times or 0, samples, recent or 0, stats). Times are ms since the bucket's start.

    A stat is (n, sum, min, max, bins) with bins as [bin, hits, bin, hits, …] or 0, or 0 for a measure that no event
    carried. A sum beyond 63 bits is a string of digits, since many JSON readers would round it.
    """
    times, recent = cell.times, cell.recent
    return (
        cell.count,
        0 if times is None else [ms - bucket for ms in times],
        [(ms - bucket, event_id, identity) for ms, event_id, identity in cell.samples],
        0 if recent is None else [ms - bucket for ms in recent],
        [
            (
                stat.n,
                stat.total if stat.total < _BIG else str(stat.total),
                stat.low,
                stat.high,
                list(_flat(stat.bins.items())) if stat.bins else 0,
            )
            if stat.n
            else 0
            for stat in cell.stats
        ],
    )


_many_times = msgspec.json.Decoder(list[list[int] | int])
_many_samples = msgspec.json.Decoder(list[list[Sample]])
_bins = msgspec.json.Decoder(list[int] | int)
_row = msgspec.json.Decoder(Row)


def as_row(cell: Cell, bucket: int) -> Row:
    """The row of a cell as it comes off the wire."""
    return _row.decode(msgspec.json.encode(pack(cell, bucket)))


def unpack(row: Row, bucket: int) -> Cell:
    """The cell of a row that `pack` made."""
    return added([row], bucket)


def added(rows: Sequence[Row], bucket: int, *, sketches: bool = True) -> Cell:
    """The sum of rows of one bucket, as `Cell.add` makes it of their cells."""
    cell = tallied(rows, sketches=sketches)
    if cell.count < EXACT_BELOW:
        times = _many_times.decode(_joined([row.times for row in rows]))
        known = [some for some in times if isinstance(some, list)]
        if len(known) == len(rows):
            cell.times = [bucket + ms for ms in _flat(known)]
    samples = _many_samples.decode(_joined([row.samples for row in rows]))
    cell.samples = [(bucket + ms, event_id, identity) for ms, event_id, identity in earliest_samples(list(_flat(samples)))]
    recent = [row.recent for row in rows if isinstance(row.recent, list)]
    if recent:
        cell.recent = [bucket + ms for ms in nlargest(KEPT_RECENT, _flat(recent))]
    return cell


def tallied(rows: Sequence[Row], *, sketches: bool = True) -> Cell:
    """The count and the stats of `added`, and nothing else: what a row of a merged table holds. Rows of any buckets."""
    if len(rows) == 1:
        return Cell(count=rows[0].count, times=None, stats=[_total((stat,), sketches) for stat in rows[0].stats])
    columns = zip_longest(*[row.stats for row in rows], fillvalue=0)
    return Cell(
        count=sum([row.count for row in rows]), times=None, stats=[_total(column, sketches) for column in columns]
    )


def _total(column: Iterable[StatRow | int], sketch: bool) -> Stat:
    n = total = 0
    low = high = None
    bins: Bins = {}
    for stat in column:
        if not isinstance(stat, int):
            events, part, least, most, packed = stat
            n += events
            total += int(part)
            if low is None or least < low:
                low = least
            if high is None or most > high:
                high = most
            if sketch and isinstance(flat := _bins.decode(packed), list):
                if bins:
                    each = iter(flat)
                    for index, hits in zip(each, each, strict=True):
                        bins[index] = bins.get(index, 0) + hits
                else:
                    bins = dict(zip(flat[::2], flat[1::2], strict=True))
    return Stat(n, total, low, high, bins or None)


def _joined(values: Sequence[msgspec.Raw]) -> bytes:
    return b"[" + b",".join(values) + b"]"
