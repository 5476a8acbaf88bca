"""What the rollup tables must hold, worked out from the events alone.

Written from the contract and apart from the product's own tables and folds, so that a mistake there shows here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]
Row = tuple[Any, ...]

RESOLUTIONS_MS = {"10s": 10_000, "1m": 60_000, "1h": 3_600_000}
_FINEST_MS = 10_000

_PAYMENTS = ("outcome", "provider", "method", "currency", "fault", "reason")
# table: (dimensions, measures)
LAYOUT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "payments": (_PAYMENTS, ("amount", "latency_ms")),
    "payment_cohorts": (_PAYMENTS, ("amount", "latency_ms")),
    "merchants": (("outcome", "merchant", "currency"), ("amount",)),
    "reconciliations": (("provider", "outcome", "currency"), ("amount",)),
    "enrollments": (("step", "course"), ("processing_ms",)),
    "webhooks": (("outcome", "provider", "reason"), ("lag_ms",)),
    "health": (("component", "instance", "place", "status"), ("response_ms",)),
    "requests": (("component", "target", "outcome"), ("latency_ms",)),
    "calls": (("component", "target", "outcome"), ("latency_ms",)),
    "queries": (("component", "target", "outcome"), ("latency_ms",)),
    "resources": (("host", "resource"), ("value", "interval_s")),
    "experience": (("kind", "component", "feature", "available", "score"), ("duration_ms",)),
    "errors": (("kind", "category", "component", "critical"), ()),
    "security": (("kind", "component", "reason", "policy", "passed"), ()),
    "actors": (("kind", "actor"), ()),
    "changes": (("kind", "component", "version"), ()),
}
_TABLES = {
    "payment": ("payments", "payment_cohorts", "merchants"),
    "reconciliation": ("reconciliations",),
    "enrollment": ("enrollments",),
    "webhook": ("webhooks",),
    "health": ("health",),
    "request": ("requests",),
    "call": ("calls",),
    "query": ("queries",),
    "resource": ("resources",),
    "session": ("experience",),
    "feature": ("experience",),
    "feedback": ("experience",),
    "error": ("errors",),
    "policy": ("security",),
    "deploy": ("changes",),
    "config": ("changes",),
    "flag": ("changes",),
    "maintenance": ("changes",),
}
_SECURITY = ("security", "actors")


def ms_of(time: str) -> int:
    moment = datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000


class Oracle:
    """The expected rows. Feed it each event that was produced; a repeat (source, id) counts once."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._counts: dict[str, Counter[Row]] = defaultdict(Counter)
        self._sums: dict[str, Counter[tuple[Row, str]]] = defaultdict(Counter)
        """By table, at the finest resolution."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        identity = (event["source"], event["id"])
        if identity in self._seen:
            return
        self._seen.add(identity)
        subject, _, verb = event["type"].partition(".")
        data = {**event["data"], "kind": event["type"]}
        if subject in ("payment", "webhook"):
            data["outcome"] = verb
        if subject == "enrollment":
            data["step"] = verb
        tables = _TABLES.get(subject, _SECURITY) if event["type"] != "request.blocked" else _SECURITY
        for table in tables:
            time = data.get("initiated_at") or event["time"] if table == "payment_cohorts" else event["time"]
            dimensions, measures = LAYOUT[table]
            key = tuple(data.get(name) for name in dimensions)
            at = ms_of(time)
            row = (at - at % _FINEST_MS, *key)
            self._counts[table][row] += 1
            for measure in measures:
                if data.get(measure) is not None:
                    self._sums[table][row, measure] += round(data[measure] * 1000)

    @property
    def tables(self) -> list[str]:
        return sorted(self._counts)

    def rows(self, table: str, resolution: str) -> set[Row]:
        """{(bucket ms, dimensions…, count, sums in thousandths…)}."""
        width, measures = RESOLUTIONS_MS[resolution], LAYOUT[table][1]
        found: dict[Row, list[int]] = {}
        sums = self._sums[table]
        for (at, *key), count in self._counts[table].items():
            row = (at, *key)
            numbers = found.setdefault((at - at % width, *key), [0] * (1 + len(measures)))
            numbers[0] += count
            for place, measure in enumerate(measures, 1):
                numbers[place] += sums.get((row, measure), 0)
        return {(*row, *numbers) for row, numbers in found.items()}


def found_rows(table: str, answer: Iterable[dict[str, Any]]) -> set[Row]:
    """The rows of `tillwatch query --json` in the shape of `Oracle.rows`."""
    dimensions, measures = LAYOUT[table]
    return {
        (
            ms_of(row["bucket"]),
            *(row[name] for name in dimensions),
            row["count"],
            *(round((row[f"{measure}_sum"] or 0) * 1000) for measure in measures),
        )
        for row in answer
    }
