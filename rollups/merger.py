"""The sum over sources: for each table, bucket and key, the latest version of every source's cell.

Merging replaces, so a partial that comes twice, late or out of order changes nothing: of two versions of a cell the one with
more events counts (rollups/cells.py says why).
Only recent buckets are resident. What a late partial amends further back is loaded first: `absent` names the buckets,
`put` hands their cells in. As Redis is written before a partial is sent, what is loaded is never behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from rollups.cells import Cell, added, tallied
from rollups.partition import RESIDENT_MS
from runtime.names import Source
from schemas.rollup import PackedPage, Row
from schemas.tables import Key

ROW_MS = 10_000
"""Width of the finest merged rows; a whole number of buckets."""
SPANS_KEPT_MS = 30 * 60_000
"""So long the offsets of a bucket's records are known after its cells are forgotten: an alert shows where to look."""
PAGED_LIMIT = 1_000
"""Old buckets that stay resident after an amendment, at most."""
FORGOTTEN_LIMIT = 10_000
"""Rows of which it is known that they were forgotten, at most: a day and more."""


@dataclass(slots=True)
class SourceProgress:
    """How far one source has come, as evaluate knows it. Positions and times only grow."""

    next: int = 0
    watermark: int | None = None
    newest: int | None = None
    behind: bool = False

    def advance(self, next: int, watermark: int | None, newest: int | None, behind: bool) -> None:
        if next >= self.next:
            self.next, self.behind = next, behind
        self.watermark = _most(self.watermark, watermark)
        self.newest = _most(self.newest, newest)


def _most(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


_Versions = dict[Source, dict[Key, Row]]
"""Of one bucket and table: the latest version of each cell of each source."""


class Merger:
    """Cells of all sources. Not thread-safe."""

    def __init__(self, bucket_ms: int) -> None:
        self._bucket_ms = bucket_ms
        self._buckets: dict[int, dict[str, _Versions]] = {}
        self._spans: dict[int, dict[Source, tuple[int, int]]] = {}
        self._floor: int | None = None
        """Buckets before it go once they are written."""
        self._known_from: int | None = None
        self._forgotten: set[int] = set()
        """Rows from `_known_from` on that were here and went. Others from there on are nowhere."""
        self._changed: dict[tuple[str, int], set[Key]] = defaultdict(set)
        self._unwritten: dict[str, set[int]] = defaultdict(set)
        self.sources: dict[Source, SourceProgress] = {}

    def progress(self, source: Source) -> SourceProgress:
        return self.sources.setdefault(source, SourceProgress())

    def begin(self, floor: int) -> set[int]:
        """What was `put` holds all of the buckets from `floor` on. Returns older buckets that must be `put` of every source,
        because rows are written whole and theirs lack something."""
        self._floor = self._known_from = floor - floor % ROW_MS + ROW_MS
        rows = {row for rows in self._unwritten.values() for row in rows if row < self._floor}
        return {bucket for row in rows for bucket in range(row, row + ROW_MS, self._bucket_ms)}

    # --- taking in ------------------------------------------------------------------------------------------------

    def absent(self, buckets: Iterable[int]) -> set[int]:
        """Those buckets that may exist in Redis only. They come in whole rows, since rows are written whole."""
        absent: set[int] = set()
        for bucket in buckets:
            row = bucket - bucket % ROW_MS
            before = self._known_from is not None and row < self._known_from
            if (before or row in self._forgotten) and bucket not in self._buckets:
                absent.update(range(row, row + ROW_MS, self._bucket_ms))
        return absent - self._buckets.keys()

    def put(self, source: Source, bucket: int, page: PackedPage, *, changed: bool) -> None:
        """Takes in what Redis has of one source's bucket. `changed`: the merged rows may lack it."""
        held = self._buckets.setdefault(bucket, {})
        if page.first is not None:
            self._span(bucket, source, page.first, page.last)
        for table, rows in page.tables.items():
            self._offer(held, source, table, bucket, rows, changed)

    def offer(
        self, source: Source, table: str, bucket: int, first: int, last: int, rows: Iterable[tuple[Key, Row]]
    ) -> None:
        """Takes in cells of a partial, fed by records from offset `first` to `last`; `absent` buckets come first."""
        held = self._buckets.setdefault(bucket, {})
        self._span(bucket, source, first, last)
        self._offer(held, source, table, bucket, rows, True)

    def _offer(
        self,
        held: dict[str, _Versions],
        source: Source,
        table: str,
        bucket: int,
        rows: Iterable[tuple[Key, Row]],
        changed: bool,
    ) -> None:
        have = held.setdefault(table, {}).setdefault(source, {})
        # The same version again may have come with a page that was loaded, and not be in the row yet.
        fresh = {key: row for key, row in rows if key not in have or row.count >= have[key].count}
        if fresh:
            have.update(fresh)
            self._changed[table, bucket].update(fresh)
            if changed:
                self._unwritten[table].add(bucket - bucket % ROW_MS)

    def _span(self, bucket: int, source: Source, first: int, last: int) -> None:
        spans = self._spans.setdefault(bucket, {})
        low, high = spans.get(source, (first, last))
        spans[source] = (min(low, first), max(high, last))

    # --- handing out ----------------------------------------------------------------------------------------------

    def take_changed(
        self, tables: Container[str] | None = None, sketched: Container[str] | None = None
    ) -> dict[tuple[str, int], dict[Key, Cell]]:
        """The merged cells that changed since the last call: {(table, bucket): {key: cell}}. `tables`: only those of them
        are added up, and with sketches only those that are `sketched`; None: all."""
        changed, self._changed = self._changed, defaultdict(set)
        result = {}
        for (table, bucket), keys in changed.items():
            if tables is not None and table not in tables:
                continue
            found: dict[Key, list[Row]] = {key: [] for key in keys}
            for rows in self._buckets[bucket][table].values():
                for key in keys & rows.keys():
                    found[key].append(rows[key])
            sketches = sketched is None or table in sketched
            result[table, bucket] = {key: added(some, bucket, sketches=sketches) for key, some in found.items()}
        return result

    def take_rows(self) -> dict[str, dict[int, dict[Key, Cell]]]:
        """The 10 s rows that are not written yet, whole: {table: {bucket: {key: cell}}}. `rows_lost` takes it back."""
        unwritten, self._unwritten = self._unwritten, defaultdict(set)
        return {table: {bucket: self._row(table, bucket) for bucket in buckets} for table, buckets in unwritten.items()}

    def rows_lost(self, rows: Mapping[str, Iterable[int]]) -> None:
        """Rows that could not be written; they come again."""
        for table, buckets in rows.items():
            self._unwritten[table].update(buckets)

    def _row(self, table: str, start: int) -> dict[Key, Cell]:
        found: defaultdict[Key, list[Row]] = defaultdict(list)
        for bucket in range(start, start + ROW_MS, self._bucket_ms):
            for rows in self._buckets.get(bucket, {}).get(table, {}).values():
                for key, row in rows.items():
                    found[key].append(row)
        return {key: tallied(rows) for key, rows in found.items()}

    def spans(self, start: int, end: int) -> dict[Source, tuple[int, int]]:
        """The offsets (first, last) of the records folded into the resident buckets of [start, end), by source."""
        result: dict[Source, tuple[int, int]] = {}
        bucket = start - start % self._bucket_ms
        while bucket < end:
            for source, (first, last) in self._spans.get(bucket, {}).items():
                low, high = result.get(source, (first, last))
                result[source] = (min(low, first), max(high, last))
            bucket += self._bucket_ms
        return result

    def evict(self, keep_ms: int) -> None:
        """Forgets written buckets more than `keep_ms` (at least a minute) behind the furthest watermark, but for those that a
        source which is behind has come to: it would ask for them again with its next partial."""
        keep_ms = max(keep_ms, RESIDENT_MS)
        progresses = [(p.watermark, p.newest or 0) for p in self.sources.values() if p.watermark is not None]
        if not progresses:
            return
        reached = {(watermark - watermark % ROW_MS - keep_ms, newest) for watermark, newest in progresses}
        floor = max(watermark for watermark, _ in progresses) - keep_ms
        floor -= floor % ROW_MS
        if self._floor is not None and floor <= self._floor and len(self._buckets) < PAGED_LIMIT:
            return
        self._floor = floor if self._floor is None else max(floor, self._floor)
        busy = {bucket for buckets in self._unwritten.values() for bucket in buckets}
        pending = {bucket - bucket % ROW_MS for _, bucket in self._changed}
        for bucket in [b for b in self._buckets if b < self._floor]:
            row = bucket - bucket % ROW_MS
            if any(first <= row <= last for first, last in reached):
                continue
            if row not in busy and row not in pending:
                del self._buckets[bucket]
                self._forgotten.add(row)
        if len(self._forgotten) > FORGOTTEN_LIMIT:
            self._known_from = sorted(self._forgotten)[len(self._forgotten) // 2]
            self._forgotten = {row for row in self._forgotten if row >= self._known_from}
        for bucket in [b for b in self._spans if b < self._floor - SPANS_KEPT_MS and b not in self._buckets]:
            del self._spans[bucket]
