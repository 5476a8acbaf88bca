"""One source partition: folds its records into cells, as a pure function of the log.

What an event adds depends on the bytes and broker timestamps before it in its partition, never on the wall clock, on
when a flush happened or on who folds. Whoever reads the log again from a checkpoint reaches the same cells.

Three positions matter, each an offset of the log:

- `warm.offset`: where reading starts after a restart, with the clocks as they were there. Records before the next two
  only rebuild the memory of ids.
- `next`: what is before it is contained in the fast tables' cells (and its dead letters are written).
- `slow_next`: what is before it is contained in the cells of tables of high cardinality, written less often.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import accumulate
from operator import sub
from typing import Any

from rollups.cells import KEPT_RECENT, KEPT_SAMPLES, Cell, Sample, Stat, earliest_samples
from rollups.sketch import bin_of
from schemas.decode import Decoder, Record, Refused
from schemas.tables import FOLDS, TABLES, Fold, Key

AMEND_HORIZON_MS = 6 * 3600 * 1000
FUTURE_MS = 60_000
BEAT_MS = 5_000
DEDUPE_MS = 300_000
DEDUPE_IDS = 100_000
RESIDENT_MS = 60_000
"""Buckets this far behind the watermark stay in memory; older ones are loaded when a late event asks for them."""
TOGETHER = 16
"""Chunks of at least so many records are tried at once."""
MARK_MS, MARK_IDS = 5_000, 10_000
"""A checkpoint is noted this often, in broker time or in ids."""
FULL_CELLS, FULL_LETTERS, FULL_LETTER_BYTES = 50_000, 1_000, 8 * 1024 * 1024
"""What may wait for a flush; beyond it `full` asks for one."""

HEARTBEAT = "pipeline.heartbeat"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The clocks of a partition just before an offset. All times in epoch ms; None before the first of their kind."""

    offset: int = 0
    watermark: int | None = None
    newest: int | None = None
    last_beat: int | None = None
    active_at: int | None = None
    log_ms: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a partition stands, as Redis keeps it."""

    next: int = 0
    slow_next: int = 0
    warm: Checkpoint = Checkpoint()


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that could not be used, and why."""

    record: Record
    reason: str
    detail: str


@dataclass(slots=True)
class Page:
    """One bucket: cells by table and key, those not written yet, and the offsets of the first and last fold into it."""

    cells: dict[str, dict[Key, Cell]] = field(default_factory=dict)
    changed: dict[str, dict[Key, Cell]] = field(default_factory=dict)
    first: int | None = None
    last: int = -1

    def table(self, name: str) -> dict[Key, Cell]:
        return self.cells.setdefault(name, {})


@dataclass(frozen=True, slots=True)
class Change:
    """What one flush writes of one bucket: the whole of the parts that changed, and the cells that did."""

    bucket: int
    first: int
    last: int
    fast: dict[str, dict[Key, Cell]] | None
    slow: dict[str, dict[Key, Cell]] | None
    cells: dict[str, dict[Key, Cell]]


@dataclass(frozen=True, slots=True)
class Cut:
    """A consistent cut through a partition: everything up to `progress.next`, nothing after it."""

    progress: Progress
    clocks: Checkpoint
    first: int
    changes: list[Change]
    letters: list[Letter]
    horizon: int | None
    """Buckets that start before this are beyond the amend horizon and can go."""


SLOW_TABLES = frozenset(name for name, table in TABLES.items() if table.slow)

Item = tuple[int, int, int, Any]
"""(offset, time in ms, cohort's time in ms, event; or, of what is no event, an id)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Tables that share key and measures, so that both are worked out once."""

    key: Callable[[Any], Key]
    measures: Callable[[Any], tuple[int | None, ...]] | None
    sketches: tuple[bool, ...]
    identity: Callable[[Any], str] | None
    targets: tuple[tuple[str, bool], ...]
    """(table, whether by the cohort's time)."""
    slow: bool = False
    keeps_recent: bool = False

    def deltas(self, items: Sequence[Item]) -> list[Stat]:
        """The stats of some events, in C as far as Python lets one."""
        if self.measures is None:
            return []
        stats = []
        columns = zip(*map(self.measures, [item[3] for item in items]), strict=True)
        for column, sketch in zip(columns, self.sketches, strict=True):
            values = [value for value in column if value is not None]
            if not values:
                stats.append(Stat())
                continue
            bins: dict[int, int] | None = None
            if sketch:
                bins = {}
                for at in map(bin_of, values):
                    bins[at] = bins.get(at, 0) + 1
            stats.append(Stat(len(values), sum(values), min(values), max(values), bins))
        return stats


def _single(table: str) -> _Step:
    """For what is counted without being an event of the table's own."""
    held = TABLES[table]
    return _Step(lambda key: key, None, (), None, ((table, False),), held.slow, held.keeps_recent)


PIPELINE = "pipeline"
_PIPELINE, _SECURITY, _ACTORS = _single(PIPELINE), _single("security"), _single("actors")


@dataclass(frozen=True, slots=True)
class _Plan:
    steps: tuple[_Step, ...]
    cohort_at: Callable[[Any], int] | None


def _plan(event_type: str) -> _Plan:
    folds = FOLDS[event_type]
    shared: dict[object, list[Fold]] = {}
    for fold in folds:
        table = TABLES[fold.table]
        shared.setdefault((table.dimensions, table.measures, table.slow, table.keeps_recent), []).append(fold)
    steps = []
    for alike in shared.values():
        fold, table = alike[0], TABLES[alike[0].table]
        targets = tuple((one.table, one.at is not None) for one in alike)
        sketches = tuple(measure.sketch for measure in table.measures)
        steps.append(_Step(fold.key, fold.measures, sketches, fold.identity, targets, table.slow, table.keeps_recent))
    return _Plan(tuple(steps), next((fold.at for fold in folds if fold.at is not None), None))


_PLANS = {event_type: _plan(event_type) for event_type in FOLDS}
_Group = tuple[int, int, _Step, Key]
"""(bucket, cohort's bucket or NO_COHORT, step, key)."""
NO_COHORT = -1


class Partition:
    """The fold of one source partition. Not thread-safe; `apply` never awaits, so a cut falls between events."""

    def __init__(
        self,
        decoder: Decoder,
        *,
        bucket_ms: int,
        lateness_ms: int,
        idle_ms: int,
        progress: Progress = Progress(),
        floor: int | None = None,
    ) -> None:
        """`floor`: every bucket from there on is given by `put_page` before the first `apply` (None: there are none)."""
        self._decoder, self._decode = decoder, decoder.decode
        self._bucket_ms, self._lateness_ms, self._idle_ms = bucket_ms, lateness_ms, idle_ms
        warm = progress.warm
        self.position = warm.offset
        self.next, self.slow_next = progress.next, progress.slow_next
        self.watermark, self.newest = warm.watermark, warm.newest
        self._last_beat, self._active_at, self._log_ms = warm.last_beat, warm.active_at, warm.log_ms
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._marks: deque[tuple[Checkpoint, int]] = deque([(warm, 0)])
        self._remembered = 0
        self._slow_since = (warm.log_ms, 0)
        """The log's time, and how many ids had been remembered, at `slow_next` or before it."""
        self._floor = floor
        self._pages: dict[int, Page] = {}
        self._changed: set[int] = set()
        self._letters: list[Letter] = []
        self._letter_bytes = 0
        self._waiting = 0
        self._written = self.next
        self._groups: dict[_Group, list[Item]] = {}
        self._settled = progress.next
        """`next` when the groups began to be gathered."""

    # --- pages ----------------------------------------------------------------------------------------------------

    def put_page(self, bucket: int, page: Page, *, resend: bool = False) -> None:
        """Hands in a bucket from Redis. `resend`: its cells count as changed, so that the next cut carries them all: the
        owner before may have written but not sent them."""
        self._pages[bucket] = page
        if resend:
            for table, cells in page.cells.items():
                page.changed[table] = dict(cells)
                self._waiting += len(cells)
            self._changed.add(bucket)

    def _absent(self, bucket: int) -> bool:
        """Whether the bucket may exist in Redis only."""
        return self._floor is not None and bucket < self._floor and bucket not in self._pages

    # --- folding --------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """More is waiting than should: flush before applying more."""
        return (
            self._waiting >= FULL_CELLS
            or len(self._letters) >= FULL_LETTERS
            or self._letter_bytes >= FULL_LETTER_BYTES
        )

    @property
    def catching_up(self) -> bool:
        """Whether the log is still being read again from a checkpoint."""
        return self.position < self.next

    @property
    def clean(self) -> bool:
        """Whether everything was cut and handed out."""
        return self.next == self._written and not self._changed and not self._letters

    def clamp(self, first: int, end: int) -> None:
        """Keeps the positions within the log, which now holds the offsets from `first` to `end` - 1."""
        self.position = min(max(self.position, first), end)
        self.next = min(max(self.next, first), end)
        self.slow_next = min(self.slow_next, self.next)

    def apply(self, records: Sequence[Record], start: int = 0) -> tuple[int, int | None]:
        """Folds records from index `start`; returns (index of the first one not folded, bucket to load or None).

        It stops before an event whose bucket has to be handed in by `put_page` first, and when `full`; the caller calls
        again with the index. Records before the position are skipped; offsets may jump (retention, transaction markers).
        """
        if not start and len(records) >= TOGETHER and self._apply_all(records):
            return len(records), None
        index, missing = start, None
        self._settled = self.next
        while index < len(records):
            record = records[index]
            if record.offset >= self.position:
                missing = self._apply(record)
                if missing is not None:
                    break
                self.position = record.offset + 1
                if self.position > self.next:
                    self.next = self.position
                if self._letters and self.full:
                    index += 1
                    break
            index += 1
        self._settle()
        return index, missing

    def _apply_all(self, records: Sequence[Record]) -> bool:
        """Folds a chunk at once if every record is an ordinary new event of a resident bucket; otherwise changes nothing.

        The outcome is that of one `_apply` after another, at less than half the cost.
        """
        first = records[0].offset
        if first < self.next or self.watermark is None:
            return False
        decoded = self._decoder.decode_all(records)
        if decoded is None:
            return False
        events, times = decoded
        ids = [f"{event.source}\n{event.id}" for event in events]
        if len(set(ids)) < len(ids) or not self._seen.keys().isdisjoint(ids):
            return False
        stamps = [record.timestamp for record in records]
        furthest = max(self.watermark, max(map(min, times, stamps)) - self._lateness_ms)
        earliest = min(times)
        if max(map(sub, times, stamps)) > FUTURE_MS or earliest < furthest - AMEND_HORIZON_MS:
            return False
        by_kind: dict[str, list[Item]] = {}
        for record, ms, event in zip(records, times, events, strict=True):
            by_kind.setdefault(event.TYPE, []).append((record.offset, ms, ms, event))
        if HEARTBEAT in by_kind:
            return False
        groups: dict[_Group, list[Item]] = {}
        bucket_ms = self._bucket_ms
        for kind, items in by_kind.items():
            plan = _PLANS[kind]
            if plan.cohort_at is not None:
                cohorts = list(map(plan.cohort_at, [item[3] for item in items]))
                earliest = min(earliest, min(cohorts))
                if earliest < furthest - AMEND_HORIZON_MS or max(cohorts) > stamps[0] + FUTURE_MS:
                    return False
                items = [(item[0], item[1], at, item[3]) for item, at in zip(items, cohorts, strict=True)]
                where = [(item[1] - item[1] % bucket_ms, item[2] - item[2] % bucket_ms) for item in items]
            else:
                where = [(item[1] - item[1] % bucket_ms, NO_COHORT) for item in items]
            for step in plan.steps:
                keys = map(step.key, [item[3] for item in items])
                for (bucket, cohort), key, item in zip(where, keys, items, strict=True):
                    group = (bucket, cohort, step, key)
                    gathered = groups.get(group)
                    if gathered is None:
                        groups[group] = [item]
                    else:
                        gathered.append(item)
        if self._floor is not None and earliest < self._floor or self._may_overflow(groups):
            return False

        self._mark(first, max(self._log_ms, stamps[0]))
        at = list(accumulate(stamps, max, initial=self._log_ms))
        self._log_ms = at[-1]
        self._seen.update(zip(ids, at[1:], strict=True))
        self._remembered += len(ids)
        while len(self._seen) > DEDUPE_IDS:
            self._seen.popitem(last=False)
        self._advance(times[-1], stamps[-1])
        self.watermark = furthest
        self.newest = max(self.newest or 0, max(times))
        self.position = self.next = records[-1].offset + 1
        self._groups = groups
        self._settle()
        return True

    def _may_overflow(self, groups: Iterable[_Group]) -> bool:
        """Whether a table might reach its limit of cells: then the order of events decides who goes to `other`."""
        new: Counter[tuple[int, str]] = Counter()
        for bucket, cohort, step, _ in groups:
            for table, by_cohort in step.targets:
                new[cohort if by_cohort else bucket, table] += 1
        for (bucket, table), count in new.items():
            page = self._pages.get(bucket)
            held = len(page.cells.get(table, ())) if page is not None else 0
            if held + count > TABLES[table].max_cells:
                return True
        return False

    def _apply(self, record: Record) -> int | None:
        """Folds one record, or returns the bucket that it needs and changes nothing."""
        offset = record.offset
        log_ms = self._log_ms if record.timestamp <= self._log_ms else record.timestamp
        try:
            event, ms, notes = self._decode(record.value, record.key, record.headers)
        except Refused as refused:
            return self._refuse(record, log_ms, refused.reason, refused.detail, refused.source)
        kind = event.TYPE
        if kind == HEARTBEAT:
            self._log_ms = log_ms
            self._beat(ms, record.timestamp)
            return None

        seen = self._seen
        identity = f"{event.source}\n{event.id}"
        seen_ms = seen.get(identity)
        if seen_ms is not None and log_ms - seen_ms <= DEDUPE_MS:
            missing = self._note(log_ms, offset, "repeat", kind, None)
            if missing is None:
                seen[identity] = log_ms
                seen.move_to_end(identity)
                self._log_ms = log_ms
            return missing
        if ms > record.timestamp + FUTURE_MS:
            ahead = (ms - record.timestamp) / 1000
            return self._refuse(
                record, log_ms, "from_future", f"time: {ahead:.3f} s ahead of the broker's clock", event.source
            )
        oldest = (record.timestamp if self.watermark is None else self.watermark) - AMEND_HORIZON_MS
        if ms < oldest:
            behind = (oldest - ms) / 1000
            return self._refuse(
                record, log_ms, "too_late", f"time: {behind:.3f} s beyond the amend horizon of 6 h", event.source
            )

        # Everything is known before anything is changed: a page that is missing leaves the state as it was.
        plan = _PLANS[kind]
        bucket_ms = self._bucket_ms
        bucket = ms - ms % bucket_ms
        floor = self._floor
        if floor is not None and bucket < floor and bucket not in self._pages:
            return bucket
        cohort_ms, cohort = 0, NO_COHORT
        if plan.cohort_at is not None:
            cohort_ms = plan.cohort_at(event)
            if oldest <= cohort_ms <= record.timestamp + FUTURE_MS:
                cohort = cohort_ms - cohort_ms % bucket_ms
                if self._absent(cohort):
                    return cohort

        self._mark(offset, log_ms)
        self._log_ms = log_ms
        self._remember(identity, log_ms)
        self._advance(ms, record.timestamp)

        to_fast = offset >= self.next
        if not to_fast and offset < self.slow_next:
            return None
        groups = self._groups
        item = (offset, ms, cohort_ms, event)
        for step in plan.steps:
            if step.slow or to_fast:
                group = (bucket, cohort, step, step.key(event))
                items = groups.get(group)
                if items is None:
                    groups[group] = [item]
                else:
                    items.append(item)
        if to_fast and cohort == NO_COHORT and plan.cohort_at is not None:
            self._single(_PIPELINE, ("cohort_out_of_range", kind, None), bucket, ms, offset, event.id)
        if notes is not None:
            if to_fast and notes.extension:
                self._single(_PIPELINE, ("extension", kind, None), bucket, ms, offset, event.id)
            if to_fast and notes.unknown_field:
                self._single(_PIPELINE, ("unknown_field", kind, None), bucket, ms, offset, event.id)
            if notes.card:
                # A finding of the same partition, at the event's time: no message is written, so a replay finds the same.
                violated = "security.violated"
                if to_fast:
                    key: Key = (violated, "tillwatch", "card_number", None, None)
                    self._single(_SECURITY, key, bucket, ms, offset, event.id)
                self._single(_ACTORS, (violated, event.source), bucket, ms, offset, event.id)
        return None

    def _single(self, step: _Step, key: Key, bucket: int, ms: int, offset: int, event_id: str) -> None:
        """Adds one to a cell."""
        self._groups.setdefault((bucket, NO_COHORT, step, key), []).append((offset, ms, 0, event_id))

    def _settle(self) -> None:
        """Adds the gathered events to their cells, group by group in the order of their first events: new cells come in the
        same order as if each event were added at once, so a table that is full sends the same keys to `other`."""
        groups, self._groups = self._groups, {}
        for (bucket, cohort, step, key), items in groups.items():
            stats = step.deltas(items)
            for table, by_cohort in step.targets:
                if by_cohort and cohort == NO_COHORT:
                    continue
                self._add(table, step, cohort if by_cohort else bucket, key, items, 2 if by_cohort else 1, stats)

    def _add(
        self, table: str, step: _Step, bucket: int, key: Key, items: list[Item], time: int, stats: list[Stat]
    ) -> None:
        """Adds events to one cell; `time` is the place of their time in an item."""
        page = self._pages.get(bucket)
        if page is None:
            page = self._pages[bucket] = Page()
        if page.first is None or items[0][0] < page.first:
            page.first = items[0][0]
        page.last = max(page.last, items[-1][0])
        cells = page.cells.get(table)
        if cells is None:
            cells = page.cells[table] = {}
        cell = cells.get(key)
        if cell is None:
            key, cell = self._new_cell(page, bucket, table, cells, key, items)
        self._changed.add(bucket)
        changed = page.changed.get(table)
        if changed is None:
            changed = page.changed[table] = {}
        if key not in changed:
            changed[key] = cell
            self._waiting += 1

        times = [item[time] for item in items]
        samples: list[Sample] = []
        held = cell.samples
        if len(held) < KEPT_SAMPLES or min(times) <= held[-1][0]:
            identity = step.identity
            if identity is None:
                samples = [(item[time], item[3], item[3]) for item in items]
            else:
                samples = [(item[time], item[3].id, identity(item[3])) for item in items]
            samples = earliest_samples(samples)
        recent = nlargest(KEPT_RECENT, times) if step.keeps_recent else None
        cell.add(Cell(count=len(items), times=times, samples=samples, recent=recent, stats=stats))

    def _new_cell(
        self, page: Page, bucket: int, name: str, cells: dict[Key, Cell], key: Key, items: list[Item]
    ) -> tuple[Key, Cell]:
        """A cell that the page does not have yet, or that of `other` where the table is full."""
        table = TABLES[name]
        if len(cells) >= table.max_cells:
            key = table.overflow(key)
            counted = [item for item in items if item[0] >= self._settled] if table.slow else items
            if counted and name != PIPELINE:
                as_ids = [(offset, ms, 0, f"{offset}") for offset, ms, _, _ in counted]
                self._add(PIPELINE, _PIPELINE, bucket, ("overflow", name, None), as_ids, 1, [])
            cell = cells.get(key)
            if cell is not None:
                return key, cell
        cell = cells[key] = Cell(len(table.measures), recent=[] if table.keeps_recent else None)
        return key, cell

    def _note(self, ms: int, offset: int, kind: str, what: str, source: str | None) -> int | None:
        """Counts something that is no event, at the broker's time. Returns the bucket to load, if it is not here."""
        if offset < self.next:
            return None
        bucket = ms - ms % self._bucket_ms
        if self._absent(bucket):
            return bucket
        self._single(_PIPELINE, (kind, what, source), bucket, ms, offset, f"{offset}")
        return None

    def _refuse(self, record: Record, log_ms: int, reason: str, detail: str, source: str | None) -> int | None:
        missing = self._note(log_ms, record.offset, "dead_letter", reason, source)
        if missing is not None:
            return missing
        self._log_ms = log_ms
        if record.offset >= self.next:
            self._letters.append(Letter(record, reason, detail))
            self._letter_bytes += len(record.value or b"")
        return None

    # --- clocks and memory ----------------------------------------------------------------------------------------

    def _advance(self, ms: int, broker_ms: int) -> None:
        """An accepted event moves the watermark: the earlier of its own time and the broker's, less the lateness."""
        low = (ms if ms < broker_ms else broker_ms) - self._lateness_ms
        if self.watermark is None or low > self.watermark:
            self.watermark = low
        if self.newest is None or ms > self.newest:
            self.newest = ms
        # When it came, told by the heartbeats around it: the wall clock would make a replay differ.
        beat = self._last_beat
        if beat is None:
            self._active_at = ms
        else:
            self._active_at = min(max(ms, beat), beat + BEAT_MS)

    def _beat(self, ms: int, broker_ms: int) -> None:
        """A heartbeat moves the watermark of a partition that has been idle; it never counts as data."""
        if ms > broker_ms + FUTURE_MS or (self._last_beat is not None and ms < self._last_beat):
            return
        self._last_beat = ms
        if self._active_at is None or ms - self._active_at >= self._idle_ms:
            low = ms - self._lateness_ms
            if self.watermark is None or low > self.watermark:
                self.watermark = low

    def _clocks(self, offset: int) -> Checkpoint:
        return Checkpoint(offset, self.watermark, self.newest, self._last_beat, self._active_at, self._log_ms)

    def _mark(self, offset: int, log_ms: int) -> None:
        """Notes a checkpoint now and then, before the clocks move."""
        mark, ids = self._marks[-1]
        if log_ms - mark.log_ms >= MARK_MS or self._remembered - ids >= MARK_IDS:
            self._marks.append((self._clocks(offset), self._remembered))
            self._forget_ids(log_ms - DEDUPE_MS)

    def _remember(self, identity: str, log_ms: int) -> None:
        self._remembered += 1
        seen = self._seen
        if identity in seen:  # older than the memory reaches: the new time must be at the end of the order, too
            del seen[identity]
        seen[identity] = log_ms
        if len(seen) > DEDUPE_IDS:
            seen.popitem(last=False)

    def _forget_ids(self, oldest: int) -> None:
        """Frees what a look-up would judge too old anyhow."""
        seen = self._seen
        while seen and seen[next(iter(seen))] < oldest:
            seen.popitem(last=False)

    def _warm(self) -> Checkpoint:
        """The latest checkpoint from which a reader knows, at `slow_next`, every id that matters there."""
        marks = self._marks
        since_ms, since_ids = self._slow_since
        while len(marks) > 1:
            following, ids = marks[1]
            if following.log_ms >= since_ms - DEDUPE_MS and since_ids - ids < DEDUPE_IDS:
                break
            marks.popleft()
        return marks[0][0]

    # --- flushing -------------------------------------------------------------------------------------------------

    def cut(self, *, slow: bool) -> Cut | None:
        """What has to be written since the last cut; None if nothing. `slow`: with the tables of high cardinality.

        The cells in it are the live ones: encode them before the next `apply`.
        """
        if self.catching_up:  # the cells in Redis are ahead of what was read again
            return None
        changes = []
        still: set[int] = set()
        for bucket in sorted(self._changed):
            page = self._pages[bucket]
            sent = {name: cells for name, cells in page.changed.items() if slow or name not in SLOW_TABLES}
            for name, cells in sent.items():
                del page.changed[name]
                self._waiting -= len(cells)
            if page.changed:
                still.add(bucket)
            if sent:
                fast_changed = any(name not in SLOW_TABLES for name in sent)
                slow_changed = any(name in SLOW_TABLES for name in sent)
                fast = {n: c for n, c in page.cells.items() if n not in SLOW_TABLES} if fast_changed else None
                slow_part = {n: c for n, c in page.cells.items() if n in SLOW_TABLES} if slow_changed else None
                changes.append(Change(bucket, page.first or 0, page.last, fast, slow_part, sent))
        if self.next == self._written and not changes and not self._letters:
            return None
        self._changed = still
        letters, self._letters, self._letter_bytes = self._letters, [], 0
        if slow:
            self.slow_next = self.next
            self._slow_since = (self._log_ms, self._remembered)
        first, self._written = self._written, self.next
        clocks = self._clocks(self.next)
        return Cut(
            progress=Progress(self.next, self.slow_next, self._warm()),
            clocks=clocks,
            first=first,
            changes=changes,
            letters=letters,
            horizon=None if self.watermark is None else self.watermark - AMEND_HORIZON_MS - self._bucket_ms,
        )

    def evict(self) -> None:
        """Forgets written buckets well behind the watermark; call after a cut has been written."""
        if self.watermark is None:
            return
        floor = self.watermark - RESIDENT_MS
        floor -= floor % self._bucket_ms
        if self._floor is None or floor > self._floor:
            self._floor = floor
        for bucket in [b for b in self._pages if b < self._floor and b not in self._changed]:
            del self._pages[bucket]

