"""The engine: merged cells in, transitions of alert states out. Pure: what it knows of the present is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rollups.cells import Cell
from rules.loader import RuleSet
from schemas.alert import AlertEvent
from schemas.tables import Key


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a table is known: complete up to `watermark_ms` (None: nowhere), `behind` while records wait to be read, as
    of `offset` of the rollups topic."""

    watermark_ms: int | None
    behind: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A state to be kept, and the alert event that announces it (None: nobody is told)."""

    fingerprint: str
    state: dict[str, Any]
    event: AlertEvent | None


class Engine:
    """Judges a set of rules. Not thread-safe."""

    def __init__(
        self, rules: RuleSet, namespace: str, bucket_ms: int, historical_after_ms: int, no_data_after_ms: int
    ) -> None:
        self._rules = rules

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose cells are wanted."""
        return frozenset()

    def reach_ms(self, table: str) -> int:
        """How far back the cells of a table matter."""
        return 0

    def restore(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Takes over what was kept."""

    def update(self, table: str, bucket: int, key: Key, cell: Cell) -> None:
        """A merged cell as it is now."""

    def judge(self, now_ms: int, progress: Mapping[str, Progress]) -> list[Transition]:
        """What changed since the last call."""
        return []
