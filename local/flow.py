"""How the payments go, by Tillwatch's own count: a look at its rollup tables."""

from __future__ import annotations

from dataclasses import dataclass

from rollups.cells import Cell
from rollups.tables import RESOLUTIONS, Rows, TableStore
from schemas.tables import TABLES, Key

OVER_S = 20
_FINE = RESOLUTIONS["10s"]
_PAYMENTS = TABLES["payments"]
_LATENCY = next(index for index, measure in enumerate(_PAYMENTS.measures) if measure.name == "latency_ms")
_IN_A_SECOND = 1_000_000 if _PAYMENTS.measures[_LATENCY].thousandths else 1_000
_OUTAGE_FAULTS = ("technical", "unknown")


@dataclass(slots=True)
class Flow:
    """Payments of a stretch of time. `failed`: by a technical or unknown fault; `refused`: for any other reason, such as a
    customer without money. `latency_s`: the mean, None where no payment tells it."""

    finished: int = 0
    failed: int = 0
    refused: int = 0
    latency_s: float | None = None

    def __str__(self) -> str:
        if not self.finished:
            return "no payment yet"
        shares = f"{self.failed / self.finished:.1%} failing, {self.refused / self.finished:.0%} declined"
        took = "" if self.latency_s is None else f", {self.latency_s:.1f} s each"
        return f"{self.finished:,} payments, {shares}{took}"


async def recent(tables: TableStore, now_s: float) -> Flow:
    """The payments of the row of 10 s that is open at `now_s` (epoch seconds), and of those of `OVER_S` before it.

    Raises what redis raises.
    """
    start_ms = _FINE.start(int(now_s * 1000)) - OVER_S * 1000
    return flow_of(await tables.read("payments", _FINE.name, start_ms))


def flow_of(rows: Rows) -> Flow:
    """The flow of rows of the table `payments`."""
    flow, total, told = Flow(), 0, 0
    for cells in rows.values():
        for key, cell in cells.items():
            outcome, fault = _of(key)
            if outcome not in ("succeeded", "failed"):
                continue
            flow.finished += cell.count
            if outcome == "failed":
                if fault in _OUTAGE_FAULTS:
                    flow.failed += cell.count
                else:
                    flow.refused += cell.count
            total, told = total + _latency(cell)[0], told + _latency(cell)[1]
    flow.latency_s = total / told / _IN_A_SECOND if told else None
    return flow


def _of(key: Key) -> tuple[object, object]:
    named = dict(zip(_PAYMENTS.dimensions, key, strict=True))
    return named["outcome"], named["fault"]


def _latency(cell: Cell) -> tuple[int, int]:
    if len(cell.stats) <= _LATENCY:
        return 0, 0
    return cell.stats[_LATENCY].total, cell.stats[_LATENCY].n
