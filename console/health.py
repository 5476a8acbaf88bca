"""Whether payments work: a verdict for each part, from probes and from what was counted in the last minute. Pure, but for
`read`.

Nothing is true without evidence younger than 60 s. Its age is that of the start of the 10 s that it lies in, so it is never
younger than it is said to be. What nothing is known of is `unknown`, which is never healthy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.readings import FINE_MS, Pulse, Totals, Window, window_of
from console.series import COUNTS, Cut, Series
from console.shapes import Check, Health, State, Verdict
from console.span import View
from rollups.cells import Cell
from rollups.tables import DAY
from schemas.tables import TABLES, Key

FRESH_MS = 60_000
ENOUGH = 5
"""So few failures are no verdict on a part."""
BROKEN, WORSE = 0.5, 0.05
"""The share of failures above which a part does not work, and above which it works badly."""

Buckets = Mapping[int, Mapping[Key, Cell]]
"""The 10 s rows of one table, by the start of their bucket."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a part is judged by: which outcomes of its table are good and bad; `measure`: its response time, in ms; `probed`:
    words that a component's name has, whose probes count for this part."""

    name: str
    table: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    measure: str
    probed: tuple[str, ...]
    faults: tuple[str, ...] = ()
    """Whose fault a bad one must be, where the table tells."""
    begun: str = ""
    """The outcome of what is not done yet."""


PARTS: tuple[Part, ...] = (
    Part("database", "queries", ("ok", "error"), ("connection_failed",), "latency_ms", ("db", "database", "sql")),
    Part("webhook", "webhooks", ("processed", "duplicate"), ("failed",), "lag_ms", ("webhook",), begun="received"),
    Part("api", "calls", ("ok", "error"), ("connection_failed",), "latency_ms", ("api", "gateway")),
    Part(
        "payment", "payments", ("succeeded", "failed"), ("failed",), "latency_ms", ("payment", "checkout"),
        faults=("technical", "unknown"), begun="initiated",
    ),
)  # fmt: skip
"""A probe counts for the first part whose words its component's name has."""
NAMES = tuple(part.name for part in PARTS)
PROBES = Cut("health", frozenset(TABLES["health"].dimensions))
_UPTIME = Cut("health", frozenset({"component", "status"}), measures=COUNTS)
READ = (
    PROBES,
    Cut("requests", frozenset()),
    *(Cut(part.table, frozenset({"outcome", "fault"} if part.faults else {"outcome"})) for part in PARTS),
)
TABLES_READ = tuple(cut.table for cut in READ)


@dataclass(slots=True)
class Evidence:
    """What was seen of a part. `newest`: start of the bucket of the latest of it; `begun`: how much is not done yet."""

    good: int = 0
    bad: int = 0
    begun: int = 0
    newest: int | None = None
    down: list[str] = field(default_factory=list)
    probed: int = 0

    @property
    def done(self) -> int:
        return self.good + self.bad

    @property
    def state(self) -> State:
        share = self.bad / self.done if self.done else 0.0
        if self.newest is None or (not self.done and not self.probed and self.begun < ENOUGH):
            return "unknown"
        if self.done >= ENOUGH and share > BROKEN and self.bad >= ENOUGH:
            return "unhealthy"
        if (self.begun >= ENOUGH and not self.done) or (self.probed and len(self.down) == self.probed):
            return "unhealthy"
        worse = (self.bad >= ENOUGH and share > WORSE) or (self.bad and not self.good)
        return "degraded" if worse or self.down else "healthy"

    @property
    def works(self) -> bool:
        """Whether something was seen to work, and not too much to fail."""
        seen = bool(self.good) or self.probed > len(self.down)
        return seen and self.state in ("healthy", "degraded")


def overall(now_ms: int, pulse: Pulse, minute: Mapping[str, Buckets], day: Totals) -> Health:
    """The verdict on everything. `minute`: the rows of the last minute by table; `day`: the last 24 hours of `health`."""
    found = {part.name: _evidence(part, now_ms, minute) for part in PARTS}
    parts = [_check(part, now_ms, found[part.name]) for part in PARTS]
    checks = [*parts, components(now_ms, minute["health"]), _pipeline(now_ms, pulse)]
    states = {check.state for check in checks}
    verdict: Verdict = "healthy" if states == {"healthy"} else "degraded"
    if "unhealthy" in states or all(check.state == "unknown" for check in parts):
        verdict = "unhealthy"
    ms = _mean_ms("requests", "latency_ms", now_ms, minute)
    return _health(verdict, found, checks, ms, _uptime(day, None), pulse)


def of_part(name: str, now_ms: int, pulse: Pulse, minute: Mapping[str, Buckets], day: Totals) -> Health:
    """The verdict on one part alone: the other booleans are false, since they were not looked at."""
    part = next(one for one in PARTS if one.name == name)
    found = _evidence(part, now_ms, minute)
    checks = [_check(part, now_ms, found), _pipeline(now_ms, pulse)]
    states = {check.state for check in checks}
    verdict: Verdict = "healthy" if states == {"healthy"} else "degraded"
    if states & {"unhealthy", "unknown"}:
        verdict = "unhealthy"
    ms = _mean_ms(part.table, part.measure, now_ms, minute)
    return _health(verdict, {name: found}, checks, ms, _uptime(day, part), pulse)


def unread(names: Sequence[str], now_ms: int, pulse: Pulse) -> Health:
    """The verdict where the tables cannot be read: nothing is known."""
    checks = [Check(name=name, state="unknown", age_s=None, detail="not known: nothing can be read") for name in names]
    return _health("unhealthy", {}, [*checks, _pipeline(now_ms, pulse)], None, None, pulse)


def _health(
    verdict: Verdict,
    found: Mapping[str, Evidence],
    checks: list[Check],
    ms: float | None,
    uptime: float | None,
    pulse: Pulse,
) -> Health:
    works = {name: one.works for name, one in found.items()}
    return Health(
        overall_health=verdict,
        api_connectivity=works.get("api", False),
        database_connectivity=works.get("database", False),
        webhook_processing=works.get("webhook", False),
        payment_system=works.get("payment", False),
        response_time=ms,
        uptime_percentage=uptime,
        checks=checks,
        as_of=pulse.as_of_ms,
    )


async def read(series: Series, now_ms: int) -> tuple[dict[str, Buckets], Totals]:
    """The rows of the last minute by table, and the last 24 hours of `health`. Raises what redis raises when it is away."""
    view = View(window(now_ms), "10s", FINE_MS, True)
    minute: dict[str, Buckets] = {cut.table: await series.steps(cut, view) for cut in READ}
    return minute, await series.totals(_UPTIME, window_of(now_ms, DAY))


# --- one part ---------------------------------------------------------------------------------------------------------


def fresh(rows: Buckets, now_ms: int) -> list[tuple[int, Mapping[Key, Cell]]]:
    """The buckets that are evidence now, the newest first. One that begins later than now is none: its clock is wrong."""
    return sorted(((start, cells) for start, cells in rows.items() if now_ms - FRESH_MS < start <= now_ms), reverse=True)


def window(now_ms: int) -> Window:
    """Every 10 s that may hold evidence."""
    start = now_ms - FRESH_MS
    return Window(start - start % FINE_MS, now_ms - now_ms % FINE_MS + FINE_MS)


def _check(part: Part, now_ms: int, found: Evidence) -> Check:
    detail = f"{found.done} {part.table} in the last minute, {found.bad} failed"
    if found.newest is None:
        detail = f"no {part.table} and no probe of it in the last minute"
    elif found.begun and not found.done:
        detail = f"{found.begun} {part.table} {part.begun} in the last minute, none done"
    if found.probed:
        up = found.probed - len(found.down)
        probes = f"{', '.join(sorted({*found.down})[:3])} down" if found.down else f"{up} of {found.probed} probes up"
        detail = f"{detail}; {probes}" if found.done else probes
    age = None if found.newest is None else round((now_ms - found.newest) / 1000, 1)
    return Check(name=part.name, state=found.state, age_s=age, detail=detail)


def _evidence(part: Part, now_ms: int, minute: Mapping[str, Buckets]) -> Evidence:
    dimensions = TABLES[part.table].dimensions
    at, faulted = dimensions.index("outcome"), dimensions.index("fault") if part.faults else None
    found = Evidence()
    for start, cells in fresh(minute[part.table], now_ms):
        for key, cell in cells.items():
            outcome = key[at]
            if outcome in part.bad and (faulted is None or key[faulted] in part.faults):
                found.bad += cell.count
            elif outcome in part.good:
                found.good += cell.count
            elif outcome == part.begun:
                found.begun += cell.count
            else:
                continue
            found.newest = start if found.newest is None else found.newest
    for component, start, up in probes(now_ms, minute["health"]):
        if part_of(component) is part:
            found.newest = start if found.newest is None else max(found.newest, start)
            found.probed += 1
            if not up:
                found.down.append(component)
    return found


def part_of(component: str) -> Part | None:
    """The part that a component's probes count for."""
    name = component.lower()
    return next((part for part in PARTS if any(word in name for word in part.probed)), None)


def probes(now_ms: int, rows: Buckets) -> list[tuple[str, int, bool]]:
    """(component, bucket, whether it was up) of the latest probes of each component, instance and place. Where a bucket
    holds both, it was down at some time of it."""
    dimensions = TABLES["health"].dimensions
    status = dimensions.index("status")
    latest: dict[Key, tuple[int, bool]] = {}
    for start, cells in fresh(rows, now_ms):
        for key in cells:
            place, up = key[:status], key[status] == "up"
            held = latest.get(place)
            if held is None or held[0] == start:
                latest[place] = (start, up and (held is None or held[1]))
    return [(str(place[0]), start, up) for place, (start, up) in latest.items()]


def components(now_ms: int, rows: Buckets) -> Check:
    """All that is probed, whatever it is part of."""
    found = probes(now_ms, rows)
    down = sorted({component for component, _, up in found if not up})
    components = {component for component, _, _ in found}
    age = None if not found else round((now_ms - min(start for _, start, _ in found)) / 1000, 1)
    state: State = "degraded" if down else "healthy"
    detail = f"{len(components) - len(down)} of {len(components)} components answer"
    if not found:
        detail = "nothing is probed"
    return Check(name="components", state=state, age_s=age, detail=f"{detail}: {', '.join(down[:3])} down" if down else detail)


def _pipeline(now_ms: int, pulse: Pulse) -> Check:
    states: dict[str, State] = {"live": "healthy", "behind": "degraded"}
    return Check(
        name="pipeline",
        state=states.get(pulse.state, "unhealthy"),
        age_s=pulse.age_s(now_ms),
        detail=pulse.detail or f"{len(pulse.workers)} working",
    )


# --- figures ----------------------------------------------------------------------------------------------------------


def _mean_ms(table: str, measure: str, now_ms: int, minute: Mapping[str, Buckets]) -> float | None:
    at, scale = next(
        (place, 1000 if one.thousandths else 1) for place, one in enumerate(TABLES[table].measures) if one.name == measure
    )
    stats = [
        cell.stats[at] for _, cells in fresh(minute[table], now_ms) for cell in cells.values() if at < len(cell.stats)
    ]
    n = sum(stat.n for stat in stats)
    return round(sum(stat.total for stat in stats) / n / scale, 3) if n else None


def _uptime(day: Totals, part: Part | None) -> float | None:
    dimensions = TABLES["health"].dimensions
    component, status = dimensions.index("component"), dimensions.index("status")
    mine = [(key, cell) for key, cell in day.items() if part is None or part_of(str(key[component])) is part]
    checked = sum(cell.count for _, cell in mine)
    up = sum(cell.count for key, cell in mine if key[status] == "up")
    return round(100 * up / checked, 3) if checked else None
