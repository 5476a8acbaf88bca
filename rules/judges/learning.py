"""Shares of a baseline: nothing is judged while the baseline is being learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rules.judges.base import Over, Point, Scope, settled_at_close
from rules.series import Slots


@dataclass(frozen=True, slots=True)
class LearningJudge:
    """Answers LEARNING: it has no verdict."""

    window_ms: int

    @property
    def reach_ms(self) -> int:
        return 0

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        return iter(())

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
