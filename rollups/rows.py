"""One bucket of one merged table as one value: all its rows, packed by column.

A value is the byte 1 and then zlib (RFC 1950) over a JSON object, a line feed, and columns of unsigned integers, one
after the other. The object:

- `keys`: for each dimension, in the table's order, its distinct values;
- `columns`: [length, width in bytes, divisor] of each column.

A column of width w is w runs of `length` bytes: the lowest byte of every number, then the next higher of every number,
and so on; each number is to be multiplied by the divisor. The columns:

1. for each dimension: the index of each row's value in `keys`;
2. the count of each row;
3. for each measure, in the table's order: `n` of each row; then, of the rows whose n is not 0, `sum`, `min` and `max`;
   and of a measure with a sketch, of the same rows: `form`, `size`, `first`, `steps`, `hits`.

A sketch of form 0 is whole: `size` bins (rollups.sketch), of which `first` has the first, plus one, and `steps` for
each further one its distance from the one before; `hits` tells for each bin how many values it holds. (Steps and hits
of all rows follow one another.) One of form 1 or 2 is a long sketch, cut to percentiles: `first` and `steps` have, in
the same way, the bins of the values of rank ⌊q (n - 1)⌋ for each q of a grid (form 1: `COARSE_GRID`, form 2:
`FINE_GRID`), and there are no hits. So the quantiles of the grid (p50, p95, p99 …) are those of what was cut, and any
other lies between its neighbours: half of the values between two of the grid are taken for the lower.

Ten seconds are always whole. An hour is made of minutes: where these were cut, a quantile of the hour has the rank that
it should have only to within a step of `FINE_GRID` (a thousandth from p97 on, five up to there, twenty below p90).

Measures that are declared as numbers are in thousandths. Times, samples and latest outcomes stay with the source cells.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, islice, pairwise, repeat
from math import gcd
from operator import ne
from typing import Any, NamedTuple, TypeVar

import msgspec

from rollups.cells import Cell, Stat
from rollups.sketch import Bins
from schemas.tables import Key, Table, Value


class Grid(NamedTuple):
    """The quantiles that a sketch of more than `long` bins is cut to: about where they are shorter than the bins."""

    quantiles: tuple[float, ...]
    long: int


def _grid(long: int, *parts: tuple[int, int, int]) -> Grid:
    """`parts` in thousandths, as of `range`."""
    return Grid(tuple(part / 1_000 for each in parts for part in range(*each)), long)


COARSE_GRID = _grid(24, (0, 500, 50), (500, 900, 25), (900, 990, 10), (990, 1_001, 5))
"""For an hour, of which nothing else is made."""
FINE_GRID = _grid(64, (0, 900, 20), (900, 970, 5), (970, 1_001, 1))
"""For a minute, of which hours are made; finest where one quantile is far from the next."""

_VERSION = b"\x01"
_FORMS = (None, COARSE_GRID, FINE_GRID)
_WORD = 8
_ABSENT = Stat()
_SKETCH_COLUMNS = 5

Column = Sequence[int]
T = TypeVar("T")


class _Header(msgspec.Struct):
    keys: list[list[Value]]
    columns: list[tuple[int, int, int]]


def encode_rows(table: Table, rows: Mapping[Key, Cell], cut: Grid | None = None) -> bytes:
    """The value of a bucket. `cut`: what long sketches become. Raises ValueError for a negative number."""
    keys, indexes = _numbered(list(rows), len(table.dimensions))
    order = sorted(range(len(rows)), key=indexes.__getitem__)  # equal values side by side: shorter
    held = list(rows.values())
    cells = [held[place] for place in order]
    columns: list[Column] = [[indexes[place][at] for place in order] for at in range(len(table.dimensions))]
    columns.append([cell.count for cell in cells])
    for at, measure in enumerate(table.measures):
        stats = [cell.stats[at] if at < len(cell.stats) else _ABSENT for cell in cells]
        found = [stat for stat in stats if stat.n]
        columns.append([stat.n for stat in stats])
        columns.append([stat.total for stat in found])
        columns.append([stat.low or 0 for stat in found])
        columns.append([stat.high or 0 for stat in found])
        if measure.sketch:
            columns += _pack_sketches(found, cut)
    shapes: list[tuple[int, int, int]] = []
    runs = [b"\n"]
    for column in columns:
        if min(column, default=0) < 0:
            raise ValueError(f"a rollup row of {table.name} has a negative number")
        divisor = gcd(*column) or 1
        numbers = column if divisor == 1 else [number // divisor for number in column]
        width = (max(numbers, default=0).bit_length() + 7) // 8
        shapes.append((len(numbers), width, divisor))
        runs.append(_pack(numbers, width))
    return _VERSION + zlib.compress(msgspec.json.encode(_Header(keys, shapes)) + b"".join(runs))


def decode_rows(table: Table, value: bytes, *, sketches: bool = True) -> dict[Key, Cell]:
    """The rows of a value; with `sketches` false without these, which take most of the time.

    Raises ValueError for one that is damaged or of a version that is not known.
    """
    header, columns = _opened(value)
    dimensions = [[values[index] for index in next(columns)] for values in header.keys]
    cells = [Cell(count=count, times=None) for count in next(columns)]
    for measure in table.measures:
        numbers = next(columns, None)
        if numbers is None:
            break  # written before the table had this measure
        _add_stats([(cell, n) for cell, n in zip(cells, numbers, strict=True)], columns, measure.sketch, sketches)
    return dict(zip(zip(*dimensions, strict=True), cells, strict=True))


@dataclass(frozen=True, slots=True)
class Sums:
    """Cells of a table added up over the dimensions that are not in `by`, which are None in the keys; with sketches if these
    are asked for. `only`: a dimension of `by` and its value, where no other rows are wanted. `measures`: those that are wanted,
    None: all."""

    by: frozenset[str]
    sketches: bool
    only: tuple[str, Value] | None = None
    measures: frozenset[str] | None = None
    cells: dict[Key, Cell] = field(default_factory=dict)


def add_rows(table: Table, value: bytes, sums: Sequence[Sums]) -> None:
    """Adds the rows of a value to each of these sums: what `decode_rows` and `Cell.add` come to, but a column at a time,
    without a cell for every row. Raises ValueError as `decode_rows` does."""
    header, columns = _opened(value)
    dimensions = [next(columns) for _ in header.keys]
    counts = next(columns)
    grouped = [_grouped(table, one.by, header.keys, dimensions, len(counts)) for one in sums]
    held: list[list[Cell]] = []
    for one, (keys, groups) in zip(sums, grouped, strict=True):
        cells = []
        at, value_wanted = (-1, None) if one.only is None else (table.dimensions.index(one.only[0]), one.only[1])
        for key, count in zip(keys, groups.each(counts, sum), strict=True):
            cell = one.cells.get(key)
            if cell is None:
                cell = Cell(count=count, times=None)
                if at < 0 or key[at] == value_wanted:
                    one.cells[key] = cell
            else:
                cell.count += count
            cells.append(cell)
        held.append(cells)
    for at, measure in enumerate(table.measures):
        numbers = next(columns, None)
        if numbers is None:
            break  # written before the table had this measure
        found = [n for n in numbers if n] if 0 in numbers else numbers
        figures = ((found, sum), (next(columns), sum), (next(columns), min), (next(columns), max))
        packed = list(islice(columns, _SKETCH_COLUMNS)) if measure.sketch else []
        asking = [
            (one, cells, groups)
            for one, cells, (_, groups) in zip(sums, held, grouped, strict=True)
            if one.measures is None or measure.name in one.measures
        ]
        bins = list(_bins(found, *packed)) if packed and any(one.sketches for one, _, _ in asking) else []
        for one, cells, groups in asking:
            for cell in cells:
                while len(cell.stats) <= at:
                    cell.stats.append(Stat())
            present, measured = groups.among(numbers)
            stats = [cells[group].stats[at] for group in present]
            told = [measured.each(column, of) for column, of in figures]
            for stat, n, total, low, high in zip(stats, *told, strict=True):
                stat.tally(n, total, low, high)
            if one.sketches and bins:
                for stat, some in zip(stats, measured.rows(bins), strict=True):
                    into = stat.bins = stat.bins or {}
                    for numbered, hits in some:
                        for number, hit in zip(numbered, hits, strict=True):
                            into[number] = into.get(number, 0) + hit


def summed(table: Table, values: Iterable[bytes], by: frozenset[str], sketches: bool = False) -> Sums:
    """What some values hold together."""
    total = Sums(by, sketches)
    for value in values:
        add_rows(table, value, [total])
    return total


def _opened(value: bytes) -> tuple[_Header, Iterator[Column]]:
    """Raises ValueError."""
    if value[:1] != _VERSION:
        raise ValueError(f"rollup rows of version {value[:1].hex() or 'none'}, which this release does not know")
    try:
        head, _, body = zlib.decompress(value[1:]).partition(b"\n")
    except zlib.error as error:
        raise ValueError(f"damaged rollup rows: {error}") from error
    header = msgspec.json.decode(head, type=_Header)
    return header, _columns(header.columns, body)


def _numbered(keys: Sequence[Key], dimensions: int) -> tuple[list[list[Value]], list[tuple[int, ...]]]:
    """The distinct values of each dimension, and each key as indexes into them."""
    distinct: list[list[Value]] = []
    places: list[list[int]] = []
    for at in range(dimensions):
        column = [key[at] for key in keys]
        if {bool, int} <= set(map(type, column)):  # 1 and True are equal, and two values here
            tagged = [(type(value), value) for value in column]
            values = sorted(set(tagged), key=lambda one: _by_type(one[1]))
            index: dict[Any, int] = {value: place for place, value in enumerate(values)}
            distinct.append([value for _, value in values])
            places.append([index[value] for value in tagged])
        else:
            plain = sorted(set(column), key=_by_type)
            index = {value: place for place, value in enumerate(plain)}
            distinct.append(plain)
            places.append([index[value] for value in column])
    return distinct, list(zip(*places, strict=True))


def _by_type(value: Value) -> tuple[str, str | int]:
    return (type(value).__name__, "" if value is None else value)


# --- groups of rows ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows that add up to one. `order`: all rows, those of a group side by side, None where they lie so; `ends`: where each
    group ends in that order. None is empty."""

    order: Sequence[int] | None
    ends: Sequence[int]

    def each(self, column: Column, of: Callable[[Column], int]) -> Column:
        """`of` what each group has in a column."""
        lined = column if self.order is None else [column[row] for row in self.order]
        if len(self.ends) == len(lined):
            return lined
        return [of(lined[start:end]) for start, end in pairwise((0, *self.ends))]

    def rows(self, of_row: Sequence[T]) -> Iterator[Sequence[T]]:
        """What the rows of each group have."""
        lined = of_row if self.order is None else [of_row[row] for row in self.order]
        return (lined[start:end] for start, end in pairwise((0, *self.ends)))

    def among(self, numbers: Column) -> tuple[Sequence[int], _Groups]:
        """The groups that have a row whose number is not 0, and how they lie where only such rows are."""
        if 0 not in numbers:
            return range(len(self.ends)), self
        place = list(accumulate(map(bool, numbers), initial=0))
        order = None if self.order is None else [place[row] for row in self.order if numbers[row]]
        before = (
            place
            if self.order is None
            else list(accumulate((numbers[row] > 0 for row in self.order), initial=0))
        )
        ends = [before[end] for end in self.ends]
        present = [group for group, (start, end) in enumerate(pairwise((0, *ends))) if start < end]
        return present, _Groups(order, [ends[group] for group in present])


def _grouped(
    table: Table, by: frozenset[str], values: Sequence[Sequence[Value]], dimensions: Sequence[Column], length: int
) -> tuple[list[Key], _Groups]:
    """The rows by what they share in the dimensions of `by`: the key of each group, and the groups."""
    if not length:
        return [], _Groups(None, [])
    kept = [name in by for name in table.dimensions]
    telling = [column for column, wanted, known in zip(dimensions, kept, values, strict=True) if wanted and len(known) > 1]
    codes: Sequence[object] = list(zip(*telling, strict=True)) if telling else bytes(length)
    sizes = Counter(codes)
    order = None
    if sum(map(ne, codes, islice(codes, 1, None))) >= len(sizes):  # some group is torn apart
        order = sorted(range(length), key=codes.__getitem__)  # type: ignore[arg-type]
        sizes = Counter([codes[row] for row in order])
    ends = list(accumulate(sizes.values()))
    firsts = [0, *ends[:-1]] if order is None else [order[start] for start in (0, *ends[:-1])]
    parts = [
        [known[column[row]] for row in firsts] if wanted else repeat(None, len(firsts))
        for wanted, known, column in zip(kept, values, dimensions, strict=True)
    ]
    return list(zip(*parts, strict=True)), _Groups(order, ends)


# --- columns ----------------------------------------------------------------------------------------------------------


def _pack(numbers: Column, width: int) -> bytes:
    """`width` runs of one byte of each number, the lowest first."""
    if width <= 1:
        return bytes(numbers) if width else b""
    if width <= _WORD:
        whole, step = struct.pack(f"<{len(numbers)}Q", *numbers), _WORD
    else:
        whole, step = b"".join(number.to_bytes(width, "little") for number in numbers), width
    return b"".join(whole[byte::step] for byte in range(width))


def _columns(shapes: Sequence[tuple[int, int, int]], body: bytes) -> Iterator[Column]:
    start = 0
    for length, width, divisor in shapes:
        numbers = _unpack(body[start : start + length * width], length, width)
        start += length * width
        yield numbers if divisor == 1 else [number * divisor for number in numbers]


def _unpack(runs: bytes, length: int, width: int) -> Column:
    if len(runs) != length * width:
        raise ValueError("damaged rollup rows: a column is cut short")
    if width <= 1:
        return runs if width else bytes(length)
    step = _WORD if width <= _WORD else width
    whole = bytearray(length * step)
    for byte in range(width):
        whole[byte::step] = runs[byte * length : (byte + 1) * length]
    if step == _WORD:
        return struct.unpack(f"<{length}Q", whole)
    return [int.from_bytes(whole[start : start + step], "little") for start in range(0, len(whole), step)]


def _add_stats(rows: Sequence[tuple[Cell, int]], columns: Iterator[Column], sketch: bool, wanted: bool) -> None:
    """Gives each cell its next stat."""
    numbers = [n for _, n in rows if n]
    stats = [
        Stat(n, total, low, high)
        for n, total, low, high in zip(numbers, next(columns), next(columns), next(columns), strict=True)
    ]
    packed = list(islice(columns, _SKETCH_COLUMNS)) if sketch else []
    if packed and wanted:
        _unpack_sketches(stats, *packed)
    each = iter(stats)
    for cell, n in rows:
        cell.stats.append(next(each) if n else Stat())


# --- sketches ---------------------------------------------------------------------------------------------------------


def _pack_sketches(stats: Sequence[Stat], cut: Grid | None) -> list[Column]:
    """The columns form, size, first, steps, hits."""
    forms, sizes, firsts, steps, hits = [], [], [], [], []
    for stat in stats:
        bins = stat.bins or {}
        found = sorted(bins)
        if cut is not None and len(found) > cut.long:
            found = _percentiles(bins, found, cut)
            forms.append(_FORMS.index(cut))
        else:
            hits += [bins[number] for number in found]
            forms.append(0)
        sizes.append(len(found))
        firsts.append(found[0] + 1 if found else 0)
        steps += [number - before for before, number in pairwise(found)]
    return [forms, sizes, firsts, steps, hits]


def _percentiles(bins: Bins, found: Sequence[int], grid: Grid) -> list[int]:
    """The bin at each quantile of the grid."""
    last = sum(bins.values()) - 1  # n - 1: every value that is counted is in a bin
    numbers = iter(found)
    number = next(numbers)
    seen = bins[number]
    result = []
    for q in grid.quantiles:
        while seen <= int(q * last):
            number = next(numbers)
            seen += bins[number]
        result.append(number)
    return result


def _unpack_sketches(stats: Sequence[Stat], *packed: Column) -> None:
    for stat, (numbered, hits) in zip(stats, _bins([stat.n for stat in stats], *packed), strict=True):
        if numbered:
            stat.bins = dict(zip(numbered, hits, strict=True))


def _bins(
    numbers: Column, forms: Column, sizes: Column, firsts: Column, steps: Column, hits: Column
) -> Iterator[tuple[Column, Column]]:
    """Of each sketch its bins, and how many values each of these holds. `numbers`: how many values it holds in all."""
    step, hit = iter(steps), iter(hits)
    for n, form, size, first in zip(numbers, forms, sizes, firsts, strict=True):
        found = list(accumulate(islice(step, size - 1), initial=first - 1)) if size else []
        grid = _FORMS[form]
        if grid is None:
            yield found, list(islice(hit, size))
        else:
            whole = _whole(found, _ranks(form, n))
            yield [*whole], [*whole.values()]


@lru_cache(4096)
def _ranks(form: int, n: int) -> Sequence[int]:
    """How many of n values lie up to each quantile of a grid."""
    grid = _FORMS[form]
    assert grid is not None
    return [int(q * (n - 1)) + 1 for q in grid.quantiles]


def _whole(found: Sequence[int], ranks: Sequence[int]) -> Bins:
    """The sketch that has these bins at the quantiles of a grid; of the values between two of them half are in each."""
    bins: Bins = {found[0]: 0}
    below, before = 0, found[0]
    for upto, number in zip(ranks, found, strict=True):
        if number == before:
            bins[number] += upto - below
        elif upto > below:
            lower = (upto - below - 1) // 2
            bins[before] += lower
            bins[number] = upto - below - lower
        else:
            continue
        below, before = upto, number
    return bins
