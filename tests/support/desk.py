"""The desk of `rules.unit`, with what only the product's own tests do to it: replays and another judge that takes over."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rules.engine import Progress
from rules.loader import BUCKET_MS, RuleSet, load, read
from rules.unit.desk import START_S
from rules.unit.desk import Desk as Plain
from runtime.names import Source
from schemas.alert import AlertEvent

__all__ = ["BUCKET_MS", "START_S", "Desk", "rule", "rules", "shipped"]


def rules(text: str) -> RuleSet:
    """The rules of a pack in YAML; fails the test that wrote a bad one."""
    found = read([("test.yaml", text)])
    assert not found.problems, "\n".join(map(str, found.problems))
    return found


def rule(condition: str, **keys: Any) -> RuleSet:
    """One rule, `pack/rule`."""
    items = {"condition": condition, "severity": "high"} | keys
    return rules(f"pack: {{rule: {_flow(items)}}}")


def _flow(value: Any) -> str:
    return json.dumps(value)


def shipped(*names: str) -> RuleSet:
    """The shipped rules of these names; all of them where none is given."""
    found = load()
    return RuleSet(tuple(one for one in found.rules if not names or one.name in names))


class Desk(Plain):
    """One installation in memory that keeps its log."""

    def __init__(self, of: RuleSet, **how: Any) -> None:
        self.log: dict[Source, list[tuple[bytes, int]]] = defaultdict(list)
        """What was written to each partition: (value, the broker's time in ms)."""
        self._baselines: dict[str, Any] = {}
        self.unsettled: frozenset[str] = frozenset()
        """Tables into which events of long ago are just coming."""
        self.talking: frozenset[str] = frozenset()
        """Tables into which such events came of late."""
        super().__init__(of, **how)

    def _write(self, source: Source, value: bytes, ms: int) -> None:
        self.log[source].append((value, ms))
        super()._write(source, value, ms)

    def progress(self) -> dict[str, Progress]:
        found = super().progress()
        found |= {table: replace(found[table], talking=True) for table in self.talking}
        return found | {table: replace(found[table], unsettled=int(self.now * 1000) - 30_000) for table in self.unsettled}

    def _keep_baselines(self) -> None:
        self._baselines |= json.loads(json.dumps(self.engine.baselines.changed()))
        self.engine.baselines.kept()

    def replay(self, log: Mapping[Source, list[tuple[bytes, int]]], pieces: int) -> list[AlertEvent]:
        """The log of another desk, read again as a worker that is behind reads it: one partition far ahead of the next, in
        some pieces."""
        self.behind = True
        told: list[AlertEvent] = []
        for piece in range(pieces):
            for source, records in log.items():
                for value, ms in records[len(records) * piece // pieces : len(records) * (piece + 1) // pieces]:
                    self._write(source, value, ms)
                told += self.look()
        self.behind = False
        self.beat()
        return told + self.look()

    def restart(self) -> None:
        """Another judge takes over: it has the states, how far was judged, and the cells, and nothing else."""
        kept = json.loads(json.dumps(self.engine.kept()))
        self._keep_baselines()
        self.engine = self._engine()
        self.engine.baselines.restore(self._baselines, ())
        self.engine.restore(json.loads(json.dumps(list(self.states.values()))), kept)
        for bucket, tables in self.merger._buckets.items():
            for table, versions in tables.items():
                for rows in versions.values():
                    self.merger._changed[table, bucket].update(rows)
