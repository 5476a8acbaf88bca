"""Rows of tables and statuses of workers, in the words of the domain."""

from __future__ import annotations

from typing import Any

from rollups.cells import Cell, Stat
from rollups.sketch import bin_of
from schemas.tables import TABLES, Key

NOW_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 43_205_000
"""12:00:05 of a day."""
OPEN_MS = NOW_MS - 5_000
"""The start of the 10 s that are open."""
Table = str


def cells(table: Table, rows: list[dict[str, Any]]) -> dict[Key, Cell]:
    """Cells by key: each row has dimensions, `count` (1), and of measures the value that each of its events has."""
    found: dict[Key, Cell] = {}
    for row in rows:
        of = TABLES[table]
        count = row.get("count", 1)
        key = tuple(row.get(name) for name in of.dimensions)
        stats = []
        for measure in of.measures:
            value = row.get(measure.name)
            if value is None:
                stats.append(Stat())
                continue
            stored = round(value * 1000) if measure.thousandths else value
            bins = {bin_of(stored): count} if measure.sketch else None
            stats.append(Stat(count, stored * count, stored, stored, bins))
        found.setdefault(key, Cell()).add(Cell(count=count, times=None, stats=stats))
    return found


def paid(count: int = 1, **row: Any) -> dict[str, Any]:
    return {
        "outcome": "succeeded", "provider": "ozow", "method": "eft", "currency": "ZAR", "amount": 10_000, "latency_ms": 2000.0,
        "count": count,
    } | row  # fmt: skip


def failed(count: int = 1, fault: str = "technical", **row: Any) -> dict[str, Any]:
    return paid(count, outcome="failed", fault=fault, reason="timeout", latency_ms=4000.0) | row


def status(at: float, *, now_ms: int = NOW_MS, **more: Any) -> dict[str, Any]:
    """What a worker that leads says of itself."""
    return {
        "name": "worker-a",
        "pid": 1,
        "host": "here",
        "started_at": "2026-09-21T08:00:00Z",
        "at": at,
        "partitions": [
            {"topic": "t.payments.v1", "partition": 0, "next": 90, "end": 100, "watermark_ms": now_ms - 30_000, "behind": False}
        ],
        "last_flush_at": now_ms / 1000,
        "leader": True,
        "leader_lag": 3,
        "table_watermarks": {"payments": now_ms - 30_000, "health": None},
        "baselines": [],
        "rules": {"count": 30, "states": []},
    } | more
