"""What incidents cost: failed payments beyond what is usual, and the sums that they are about, from the rollup tables.

An incident about a provider is charged with the payments of that provider, any other with all. Usual is the share that failed
in the hour before it began: so an incident that payments do not feel costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from rollups.tables import Rows, TableStore
from schemas.incident import Impact, Incident
from schemas.severity import SEVERITIES
from schemas.tables import TABLES

TABLE, RESOLUTION, MINUTE_MS = "payments", "1m", 60_000
BEFORE_MS, LONGEST_MS = 60 * MINUTE_MS, 6 * 60 * MINUTE_MS
"""The time that tells what is usual, and the longest time that is looked at."""
MOST = 20
"""Incidents that are looked at together, the worst first."""

_DIMENSIONS = TABLES[TABLE].dimensions
_OUTCOME, _PROVIDER, _CURRENCY = (_DIMENSIONS.index(name) for name in ("outcome", "provider", "currency"))
_AMOUNT = [measure.name for measure in TABLES[TABLE].measures].index("amount")


@dataclass(slots=True)
class _Sums:
    """Of succeeded and failed payments: how many, and their amounts by currency in minor units."""

    counts: dict[str, int] = field(default_factory=lambda: {"succeeded": 0, "failed": 0})
    amounts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, outcome: str, currency: str, count: int, amount: int) -> None:
        self.counts[outcome] += count
        self.amounts[outcome, currency] = self.amounts.get((outcome, currency), 0) + amount


def charged(incidents: Iterable[Incident]) -> list[Incident]:
    """Those whose cost is of interest, the worst first."""
    order = list(SEVERITIES)
    found = [one for one in incidents if one.open and one.loud]
    return sorted(found, key=lambda one: (order.index(one.severity), one.number))[:MOST]


def span(incident: Incident, now_ms: int) -> tuple[int, int]:
    """From when its payments are looked at, and from when they are its own: starts of minutes in epoch ms."""
    began = max(incident.since_ms, now_ms - LONGEST_MS)
    began -= began % MINUTE_MS
    return began - BEFORE_MS, began


def cost(incident: Incident, rows: Rows, now_ms: int) -> Impact:
    """What one incident costs, by the rows of its span."""
    first, began = span(incident, now_ms)
    providers = incident.affected("provider")
    before, since = _sums(rows, first, began, providers), _sums(rows, began, now_ms + 1, providers)
    failed = _beyond(since.counts, before.counts)
    at_risk = {}
    for currency in {currency for _, currency in since.amounts}:
        during, usual = (
            {outcome: sums.amounts.get((outcome, currency), 0) for outcome in ("succeeded", "failed")}
            for sums in (since, before)
        )
        beyond = _beyond(during, usual)
        if failed and beyond:
            at_risk[currency] = beyond
    return Impact(failed, at_risk, now_ms)


def _beyond(during: Mapping[str, int], usual: Mapping[str, int]) -> int:
    """What failed beyond the usual share, rounded down."""
    whole = usual["failed"] + usual["succeeded"]
    expected = (during["failed"] + during["succeeded"]) * usual["failed"] // whole if whole else 0
    return max(during["failed"] - expected, 0)


def _sums(rows: Rows, start: int, end: int, providers: Collection[str]) -> _Sums:
    found = _Sums()
    for bucket, cells in rows.items():
        if start <= bucket < end:
            for key, cell in cells.items():
                outcome = key[_OUTCOME]
                if outcome in ("succeeded", "failed") and (not providers or key[_PROVIDER] in providers):
                    found.add(str(outcome), str(key[_CURRENCY]), cell.count, cell.stats[_AMOUNT].total)
    return found


async def costs(tables: TableStore, incidents: Iterable[Incident], now_ms: int) -> dict[str, Impact]:
    """What incidents cost, by their ids. One bounded look-up for all of them; raises what redis raises when it is away."""
    wanted = charged(incidents)
    if not wanted:
        return {}
    rows: Rows = {}
    start = min(span(one, now_ms)[0] for one in wanted)
    async for some in tables.chunks(TABLE, RESOLUTION, start, now_ms + 1, sketches=False):
        rows |= some
    return {one.id: cost(one, rows, now_ms) for one in wanted}
