"""One source partition: folds its records into cells, as a pure function of the log.

What an event adds depends on the bytes and broker timestamps before it in its partition, never on the wall clock, on
when a flush happened or on who folds. Whoever reads the log again from a checkpoint reaches the same cells.

Three positions matter, each an offset of the log:

- `known.offset`: where reading starts after a restart, with the clocks as they were there and the memory of ids, which is
  written beside the cells, stretch by stretch of the log. Who has lost that starts at `warm.offset`, where it begins:
  records before the next two only rebuild it.
- `next`: what is before it is contained in the fast tables' cells (and its dead letters are written).
- `slow_next`: what is before it is contained in the cells of tables of high cardinality, written less often.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import accumulate
from operator import attrgetter, itemgetter
from typing import Any

from rollups.cells import KEPT_RECENT, KEPT_SAMPLES, Cell, Sample, earliest_samples
from rollups.seen import Seen
from schemas.decode import Decoder, Notes, Record, Refused
from schemas.tables import FOLDS, ITEMIZE, PUTTERS, TABLES, Fold, Item, Itemize, Key, Put, Putter, Table, Value

AMEND_HORIZON_MS = 6 * 3600 * 1000
FUTURE_MS = 60_000
BEAT_MS = 5_000
DEDUPE_MS = 300_000
DEDUPE_IDS = 100_000
RESIDENT_MS = 60_000
"""Buckets this far behind the watermark stay in memory; older ones are loaded when a late event asks for them."""
TOGETHER = 16
"""So many records or more are decoded at once, and folded at once after one that was odd; twice as many then, and so on."""
BLOCK = 512
"""So many records are decoded and folded at once: more would leave the processor's cache between two looks at them."""
GATHERED = 32000
"""So many records are gathered before they are added to their cells: the more, the fewer times a cell is touched."""
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
    """Where the memory of ids begins."""
    known: Checkpoint = Checkpoint()
    """How far it is written."""


@dataclass(frozen=True, slots=True)
class Met:
    """A part of the memory of ids: those that were met last in a stretch of the log, in that order, and when, by the log's
    time. since: the clocks at its beginning; end: the offset after it."""

    since: Checkpoint
    end: int
    ids: list[str]
    times: list[int]


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
    met: Met | None
    """What has been added to the memory of ids, if that is written with this cut."""
    remembered: frozenset[int]
    """The beginnings of the stretches, with `met`, that make up the memory up to `progress.known`; others can go."""


SLOW_TABLES = frozenset(name for name, table in TABLES.items() if table.slow)

OFFSET, TIME, COHORT, ID, IDENTITY, NUMBERS = range(6)
_offset, _timestamp, _first = attrgetter("offset"), attrgetter("timestamp"), itemgetter(0)


@dataclass(frozen=True, slots=True)
class _Target:
    """A table as events of one type are folded into it. measures: for each of the table's, its place in an item (None: the
    type has none) and whether it is sketched."""

    table: str
    measures: tuple[tuple[int | None, bool], ...] = ()
    by_cohort: bool = False
    keeps_recent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Tables that share a key. by_cohort: whether one of them goes by the cohort's time; slow: whether they are of high
    cardinality."""

    targets: tuple[_Target, ...]
    by_cohort: bool
    slow: bool


PIPELINE = "pipeline"


def _single(table: str) -> _Step:
    """For what is counted without being an event of the table's own."""
    held = TABLES[table]
    return _Step((_Target(table, keeps_recent=held.keeps_recent),), False, held.slow)


_PIPELINE, _SECURITY, _ACTORS = _single(PIPELINE), _single("security"), _single("actors")


@dataclass(frozen=True, slots=True)
class _Plan:
    """How events of one type are folded: a step for each of their keys. by_cohort: whether a table goes by the cohort's
    time."""

    itemize: Itemize
    putter: Putter
    steps: tuple[_Step, ...]
    by_cohort: bool


def _target(fold: Fold) -> _Target:
    table = TABLES[fold.table]
    measures = tuple(
        (None if place is None else NUMBERS + place, measure.sketch)
        for place, measure in zip(fold.numbers, table.measures, strict=True)
    )
    return _Target(fold.table, measures, fold.by_cohort, table.keeps_recent)


def _plan(event_type: str) -> _Plan:
    alike: defaultdict[int, list[Fold]] = defaultdict(list)
    for fold in FOLDS[event_type]:
        alike[fold.key].append(fold)
    steps = tuple(
        _Step(tuple(map(_target, folds)), any(fold.by_cohort for fold in folds), TABLES[folds[0].table].slow)
        for _, folds in sorted(alike.items())
    )
    return _Plan(ITEMIZE[event_type], PUTTERS[event_type], steps, any(step.by_cohort for step in steps))


_PLANS = {event_type: _plan(event_type) for event_type in FOLDS}

_Groups = defaultdict[int, defaultdict[Key, list[Item]]]
"""Items by bucket and key."""


def _groups() -> tuple[_Groups, _Groups]:
    """By the bucket of their own time, and by that of their cohort's."""
    return defaultdict(lambda: defaultdict(list)), defaultdict(lambda: defaultdict(list))


class _Nowhere:
    """Groups of which nothing is kept."""

    def __getitem__(self, bucket_or_key: object) -> Any:
        return self

    def append(self, item: Item) -> None:
        pass


_NOWHERE: Any = _Nowhere()


@dataclass(frozen=True, slots=True)
class _Block:
    """Records of a chunk from `start` on, by column. `notes`: by place what is worth counting about them; `odd`: the places
    of those that have to be looked at by themselves; the last is the end."""

    chunk: Sequence[Record]
    start: int
    offsets: list[int]
    stamps: list[int]
    events: list[Any]
    times: list[int]
    ids: list[str]
    notes: Mapping[int, Notes]
    odd: list[int]


_NOTHING = _Block((), 0, [], [], [], [], [], {}, [0])


_NO_VALUES: tuple[tuple[int, ...], bool] = (), False
_Group = tuple[int, Key, list[Item], _Target]
"""Events of one cell: the offset of the first, the key, the items."""


def _order(group: _Group) -> tuple[int, Value]:
    """What comes first: of one event, which may be counted there several times, by the kind of what is counted."""
    return group[0], group[1][0]


def _fold(cell: Cell, items: Sequence[Item], target: _Target) -> None:
    """Adds events to a cell."""
    at = COHORT if target.by_cohort else TIME
    times = [item[at] for item in items]
    cell.fold(
        times,
        [
            _NO_VALUES if place is None else ([item[place] for item in items], sketch)
            for place, sketch in target.measures
        ],
    )
    held, some, latest = cell.samples, items, None
    if len(held) == KEPT_SAMPLES:
        latest = held[-1][0]
        some = [item for item in items if item[at] <= latest] if min(times) <= latest else []
    elif len(times) > KEPT_SAMPLES:  # the first few tell how early the others have to be
        latest = sorted(times)[KEPT_SAMPLES - 1]
        some = [item for item in items if item[at] <= latest]
    if some:
        kept = _earliest(held, some, at)
        if latest is not None and (len(kept) < KEPT_SAMPLES or kept[-1][0] > latest):  # they were of fewer transactions
            kept = _earliest(held, items, at)
        cell.samples = kept
    if target.keeps_recent:
        cell.recent = nlargest(KEPT_RECENT, [*(cell.recent or ()), *times])


def _earliest(held: Sequence[Sample], items: Sequence[Item], at: int) -> list[Sample]:
    return earliest_samples([*held, *[(item[at], item[ID], item[IDENTITY]) for item in items]])


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
        memory: Sequence[Met] = (),
        floor: int | None = None,
    ) -> None:
        """`memory`: the ids from `progress.warm` to `progress.known`, of consecutive stretches. `floor`: every bucket from
        there on is given by `put_page` before the first `apply` (None: there are none)."""
        self._decoder, self._decode = decoder, decoder.decode
        self._bucket_ms, self._lateness_ms, self._idle_ms = bucket_ms, lateness_ms, idle_ms
        known = progress.known
        self.position = known.offset
        self.next, self.slow_next = progress.next, progress.slow_next
        self.watermark, self.newest = known.watermark, known.newest
        self._last_beat, self._active_at, self._log_ms = known.last_beat, known.active_at, known.log_ms
        self._seen = Seen(DEDUPE_IDS)
        self._marks: deque[tuple[Checkpoint, int]] = deque()
        """The beginnings of the stretches of which ids are remembered, and the end of the last one that was cut; each with
        how many meetings of ids there had been."""
        for some in memory:
            self._marks.append((some.since, self._seen.met))
            self._seen.learn(some.ids, some.times)
        self._marks.append((known, self._seen.met))
        self._floor = floor
        self._pages: dict[int, Page] = {}
        self._changed: set[int] = set()
        self._letters: list[Letter] = []
        self._letter_bytes = 0
        self._waiting = 0
        self._written = self.next
        self._groups: defaultdict[_Step, tuple[_Groups, _Groups]] = defaultdict(_groups)
        self._puts: dict[tuple[str, bool, bool], Put] = {}
        """What puts events into these groups, as `_put` makes it."""
        self._together = TOGETHER
        """So many events are folded at once next."""
        self._block = _NOTHING
        """What was decoded last of the chunk that was begun."""
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
        marks = self._marks
        while marks[-1][0].offset > end:  # what was met there is of the next stretch
            mark, met = marks.pop()
            if not marks:
                marks.append((replace(mark, offset=end), met))

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
            self._block = _NOTHING
        self._gathered += index - start
        if self._gathered >= GATHERED:
            self._settle()
        return index, missing

    def _apply_ordinary(self, records: Sequence[Record], start: int) -> int:
        """Folds records from `start` up to the first one that is not simply a new event of a resident bucket; returns its
        index.

        It does what `_apply` does, to the letter, with all that is odd left to that: for many events at once, column by
        column, most of it costs next to nothing.
        """
        if records[start].offset < self.position:
            return start
        index = start
        while index < len(records):
            block = self._block
            if block.chunk is not records or not block.start <= index < block.start + len(block.events):
                block = self._block = self._decoded(records, index)
            first = index - block.start
            last = min(first + self._together, len(block.events))
            stop = self._ordinary(block, first, last)
            index = block.start + stop
            if stop < last:
                self._together = TOGETHER
                break
            self._together = min(2 * self._together, BLOCK)
        return index

    def _decoded(self, records: Sequence[Record], start: int) -> _Block:
        some = records[start : start + BLOCK]
        events, times, notes = self._decoder.decode_all(some)
        ids = ["" if event is None else f"{event.source}\n{event.id}" for event in events]
        odd = [place for place, event in enumerate(events) if event is None or event.TYPE == HEARTBEAT]
        columns = list(map(_offset, some)), list(map(_timestamp, some)), events, times, ids
        return _Block(records, start, *columns, notes, [*odd, len(some)])

    def _ordinary(self, block: _Block, first: int, last: int) -> int:
        """Folds the events from `first` of a block up to the first odd one, or up to `last`; returns its place."""
        if self.newest is None:  # the first event moves clocks that have not begun
            return first
        last = min(last, block.odd[bisect_left(block.odd, first)])
        offsets, stamps = block.offsets[first:last], block.stamps[first:last]
        for bound in (self.next, self.slow_next):  # what goes into the same tables is folded together
            if stamps and offsets[0] < bound <= offsets[-1]:
                del stamps[bisect_left(offsets, bound) :]
        del stamps[self._seen.new(block.ids[first : first + len(stamps)]) :]
        if not stamps:
            return first
        last = first + len(stamps)
        events, times, plans = block.events[first:last], block.times[first:last], _PLANS
        items = [
            plans[event.TYPE].itemize(event, offset, at)
            for event, offset, at in zip(events, offsets, times, strict=False)
        ]
        count = self._on_time(times, [item[COHORT] for item in items], stamps)
        if count:
            self._take(block, slice(first, first + count), items[:count])
        return first + count

    def _take(self, block: _Block, which: slice, items: Sequence[Item]) -> None:
        """Folds events none of which is odd: remembers their ids, moves the clocks, and gathers them."""
        watermark, newest, log_ms = self.watermark, self.newest, self._log_ms
        assert watermark is not None and newest is not None
        offsets, stamps, times = block.offsets[which], block.stamps[which], block.times[which]
        in_order = log_ms <= stamps[0] and stamps == sorted(stamps)  # they are, unless the broker's clock was set back
        log = stamps if in_order else list(accumulate(stamps, max, initial=log_ms))[1:]
        self._seen.add(block.ids[which], log)
        self._log_ms = log[-1]
        latest = max(times)
        low = latest if latest <= min(stamps) else max(map(min, times, stamps))
        self.watermark, self.newest = max(watermark, low - self._lateness_ms), max(newest, latest)
        self._active_at = self._came_at(times[-1])
        to_fast, to_slow = offsets[0] >= self.next, offsets[0] >= self.slow_next
        self.position = offsets[-1] + 1
        self.next = max(self.next, self.position)
        events = block.events[which]
        if to_slow:
            self._gather(events, items, to_fast=to_fast)
        if to_fast and block.notes:
            for place, event in enumerate(events, which.start):
                if place in block.notes:
                    self._drift(block.notes[place], event, block.times[place], block.offsets[place])

    def _on_time(self, times: Sequence[int], cohorts: Sequence[int], stamps: Sequence[int]) -> int:
        """How many of these events, from the first on, are in time by both of their times, with their buckets resident."""
        watermark, floor = self.watermark, self._floor
        assert watermark is not None
        low, high = min(min(times), min(cohorts)), max(max(times), max(cohorts))
        reached = max(watermark, max(times) - self._lateness_ms)
        if reached - AMEND_HORIZON_MS <= low and high <= min(stamps) + FUTURE_MS and (floor is None or low >= floor):
            return len(times)
        bucket_ms = self._bucket_ms
        for place, (at, cohort, stamp) in enumerate(zip(times, cohorts, stamps, strict=True)):
            oldest, latest = watermark - AMEND_HORIZON_MS, stamp + FUTURE_MS
            if not (oldest <= at <= latest and oldest <= cohort <= latest):
                return place
            if self._absent(at - at % bucket_ms) or self._absent(cohort - cohort % bucket_ms):
                return place
            watermark = max(watermark, min(at, stamp) - self._lateness_ms)
        return len(times)

    def _gather(self, events: Sequence[Any], items: Sequence[Item], *, to_fast: bool) -> None:
        """Puts events aside until they are added to their cells. `to_fast`: not to the tables of high cardinality alone."""
        puts: dict[str, Put] = {}
        for event, item in zip(events, items, strict=True):
            kind = event.TYPE
            put = puts.get(kind)
            if put is None:
                put = puts[kind] = self._put(kind, to_fast)
            put(event, item)

    def _put(self, kind: str, to_fast: bool, to_cohorts: bool = True) -> Put:
        """What puts events of one type aside. `to_cohorts`: also where they go by their cohort's time."""
        which = kind, to_fast, to_cohorts
        put = self._puts.get(which)
        if put is None:
            plan, groups = _PLANS[kind], self._groups
            pairs = [groups[step] if to_fast or step.slow else (_NOWHERE, _NOWHERE) for step in plan.steps]
            put = plan.putter(
                self._bucket_ms,
                [own for own, _ in pairs],
                [cohorts if to_cohorts else _NOWHERE for _, cohorts in pairs],
            )
            self._puts[which] = put
        return put

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

        identity = f"{event.source}\n{event.id}"
        seen_ms = self._seen.when(identity)
        if seen_ms is not None and log_ms - seen_ms <= DEDUPE_MS:
            missing = self._note(log_ms, offset, "repeat", kind, None)
            if missing is None:
                self._seen.meet(identity, log_ms)
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
        item = plan.itemize(event, offset, ms)
        cohort_ms: int = item[COHORT]
        has_cohort = plan.by_cohort and oldest <= cohort_ms <= record.timestamp + FUTURE_MS
        if has_cohort and self._absent(cohort := cohort_ms - cohort_ms % bucket_ms):
            return cohort

        self._log_ms = log_ms
        self._seen.meet(identity, log_ms)
        self._advance(ms, record.timestamp)

        to_fast = offset >= self.next
        if not to_fast and offset < self.slow_next:
            return None
        self._put(kind, to_fast, has_cohort)(event, item)
        if to_fast and plan.by_cohort and not has_cohort:
            self._single(_PIPELINE, ("cohort_out_of_range", kind, None), bucket, ms, offset, event.id)
        if notes is not None:
            if to_fast:
                self._drift(notes, event, ms, offset)
            if notes.card:
                # A finding of the same partition, at the event's time: no message is written, so a replay finds the same.
                violated = "security.violated"
                if to_fast:
                    found: Key = (violated, "tillwatch", "card_number", None, None)
                    self._single(_SECURITY, found, bucket, ms, offset, event.id)
                self._single(_ACTORS, (violated, event.source), bucket, ms, offset, event.id)
        return None

    def _drift(self, notes: Notes, event: Any, ms: int, offset: int) -> None:
        """Counts an event that holds something unknown."""
        bucket = ms - ms % self._bucket_ms
        if notes.extension:
            self._single(_PIPELINE, ("extension", event.TYPE, None), bucket, ms, offset, event.id)
        if notes.unknown_field:
            self._single(_PIPELINE, ("unknown_field", event.TYPE, None), bucket, ms, offset, event.id)

    def _single(self, step: _Step, key: Key, bucket: int, ms: int, offset: int, event_id: str) -> None:
        """Adds one to a cell."""
        self._groups[step][0][bucket][key].append((offset, ms, ms, event_id, event_id))

    def _settle(self) -> None:
        """Adds the gathered events to their cells, in each table in the order of their first events: new cells come in the
        same order as if each event were added at once, so a table that is full sends the same keys to `other`."""
        self._seen.forget(self._log_ms - DEDUPE_MS)  # a look-up would judge it too old anyhow
        groups, self._groups, self._puts, self._gathered = self._groups, defaultdict(_groups), {}, 0
        work: defaultdict[tuple[int, str], list[_Group]] = defaultdict(list)
        for step, own_and_cohorts in groups.items():
            for target in step.targets:
                for bucket, keys in own_and_cohorts[target.by_cohort].items():
                    work[bucket, target.table] += [
                        (items[0][OFFSET], key, items, target) for key, items in keys.items()
                    ]
        over: defaultdict[int, list[_Group]] = defaultdict(list)
        for (bucket, table), some in work.items():
            if table != PIPELINE:
                over[bucket] += self._add(bucket, table, some)
        for bucket in sorted(over.keys() | {bucket for bucket, table in work if table == PIPELINE}):
            self._add(bucket, PIPELINE, over[bucket] + work[bucket, PIPELINE])

    def _add(self, bucket: int, table: str, groups: list[_Group]) -> list[_Group]:
        """Adds events to the cells of one table and bucket. Returns what is to be counted as having found no cell there."""
        if not groups:
            return []
        page = self._pages.get(bucket)
        if page is None:
            page = self._pages[bucket] = Page()
        self._changed.add(bucket)
        cells, changed = page.cells.setdefault(table, {}), page.changed.setdefault(table, {})
        groups.sort(key=_order if table == PIPELINE else _first)
        first, last = groups[0][0], max([items[-1][OFFSET] for _, _, items, _ in groups])
        if page.first is None or first < page.first:
            page.first = first
        if last > page.last:
            page.last = last
        declared = TABLES[table]
        before, over = len(changed), []
        for _, key, items, target in groups:
            cell = cells.get(key)
            if cell is None:
                if len(cells) >= declared.max_cells:
                    if table != PIPELINE:
                        over += self._over(declared, items)
                    key = declared.overflow(key)
                    cell = cells.get(key)
                if cell is None:
                    cell = cells[key] = Cell(len(declared.measures), recent=[] if declared.keeps_recent else None)
            changed[key] = cell
            _fold(cell, items, target)
        self._waiting += len(changed) - before
        return over

    def _over(self, table: Table, items: Sequence[Item]) -> list[_Group]:
        """What tells that these events found no cell."""
        # Of a table of high cardinality, some may have been told before it was read again.
        counted = [item for item in items if item[OFFSET] >= self._settled] if table.slow else items
        told: list[Item] = [
            (item[OFFSET], item[TIME], item[TIME], f"{item[OFFSET]}", f"{item[OFFSET]}") for item in counted
        ]
        return [(told[0][OFFSET], ("overflow", table.name, None), told, _PIPELINE.targets[0])] if told else []

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

    def _cut_memory(self) -> Met | None:
        """What was met since the last stretch was cut, and forgets the stretches of which nothing is remembered. None if this
        is one of them."""
        marks, seen = self._marks, self._seen
        since, met = marks[-1]
        if since.offset == self.next:
            return None
        stretch = Met(since, self.next, *seen.since(met))
        marks.append((self._clocks(self.next), seen.met))
        while len(marks) > 1 and marks[1][1] <= seen.first:
            marks.popleft()
        return stretch if len(marks) > 1 else None

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
        met = None
        if slow:
            self.slow_next = self.next
            met = self._cut_memory()
        first, self._written = self._written, self.next
        clocks = self._clocks(self.next)
        return Cut(
            progress=Progress(self.next, self.slow_next, self._marks[0][0], self._marks[-1][0]),
            clocks=clocks,
            first=first,
            changes=changes,
            letters=letters,
            horizon=None if self.watermark is None else self.watermark - AMEND_HORIZON_MS - self._bucket_ms,
            met=met,
            remembered=frozenset([mark.offset for mark, _ in self._marks][:-1]),
        )

    def evict(self) -> None:
        """Forgets written buckets well behind the watermark; call after a cut has been written."""
        if self.watermark is None:
            return
        floor = self.watermark - RESIDENT_MS
        floor -= floor % self._bucket_ms
        if self._floor is None or floor > self._floor:
            self._floor = floor
        old = {bucket for bucket in self._pages if bucket < self._floor} - self._changed
        if old:  # but for those that something was gathered for since the cut
            old.difference_update(*[buckets for pair in self._groups.values() for buckets in pair])
        for bucket in old:
            del self._pages[bucket]
