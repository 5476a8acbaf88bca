"""The engine at a desk: events in, alerts out, through the real fold and the real merge, on a clock that is moved by hand.

No Kafka and no Redis: what crosses them is handed over in memory, packed and unpacked as on the wire.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollups.cells import as_row
from rollups.merger import Merger
from rollups.partition import Partition
from rules.engine import Engine, Progress, Transition
from rules.learned import Imported
from rules.loader import BUCKET_MS, RuleSet
from runtime.names import Names, Source
from schemas.alert import AlertEvent
from schemas.decode import Decoder
from schemas.events import EVERYWHERE, SUBJECT_OF
from schemas.heartbeat import heartbeat
from schemas.tables import TABLES
from schemas.time import epoch_ms

Event = dict[str, Any]
START_S = 1_795_420_800.0
"""A Monday morning; a multiple of every bucket, minute and hour."""
ANYWHERE = "platform"
"""The subject of events that every topic may carry."""


@dataclass(frozen=True, slots=True)
class _Record:
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Desk:
    """One installation in memory, `partitions` for each subject. `now` is the present in epoch seconds, `history` what its
    baselines have learned."""

    def __init__(
        self,
        of: RuleSet,
        *,
        now: float = START_S,
        partitions: int = 1,
        lateness_s: float = 30.0,
        namespace: str = "t",
        history: Sequence[Imported] = (),
    ) -> None:
        self.rules, self.now, self.namespace = of, now, namespace
        self._names, self._count, self._lateness_ms = Names(namespace), partitions, int(lateness_s * 1000)
        self._folds: dict[Source, Partition] = {}
        self._offsets: Counter[Source] = Counter()
        self._records: defaultdict[Source, list[_Record]] = defaultdict(list)
        self.merger = Merger(BUCKET_MS)
        self.engine = self._engine()
        self.engine.baselines.restore({}, history)
        for _ in self.engine.baselines.learn(history):
            pass
        self.alerts: list[AlertEvent] = []
        self.states: dict[str, Mapping[str, Any]] = {}
        self.behind = False
        self.offset = 0
        for subject in sorted({*SUBJECT_OF.values()} - {EVERYWHERE}):
            for number in range(partitions):
                source = Source(self._names.events(subject), "id", number)
                self._folds[source] = Partition(
                    Decoder(subject, b"key"), bucket_ms=BUCKET_MS, lateness_ms=self._lateness_ms, idle_ms=30_000
                )

    def _engine(self) -> Engine:
        return Engine(
            self.rules, self.namespace, BUCKET_MS, 900_000, 120_000, lambda start, end: self.merger.spans(start, end)
        )

    # --- in -----------------------------------------------------------------------------------------------------------

    def put(self, *events: Event, broker_s: float | None = None) -> list[AlertEvent]:
        """Events that arrive now (or at a broker's time of their own), and what is told of them."""
        for event in events:
            self._append(event, broker_s)
        return self.look()

    def feed(self, event: Event, broker_s: float) -> None:
        """An event that arrives, to be seen at the next look."""
        self._append(event, broker_s)

    def _append(self, event: Event, broker_s: float | None = None) -> None:
        subject = SUBJECT_OF[event["type"]]
        subject = ANYWHERE if subject == EVERYWHERE else subject
        data = event["data"]
        number = hash(str(data.get("transaction_id", data.get("component", "")))) % self._count
        at = self.now if broker_s is None else broker_s
        self._write(Source(self._names.events(subject), "id", number), _encoded(event), int(at * 1000))

    def _write(self, source: Source, value: bytes, ms: int) -> None:
        self._records[source].append(_Record(self._offsets[source], ms, value))
        self._offsets[source] += 1

    def play(self, events: Iterable[Event], *, every_s: float = 0.25) -> list[AlertEvent]:
        """Events at their own times, with a look every so often and heartbeats as workers send them."""
        told: list[AlertEvent] = []
        for event in events:
            at = epoch_ms(event["time"]) / 1000
            while at >= self.now + every_s:
                self.now += every_s
                told += self.look()
                if round(self.now * 4) % 20 == 0:
                    self.beat()
            self._append(event, max(at, self.now))
        return told + self.look()

    def wait(self, seconds: float) -> list[AlertEvent]:
        """Time goes by, with heartbeats every 5 s."""
        told: list[AlertEvent] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 5.0, end)
            self.beat()
            told += self.look()
        return told

    def beat(self) -> None:
        """A heartbeat into every partition."""
        for source in self._folds:
            self._write(source, heartbeat("/t/worker", int(self.now * 1000)), int(self.now * 1000))

    # --- out ----------------------------------------------------------------------------------------------------------

    def look(self) -> list[AlertEvent]:
        """Flushes, merges and judges; returns what is told now."""
        self._flush()
        return self.judge()

    def judge(self) -> list[AlertEvent]:
        told: list[AlertEvent] = []
        for _ in range(1_000):
            transitions = self.engine.judge(int(self.now * 1000), self.progress())
            if not transitions:
                break
            told += [one.event for one in transitions if one.event is not None]
            self._keep(transitions)
        self.alerts += told
        return told

    def _keep(self, transitions: list[Transition]) -> None:
        prints = [one.fingerprint for one in transitions]
        assert len(set(prints)) == len(prints), "two transitions of one rule and group at once"
        self.states |= {one.fingerprint: one.state for one in transitions}

    def _flush(self) -> None:
        for source, fold in self._folds.items():
            records = self._records.pop(source, [])
            index, missing = fold.apply(records)
            assert missing is None, "an event older than what is resident: the desk has no store"
            assert index == len(records)
            cut = fold.cut(slow=True)
            if cut is None:
                continue
            for change in cut.changes:
                for table, cells in change.cells.items():
                    wire = [(key, as_row(cell, change.bucket)) for key, cell in cells.items()]
                    self.merger.offer(source, table, change.bucket, change.first, change.last, wire)
            progress = self.merger.progress(source)
            progress.advance(cut.progress.next, cut.clocks.watermark, cut.clocks.newest, self.behind)
            self.offset += 1
        for (table, bucket), merged in self.merger.take_changed().items():
            for key, merged_cell in merged.items():
                self.engine.update(table, bucket, key, merged_cell)

    def progress(self) -> dict[str, Progress]:
        """The least watermark of each table's partitions; of one that never had a record, none."""
        found = {}
        for name, table in TABLES.items():
            marks = [
                self.merger.progress(source).watermark
                for source in self._folds
                if table.home is None or source.topic == self._names.events(table.home)
            ]
            known = [mark for mark in marks if mark is not None]
            low = min(known) if len(known) == len(marks) else None
            found[name] = Progress(None if low is None else min(low, int(self.now * 1000)), self.behind, self.offset)
        return found

    @property
    def told(self) -> list[str]:
        """Everything told so far: `rule transition`, in order."""
        return [f"{alert.data.rule} {alert.transition}" for alert in self.alerts]


def _encoded(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
