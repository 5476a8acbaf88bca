"""The lifecycle of one rule and group: what state it is in, and what moves it on.

A state is a handful of plain values that are kept in Redis and travel with the alert. All that leads to a verdict lies in
the log, so a judge that takes over from another needs the states and the cells, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rules.judges.base import Reading, Scope
from rules.rule import Rule
from rules.series import Group, Slots

Status = Literal["inactive", "firing", "resolved"]


@dataclass(slots=True)
class State:
    """All times in epoch ms of event time. `since`: the first bad event, or since when a `for` has held; `judged`: from
    there on a new episode may begin; `alert`: id of the alert that began the episode."""

    status: Status = "inactive"
    since: int = 0
    episode: int = 0
    judged: int | None = None
    updates: int = 0
    value: float | None = None
    alert: str | None = None
    inhibited_by: str | None = None
    historical: bool = False


@dataclass(slots=True)
class Track:
    """One rule and group as it is judged. `dirty`: from this bucket on there is something that was not judged yet."""

    rule: Rule
    group: Group
    fingerprint: str
    state: State = field(default_factory=State)
    dirty: int | None = None
    settled: int = 0
    """While firing: up to there it is known not to be over."""

    @property
    def named_group(self) -> dict[str, Any]:
        return dict(zip(self.rule.by, self.group, strict=True))

    @property
    def firing(self) -> bool:
        return self.state.status == "firing"

    def mark(self, bucket: int) -> None:
        """Notes that a bucket changed."""
        if self.dirty is None or bucket < self.dirty:
            self.dirty = bucket

    def begins(self, many: Sequence[Slots], scope: Scope, floor: int | None) -> tuple[int, int, Reading] | None:
        """The earliest time at which an episode begins: (when it is certain, since when, what was read)."""
        if self.dirty is None:
            return None
        earliest = max(limit for limit in (self.state.judged, floor, 0) if limit is not None)
        start = max(self.dirty, earliest - earliest % scope.bucket_ms)
        for point in self.rule.verdict.points(many, start, scope):
            if point.bad and point.at >= earliest and point.reading is not None:
                return point.at, point.since, point.reading
        # What was beyond the scope is still to be judged.
        self.dirty = max(start, scope.end) if scope.end <= self._latest(many) else None
        return None

    @staticmethod
    def _latest(many: Sequence[Slots]) -> int:
        return max((slots.buckets[-1] for slots in many if slots.buckets), default=-1)

    def ends(self, many: Sequence[Slots], scope: Scope) -> tuple[int, Reading | None] | None:
        """When the episode is over, `resolve_after` included; None while it goes on."""
        verdict, wait = self.rule.verdict, self.rule.resolve_after_ms
        # What came late may have ended it in a bucket that was looked at before.
        since = max(self.settled if self.dirty is None else min(self.settled, self.dirty - 1), self.state.since)
        while True:
            over = verdict.over(many, since, scope)
            if over is None:
                self.settled = verdict.settled(many, since, scope)
                return None
            end, reading = over
            if not wait:
                return end, reading
            if scope.closed is None or scope.closed < end + wait:
                self.settled = since
                return None
            again = self._again(many, end, scope)
            if again is None:
                return end + wait, reading
            since = again

    def _again(self, many: Sequence[Slots], end: int, scope: Scope) -> int | None:
        """When it was bad again within `resolve_after` of its end."""
        due = end + self.rule.resolve_after_ms
        for point in self.rule.verdict.points(many, end - end % scope.bucket_ms, scope):
            if point.at >= due:
                return None
            if point.bad and point.at >= end:
                return point.at
        return None

    def kept(self) -> dict[str, Any]:
        """What is kept of it."""
        return {
            "pack": self.rule.pack,
            "rule": self.rule.name,
            "version": self.rule.version,
            "group": self.named_group,
            **asdict(self.state),
        }


_FIELDS = frozenset(State.__dataclass_fields__)


def restored(kept: Mapping[str, Any]) -> State:
    """The state of what was kept."""
    return State(**{name: value for name, value in kept.items() if name in _FIELDS})
