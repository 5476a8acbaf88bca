"""A rule that can be judged: what a pack says, checked and put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from rules.condition import Condition, Test
from rules.judges.base import UPWARD
from rules.judges.compound import Verdict
from rules.series import Group, Query
from rules.signals import Signal
from runtime.schedule import Schedule
from schemas.severity import SeverityName
from schemas.tables import Value

if TYPE_CHECKING:
    from rules.judges.baseline import BaselineJudge

MIN_EVENTS = 5
CONFIDENCE = 0.95

Name = tuple[str, str]
"""Pack and rule."""


@dataclass(frozen=True, slots=True)
class Part:
    """One test of a condition with its signal and what it looks at.

    baseline: what judges it, where it is compared with one. resolve: what it is compared with to be over, where that is not the
    threshold. above: what a share counts above the part before it; no test of its own.
    """

    test: Test
    signal: Signal
    query: Query
    baseline: BaselineJudge | None = None
    resolve: Test | None = None
    above: bool = False

    @property
    def narrowed(self) -> dict[str, Value]:
        """What a rule narrows its signal to: dimensions with the one value that they may have."""
        usual = dict(self.signal.where)
        return {name: values[0] for name, values in self.query.where if usual.get(name) != values}

    def group_of(self, signal: str, named: Mapping[str, Value]) -> Group | None:
        """The group of this test that is the series of a signal with these dimensions; None where it is another's."""
        narrowed, by = self.narrowed, self.query.by
        if signal != self.signal.name or {*named} != {*narrowed, *by}:
            return None
        group = tuple(named[name] for name in by)
        return group if {**narrowed, **dict(zip(by, group, strict=True))} == named else None


NoData = Literal["ok", "zero", "alert", "hold"]
NO_DATA: tuple[NoData, ...] = get_args(NoData)
"""What silence means: nothing is wrong; zero; it is an alert; nothing is known, so nothing changes."""


@dataclass(frozen=True, slots=True)
class Level:
    """A further threshold, with the severity from there on."""

    severity: SeverityName
    test: Test
    verdict: Verdict


@dataclass(frozen=True)
class Rule:
    """One rule. `parts`: its tests from left to right; `verdict` judges them together; `version` changes with its text."""

    pack: str
    name: str
    condition: Condition
    severity: SeverityName
    channels: tuple[str, ...]
    by: tuple[str, ...]
    parts: tuple[Part, ...]
    verdict: Verdict
    version: str
    min_events: int = MIN_EVENTS
    confidence: float = CONFIDENCE
    resolve: str | None = None
    resolve_after_ms: int = 0
    levels: tuple[Level, ...] = ()
    """The worst first."""
    no_data: NoData = "hold"
    during: Schedule | None = None
    inhibited_by: tuple[Name, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    summary: str | None = None
    runbook: str | None = None
    enabled: bool = True
    file: str = ""
    line: int = 0

    @cached_property
    def full_name(self) -> Name:
        return (self.pack, self.name)

    @cached_property
    def baselined(self) -> bool:
        """Whether it compares with a baseline."""
        return any(part.baseline is not None for part in self.parts)

    @cached_property
    def timed(self) -> bool:
        """Whether its verdict may change because time passes, without an event."""
        return any(
            part.test.comparison not in UPWARD
            or part.baseline is not None
            or part.signal.aggregate in ("share", "silence", "completeness")
            or (part.test.span is not None and part.test.span.lasts)
            for part in self.parts
        )

    @cached_property
    def regular(self) -> bool:
        """Whether it is about what comes at regular times, so that each group's silence shows by itself."""
        return self.no_data == "alert" and all(part.signal.aggregate in ("max", "last", "streak") for part in self.parts)

    @cached_property
    def upward(self) -> bool:
        """Whether more is worse."""
        return all(part.test.comparison in UPWARD for part in self.parts)

    @cached_property
    def tables(self) -> frozenset[str]:
        return frozenset(part.query.table for part in self.parts)
