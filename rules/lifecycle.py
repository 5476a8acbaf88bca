"""The lifecycle of one rule and group: what state it is in, and what moves it on.

A state is a handful of plain values that are kept in Redis and travel with the alert. All that leads to a verdict lies in
the log, so a judge that takes over from another needs the states and the cells, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rules.judges.base import Over, Point, Reading, Scope
from rules.judges.compound import Leaf, Verdict
from rules.judges.count import SpanlessJudge
from rules.rule import Rule
from rules.series import Group, Slots
from schemas.alert import Transition
from schemas.severity import SeverityName

Status = Literal["inactive", "firing", "resolved", "no_data"]

FLAPS = 6
FLAPS_WITHIN_MS = 3_600_000
"""A state that began or ended more often than this within that time is flapping."""
NOTABLE = 0.1
"""Share by which a late event must change the value of an alert to be told."""


@dataclass(slots=True)
class State:
    """All times in epoch ms of event time.

    since: the first bad event, or since when a `for` has held. episode: the bucket in which it lies; again: how many episodes
    began in it before this one. judged: from there on a new episode may begin. alert: id of the alert that began the episode.
    levels: severity → since when its threshold has been crossed. moves: when episodes began or ended of late; untold: how many
    of these were not told because the state flaps. silent: since when the source has been silent, where that was told; fired:
    whether it was firing then.
    """

    status: Status = "inactive"
    since: int = 0
    episode: int = 0
    again: int = 0
    judged: int | None = None
    updates: int = 0
    value: float | None = None
    alert: str | None = None
    inhibited_by: str | None = None
    historical: bool = False
    severity: SeverityName | None = None
    levels: dict[str, int] = field(default_factory=dict)
    moves: list[int] = field(default_factory=list)
    flapping: bool = False
    untold: int = 0
    silent: int | None = None
    fired: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """One transition. at: the event time of what made it; told: whether anybody is told."""

    kind: Transition
    at: int
    reading: Reading | None
    late: bool = False
    told: bool = True
    words: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What is known from outside. floor: nothing before it begins an episode; known: from there on all cells are held;
    before: how far was closed when it was judged last. silent: since when nothing has come from its source, though it should
    have; talking: events of long ago came of late, so it is not. inhibitor: the alert that says it already."""

    scope: Scope
    floor: int
    known: int
    before: int
    silent: int | None
    talking: bool
    inhibitor: str | None

    @property
    def bucket_ms(self) -> int:
        return self.scope.bucket_ms

    def bucket(self, ms: int) -> int:
        return ms - ms % self.scope.bucket_ms


@dataclass(slots=True)
class Track:
    """One rule and group as it is judged. `dirty`: from this bucket on there is something that was not judged yet."""

    rule: Rule
    group: Group
    fingerprint: str
    state: State = field(default_factory=State)
    dirty: int | None = None
    settled: dict[str, int] = field(default_factory=dict)
    """For the condition ('') and each level that is crossed: up to there it is known not to be over."""

    @property
    def named_group(self) -> dict[str, Any]:
        return dict(zip(self.rule.by, self.group, strict=True))

    @property
    def firing(self) -> bool:
        return self.state.status == "firing"

    @property
    def severity(self) -> SeverityName:
        return self.state.severity or self.rule.severity

    @property
    def busy(self) -> bool:
        """Whether time alone may move it on."""
        return self.dirty is not None or self.state.status in ("firing", "no_data") or self.state.flapping

    def mark(self, bucket: int) -> None:
        """Notes that a bucket changed."""
        if self.dirty is None or bucket < self.dirty:
            self.dirty = bucket

    def kept(self) -> dict[str, Any]:
        """What is kept of it."""
        return {
            "pack": self.rule.pack,
            "rule": self.rule.name,
            "version": self.rule.version,
            "group": self.named_group,
            **asdict(self.state),
        }

    # --- one step -----------------------------------------------------------------------------------------------------

    def step(self, many: Sequence[Slots], view: View) -> Move | None:
        """The next transition, if there is one; the state is what it is after it."""
        if self.state.status == "no_data":
            late = self.state.fired and self.dirty is not None
            return self._silence(view) or (self._end(many, view) if late else None)
        if self.firing:
            moved = self._retract(many, view) or self._end(many, view) or self._update(many, view)
        else:
            moved = self._begin(many, view)
        return moved or self._calm(view) or self._silence(view)  # what the data say comes before that there are none

    def _silence(self, view: View) -> Move | None:
        state, policy = self.state, self.rule.no_data
        if state.status == "no_data":
            if view.silent is not None:
                return None
            at = state.silent or 0
            state.status, state.silent = ("firing" if state.fired else "resolved"), None
            if state.fired:
                state.updates += 1
                return Move("updated", at, None, words="data came again, and it was not over when it ended")
            state.judged = max(state.judged or 0, at)
            return Move("resolved", at, None, words="data came again")
        if view.silent is None or view.talking or policy == "hold":
            return None
        if policy in ("ok", "zero"):
            if not self.firing or (policy == "zero" and not self.rule.upward):
                return None
            state.status, state.judged = "resolved", view.silent
            return Move("resolved", view.silent, None, words=f"no data counts as {policy}")
        if state.silent == view.silent:
            return None
        state.fired, state.silent, state.status = self.firing, view.silent, "no_data"
        if not state.fired:
            state.since, state.episode = view.silent, view.bucket(view.silent)
            state.updates = state.again = 0
            state.severity, state.inhibited_by = None, view.inhibitor
        return Move("no_data", view.silent, None)

    # --- it begins ----------------------------------------------------------------------------------------------------

    def _begin(self, many: Sequence[Slots], view: View) -> Move | None:
        found = self._first_bad(many, view)
        if found is None or found.reading is None:
            return None
        state, at, episode = self.state, found.at, view.bucket(found.since)
        state.again = state.again + 1 if state.alert is not None and episode == state.episode else 0
        state.status, state.since, state.episode = "firing", found.since, episode
        state.updates, state.levels, state.severity, state.inhibited_by = 0, {}, None, view.inhibitor
        self.settled = {"": at}
        reading = self._grown(many, view) or found.reading
        level = self._level(many, view)
        return self._moved(Move("firing", at, level or reading, late=at + view.bucket_ms <= view.before), view)

    def _first_bad(self, many: Sequence[Slots], view: View) -> Point | None:
        if self.dirty is None:
            return None
        scope, earliest = view.scope, max(self.state.judged or 0, view.floor)
        start = max(self.dirty, view.bucket(earliest))
        held: Point | None = None  # bad since outside of the hours of a rule that has some
        for point in self.rule.verdict.points(many, start, scope):
            if held is not None and self._on_duty(held) < point.at:
                return held._replace(at=self._on_duty(held))
            held = None
            if point.bad and point.at >= earliest:
                if self._on_duty(point) == point.at:
                    return point
                held = point
        if held is not None:
            due = self._on_duty(held)
            if due <= max(scope.closed or 0, *((slots.last() or 0) for slots in many)):
                return held._replace(at=due)
            self.dirty = start
            return None
        # What was beyond the scope is still to be judged.
        latest = max((slots.buckets[-1] for slots in many if slots.buckets), default=-1)
        self.dirty = max(start, scope.end) if scope.end <= latest else None
        return None

    def _on_duty(self, point: Point) -> int:
        return point.at if self.rule.during is None else self.rule.during.next(point.at)

    # --- it ends ------------------------------------------------------------------------------------------------------

    def _retract(self, many: Sequence[Slots], view: View) -> Move | None:
        """Takes it back where the events that came late make it never true."""
        state = self.state
        if self.dirty is None or self.dirty > state.since or self.rule.baselined:
            return None  # a baseline has learned from what came in time
        start = view.bucket(state.since)
        if start - self.rule.verdict.reach_ms < view.known or view.scope.end <= start:
            return None
        again = next((point for point in self.rule.verdict.points(many, start, view.scope) if point.bad), None)
        if again is None:
            state.status, state.judged = "inactive", None
            return Move("retracted", state.since, None, late=True, words="events that came late make it untrue")
        return None

    def _end(self, many: Sequence[Slots], view: View) -> Move | None:
        over = self._over("", self.rule.verdict, self.state.since, many, view)
        if over is None:
            return None
        end, reading = over
        self.state.status, self.state.judged = "resolved", end
        self.mark(view.bucket(end))
        return self._moved(Move("resolved", end, reading), view)

    def _over(self, name: str, verdict: Verdict, since: int, many: Sequence[Slots], view: View) -> Over | None:
        """When it was over, `resolve_after` included; None while it goes on."""
        settled, wait, scope = self.settled.get(name, since), self.rule.resolve_after_ms, view.scope
        # What came late may have ended it in a bucket that was looked at before.
        begin = max(settled if self.dirty is None else min(settled, self.dirty - 1), since)
        while True:
            over = verdict.over(many, begin, scope)
            if over is None:
                self.settled[name] = verdict.settled(many, begin, scope)
                return None
            end, reading = over
            if not wait:
                return over
            if scope.closed is None or scope.closed < end + wait:
                self.settled[name] = begin
                return None
            again = next(
                (point.at for point in verdict.points(many, view.bucket(end), scope) if point.bad and point.at >= end), None
            )
            if again is None or again >= end + wait:
                return end + wait, reading
            begin = again

    # --- it goes on ---------------------------------------------------------------------------------------------------

    def _update(self, many: Sequence[Slots], view: View) -> Move | None:
        state, changed, late = self.state, self.dirty is not None, self.dirty is not None and self.dirty < view.before
        severity, level = self.severity, self._level(many, view)
        reading = level if self.severity != severity else None
        if changed and reading is None:
            reading = self._more(many, view) if self._spanless is not None else self._otherwise(many, view) if late else None
        self.dirty = None
        lifted = state.inhibited_by is not None and view.inhibitor is None
        if lifted:
            state.inhibited_by = None
        if reading is None and not lifted and self.severity == severity:
            return None
        state.updates += 1
        words = "it goes on, and what explained it is over" if lifted and reading is None else None
        return Move("updated", state.since, reading, late=late, told=not state.flapping, words=words)

    def _level(self, many: Sequence[Slots], view: View) -> Reading | None:
        """Works out how bad it is, and returns what was read of the worst level that is crossed."""
        worst: Reading | None = None
        for level in self.rule.levels:  # the worst first
            name, state = level.severity, self.state
            if name in state.levels:
                if self._over(name, level.verdict, state.levels[name], many, view) is not None:
                    del state.levels[name]
                    self.settled.pop(name, None)
            elif self.dirty is not None:
                start = max(self.dirty, view.bucket(state.since))
                points = level.verdict.points(many, start, view.scope)
                found = next((point for point in points if point.bad and point.at >= state.since), None)
                if found is not None:
                    state.levels[name] = self.settled[name] = found.at
                    worst = worst or found.reading
        crossed = [level.severity for level in self.rule.levels if level.severity in self.state.levels]
        self.state.severity = crossed[0] if crossed else None
        return worst if crossed else None

    @property
    def _spanless(self) -> SpanlessJudge | None:
        verdict = self.rule.verdict
        judge = verdict.judge if isinstance(verdict, Leaf) else None
        return judge if isinstance(judge, SpanlessJudge) else None

    def _grown(self, many: Sequence[Slots], view: View) -> Reading | None:
        """Of a rule without a span: what it has come to."""
        judge = self._spanless
        return None if judge is None else judge.grown(many[0], self.state.since, view.scope.end)

    def _more(self, many: Sequence[Slots], view: View) -> Reading | None:
        grown, held = self._grown(many, view), self.state.value
        return grown if grown is not None and (held is None or grown.value > held) else None

    def _otherwise(self, many: Sequence[Slots], view: View) -> Reading | None:
        """The first verdict as the events that came late make it, if its value is quite another."""
        start, held = view.bucket(self.state.since), self.state.value
        if held is None or start - self.rule.verdict.reach_ms < view.known or self.rule.baselined:
            return None
        points = self.rule.verdict.points(many, start, view.scope)
        again = next((point.reading for point in points if point.bad), None)
        return again if again is not None and abs(float(again.value) - held) > NOTABLE * abs(held) else None

    # --- it flaps -----------------------------------------------------------------------------------------------------

    def _moved(self, move: Move, view: View) -> Move:
        """Notes that an episode began or ended; from too many an hour on, only the first is told."""
        state = self.state
        state.moves = [ms for ms in state.moves if move.at - ms < FLAPS_WITHIN_MS] + [move.at]
        state.moves = state.moves[-4 * FLAPS :]
        if state.flapping:
            state.untold += 1
            return Move(move.kind, move.at, move.reading, move.late, told=False)
        state.flapping = len(state.moves) > FLAPS
        return move

    def _calm(self, view: View) -> Move | None:
        """Sums up what was not told, once it has been calm for so long that half as many lie within the hour."""
        state, closed = self.state, view.scope.closed
        if not state.flapping or closed is None:
            return None
        if sum(closed - ms < FLAPS_WITHIN_MS for ms in state.moves) > FLAPS // 2:
            return None
        state.flapping = False
        untold, state.untold = state.untold, 0
        words = f"it began or ended {untold} times more, and is calm now"
        if self.firing:
            state.updates += 1
            return Move("updated", closed, None, words=words)
        return Move("resolved", closed, None, words=words) if untold else None


_FIELDS = frozenset(State.__dataclass_fields__)


def restored(kept: Mapping[str, Any]) -> State:
    """The state of what was kept."""
    return State(**{name: value for name, value in kept.items() if name in _FIELDS})
