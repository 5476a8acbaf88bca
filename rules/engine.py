"""The engine: merged cells in, transitions of alert states out. Pure: what it knows of the present is handed in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from statistics import median_low
from typing import Any

from rollups.cells import Cell
from rules.activity import Activity
from rules.activity import restored as restored_activity
from rules.judges.base import Scope
from rules.judges.compound import Leaf
from rules.judges.gauge import GaugeJudge
from rules.judges.hold import HoldJudge
from rules.learned import Baselines
from rules.lifecycle import Track, View, restored
from rules.loader import RuleSet
from rules.rule import Name, Part, Rule
from rules.series import Group, Query, Series, Slots
from rules.teller import Spans, Teller, value_of
from schemas.alert import AlertEvent, fingerprint
from schemas.tables import Key

LATE_MS = 30 * 60_000
"""So long beyond what its windows need, cells stay in memory: for events that come late."""
FORGOTTEN_MS = 24 * 3_600_000
"""So long after the end of an episode its state is kept: well beyond the amend horizon."""
EVER = 2**62
GRAVEST = ("firing", "no_data", "behind", "unknown", "learning", "pending")
STANDINGS = 200
"""So many are told of at most."""
GAPS, GAPS_KNOWN, GAPS_MISSED = 20, 3, 3
"""A gauge or a probe is silent after so many of its usual gaps, which are known from so many of its latest events."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a table is known: complete up to `watermark_ms` (None: nowhere), `behind` while records wait to be read, as
    of `offset` of the rollups topic. unsettled: events from before this time are just coming in, partition by partition, so
    that no verdict on them is safe yet; None while there are none. talking: some came so lately that nobody is silent."""

    watermark_ms: int | None
    behind: bool
    offset: int
    unsettled: int | None = None
    talking: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule and group stands: `firing`, `no_data`, `behind` (records wait to be read), `unknown` (some of it may have gone
    to `other`), `learning` or `pending`; since when, in epoch ms of event time."""

    rule: str
    group: Mapping[str, Any]
    state: str
    since: int | None


@dataclass(frozen=True, slots=True)
class Transition:
    """A state to be kept, and the alert event that announces it (None: nobody is told)."""

    fingerprint: str
    state: dict[str, Any]
    event: AlertEvent | None


class Engine:
    """Judges a set of rules. Not thread-safe."""

    def __init__(
        self,
        rules: RuleSet,
        namespace: str,
        bucket_ms: int,
        historical_after_ms: int,
        no_data_after_ms: int,
        spans: Spans = lambda start, end: {},
    ) -> None:
        self._rules = [rule for rule in rules.rules if rule.enabled]
        self._namespace, self._bucket_ms = namespace, bucket_ms
        self._historical_after_ms, self._no_data_after_ms = historical_after_ms, no_data_after_ms
        self._teller = Teller(namespace, bucket_ms, spans)
        self._series: dict[Query, Series] = {}
        self._fed: dict[str, list[Series]] = defaultdict(list)
        self._readers: dict[Query, list[Rule]] = defaultdict(list)
        self._tracks: dict[Name, dict[Group, Track]] = {rule.full_name: {} for rule in self._rules}
        self._kept: dict[str, Mapping[str, Any]] = {}
        self._activity: dict[str, Activity] = defaultdict(Activity)
        self._floors: dict[str, int] = {}
        self._closed: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        """Up to where each table was closed when it was judged first: that nothing came before is not known."""
        self._forgotten: dict[str, int] = {}
        for rule in self._rules:
            for part in rule.parts:
                if part.query not in self._series:
                    series = self._series[part.query] = Series(part.query)
                    self._fed[part.query.table].append(series)
                self._readers[part.query].append(rule)
        self.baselines = Baselines(self._rules, self._series, rules.calendar)

    @property
    def rules(self) -> list[Rule]:
        """Those that are judged."""
        return self._rules

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose cells are wanted."""
        return frozenset(self._fed)

    @property
    def sketched(self) -> frozenset[str]:
        """Those of them whose quantiles a rule asks for."""
        return frozenset(query.table for query in self._series if query.sketch)

    def reach_ms(self, table: str) -> int:
        """How far back from a time the cells of a table matter to a verdict on it."""
        reach = max((rule.verdict.reach_ms for rule in self._rules if table in rule.tables), default=0)
        return reach + self._bucket_ms

    # --- what is kept -------------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """What is kept beside the states: the tables that rules ask for (`asked`), up to where each was judged for good, in
        event time (`judged`), from where on (`begun`), and how much went on there."""
        activity = {table: one.kept() for table, one in self._activity.items()}
        asked = sorted(self._fed)
        return {"asked": asked, "judged": dict(self._closed), "begun": dict(self._begun), "activity": activity}

    def judged(self, kept: Mapping[str, Any]) -> dict[str, int]:
        """Up to where each table was judged. One that no rule asked for until now counts as judged as far as the others are;
        one that was asked for and not judged yet, since not all of its partitions had been heard of, say, is left out."""
        judged: dict[str, int] = kept.get("judged", {})
        asked = {*kept.get("asked", judged)}
        latest = max(judged.values(), default=0)
        return {
            table: judged.get(table, latest) for table in self._fed if table in judged or (judged and table not in asked)
        }

    def restore(self, states: Iterable[Mapping[str, Any]], kept: Mapping[str, Any]) -> None:
        """Takes over the states and `kept`. Before what was judged no episode begins. Baselines are restored before."""
        self._floors = self.judged(kept)
        self._closed, self._begun = dict(self._floors), dict(kept.get("begun", {}))
        for table, one in kept.get("activity", {}).items():
            self._activity[table] = restored_activity(one)
        for state in states:
            self._kept[fingerprint(self._namespace, state["pack"], state["rule"], state["group"])] = state
        for rule in self._rules:
            for state in list(self._kept.values()):
                if (state["pack"], state["rule"]) == rule.full_name and list(state["group"]) == list(rule.by):
                    self._track(rule, tuple(state["group"].values()))
            if not rule.by and any(self._activity[table].last is not None for table in rule.tables):
                self._track(rule, ())
        for query, group in self.baselines.groups:
            for rule in self._readers[query]:
                self._track(rule, group)

    def orphans(self) -> list[str]:
        """Fingerprints of alerts that fire and whose rule or grouping is no more; each is named once."""
        found = [mark for mark, kept in self._kept.items() if kept.get("status") in ("firing", "no_data")]
        for mark in found:
            del self._kept[mark]
        return found

    def forgettable(self) -> list[str]:
        """Fingerprints of what was over so long ago that no event can touch it any more; they are forgotten here, too."""
        limit = min((self._closed.get(table, 0) for table in self._fed), default=0) - FORGOTTEN_MS
        old = [
            mark
            for mark, kept in self._kept.items()
            if kept.get("status") in ("resolved", "inactive") and max(kept.get("judged") or 0, kept["since"]) < limit
        ]
        for mark in old:
            del self._kept[mark]
        return old

    # --- cells --------------------------------------------------------------------------------------------------------

    def update(self, table: str, bucket: int, key: Key, cell: Cell) -> None:
        """A merged cell as it is now."""
        self._activity[table].update(bucket, key, cell.count)
        if bucket < self._forgotten.get(table, 0):
            return
        for series in self._fed.get(table, ()):
            group = series.update(bucket, key, cell)
            if group is not None:
                for rule in self._readers[series.query]:
                    self._track(rule, group).mark(bucket)

    def _track(self, rule: Rule, group: Group) -> Track:
        tracks = self._tracks[rule.full_name]
        found = tracks.get(group)
        if found is None:
            mark = fingerprint(self._namespace, rule.pack, rule.name, dict(zip(rule.by, group, strict=True)))
            found = tracks[group] = Track(rule, group, mark)
            kept = self._kept.pop(mark, None)
            if kept is not None:
                found.state = restored(kept)
        return found

    def _slots(self, part: Part, group: Group) -> Slots:
        return self._series[part.query].groups.get(group) or Slots()

    # --- judging ------------------------------------------------------------------------------------------------------

    def judge(self, now_ms: int, progress: Mapping[str, Progress]) -> list[Transition]:
        """What changed: at most one transition of each rule and group. Call again until nothing comes."""
        transitions = []
        self._learn(progress)
        for rule in self._rules:
            bounds = [progress[table].unsettled for table in rule.tables if table in progress]
            held = max((bound for bound in bounds if bound is not None), default=-1)
            scope = self._scope(rule, progress)
            offset = max((progress[table].offset for table in rule.tables if table in progress), default=0)
            silent = self._silent(rule, scope)
            talking = any(progress[table].talking for table in rule.tables if table in progress)
            for track in self._tracks[rule.full_name].values():
                if track.dirty is not None and track.dirty < held:
                    continue
                if track.busy or silent is not None or rule.regular:
                    found = self._step(track, scope, silent, talking, now_ms, offset)
                    if found is not None:
                        transitions.append(found)
        if not transitions:
            self._settle(progress)
        return transitions

    def _learn(self, progress: Mapping[str, Progress]) -> None:
        """Baselines take in the minutes that are closed by now."""

        def closed(table: str) -> int | None:
            one = progress.get(table)
            return None if one is None or one.unsettled is not None or table not in self._begun else one.watermark_ms

        def known(table: str) -> int:
            return max(self.known_from(table), self._begun[table])

        for query, group, at in self.baselines.step(closed, known):
            for rule in self._readers[query]:
                self._track(rule, group).mark(self._floor(at))

    def _step(
        self, track: Track, scope: Scope, silent: int | None, talking: bool, now_ms: int, offset: int
    ) -> Transition | None:
        rule, state = track.rule, track.state
        many = [self._slots(part, track.group) for part in rule.parts]
        if rule.regular:
            silent = self._missing(many[0], scope)
        inhibitor = self._inhibitor(track)
        if silent is not None and inhibitor is None:
            inhibitor = self._told_silent(track)
        view = View(
            scope,
            floor=min((self._floors.get(table, 0) for table in rule.tables), default=0),
            known=max((self.known_from(table) for table in rule.tables), default=0),
            before=max((self._closed.get(table, 0) for table in rule.tables), default=0),
            silent=silent,
            talking=talking,
            inhibitor=inhibitor,
        )
        was = replace(state, levels=dict(state.levels), moves=list(state.moves))
        move = track.step(many, view)
        if move is None:
            return None
        if move.kind == "firing":
            if self._unknown(rule, move.at):
                track.state = was
                return None
            state.historical = move.at < now_ms - self._historical_after_ms
            state.alert = None
        if move.kind in ("firing", "updated"):
            state.value = value_of(move.reading, state.value)
        if not move.told:
            return Transition(track.fingerprint, track.kept(), None)
        event = self._teller.tell(track, move, many, now_ms, offset)
        if move.kind in ("firing", "no_data"):
            state.alert = event.id
        return Transition(track.fingerprint, track.kept(), event)

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

    def known_from(self, table: str) -> int:
        """From there on every cell of a table is held, or there is none."""
        floor = self._floors.get(table)
        return max(self._forgotten.get(table, 0), 0 if floor is None else floor - self.reach_ms(table))

    def _unknown(self, rule: Rule, at: int) -> bool:
        """Whether groups may have lost cells to `other` within the reach of a verdict on `at`."""
        return any(
            at - rule.verdict.reach_ms - self._bucket_ms < bucket <= at
            for part in rule.parts
            for bucket in self._series[part.query].full
        )

    def states(self, progress: Mapping[str, Progress]) -> list[Standing]:
        """How each rule and group stands, but for those that are well; the gravest first, and so many at most. A rule that
        cannot be judged stands there once, without a group."""
        found: list[Standing] = []
        for rule in self._rules:
            tables = [progress[table] for table in rule.tables if table in progress]
            scope = self._scope(rule, progress)
            if any(one.behind for one in tables):
                found.append(Standing(rule.name, {}, "behind", None))
            if scope.closed is not None and self._unknown(rule, scope.closed):
                found.append(Standing(rule.name, {}, "unknown", None))
            for learned in self.baselines.of(rule):
                if learned.state in ("learning", "unknown"):
                    group = dict(zip(rule.by, learned.group, strict=True))
                    found.append(Standing(rule.name, group, learned.state, None))
            tracks = islice(self._tracks[rule.full_name].values(), STANDINGS)
            found += [one for track in tracks if (one := self._standing(track, scope)) is not None]
        return sorted(found, key=lambda one: GRAVEST.index(one.state))[:STANDINGS]

    def _standing(self, track: Track, scope: Scope) -> Standing | None:
        state, verdict = track.state, track.rule.verdict
        if state.status in ("firing", "no_data"):
            return Standing(track.rule.name, track.named_group, state.status, state.since)
        judge = verdict.judge if isinstance(verdict, Leaf) else None
        if isinstance(judge, GaugeJudge | HoldJudge) and isinstance(verdict, Leaf):
            since = judge.pending(self._slots(track.rule.parts[verdict.place], track.group), scope)
            if since is not None:
                return Standing(track.rule.name, track.named_group, "pending", since)
        return None

    # --- silence and inhibition ---------------------------------------------------------------------------------------

    def _silent(self, rule: Rule, scope: Scope) -> int | None:
        """Since when one of its tables has been silent, though it should not be."""
        if scope.closed is None or scope.end is not EVER or rule.regular or rule.no_data == "hold":
            return None
        found = [
            self._activity[table].silent_since(scope.closed, self._bucket_ms, self._no_data_after_ms) for table in rule.tables
        ]
        return max((since for since in found if since is not None), default=None)

    def _missing(self, slots: Slots, scope: Scope) -> int | None:
        """Since when a gauge or a probe has been silent for longer than its gaps explain."""
        if scope.closed is None or scope.end is not EVER or not slots.buckets:
            return None
        if scope.closed < slots.buckets[-1] + self._bucket_ms + self._no_data_after_ms:
            return None
        times = sorted({ms for slot in slots.latest(GAPS) for ms, _, _ in slot.totals.events})[-GAPS:]
        if len(times) <= GAPS_KNOWN:
            return None
        gap = median_low([later - earlier for earlier, later in pairwise(times)])
        end = self._floor(times[-1]) + self._bucket_ms
        return end if scope.closed >= end + max(self._no_data_after_ms, GAPS_MISSED * gap) else None

    def _told_silent(self, track: Track) -> str | None:
        """The alert that says already that a table of this rule is silent."""
        for rule in self._rules:
            if rule.tables & track.rule.tables:
                for other in self._tracks[rule.full_name].values():
                    if other is not track and other.state.status == "no_data" and other.state.inhibited_by is None:
                        return other.state.alert
        return None

    def _inhibitor(self, track: Track) -> str | None:
        """The alert that makes this one page nobody: of an inhibiting rule, about the same thing."""
        mine = track.named_group
        for name in track.rule.inhibited_by:
            for other in self._tracks.get(name, {}).values():
                theirs = other.named_group
                if other.firing and all(mine[key] == value for key, value in theirs.items() if key in mine):
                    return other.state.alert
        return None

    # --- forgetting ---------------------------------------------------------------------------------------------------

    def _settle(self, progress: Mapping[str, Progress]) -> None:
        """Nothing is left to judge: how far is that, and what is too old to matter?"""
        for table in self._fed:
            one = progress.get(table)
            if one is None or one.watermark_ms is None or one.unsettled is not None:
                continue
            before, closed = self._closed.get(table, 0), self._floor(one.watermark_ms)
            if closed <= before:
                continue
            self._closed[table] = closed
            self._begun.setdefault(table, closed)
            if before:
                self._mark_timed(table, before)
            old = self._floor(closed - self.reach_ms(table) - LATE_MS)
            if old - self._forgotten.get(table, 0) >= 60_000:
                self._forget(table, old)

    def _mark_timed(self, table: str, bucket: int) -> None:
        """What is judged on closed buckets has something new."""
        for rule in self._rules:
            if rule.timed and table in rule.tables:
                for track in self._tracks[rule.full_name].values():
                    if not track.firing:
                        track.mark(bucket)

    def _forget(self, table: str, before: int) -> None:
        self._forgotten[table] = before
        self._activity[table].forget()
        for series in self._fed[table]:
            for group in series.forget(before):
                for rule in self._readers[series.query]:
                    self._drop(rule, group)

    def _drop(self, rule: Rule, group: Group) -> None:
        """Forgets a group that nothing is known of any more, unless something about it may still be told."""
        track = self._tracks[rule.full_name].get(group)
        if track is None or track.busy or not rule.by:
            return
        del self._tracks[rule.full_name][group]
        if track.state.judged is not None:
            self._kept[track.fingerprint] = track.kept()


