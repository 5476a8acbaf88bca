"""What numbers of pages are compared with, and how they are put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from console.words import NB, counted, duration, figure, grouped
from rollups.sketch import add_values, quantile
from rollups.tables import DAY
from rules.rule import Rule
from rules.signals import Signal, shipped
from schemas.incident import Incident
from schemas.time import epoch_ms
from tests.console.conftest import RULES
from tests.console.right.asking import (
    Asked,
    Row,
    count,
    during,
    mean,
    share,
    total,
)
from tests.console.right.figures import Figures
from tests.console.right.shop import Shop
from tests.console.rows import NOW_MS, OPEN_MS

WEEK = 7 * DAY
PAID = ("payment.succeeded", "payment.failed")
TAKEN_S = 240.0
"""After so long the first incident was taken."""
NO_FIGURES = (
    # names, and what tells one thing from another
    r"(.*/)?(name|title|label|signal|unit|id|key|level|version|rule_version|alert|zone|judged|who|me)",
    # times, and how old something is by the clock of the machine
    r"(.*/)?(as_of|now|start|end|from|to|since|at|last|made_at|ends|step|step_s|minutes_end|bar|now_start|now_end|\w+_at)",
    r"checks/pipeline/age_s|health/checks/pipeline/age_s|signals/.*/age_s|tiles/Known to/figure|lists/.*/evidence_age_s",
    # what rules and targets say
    r"(.*/)?(limit|window_s|warning|critical|above|below|threshold|means|decision)|kinds/.*/rule|rules/.*",
    # what somebody said, and what was written for people
    r"happened/.*|incident/(timeline|runbook|members|changes|similar|updates|calls|next_step)/.*|remarks|lists/.*/(why|note)",
    # places in a log, and what is left out where there is too much
    r"incident/evidence/(sources|samples)(/.*)?|skipped|lists/.*/items/memory/evidence",
)
"""Paths of numbers that are no figures."""


@dataclass
class Known:
    """What pages are compared with: the console, what happened, and what the rules said of it."""

    asked: Asked
    shop: Shop
    values: Mapping[tuple[str, frozenset[tuple[str, Any]]], float]
    """(signal, group) → what a rule judged of the 5 minutes that end now (of an hour, where its signal is judged later)."""
    told: Sequence[Mapping[str, Any]]
    """The alerts that the rules told now, the latest first."""
    status: Mapping[str, Any]
    incidents: Sequence[Incident]

    def judged(self, signal: str, **group: Any) -> float:
        return self.values[signal, frozenset(group.items())]

    def percentile(self, kind: str, measure: str, window: tuple[int, int], q: float, **named: Any) -> float | None:
        """Of the events themselves, as a sketch tells it, in the measure's unit. It is within 1 % of the true one."""
        values = sorted(self.shop.values(kind, measure, *window, **named))
        bins: dict[int, int] = {}
        add_values(bins, [round(value * 1000) for value in values])
        found = quantile(bins, q)
        if found is None:
            return None
        assert found / 1000 == pytest.approx(values[int(q * (len(values) - 1))], rel=0.01001, abs=0.001)
        return found / 1000

    # --- what is no matter of tables -----------------------------------------------------------------------------------

    @property
    def firing(self) -> list[Mapping[str, Any]]:
        """The alerts that fire, the worst first."""
        firing = (one for one in reversed(self.told) if one["data"]["status"] == "firing")
        return sorted(firing, key=lambda one: str(one["data"]["level"]))

    @property
    def paging(self) -> list[Mapping[str, Any]]:
        return [one for one in self.firing if not one["data"].get("inhibited_by")]

    def rule(self, name: str) -> Rule:
        return next(one for one in RULES.rules if one.name == name)

    @property
    def open(self) -> list[Incident]:
        return [one for one in self.incidents if one.open]

    def about(self, signals: Iterable[str]) -> set[str]:
        """Rules that look at one of these signals."""
        return {one.name for one in RULES.rules if {part.signal.name for part in one.parts} & {*signals}}


def lasted_s(one: Incident) -> float:
    return ((one.resolved_ms or NOW_MS) - one.since_ms) / 1000


def stations(known: Known, sources: int | None = None) -> dict[str, Any]:
    """The pipeline, by what its worker says."""
    parts, marks = known.status["partitions"], known.status["table_watermarks"].values()
    lag = sum(one["end"] - one["next"] for one in parts)
    age = (NOW_MS - min(one for one in marks if one is not None)) / 1000
    found = {
        "Kafka": {"lines": [f"{len(parts)} partitions", f"lag {grouped(lag)}"]},
        "Measure": {"lines": ["1 worker", "keeps up"]},
        "Evaluate": {"lines": [f"{len(RULES.rules)} rules", f"watermark {duration(age)} old"]},
    }
    return found if sources is None else found | {"Producers": {"lines": [counted(sources, "source"), "all speak"]}}


Comparison = Callable[[Known, Figures], Awaitable[None]]
"""Compares the numbers of an answer."""


def places(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def window_of(told: Mapping[str, Any]) -> tuple[int, int]:
    return epoch_ms(told["window"]["start"]), epoch_ms(told["window"]["end"])


def ending_now(length_ms: int) -> tuple[int, int]:
    return OPEN_MS + 10_000 - length_ms, OPEN_MS + 10_000


def line(
    window: tuple[int, int], step: int, rows: Mapping[int, Row], value: Callable[[Row], float | None], least: int = 20
) -> list[float | None]:
    """A value of each step; that of the open one from so many finished payments on."""
    found: list[float | None] = []
    for start in range(*window, step):
        row = rows.get(start, {})
        told = start + step <= NOW_MS or (least > 0 and (row.get("finished") or 0) >= least)
        found.append(places(value(row)) if told else None)
    return found


async def signal_values(known: Known, window: tuple[int, int], names: Iterable[str]) -> list[Any]:
    """The values of signals as a whole."""
    asked = ", ".join(f"({signal_sql(shipped()[name], window)})" for name in names)
    [row] = await known.asked.sql(f"select {asked}")
    return list(row.values())


def condition(chosen: Iterable[tuple[str, tuple[Any, ...]]]) -> str:
    """A filter of a signal, in SQL."""

    def of_one(name: str, values: Sequence[Any]) -> str:
        known = [f"'{one}'" if isinstance(one, str) else str(one).lower() for one in values if one is not None]
        parts = ([f"{name} in ({', '.join(known)})"] if known else []) + ([f"{name} is null"] if None in values else [])
        return f"({' or '.join(parts)})"

    return " and ".join(of_one(name, values) for name, values in chosen) or "true"


def signal_sql(signal: Signal, window: tuple[int, int], group: str = "true") -> str:
    """The value of a signal, of everything or of a group."""
    where, part = condition(signal.where), condition((*signal.where, *signal.of))
    scale = 1000 if signal.unit == "s" else 1
    value = {
        "count": lambda: count(where),
        "daily": lambda: count(where),
        "ratio": lambda: share(part, where),
        "mean": lambda: mean(str(signal.measure), scale, where),
        "sum": lambda: total(str(signal.measure), where),
        "max": lambda: f"max({signal.measure}_max) filter ({where})",
        "share": lambda: share(condition(signal.of), where),
    }[signal.aggregate]()
    if signal.of_table is not None:
        above = f"(select {count(condition(signal.of))} from {signal.of_table}_10s where {during(*window)} and {group})"
        value = f"{above} / nullif({count(where)}, 0)"
    return f"select {value} from {signal.tables[0]}_10s where {during(*window)} and {group}"


def signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    return f"{'+' if value > 0 else '−'}{text}" if float(text) else "±0"


def written(value: float) -> str:
    return grouped(round(value)) if value >= 100 else figure(value, 1, 1)


def seconds(value: float) -> str:
    return f"{value * 1000:.0f}{NB}ms" if value < 1 else f"{value:.1f}{NB}s"


def numbered(one: Incident) -> str:
    return f"ncident {one.number}"


LATEST = f"""
from (select *, bucket = max(bucket) over (partition by component, instance, place) as latest from health_10s
where {during(NOW_MS - 59_999, NOW_MS + 1)}) where latest"""
"""The latest probes of the last minute of each instance and place."""


async def components(known: Known) -> Row:
    """How many components are up and how many are probed."""
    down = "count(distinct component) filter (status = 'down')"
    [row] = await known.asked.sql(
        f"select count(distinct component) - {down} as up, count(distinct component) as probed, "
        f"min(epoch_ms(bucket)) as oldest {LATEST}"
    )
    return row
