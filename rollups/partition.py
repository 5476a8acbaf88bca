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

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from operator import itemgetter
from typing import Any

from rollups.cells import KEPT_RECENT, KEPT_SAMPLES, Cell, earliest_samples
from schemas.decode import Decoder, Record, Refused
from schemas.tables import FACTS, FOLDS, TABLES, Facts, Fold, Item, Key

AMEND_HORIZON_MS = 6 * 3600 * 1000
FUTURE_MS = 60_000
BEAT_MS = 5_000
DEDUPE_MS = 300_000
DEDUPE_IDS = 100_000
RESIDENT_MS = 60_000
"""Buckets this far behind the watermark stay in memory; older ones are loaded when a late event asks for them."""
TOGETHER = 16
"""So many records or more are decoded at once."""
GATHERED = 32000
"""So many records are gathered before they are added to their cells: the more, the fewer times a cell is touched."""
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

OFFSET, TIME, COHORT, ID, IDENTITY, NUMBERS = range(6)
_SAMPLE = {when: itemgetter(when, ID, IDENTITY) for when in (TIME, COHORT)}
"""An item as a sample, by the place of the time that counts."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A table as events of one type are folded into it. measures: for each of the table's, its place in an item (None: the
    type has none) and whether it is sketched."""

    table: str
    measures: tuple[tuple[int | None, bool], ...] = ()
    by_cohort: bool = False
    slow: bool = False
    keeps_recent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Tables that share a key, so that it is worked out once. by_cohort: whether one of them goes by the cohort's time."""

    key: Callable[[Any], Key]
    targets: tuple[_Target, ...]
    by_cohort: bool = False


PIPELINE = "pipeline"


def _single(table: str) -> _Step:
    """For what is counted without being an event of the table's own."""
    held = TABLES[table]
    return _Step(tuple, (_Target(table, slow=held.slow, keeps_recent=held.keeps_recent),))


_PIPELINE, _SECURITY, _ACTORS = _single(PIPELINE), _single("security"), _single("actors")


@dataclass(frozen=True, slots=True)
class _Plan:
    """How events of one type are folded. slow_steps: into the tables of high cardinality alone. by_cohort: whether a table
    goes by the cohort's time."""

    facts: Facts
    steps: tuple[_Step, ...]
    slow_steps: tuple[_Step, ...]
    by_cohort: bool


def _target(fold: Fold) -> _Target:
    table = TABLES[fold.table]
    measures = tuple(
        (None if place is None else NUMBERS + place, measure.sketch)
        for place, measure in zip(fold.numbers, table.measures, strict=True)
    )
    return _Target(fold.table, measures, fold.by_cohort, table.slow, table.keeps_recent)


def _plan(event_type: str) -> _Plan:
    shared: dict[object, list[Fold]] = {}
    for fold in FOLDS[event_type]:
        table = TABLES[fold.table]
        shared.setdefault((table.dimensions, table.slow), []).append(fold)
    steps = tuple(
        _Step(alike[0].key, tuple(map(_target, alike)), any(fold.by_cohort for fold in alike)) for alike in shared.values()
    )
    slow_steps = tuple(step for step in steps if step.targets[0].slow)
    return _Plan(FACTS[event_type], steps, slow_steps, any(step.by_cohort for step in steps))


_PLANS = {event_type: _plan(event_type) for event_type in FOLDS}

_Buckets = defaultdict[int, list[Item]]
_Keys = defaultdict[Key, tuple[_Buckets, _Buckets]]
"""The items of a key by bucket: that of their own time, and that of their cohort's."""


def _keys() -> _Keys:
    return defaultdict(lambda: (defaultdict(list), defaultdict(list)))


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
        self._groups: defaultdict[_Step, _Keys] = defaultdict(_keys)
        self._decoded: tuple[Sequence[Record], list[Any], list[int]] = ((), [], [])
        """The chunk that was begun, with its events and their times."""
        self._gathered = 0
        """Records since the groups began to be gathered."""
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
            self._waiting >= FULL_CELLS or len(self._letters) >= FULL_LETTERS or self._letter_bytes >= FULL_LETTER_BYTES
        )

    @property
    def beaten_ms(self) -> int | None:
        """The time of the latest heartbeat."""
        return self._last_beat

    @property
    def catching_up(self) -> bool:
        """Whether the log is still being read again from a checkpoint."""
        return self.position < self.next

    @property
    def clean(self) -> bool:
        """Whether everything was cut and handed out."""
        return self.next == self._written and not self._changed and not self._letters and not self._groups

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
        index, missing = start, None
        if not self._groups:
            self._settled = self.next
        together = len(records) >= TOGETHER
        while index < len(records):
            if together:
                index = self._apply_ordinary(records, index)
                if index == len(records):
                    break
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
        if index == len(records):
            self._decoded = ((), [], [])
        self._gathered += index - start
        if self._gathered >= GATHERED:
            self._settle()
        return index, missing

    def _apply_ordinary(self, records: Sequence[Record], start: int) -> int:
        """Folds records from `start` up to the first one that is not simply a new event of a resident bucket; returns its
        index.

        It does what `_apply` does, to the letter, with all that is odd left to that: decoding at once, and names that are
        local, cost a third.
        """
        if records[start].offset < self.position or self.watermark is None or self.newest is None:
            return start
        if self._decoded[0] is not records:
            self._decoded = (records, *self._decoder.decode_all(records))
        _, events, times = self._decoded
        seen, groups, pages, floor = self._seen, self._groups, self._pages, self._floor
        bucket_ms, lateness_ms, plans = self._bucket_ms, self._lateness_ms, _PLANS
        watermark, newest, log_ms, remembered = self.watermark, self.newest, self._log_ms, self._remembered
        oldest, ms = watermark - AMEND_HORIZON_MS, None
        mark_ms, mark_ids = self._next_mark()
        fast_from, slow_from = self.next, self.slow_next
        index = start
        for index in range(start, len(records)):
            event = events[index]
            if event is None:
                break
            kind = event.TYPE
            identity = f"{event.source}\n{event.id}"
            if kind == HEARTBEAT or identity in seen:
                break
            record, at = records[index], times[index]
            stamp, offset = record.timestamp, record.offset
            if at > stamp + FUTURE_MS or at < oldest:
                break
            bucket = at - at % bucket_ms
            if floor is not None and bucket < floor and bucket not in pages:
                break
            plan = plans[kind]
            item = plan.facts(event, offset, at)
            if plan.by_cohort:
                cohort_ms = item[COHORT]
                if not oldest <= cohort_ms <= stamp + FUTURE_MS:
                    break
                cohort = cohort_ms - cohort_ms % bucket_ms
                if floor is not None and cohort < floor and cohort not in pages:
                    break
            now_ms = stamp if stamp > log_ms else log_ms
            if now_ms >= mark_ms or remembered >= mark_ids:
                self._keep_clocks(watermark, newest, log_ms, remembered, ms)
                self._mark(offset, now_ms)
                mark_ms, mark_ids = self._next_mark()
            ms, log_ms = at, now_ms
            remembered += 1
            seen[identity] = log_ms
            if len(seen) > DEDUPE_IDS:
                seen.popitem(last=False)
            low = (at if at < stamp else stamp) - lateness_ms
            if low > watermark:
                watermark, oldest = low, low - AMEND_HORIZON_MS
            if at > newest:
                newest = at
            if offset >= fast_from:
                steps = plan.steps
            elif offset >= slow_from:
                steps = plan.slow_steps
            else:
                continue
            for step in steps:
                own, cohorts = groups[step][step.key(event)]
                own[bucket].append(item)
                if step.by_cohort:
                    cohorts[cohort].append(item)
        else:
            index = len(records)
        if index > start:
            self._keep_clocks(watermark, newest, log_ms, remembered, ms)
            self.position = records[index - 1].offset + 1
            self.next = max(self.next, self.position)
        return index

    def _keep_clocks(self, watermark: int, newest: int, log_ms: int, remembered: int, ms: int | None) -> None:
        """`ms`: the time of the last event, None if there was none."""
        self.watermark, self.newest, self._log_ms, self._remembered = watermark, newest, log_ms, remembered
        if ms is not None:
            self._active_at = self._came_at(ms)

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
        item = plan.facts(event, offset, ms)
        cohort: int | None = None
        if plan.by_cohort:
            cohort_ms: int = item[COHORT]
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
        for step in plan.steps if to_fast else plan.slow_steps:
            own, cohorts = self._groups[step][step.key(event)]
            own[bucket].append(item)
            if step.by_cohort and cohort is not None:
                cohorts[cohort].append(item)
        if to_fast and plan.by_cohort and cohort is None:
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
                    found: Key = (violated, "tillwatch", "card_number", None, None)
                    self._single(_SECURITY, found, bucket, ms, offset, event.id)
                self._single(_ACTORS, (violated, event.source), bucket, ms, offset, event.id)
        return None

    def _single(self, step: _Step, key: Key, bucket: int, ms: int, offset: int, event_id: str) -> None:
        """Adds one to a cell."""
        self._groups[step][key][0][bucket].append((offset, ms, 0, event_id, event_id))

    def _settle(self) -> None:
        """Adds the gathered events to their cells, group by group in the order of their first events: new cells come in the
        same order as if each event were added at once, so a table that is full sends the same keys to `other`."""
        groups, self._groups, self._gathered = self._groups, defaultdict(_keys), 0
        ordered = [
            (items[0][OFFSET], bucket, target, key, items)
            for step, keys in groups.items()
            for key, own_and_cohorts in keys.items()
            for target in step.targets
            for bucket, items in own_and_cohorts[target.by_cohort].items()
        ]
        ordered.sort(key=itemgetter(0))
        for _, bucket, target, key, items in ordered:
            self._add(target, bucket, key, items)

    def _add(self, target: _Target, bucket: int, key: Key, items: list[Item]) -> None:
        """Adds events to one cell."""
        page = self._pages.get(bucket)
        if page is None:
            page = self._pages[bucket] = Page()
        first, last, table = items[0][OFFSET], items[-1][OFFSET], target.table
        if page.first is None or first < page.first:
            page.first = first
        if last > page.last:
            page.last = last
        cells = page.cells.get(table)
        if cells is None:
            cells = page.cells[table] = {}
        cell = cells.get(key)
        if cell is None:
            key, cell = self._new_cell(page, bucket, target, cells, key, items)
        self._changed.add(bucket)
        changed = page.changed.get(table)
        if changed is None:
            changed = page.changed[table] = {}
        if key not in changed:
            changed[key] = cell
            self._waiting += 1

        when = COHORT if target.by_cohort else TIME
        times = [item[when] for item in items]
        values = [
            ([] if place is None else [value for item in items if (value := item[place]) is not None], sketch)
            for place, sketch in target.measures
        ]
        cell.fold(times, values)
        held, sample = cell.samples, _SAMPLE[when]
        if len(held) < KEPT_SAMPLES < len(items):  # the first few tell how early the others have to be
            held = earliest_samples([*held, *map(sample, items[:KEPT_SAMPLES])])
        if len(held) == KEPT_SAMPLES:
            latest = held[-1][0]
            items = [item for item in items if item[when] <= latest]
        if items:
            cell.samples = earliest_samples([*held, *map(sample, items)])
        if target.keeps_recent:
            cell.recent = nlargest(KEPT_RECENT, [*(cell.recent or ()), *times])

    def _new_cell(
        self, page: Page, bucket: int, target: _Target, cells: dict[Key, Cell], key: Key, items: list[Item]
    ) -> tuple[Key, Cell]:
        """A cell that the page does not have yet, or that of `other` where the table is full."""
        table = TABLES[target.table]
        if len(cells) >= table.max_cells:
            key = table.overflow(key)
            counted = [item for item in items if item[OFFSET] >= self._settled] if table.slow else items
            if counted and table.name != PIPELINE:
                over = [(item[OFFSET], item[TIME], 0, f"{item[OFFSET]}", f"{item[OFFSET]}") for item in counted]
                self._add(_PIPELINE.targets[0], bucket, ("overflow", table.name, None), over)
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
        self._active_at = self._came_at(ms)

    def _came_at(self, ms: int) -> int:
        beat = self._last_beat
        return ms if beat is None else min(max(ms, beat), beat + BEAT_MS)

    def _beat(self, ms: int, broker_ms: int) -> None:
        """A heartbeat moves the watermark of a partition that has been idle; it never counts as data."""
        if ms > broker_ms + FUTURE_MS or (self._last_beat is not None and ms < self._last_beat):
            return
        if self._last_beat is None and self._active_at is not None:
            self._active_at = ms  # nothing told when the events before it came: as late as can be
        self._last_beat = ms
        if self._active_at is None or ms - self._active_at >= self._idle_ms:
            low = ms - self._lateness_ms
            if self.watermark is None or low > self.watermark:
                self.watermark = low

    def _clocks(self, offset: int) -> Checkpoint:
        return Checkpoint(offset, self.watermark, self.newest, self._last_beat, self._active_at, self._log_ms)

    def _mark(self, offset: int, log_ms: int) -> None:
        """Notes a checkpoint now and then, before the clocks move."""
        mark_ms, mark_ids = self._next_mark()
        if log_ms >= mark_ms or self._remembered >= mark_ids:
            self._marks.append((self._clocks(offset), self._remembered))
            self._forget_ids(log_ms - DEDUPE_MS)

    def _next_mark(self) -> tuple[int, int]:
        """When the next checkpoint is due: the log's time, or so many ids remembered."""
        mark, ids = self._marks[-1]
        return mark.log_ms + MARK_MS, ids + MARK_IDS

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
        self._settle()
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
        self._settle()  # what was gathered since the cut may be for a bucket that is about to go
        floor = self.watermark - RESIDENT_MS
        floor -= floor % self._bucket_ms
        if self._floor is None or floor > self._floor:
            self._floor = floor
        for bucket in [b for b in self._pages if b < self._floor and b not in self._changed]:
            del self._pages[bucket]
