"""Questions to a console over HTTP: pages as their scripts ask them, and SQL by the route of the analyst."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import httpx

from schemas.time import rfc3339

Row = dict[str, Any]
Set = tuple[str, ...]
Groups = dict[Set, dict[Any, Row]]
"""By the columns that are kept apart: by their values (one value alone, without a tuple) what SQL says."""

FINISHED = "outcome in ('succeeded', 'failed')"
OURS = "outcome = 'failed' and fault in ('technical', 'unknown')"


def count(where: str = "true") -> str:
    return f"coalesce(sum(count) filter ({where}), 0)::bigint"


def share(part: str, whole: str = "true") -> str:
    return f"{count(part)} / nullif({count(whole)}, 0)"


def mean(measure: str, scale: float = 1, where: str = "true") -> str:
    """Where every event that is counted carries the measure."""
    return f"sum({measure}_sum) filter ({where}) / nullif({count(where)}, 0) / {scale}"


def total(measure: str, where: str = "true") -> str:
    return f"coalesce(sum({measure}_sum) filter ({where}), 0)::bigint"


def columns(**named: str) -> str:
    return ", ".join(f"{what} as {name}" for name, what in named.items())


PAYMENTS = columns(
    finished=count(FINISHED),
    ours=count(OURS),
    failed=count("outcome = 'failed'"),
    success=share("outcome = 'succeeded'", FINISHED),
    failure=share(OURS, FINISHED),
    decline=share("outcome = 'failed' and fault = 'business'", FINISHED),
    mean_s=mean("latency_ms", 1000, FINISHED),
    initiated=count("outcome = 'initiated'"),
    redirected=count("outcome = 'redirected'"),
    paid=count("outcome = 'succeeded'"),
    refunded=count("outcome = 'refunded'"),
    taken=total("amount", "outcome = 'succeeded'"),
)
"""What pages tell of payments."""


class Asked:
    """One console."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str) -> Any:
        answer = await self._client.get(path)
        assert answer.status_code == 200 or path == "/api/health", answer.text
        return answer.json()

    async def sql(self, statement: str) -> list[Row]:
        answer = await self._client.post("/api/v1/sql", json={"sql": statement})
        assert answer.status_code == 200, f"{answer.text}\n{statement}"
        told = answer.json()
        names = [column["name"] for column in told["columns"]]
        return [dict(zip(names, row, strict=True)) for row in told["rows"]]

    async def groups(
        self,
        table: str,
        window: tuple[int, int],
        wanted: str,
        *sets: Set,
        step: int = 60_000,
        rename: Mapping[str, str] = MappingProxyType({}),
    ) -> Groups:
        """What SQL says of a window, added up over each of these sets of columns. The column `step` is the start of a step, in
        ms; `rename`: what a column of the table is called that has this name."""
        names = list(dict.fromkeys(name for one in sets for name in one))
        new = ", ".join(f"{old} as {name}" for old, name in rename.items())
        renamed = f"* exclude ({', '.join(rename)}), {new}" if rename else "*"
        apart = ", ".join(f"({', '.join(one)})" for one in sets)
        which = f"{', '.join(names)}, grouping({', '.join(names)})" if names else "0"
        rows = await self.sql(
            f"select {which} as apart, {wanted} from (select {renamed}, (epoch_ms(bucket) // {step} * {step})::bigint as step "
            f"from {table} where {during(*window)}) group by grouping sets ({apart})"
        )
        marks = {mark(one, names): one for one in sets}
        found: Groups = {one: defaultdict(dict) for one in sets}
        for row in rows:
            kept = marks[row["apart"]]
            key = tuple(row[name] for name in kept)
            found[kept][key[0] if len(key) == 1 else key] = row
        return found


def mark(kept: Sequence[str], names: Sequence[str]) -> int:
    """How GROUPING tells one set from the others: a bit for each column that is added up over, the last column the lowest."""
    return sum(1 << place for place, name in enumerate(reversed(names)) if name not in kept)


def during(start_ms: int, end_ms: int) -> str:
    return f"bucket >= '{rfc3339(start_ms)}' and bucket < '{rfc3339(end_ms)}'"
