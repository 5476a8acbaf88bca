"""The engine: merged cells in, transitions of alert states out. Pure: what it knows of the present is handed in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rollups.cells import Cell
from rules.judges.base import Reading, Scope
from rules.judges.compound import Leaf
from rules.judges.count import SpanlessJudge
from rules.lifecycle import Track, restored
from rules.loader import RuleSet
from rules.rule import Name, Part, Rule
from rules.series import Group, Query, Series, Slots
from rules.words import arithmetic, summary, threshold
from runtime.names import Source
from schemas.alert import (
    AlertData,
    AlertEvent,
    Evidence,
    JudgedAt,
    OffsetRange,
    Slice,
    Window,
    alert_event,
    fingerprint,
)
from schemas.alert import (
    Transition as Kind,
)
from schemas.tables import TABLES, Key, Value

LATE_MS = 30 * 60_000
"""So long beyond what its windows need, cells stay in memory: for events that come late."""
FORGOTTEN_MS = 24 * 3_600_000
"""So long after the end of an episode its state is kept: well beyond the amend horizon."""
EVER = 2**62
SAMPLES = 8
NOTABLE = 0.5
"""Share of what is wrong from which a part of the group stands out."""

Spans = Callable[[int, int], Mapping[Source, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a table is known: complete up to `watermark_ms` (None: nowhere), `behind` while records wait to be read, as
    of `offset` of the rollups topic."""

    watermark_ms: int | None
    behind: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A state to be kept, and the alert event that announces it."""

    fingerprint: str
    state: dict[str, Any]
    event: AlertEvent | None


class Engine:
    """Judges a set of rules. Not thread-safe.

    spans: the offsets (first, last) of the records in the buckets of [start, end), by source.
    """

    def __init__(
        self,
        rules: RuleSet,
        namespace: str,
        bucket_ms: int,
        historical_after_ms: int,
        no_data_after_ms: int,
        spans: Spans = lambda start, end: {},
    ) -> None:
        self._rules = [rule for rule in rules.rules if rule.enabled and not rule.learning]
        self._namespace, self._bucket_ms = namespace, bucket_ms
        self._historical_after_ms, self._spans = historical_after_ms, spans
        self._series: dict[Query, Series] = {}
        self._fed: dict[str, list[Series]] = defaultdict(list)
        self._readers: dict[Query, list[tuple[Rule, int]]] = defaultdict(list)
        self._tracks: dict[Name, dict[Group, Track]] = {rule.full_name: {} for rule in self._rules}
        self._kept: dict[str, Mapping[str, Any]] = {}
        self._floors: Mapping[str, int] = {}
        self._closed: dict[str, int] = {}
        self._forgotten: dict[str, int] = {}
        for rule in self._rules:
            for place, part in enumerate(rule.parts):
                if part.query not in self._series:
                    series = self._series[part.query] = Series(part.query)
                    self._fed[part.query.table].append(series)
                self._readers[part.query].append((rule, place))

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose cells are wanted."""
        return frozenset(self._fed)

    def reach_ms(self, table: str) -> int:
        """How far back from a time the cells of a table matter to a verdict on it."""
        reach = max((rule.verdict.reach_ms for rule in self._rules if table in rule.tables), default=0)
        return reach + self._bucket_ms

    @property
    def judged(self) -> dict[str, int]:
        """Up to where each table was judged for good, in event time. What `restore` wants."""
        return dict(self._closed)

    def restore(self, states: Iterable[Mapping[str, Any]], judged: Mapping[str, int]) -> None:
        """Takes over what was kept: the states, and up to where each table was judged, before which no episode begins."""
        self._floors = dict(judged)
        self._closed = dict(judged)
        for kept in states:
            mark = fingerprint(self._namespace, kept["pack"], kept["rule"], kept["group"])
            self._kept[mark] = kept
        for rule in self._rules:
            for kept in list(self._kept.values()):
                if (kept["pack"], kept["rule"]) == rule.full_name and list(kept["group"]) == list(rule.by):
                    self._track(rule, tuple(kept["group"].values()))

    def forgettable(self) -> list[str]:
        """Fingerprints of what was over so long ago that no event can touch it any more; they are forgotten here, too."""
        old = [
            mark
            for mark, kept in self._kept.items()
            if kept.get("status") == "resolved" and (kept.get("judged") or 0) < self._oldest() - FORGOTTEN_MS
        ]
        for mark in old:
            del self._kept[mark]
        return old

    def _oldest(self) -> int:
        return min((self._closed.get(table, 0) for table in self._fed), default=0)

    def update(self, table: str, bucket: int, key: Key, cell: Cell) -> None:
        """A merged cell as it is now."""
        if bucket < self._forgotten.get(table, 0):
            return
        for series in self._fed.get(table, ()):
            group = series.update(bucket, key, cell)
            if group is not None:
                for rule, _ in self._readers[series.query]:
                    self._track(rule, group).mark(bucket)

    def _track(self, rule: Rule, group: Group) -> Track:
        tracks = self._tracks[rule.full_name]
        found = tracks.get(group)
        if found is None:
            named = dict(zip(rule.by, group, strict=True))
            mark = fingerprint(self._namespace, rule.pack, rule.name, named)
            found = tracks[group] = Track(rule, group, mark)
            kept = self._kept.pop(mark, None)
            if kept is not None:
                found.state = restored(kept)
        return found

    # --- judging ------------------------------------------------------------------------------------------------------

    def judge(self, now_ms: int, progress: Mapping[str, Progress]) -> list[Transition]:
        """What changed: at most one transition of each rule and group. Call again until nothing comes."""
        transitions = []
        for rule in self._rules:
            scope = self._scope(rule, progress)
            offset = max((progress[table].offset for table in rule.tables if table in progress), default=0)
            for track in self._tracks[rule.full_name].values():
                if track.firing or track.dirty is not None:
                    found = self._step(track, scope, now_ms, offset)
                    if found is not None:
                        transitions.append(found)
        if not transitions:
            self._settle(progress)
        return transitions

    def _scope(self, rule: Rule, progress: Mapping[str, Progress]) -> Scope:
        known = [progress[table] for table in rule.tables if table in progress]
        closed: int | None = None
        if len(known) == len(rule.tables) and all(one.watermark_ms is not None for one in known):
            closed = min(self._floor(one.watermark_ms or 0) for one in known)
        held = any(one.behind for one in known)
        end = EVER if not held else -1 if closed is None else closed
        return Scope(end, closed, self._bucket_ms)

    def _floor(self, ms: int) -> int:
        return ms - ms % self._bucket_ms

    def _step(self, track: Track, scope: Scope, now_ms: int, offset: int) -> Transition | None:
        rule = track.rule
        many = [self._slots(part, track.group) for part in rule.parts]
        state = track.state
        if track.firing:
            over = track.ends(many, scope)
            if over is not None:
                end, reading = over
                state.status, state.judged = "resolved", end
                track.mark(self._floor(end))
                return self._told("resolved", track, many, reading, now_ms, offset, at=end)
            return self._updated(track, many, scope, now_ms, offset)
        floor = min((self._floors.get(table, 0) for table in rule.tables), default=0)
        begin = track.begins(many, scope, floor)
        if begin is None or self._unknown(rule, begin[0]):
            return None
        at, since, reading = begin
        late = max((self._closed.get(table, 0) for table in rule.tables), default=0)
        state.status, state.since, state.episode = "firing", since, self._floor(since)
        state.updates = 0
        state.historical = at < now_ms - self._historical_after_ms
        state.inhibited_by = self._inhibitor(track)
        track.settled = at
        growing = self._spanless(rule)
        if growing is not None:
            reading = growing.grown(many[0], since, scope.end)
        told = self._told("firing", track, many, reading, now_ms, offset, at=at, late=at + self._bucket_ms <= late)
        return told

    def _slots(self, part: Part, group: Group) -> Slots:
        return self._series[part.query].groups.get(group) or Slots()

    def _unknown(self, rule: Rule, at: int) -> bool:
        """Whether groups may have lost cells to `other` within the reach of a verdict on `at`."""
        return any(
            at - rule.verdict.reach_ms - self._bucket_ms < bucket <= at
            for part in rule.parts
            for bucket in self._series[part.query].full
        )

    @staticmethod
    def _spanless(rule: Rule) -> SpanlessJudge | None:
        verdict = rule.verdict
        judge = verdict.judge if isinstance(verdict, Leaf) else None
        return judge if isinstance(judge, SpanlessJudge) else None

    def _updated(
        self, track: Track, many: Sequence[Slots], scope: Scope, now_ms: int, offset: int
    ) -> Transition | None:
        state, reading = track.state, None
        changed = track.dirty is not None
        track.dirty = None
        growing = self._spanless(track.rule)
        if growing is not None and changed:
            reading = growing.grown(many[0], state.since, scope.end)
            if state.value is not None and reading.value <= state.value:
                reading = None
        lifted = state.inhibited_by is not None and self._inhibitor(track) is None
        if lifted:
            state.inhibited_by = None
        if reading is None and not lifted:
            return None
        state.updates += 1
        return self._told("updated", track, many, reading, now_ms, offset, at=state.since)

    def _inhibitor(self, track: Track) -> str | None:
        """The alert that makes this one page nobody: of an inhibiting rule, about the same thing."""
        mine = track.named_group
        for name in track.rule.inhibited_by:
            for other in self._tracks.get(name, {}).values():
                theirs = other.named_group
                if other.firing and all(mine[key] == value for key, value in theirs.items() if key in mine):
                    return other.state.alert
        return None

    def _settle(self, progress: Mapping[str, Progress]) -> None:
        """Nothing is left to judge: how far is that, and what is too old to matter?"""
        for table in self._fed:
            one = progress.get(table)
            if one is None or one.watermark_ms is None:
                continue
            before, closed = self._closed.get(table, 0), self._floor(one.watermark_ms)
            if closed <= before:
                continue
            self._closed[table] = closed
            for rule in self._rules:
                if rule.timed and before and table in rule.tables:
                    for track in self._tracks[rule.full_name].values():
                        if not track.firing:
                            track.mark(before)
            old = self._floor(closed - self.reach_ms(table) - LATE_MS)
            if old - self._forgotten.get(table, 0) < 60_000:
                continue
            self._forgotten[table] = old
            for series in self._fed[table]:
                for group in series.forget(old):
                    for rule, _ in self._readers[series.query]:
                        self._drop(rule, group)

    def _drop(self, rule: Rule, group: Group) -> None:
        """Forgets a group that nothing is known of any more, unless its alert still fires."""
        track = self._tracks[rule.full_name].get(group)
        if track is None or track.firing or track.dirty is not None:
            return
        del self._tracks[rule.full_name][group]
        if track.state.judged is not None:
            self._kept[track.fingerprint] = track.kept()

    # --- the alert ----------------------------------------------------------------------------------------------------

    def _told(
        self,
        kind: Kind,
        track: Track,
        many: Sequence[Slots],
        reading: Reading | None,
        now_ms: int,
        offset: int,
        *,
        at: int,
        late: bool = False,
    ) -> Transition:
        rule, state = track.rule, track.state
        part = rule.parts[reading.place if reading is not None else 0]
        group = track.named_group
        over = kind == "resolved"
        words = arithmetic(part, reading, over=over) if reading is not None else "it ended"
        start, end = (at, at + 1) if reading is None else (reading.start, reading.end)
        limit = threshold(part)
        value = self._number(part, reading.value) if reading is not None else state.value
        state.value = float(reading.value) if reading is not None and not over else state.value
        slots = many[reading.place if reading is not None else 0]
        data = AlertData(
            fingerprint=track.fingerprint,
            rule=rule.name,
            pack=rule.pack,
            rule_version=rule.version,
            severity=rule.severity,
            status="resolved" if over else "firing",
            group=group,
            value=value,
            threshold=self._number(part, limit),
            unit=_unit(part, group),
            window=Window(start=start, end=end),
            first_bad_at=state.since,
            detected_at=now_ms,
            late=late,
            historical=state.historical,
            summary=summary(rule, group, words, over=over),
            arithmetic=words,
            slice=() if over else self._slice(part, slots, start, end),
            evidence=self._evidence(part, slots, start, end),
            channels=rule.channels,
            owner=rule.owner,
            runbook=rule.runbook,
            inhibited_by=state.inhibited_by,
            judged_at=JudgedAt(offset=offset),
        )
        event = alert_event(
            self._namespace,
            kind,
            data,
            episode_ms=state.episode,
            n=state.updates if kind == "updated" else 0,
            time_ms=now_ms,
        )
        if kind == "firing":
            state.alert = event.id
        return Transition(track.fingerprint, track.kept(), event)

    @staticmethod
    def _number(part: Part, value: Any) -> int | float:
        if part.signal.unit == "percent":
            value = value / 100
        return int(value) if part.signal.unit == "count" and value == int(value) else float(value)

    def _evidence(self, part: Part, slots: Slots, start: int, end: int) -> Evidence:
        home = TABLES[part.query.table].home
        ranges = [
            OffsetRange(topic=source.topic, partition=source.partition, from_=first, to=last)
            for source, (first, last) in sorted(self._spans(start, end).items())
            if home is None or source.topic.endswith(f".{home}.v1")
        ]
        low = self._floor(start)
        found = slots.samples(low, end, marked=True) or slots.samples(low, end, marked=False)
        return Evidence(offsets=tuple(ranges), samples=tuple(sample[1] for sample in found[:SAMPLES]))

    def _slice(self, part: Part, slots: Slots, start: int, end: int) -> tuple[Slice, ...]:
        """The values of dimensions that most of what is wrong has, and that not everything has."""
        table = TABLES[part.query.table]
        fixed = {*part.query.by, *(name for name, values in part.query.where if len(values) == 1)}
        wrong: Counter[tuple[str, Value]] = Counter()
        all_: Counter[tuple[str, Value]] = Counter()
        wrongs = total = 0
        ratio = part.signal.aggregate == "ratio"
        downward = ratio and part.test.comparison not in (">", ">=")
        for slot in slots.between(self._floor(start), end):
            for key, (marked, cell) in slot.cells.items():
                is_wrong = marked is not downward if ratio else True
                total += cell.count
                wrongs += cell.count if is_wrong else 0
                for name, value in zip(table.dimensions, key, strict=True):
                    if name not in fixed and value is not None and name not in ("outcome", "fault"):
                        all_[name, value] += cell.count
                        if is_wrong:
                            wrong[name, value] += cell.count
        found = []
        for (name, value), count in wrong.most_common():
            share = count / wrongs
            usual = all_[name, value] / total if ratio else 0.0
            if share >= NOTABLE and share > usual:
                found.append(Slice(dimensions={name: value}, share=round(share, 4)))
        return tuple(found[:4])


def _unit(part: Part, group: Mapping[str, Value]) -> Literal["ratio", "s", "count"] | str:
    unit = part.signal.unit
    if unit in ("ratio", "percent"):
        return "ratio"
    if unit == "minor":
        currency = group.get("currency") or dict(part.query.where).get("currency", ("?",))[0]
        return f"minor/{currency}"
    return unit
