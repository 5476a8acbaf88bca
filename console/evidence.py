"""The figures around the onset of an incident: computed once they are complete, kept, and never again another. Pure.

The signal is that of the rule, of the alert's group, bucket by bucket; beside it how many events of each slice were wrong in
the window that was judged, and the range of the half hour before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, TypeAdapter

from console.incident_shapes import FrozenChart, SliceShare
from console.readings import MINUTE_MS
from console.shapes import Shape, Span
from rollups.cells import Cell
from rollups.sketch import quantile
from rollups.tables import RESOLUTIONS, Resolution, Rows
from rules.rule import Part, Rule
from rules.signals import Signal
from rules.words import threshold
from schemas.incident import Onset
from schemas.tables import TABLES, Key, Table, Value

BEFORE_MS, AFTER_MS, USUAL_MS = 5 * MINUTE_MS, 3 * MINUTE_MS, 30 * MINUTE_MS
"""What is shown before the first bad event and after the detection, and the time that says what is usual."""
SETTLED_MS = MINUTE_MS
"""After so long events of then have come, but for what is late."""
FINE_MOST_MS, COARSE_MOST_MS = 40 * MINUTE_MS, 24 * 60 * MINUTE_MS
"""The longest time that is shown by 10 s, and by the minute."""
LIMITED = ("ratio", "share", "mean", "quantile", "max", "last")
"""Of these a bucket can be held against the threshold; what is counted over a longer window cannot."""
USUAL_LEAST, USUAL_CUT = 10, 0.05
"""What is usual needs so many buckets; this share at both ends is left out."""


class Frozen(Shape):
    """What is kept."""

    chart: FrozenChart
    slices: list[SliceShare]
    counted: Span = Field(description="the whole buckets around the window that was judged: slices are counted over them")


FROZEN: TypeAdapter[Frozen] = TypeAdapter(Frozen)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read: rows of `table` from `start_ms` on, those before `first_ms` for what is usual, to `end_ms`."""

    part: Part
    table: Table
    resolution: Resolution
    start_ms: int
    first_ms: int
    end_ms: int

    @property
    def sketches(self) -> bool:
        return self.part.signal.aggregate == "quantile"


def plan(onset: Onset, rule: Rule, now_ms: int) -> Plan | None:
    """What is to be read for this alert; None where the rows of then are gone, or it took longer than can be shown."""
    bad = onset.start_ms if onset.first_bad_ms is None else onset.first_bad_ms
    length = onset.detected_ms - bad
    resolution = RESOLUTIONS["10s" if length <= FINE_MOST_MS else "1m"]
    if length > COARSE_MOST_MS:
        return None
    width, scale = resolution.width_ms, resolution.width_ms // RESOLUTIONS["10s"].width_ms
    first = bad - BEFORE_MS * scale
    first -= first % width
    end = onset.detected_ms + AFTER_MS * scale
    end += -end % width
    start = first - USUAL_MS * scale
    if now_ms - first > resolution.kept_ms:
        return None
    part = _part(onset, rule)
    return Plan(part, TABLES[part.query.table], resolution, start, first, end)


def _part(onset: Onset, rule: Rule) -> Part:
    """The test of the rule that the alert tells of: the one with its threshold, or else the first."""
    for part in rule.parts:
        limit = threshold(part)
        if limit is not None and onset.threshold is not None and abs(float(limit) - float(onset.threshold)) < 1e-9:
            return part
    return rule.parts[0]


def frozen(plan: Plan, onset: Onset, rows: Rows, now_ms: int) -> Frozen:
    """The figures, by the rows of the plan. They are final once everything of then is in them."""
    step, signal = plan.resolution.width_ms, plan.part.signal
    chosen = {bucket: _chosen(plan, onset, cells) for bucket, cells in rows.items()}
    starts = range(plan.first_ms, min(plan.end_ms, now_ms), step)
    points = [_point(signal, plan, chosen.get(start, [])) for start in starts]
    before = [
        point
        for start in range(plan.start_ms, min(plan.first_ms + BEFORE_MS, plan.end_ms), step)
        if (point := _point(signal, plan, chosen.get(start, []))) is not None
    ]
    chart = FrozenChart(
        title=signal.title,
        unit=onset.unit,
        step_s=step // 1000,
        start=plan.first_ms,
        points=points,
        counts=[sum(cell.count for _, _, cell in chosen.get(start, [])) for start in starts],
        usual=_usual(before),
        limited=signal.aggregate in LIMITED,
        final=now_ms >= plan.end_ms + SETTLED_MS,
    )
    counted = Span(start=onset.start_ms - onset.start_ms % step, end=onset.end_ms + -onset.end_ms % step)
    return Frozen(chart=chart, slices=_slices(plan, onset, chosen, counted), counted=counted)


Marked = tuple[Key, bool, Cell]


def _chosen(plan: Plan, onset: Onset, cells: Mapping[Key, Cell]) -> list[Marked]:
    """The cells of the alert's group, each with whether the signal marks it."""
    names = plan.table.dimensions
    wanted: list[tuple[int, tuple[Value, ...]]] = [(names.index(name), values) for name, values in plan.part.query.where]
    wanted += [(names.index(name), (value,)) for name, value in onset.group.items() if name in names]
    marks = [(names.index(name), values) for name, values in plan.part.query.of if name in names]
    return [
        (key, bool(marks) and all(key[at] in values for at, values in marks), cell)
        for key, cell in cells.items()
        if all(key[at] in values for at, values in wanted)
    ]


def _point(signal: Signal, plan: Plan, cells: Sequence[Marked]) -> float | None:
    """The signal of one bucket, in its unit; None where there is nothing to judge."""
    n, k = sum(cell.count for _, _, cell in cells), sum(cell.count for _, marked, cell in cells if marked)
    if signal.aggregate in ("ratio", "share"):
        return round(k / n, 4) if n else None
    if signal.aggregate == "streak":
        return float(k)
    if signal.measure is None:
        return float(n)
    at, _ = signal.measured(plan.table)
    stats = [cell.stats[at] for _, _, cell in cells if at < len(cell.stats) and cell.stats[at].n]
    if not stats:
        return None
    if signal.aggregate == "quantile":
        bins: dict[int, int] = {}
        for stat in stats:
            for index, count in (stat.bins or {}).items():
                bins[index] = bins.get(index, 0) + count
        found = quantile(bins, signal.q)
        return None if found is None else round(found / signal.scale, 4)
    if signal.aggregate in ("max", "last"):
        return round(max(stat.high or 0 for stat in stats) / signal.scale, 4)
    total = sum(stat.total for stat in stats)
    if signal.aggregate == "sum":
        return round(total / signal.scale, 4)
    return round(total / sum(stat.n for stat in stats) / signal.scale, 4)


def _usual(points: list[float]) -> tuple[float, float] | None:
    if len(points) < USUAL_LEAST:
        return None
    ordered = sorted(points)
    cut = int(len(ordered) * USUAL_CUT)
    return ordered[cut], ordered[-1 - cut]


def _slices(plan: Plan, onset: Onset, chosen: Mapping[int, Sequence[Marked]], during: Span) -> list[SliceShare]:
    """Of each slice of the alert, how many events there were, and how many were wrong."""
    names = plan.table.dimensions
    ratio, counted = (plan.part.signal.aggregate == name for name in ("ratio", "count"))
    window = [one for bucket, cells in chosen.items() if during.start <= bucket < during.end for one in cells]
    found = []
    for dimensions, share in onset.slices:
        known = (ratio or counted) and all(name in names for name in dimensions)
        cells = [
            (marked, cell)
            for key, marked, cell in window
            if known and all(key[names.index(name)] == value for name, value in dimensions.items())
        ]
        found.append(
            SliceShare(
                dimensions=dict(dimensions),
                share=share,
                wrong=sum(cell.count for marked, cell in cells if marked or counted) if known else None,
                all=sum(cell.count for _, cell in cells) if known and ratio else None,
            )
        )
    return found
