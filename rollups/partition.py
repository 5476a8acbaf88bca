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

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rollups.cells import EXACT_BELOW, KEPT_RECENT, KEPT_SAMPLES, Cell, Stat
from rollups.sketch import bin_of
from schemas.decode import Decoder, Refused
from schemas.tables import FOLDS, TABLES, Key

AMEND_HORIZON_MS = 6 * 3600 * 1000
FUTURE_MS = 60_000
BEAT_MS = 5_000
DEDUPE_MS = 300_000
DEDUPE_IDS = 100_000
RESIDENT_MS = 60_000
"""Buckets this far behind the watermark stay in memory; older ones are loaded when a late event asks for them."""
MARK_MS, MARK_IDS = 5_000, 10_000
"""A checkpoint is noted this often, in broker time or in ids."""
FULL_CELLS, FULL_LETTERS, FULL_LETTER_BYTES = 50_000, 1_000, 8 * 1024 * 1024
"""What may wait for a flush; beyond it `full` asks for one."""

HEARTBEAT = "pipeline.heartbeat"
MERGED_EVERYWHERE = "pipeline"


class Record(Protocol):
    """A Kafka record as a consumer hands it out; `timestamp` is the broker's, in epoch ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


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

_Plan = tuple[
    str,
    Callable[[object], Key],
    Callable[[object], tuple[int | None, ...]] | None,
    Callable[[object], str],
    Callable[[object], int] | None,
    tuple[bool, ...],
    bool,
    bool,
]


def _plans(event_type: str) -> list[_Plan]:
    plans: list[_Plan] = []
    for fold in FOLDS[event_type]:
        table = TABLES[fold.table]
        sketches = tuple(measure.sketch for measure in table.measures)
        plans.append(
            (
                fold.table,
                fold.key,
                fold.measures,
                fold.identity,
                fold.at,
                sketches,
                table.keeps_recent,
                table.slow,
            )
        )
    return plans


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
        self._decode = decoder.decode
        self._bucket_ms, self._lateness_ms, self._idle_ms = bucket_ms, lateness_ms, idle_ms
        warm = progress.warm
        self.position = warm.offset
        self.next, self.slow_next = progress.next, progress.slow_next
        self.watermark, self.newest = warm.watermark, warm.newest
        self._last_beat, self._active_at, self._log_ms = warm.last_beat, warm.active_at, warm.log_ms
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._marks: deque[tuple[Checkpoint, int]] = deque([(warm, 0)])
        self._remembered = 0
        self._floor = floor
        self._pages: dict[int, Page] = {}
        self._changed: set[int] = set()
        self._letters: list[Letter] = []
        self._letter_bytes = 0
        self._waiting = 0
        self._written = self.next
        self._plans = {event_type: _plans(event_type) for event_type in FOLDS}

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
        for index in range(start, len(records)):
            record = records[index]
            if record.offset < self.position:
                continue
            missing = self._apply(record)
            if missing is not None:
                return index, missing
            self.position = record.offset + 1
            if self.position > self.next:
                self.next = self.position
            if self._waiting >= FULL_CELLS or self._letters and self.full:
                return index + 1, None
        return len(records), None

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
        plans = self._plans[kind]
        bucket = ms - ms % self._bucket_ms
        floor = self._floor
        if floor is not None and bucket < floor and bucket not in self._pages:
            return bucket
        cohort_ms = ms
        skipped_cohort = False
        for plan in plans:
            at = plan[4]
            if at is not None:
                cohort_ms = at(event)
                if cohort_ms < oldest or cohort_ms > record.timestamp + FUTURE_MS:
                    skipped_cohort = True
                    cohort_ms = ms
                elif self._absent(cohort_ms - cohort_ms % self._bucket_ms):
                    return cohort_ms - cohort_ms % self._bucket_ms

        self._log_ms = log_ms
        self._remember(identity, log_ms, offset)
        self._advance(ms, record.timestamp)

        to_fast = offset >= self.next
        to_slow = offset >= self.slow_next
        if not to_slow:
            return None
        page = self._pages.get(bucket)
        if page is None:
            page = self._pages[bucket] = Page()
        for name, key_of, measures_of, identity_of, at, sketches, keeps_recent, slow in plans:
            if not (slow or to_fast):
                continue
            if at is None:
                self._fold(
                    page, bucket, ms, offset, name, key_of(event), event.id, identity_of(event),
                    measures_of(event) if measures_of is not None else None, sketches, keeps_recent,
                )  # fmt: skip
            elif not skipped_cohort:
                cohort = cohort_ms - cohort_ms % self._bucket_ms
                other = page if cohort == bucket else self._pages.get(cohort)
                if other is None:
                    other = self._pages[cohort] = Page()
                self._fold(
                    other, cohort, cohort_ms, offset, name, key_of(event), event.id, identity_of(event),
                    measures_of(event) if measures_of is not None else None, sketches, keeps_recent,
                )  # fmt: skip
        if skipped_cohort and to_fast:
            self._count(page, bucket, ms, offset, ("cohort_out_of_range", kind, None), event.id)
        if notes is not None:
            if to_fast:
                if notes.extension:
                    self._count(page, bucket, ms, offset, ("extension", kind, None), event.id)
                if notes.unknown_field:
                    self._count(page, bucket, ms, offset, ("unknown_field", kind, None), event.id)
            if notes.card:
                self._card(page, bucket, ms, offset, event.id, event.source, to_fast)
        return None

    def _fold(
        self,
        page: Page,
        bucket: int,
        ms: int,
        offset: int,
        name: str,
        key: Key,
        event_id: str,
        identity: str,
        measures: tuple[int | None, ...] | None,
        sketches: tuple[bool, ...],
        keeps_recent: bool,
    ) -> None:
        cells = page.cells.get(name)
        if cells is None:
            cells = page.cells[name] = {}
        cell = cells.get(key)
        if cell is None:
            table = TABLES[name]
            if len(cells) >= table.max_cells:
                key = table.overflow(key)
                cell = cells.get(key)
                if name != MERGED_EVERYWHERE and (name not in SLOW_TABLES or offset >= self.next):
                    self._count(page, bucket, ms, offset, ("overflow", name, None), event_id)
            if cell is None:
                cell = cells[key] = Cell(len(sketches), recent=[] if keeps_recent else None)
        changed = page.changed.get(name)
        if changed is None:
            changed = page.changed[name] = {}
            self._changed.add(bucket)
        if key not in changed:
            changed[key] = cell
            self._waiting += 1
        if page.first is None:
            page.first = offset
        page.last = offset

        count = cell.count = cell.count + 1
        times = cell.times
        if times is not None:
            if count < EXACT_BELOW:
                times.append(ms)
            else:
                cell.times = None
        samples = cell.samples
        if len(samples) < KEPT_SAMPLES or ms < samples[-1][0] or (ms == samples[-1][0] and event_id < samples[-1][1]):
            cell.add_sample(ms, event_id, identity)
        if keeps_recent:
            recent = cell.recent
            if recent is None:
                recent = cell.recent = []
            if len(recent) < KEPT_RECENT:
                recent.append(ms)
            else:
                lowest = min(recent)
                if ms > lowest:
                    recent[recent.index(lowest)] = ms
        if measures is not None:
            stats = cell.stats
            slot = 0
            for value in measures:
                if value is not None:
                    stat = stats[slot]
                    if stat.n:
                        stat.n += 1
                        stat.total += value
                        if value < stat.low:  # type: ignore[operator]
                            stat.low = value
                        elif value > stat.high:  # type: ignore[operator]
                            stat.high = value
                    else:
                        stat.n, stat.total, stat.low, stat.high = 1, value, value, value
                    if sketches[slot]:
                        bins = stat.bins
                        if bins is None:
                            bins = stat.bins = {}
                        at = bin_of(value)
                        bins[at] = bins.get(at, 0) + 1
                slot += 1

    def _count(self, page: Page, bucket: int, ms: int, offset: int, key: Key, event_id: str) -> None:
        """Adds one to a cell of the table `pipeline`."""
        self._fold(page, bucket, ms, offset, "pipeline", key, event_id, event_id, None, (False,), False)

    def _card(
        self, page: Page, bucket: int, ms: int, offset: int, event_id: str, source: str, to_fast: bool
    ) -> None:
        """A masked card number is a security finding of the same partition, at the event's time."""
        kind = "security.violated"
        if to_fast:
            key: Key = (kind, "tillwatch", "card_number", None, None)
            self._fold(page, bucket, ms, offset, "security", key, event_id, event_id, None, (), False)
        self._fold(page, bucket, ms, offset, "actors", (kind, source), event_id, event_id, None, (), False)

    def _note(self, ms: int, offset: int, kind: str, what: str, source: str | None) -> int | None:
        """Counts something that is no event, at the broker's time. Returns the bucket to load, if it is not here."""
        if offset < self.next:
            return None
        bucket = ms - ms % self._bucket_ms
        if self._absent(bucket):
            return bucket
        page = self._pages.get(bucket)
        if page is None:
            page = self._pages[bucket] = Page()
        self._count(page, bucket, ms, offset, (kind, what, source), f"{offset}")
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

    def _remember(self, identity: str, log_ms: int, offset: int) -> None:
        seen = self._seen
        mark, ids = self._marks[-1]
        if log_ms - mark.log_ms >= MARK_MS or self._remembered - ids >= MARK_IDS:
            # Called before the clocks move, so these are the clocks just before this record.
            self._marks.append((self._clocks(offset), self._remembered))
        self._remembered += 1
        if identity in seen:  # older than the memory reaches: the new time must be at the end of the order, too
            del seen[identity]
        seen[identity] = log_ms
        if len(seen) > DEDUPE_IDS:
            seen.popitem(last=False)
        oldest = log_ms - DEDUPE_MS
        while seen[next(iter(seen))] < oldest:
            seen.popitem(last=False)

    def _warm(self) -> Checkpoint:
        """The latest checkpoint from which a reader finds every id that still matters, and the slow part's rest."""
        marks = self._marks
        oldest = self._log_ms - DEDUPE_MS
        while len(marks) > 1:
            following, ids = marks[1]
            covered = following.log_ms < oldest or self._remembered - ids >= DEDUPE_IDS
            if not covered or following.offset > self.slow_next:
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
        advanced = self.next != self._written
        if not advanced and not self._changed:
            return None
        # A bucket's change is dated by the offset of its flush, so a flush of the slow part needs one of its own.
        slow = slow and advanced
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
        self._changed = still
        letters, self._letters, self._letter_bytes = self._letters, [], 0
        if slow:
            self.slow_next = self.next
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

