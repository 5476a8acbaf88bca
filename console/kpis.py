"""The key figures: what a window of the tables holds in, the shapes of the contract out. Pure.

Each figure is a signal that rules can compare (rules/signals.yaml), so nobody sees another number than was judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from console.readings import Pulse, Totals, Window
from console.series import Cut
from console.shapes import (
    ErrorFigures,
    Gauge,
    Level,
    PaymentFigures,
    PerformanceFigures,
    SecurityFigures,
    Span,
    Target,
)
from rollups.cells import Cell, Stat
from rollups.sketch import Bins, add_bins, quantile
from rules.signals import Filter, Signal, shipped
from schemas.tables import TABLES, Key, Table

Held = Mapping[str, Totals]
"""What the window holds of each table."""
CATEGORIES = ("application", "payment", "webhook", "configuration", "security")
TABLES_OF: dict[str, tuple[str, ...]] = {
    "payments": ("payments", "payment_cohorts"),
    "errors": ("requests", "errors"),
    "security": ("security", "webhooks"),
    "performance": ("requests", "resources", "queries", "calls"),
}
"""What each of the figures is made of."""
TOLD_BY = ("currency", "category", "host")
"""By which figures are told as well."""
TARGETS: Mapping[str, tuple[Literal["above", "below"], float]] = {
    "payment_success_rate": ("above", 0.95),
    "avg_payment_latency": ("below", 5.0),
    "payment_failure_rate": ("below", 0.05),
    "conversion_rate": ("above", 0.80),
    "error_rate": ("below", 0.05),
}
"""What a signal should be, in its unit."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the figures are of, and how up to date they are."""

    window: Window
    pulse: Pulse

    def marks(self) -> dict[str, object]:
        span = Span(start=self.window.start_ms, end=self.window.end_ms)
        return {"window": span, "as_of": self.pulse.as_of_ms, "stale": self.pulse.state != "live"}


def cut_of(name: str, *more: str, sketches: bool = False) -> Cut:
    """What is to be read of a table so that every signal can be told: the dimensions that signals choose by, and more."""
    chosen = {
        dimension
        for signal in shipped().values()
        if name in (*signal.tables, signal.of_table)
        for dimension, _ in (*signal.where, *signal.of)
    }
    return Cut(name, frozenset({*chosen, *more} & set(TABLES[name].dimensions)), sketches)


# --- signals ----------------------------------------------------------------------------------------------------------


def value(name: str, held: Held) -> float | None:
    """The signal over all groups, in its unit: a share, a ratio, a count, a sum, a mean, a quantile or the largest sample. A
    quantile wants sketches."""
    signal = shipped()[name]
    table = TABLES[signal.tables[0]]
    if signal.aggregate == "share":
        base, part = _count(signal.where, table, held), _count(signal.of, TABLES[signal.of_table or table.name], held)
        return part / base if base else None
    if signal.aggregate == "ratio":
        cells = _cells(signal.where, table, held)
        base = sum(cell.count for _, cell in cells)
        return sum(cell.count for _, cell in _chosen(signal.of, table, cells)) / base if base else None
    if signal.aggregate in ("count", "daily"):
        return _count(signal.where, table, held)
    cells = _cells(signal.where, table, held)
    n, total = _measured(signal, cells)
    if signal.aggregate == "sum":
        return total / signal.scale
    if signal.aggregate == "mean":
        return total / n / signal.scale if n else None
    at, _ = signal.measured()
    stats = [cell.stats[at] for _, cell in cells if at < len(cell.stats)]
    if signal.aggregate == "max":
        highs = [stat.high for stat in stats if stat.high is not None]
        return max(highs) / signal.scale if highs else None
    assert signal.aggregate == "quantile", f"{name} cannot be told by totals"
    found = quantile_of(stats, signal.q)
    return None if found is None else found / signal.scale


def grouped(name: str, by: tuple[str, ...], held: Held) -> dict[tuple[object, ...], float | None]:
    """The same for each group, by the values of these dimensions, which all of the signal's tables have."""
    signal = shipped()[name]
    tables = (signal.tables[0], *(() if signal.of_table is None else (signal.of_table,)))
    groups: dict[tuple[object, ...], dict[str, Totals]] = {}
    for table in tables:
        places = [TABLES[table].dimensions.index(dimension) for dimension in by]
        for key, cell in _cells(() if signal.aggregate == "share" else signal.where, TABLES[table], held):
            group = tuple(key[at] for at in places)
            groups.setdefault(group, {one: {} for one in tables})[table][key] = cell
    return {group: value(name, part) for group, part in groups.items()}


def percentile(signal: Signal, cells: Iterable[tuple[Key, Cell]], q: float) -> float | None:
    """The value of the signal's measure below which a share q of the events lies; None unless the cells have sketches."""
    at, _ = signal.measured()
    found = quantile_of((cell.stats[at] for _, cell in cells if at < len(cell.stats)), q)
    return None if found is None else found / signal.scale


def percentiles(signal: Signal, cells: Iterable[tuple[Key, Cell]], qs: Iterable[float]) -> list[float | None]:
    """The same for several shares."""
    at, _ = signal.measured()
    bins: Bins = {}
    for _, cell in cells:
        if at < len(cell.stats):
            add_bins(bins, cell.stats[at].bins or {})
    found = (quantile(bins, q) for q in qs)
    return [None if one is None else one / signal.scale for one in found]


def quantile_of(stats: Iterable[Stat], q: float) -> float | None:
    """A quantile of what some sketches hold together, as it is stored."""
    bins: Bins = {}
    for stat in stats:
        add_bins(bins, stat.bins or {})
    return quantile(bins, q)


def _count(chosen: Iterable[tuple[str, tuple[object, ...]]], table: Table, held: Held) -> int:
    return sum(cell.count for _, cell in _cells(chosen, table, held))


def _cells(chosen: Iterable[tuple[str, tuple[object, ...]]], table: Table, held: Held) -> list[tuple[Key, Cell]]:
    return _chosen(chosen, table, held[table.name].items())


def _chosen(
    chosen: Iterable[tuple[str, tuple[object, ...]]], table: Table, cells: Iterable[tuple[Key, Cell]]
) -> list[tuple[Key, Cell]]:
    found = list(cells)
    for name, values in chosen:
        at = table.dimensions.index(name)
        found = [one for one in found if one[0][at] in values]
    return found


def _measured(signal: Signal, cells: Iterable[tuple[Key, Cell]]) -> tuple[int, int]:
    """(how many events carried the signal's measure, its total as it is stored)."""
    at, _ = signal.measured()
    stats = [cell.stats[at] for _, cell in cells if at < len(cell.stats)]
    return sum(stat.n for stat in stats), sum(stat.total for stat in stats)


def _by(dimension: str, table: Table, chosen: Filter, held: Held) -> dict[object, list[tuple[Key, Cell]]]:
    at = table.dimensions.index(dimension)
    groups: dict[object, list[tuple[Key, Cell]]] = {}
    for key, cell in _cells(chosen, table, held):
        groups.setdefault(key[at], []).append((key, cell))
    return groups


def _whole(name: str, held: Held) -> int:
    found = value(name, held)
    assert found is not None, f"{name} is a count"
    return int(found)


# --- figures ----------------------------------------------------------------------------------------------------------


def target(name: str, found: float | None) -> Target:
    """What the signal should be above or below, and whether it is."""
    side, limit = TARGETS[name]
    if side == "above":
        return Target(above=limit, met=None if found is None else found > limit)
    return Target(below=limit, met=None if found is None else found < limit)


def payments(seen: Seen, held: Held, day: Held) -> PaymentFigures:
    """`day`: what the last 24 hours hold of the table of payments."""
    success, latency = value("payment_success_rate", held), value("avg_payment_latency", held)
    failure, conversion = value("payment_failure_rate", held), value("conversion_rate", held)
    revenue = shipped()["revenue"]
    currencies = _by("currency", TABLES["payments"], revenue.where, held)
    return PaymentFigures(
        success_rate=success,
        average_latency=latency,
        failure_rate=failure,
        decline_rate=value("payment_decline_rate", held),
        daily_volume=_whole("payment_volume", day),
        conversion_rate=conversion,
        revenue={str(name): _measured(revenue, cells)[1] for name, cells in sorted(currencies.items(), key=str)},
        targets={
            "success_rate": target("payment_success_rate", success),
            "average_latency": target("avg_payment_latency", latency),
            "failure_rate": target("payment_failure_rate", failure),
            "conversion_rate": target("conversion_rate", conversion),
        },
        **seen.marks(),
    )


def errors(seen: Seen, held: Held) -> ErrorFigures:
    rate = value("error_rate", held)
    by_category = _by("category", TABLES["errors"], shipped()["errors_raised"].where, held)
    return ErrorFigures(
        error_rate=rate,
        error_count=_whole("errors_raised", held),
        error_categories={
            category: sum(cell.count for _, cell in by_category.get(category, ())) for category in CATEGORIES
        },
        critical_errors=_whole("critical_errors", held),
        resolved_errors=_whole("resolved_errors", held),
        targets={"error_rate": target("error_rate", rate)},
        **seen.marks(),
    )


def security(seen: Seen, held: Held) -> SecurityFigures:
    return SecurityFigures(
        authentication_failures=_whole("failed_auth_attempts", held),
        authorization_violations=_whole("authorization_violations", held),
        webhook_security_violations=_whole("invalid_webhook_signatures", held),
        suspicious_activities=_whole("suspicious_activities", held),
        blocked_requests=_whole("blocked_requests", held),
        security_incidents=_whole("security_incidents", held),
        **seen.marks(),
    )


def performance(seen: Seen, held: Held) -> PerformanceFigures:
    seconds = (seen.window.end_ms - seen.window.start_ms) / 1000
    served = _whole("throughput", held)
    return PerformanceFigures(
        response_time=gauge(value("avg_response_time", held), "s", 5.0, 10.0),
        throughput=gauge(served / seconds if served else None, "1/s"),
        cpu=_load("cpu", held, 0.70, 0.90),
        memory=_load("memory", held, 0.80, 0.95),
        disk=_load("disk", held, 0.80, 0.95),
        database_query_time=gauge(value("avg_query_time", held), "s", 1.0, 5.0),
        network_latency=gauge(value("avg_api_latency", held), "s", 5.0, 10.0),
        **seen.marks(),
    )


def gauge(
    found: float | None, unit: str, warning: float | None = None, critical: float | None = None, of: str | None = None
) -> Gauge:
    """A figure, and whether it is beyond its limits."""
    state: Level = "ok"
    if found is None:
        state = "unknown"
    elif critical is not None and found > critical:
        state = "critical"
    elif warning is not None and found > warning:
        state = "warning"
    return Gauge(value=found, unit=unit, warning=warning, critical=critical, state=state, of=of)


def _load(resource: str, held: Held, warning: float, critical: float) -> Gauge:
    """The mean of the host where it is highest, as a fraction."""
    signal = shipped()[f"{resource}_usage"]
    means: list[tuple[float, str]] = []
    for host, cells in _by("host", TABLES["resources"], signal.where, held).items():
        n, total = _measured(signal, cells)
        if n:
            means.append((total / n / signal.scale / 100, str(host)))
    worst, host = max(means, default=(None, None))
    return gauge(worst, "ratio", warning, critical, host)


FIGURES: dict[str, Callable[[Seen, Held], ErrorFigures | SecurityFigures | PerformanceFigures]] = {
    "errors": errors,
    "security": security,
    "performance": performance,
}
"""Those that need nothing but their window."""
