"""What a simulated shop did, as rows of the tables: from events through the fold, as workers count them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from local.simulator import Emission
from rollups.cells import Cell
from rollups.partition import Partition
from rollups.tables import TableStore
from schemas.decode import Decoder
from schemas.events import SUBJECT_OF
from schemas.tables import TABLES, Key
from schemas.time import epoch_ms

FINE_MS = 10_000
FOLDED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Record:
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


Rows = dict[str, dict[int, dict[Key, Cell]]]


def folded(events: Iterable[Emission]) -> Rows:
    """The 10 s rows of these events, by table, each event on time."""
    folds = {
        subject: Partition(Decoder(subject, b"key"), bucket_ms=FINE_MS, lateness_ms=30_000, idle_ms=30_000)
        for subject in {*SUBJECT_OF.values()}
    }
    waiting: defaultdict[str, list[_Record]] = defaultdict(list)
    offsets: defaultdict[str, int] = defaultdict(int)
    rows: Rows = {name: {} for name in TABLES}

    def fold(subject: str) -> None:
        partition = folds[subject]
        records = waiting.pop(subject, [])
        index, missing = partition.apply(records)
        assert (index, missing) == (len(records), None)
        cut = partition.cut(slow=True)
        for change in () if cut is None else cut.changes:
            for table, cells in change.cells.items():
                rows[table].setdefault(change.bucket, {}).update(cells)

    for subject, _, event in events:
        ms = epoch_ms(str(event["time"]))
        waiting[subject].append(_Record(offsets[subject], ms, json.dumps(event).encode()))
        offsets[subject] += 1
        if len(waiting[subject]) >= FOLDED_AT_ONCE:
            fold(subject)
    for subject in list(waiting):
        fold(subject)
    return rows


async def write(tables: TableStore, rows: Rows, watermark_ms: int) -> None:
    """Writes them, and makes the coarser rows that are over."""
    await tables.take("history")
    for table, buckets in rows.items():
        if buckets:
            await tables.write(table, buckets, {})
            while await tables.materialise(table, watermark_ms):
                pass
