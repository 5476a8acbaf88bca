"""The page of system health: what is probed, what others answer, how loaded machines are, what goes wrong. Pure but for `read`.

A component that was probed and is no more is not known: it is neither up nor down. What a machine holds is the mean of the last
5 minutes, beside the limits that the key figures have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import Field

from console import health, kpis, usual
from console.health import BROKEN, ENOUGH, WORSE
from console.overview import doubt, doubted
from console.readings import FINE_MS, MINUTE_MS, Pulse, Totals, Window, window_of
from console.series import COUNTS, Cut, Series, made
from console.shapes import Health, Lines, Mark, Page, Shape, Tile, Words
from console.span import View
from console.words import NB, counted, duration, figure, percent
from rollups.cells import Cell
from rollups.tables import DAY, HOUR
from schemas.tables import TABLES

NOW_MS, MONTH_MS = 5 * MINUTE_MS, 30 * DAY
COMPONENTS, DEPENDENCIES, HOSTS, FAULTY = 40, 20, 40, 15
"""Rows of each table, the worst first."""
LIMITS = {"cpu": (70.0, 90.0), "memory": (80.0, 95.0), "disk": (80.0, 95.0)}
"""Warning and critical, in percent, as in the key figures."""

CHECKS = Cut("health", frozenset({"component", "status"}))
RESPONSES = Cut("health", frozenset({"component"}), sketches=True)
ERRORS = Cut("errors", frozenset({"kind", "category", "component", "critical"}))
TARGETS = Cut("calls", frozenset({"target", "outcome"}), sketches=True)
KNOWN = Cut("calls", frozenset({"target"}), measures=COUNTS)
LOAD = Cut("resources", frozenset({"host", "resource"}))
ANSWERS = {
    name: Cut(name, frozenset({"outcome"}), sketches=True) for name in ("requests", "queries", "calls", "webhooks")
}
SIGNALS = {
    "requests": "p95_response_time",
    "queries": "avg_query_time",
    "calls": "avg_api_latency",
    "webhooks": "webhook_lag",
}
NAMED = {"requests": "Requests", "queries": "Queries", "calls": "Calls to others"}
_COMPONENT, _STATUS = (TABLES["health"].dimensions.index(name) for name in ("component", "status"))
_TARGET, _OUTCOME = (TABLES["calls"].dimensions.index(name) for name in ("target", "outcome"))
_HOST, _RESOURCE = (TABLES["resources"].dimensions.index(name) for name in ("host", "resource"))
_E = {name: TABLES["errors"].dimensions.index(name) for name in ("kind", "category", "component", "critical")}


class Component(Shape):
    """What is probed. `checked_s`: how old the latest probe is; uptime: 0 to 1, of the probes of 24 hours and 30 days."""

    name: str
    state: Mark
    word: str
    note: str
    checked_s: float | None
    trend: list[float | None]
    p95_ms: float | None
    errors: int | None
    day: float | None
    month: float | None


class Dependency(Shape):
    """A service outside, by our calls to it in the last 5 minutes."""

    name: str
    state: Mark
    calls: int
    failed: float | None
    p95_s: float | None


class Load(Shape):
    """A resource of a machine in percent. Limits are null where it has none."""

    value: float | None
    warning: float | None
    critical: float | None
    state: Mark


class Host(Shape):
    """A machine."""

    name: str
    loads: dict[str, Load]


class Faults(Shape):
    """Errors of one component: by the hour of the last 24, of the last hour, and how many of these were critical."""

    component: str
    hours: list[int | None]
    hour: int
    critical: int


class SystemPage(Page):
    """What the page of system health shows. `health`: what /api/health answers."""

    live: bool
    start: int
    end: int
    step: int
    tiles: list[Tile]
    components: list[Component]
    health: Health
    dependencies: list[Dependency]
    hosts: list[Host]
    latency: Lines = Field(description="p95, in ms")
    failing: Lines = Field(description="share of requests, queries and calls that failed")
    faults: list[Faults]
    categories: dict[str, int] = Field(description="errors of the last 24 hours by category")
    known: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What was read: `probes` of the last minute in 10 s; by the step of the view; of the last 5 minutes; by the hour."""

    probes: Mapping[int, Totals] = field(default_factory=dict)
    checks: Mapping[int, Totals] = field(default_factory=dict)
    responses: Totals = field(default_factory=dict)
    month: Mapping[int, Totals] = field(default_factory=dict)
    whole_month: Totals = field(default_factory=dict)
    errors: Mapping[int, Totals] = field(default_factory=dict)
    last_errors: Totals = field(default_factory=dict)
    targets: Totals = field(default_factory=dict)
    targets_known: Totals = field(default_factory=dict)
    load: Totals = field(default_factory=dict)
    load_known: Totals = field(default_factory=dict)
    answers: Mapping[str, Mapping[int, Totals]] = field(default_factory=dict)
    recent: Mapping[str, Totals] = field(default_factory=dict)
    before: Mapping[str, Totals] = field(default_factory=dict)
    recent_errors: Totals = field(default_factory=dict)
    errors_before: Totals = field(default_factory=dict)


NOTHING = Held()


async def read(series: Series, view: View, now_ms: int) -> Held:
    """Raises what redis raises when it is away."""
    five = window_of(now_ms, NOW_MS)
    hour = now_ms - now_ms % HOUR
    before = usual.weeks_before(five)[0].window
    month = Window(hour + HOUR - MONTH_MS, hour + HOUR)
    return Held(
        probes=await series.steps(health.PROBES, View(health.window(now_ms), "10s", FINE_MS, True)),
        checks=await series.steps(CHECKS, view),
        responses=await series.totals(RESPONSES, view.window),
        month=await series.steps(CHECKS, View(month, "1h", HOUR, True)),
        whole_month=await series.totals(CHECKS, month),
        errors=await series.steps(ERRORS, View(Window(hour - 23 * HOUR, hour + HOUR), "1h", HOUR, True)),
        last_errors=await series.totals(ERRORS, window_of(now_ms, HOUR)),
        targets=await series.totals(TARGETS, five),
        targets_known=await series.totals(KNOWN, window_of(now_ms, 6 * HOUR)),
        load=await series.totals(LOAD, five),
        load_known=await series.totals(LOAD, window_of(now_ms, 6 * HOUR)),
        answers={name: await series.steps(replace(cut, told=P95[name]), view) for name, cut in ANSWERS.items()},
        recent={name: await series.totals(cut, five) for name, cut in ANSWERS.items()},
        before={name: await series.totals(cut, before) for name, cut in ANSWERS.items()},
        recent_errors=await series.totals(ERRORS, five),
        errors_before=await series.totals(ERRORS, before),
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is made of."""

    now_ms: int
    view: View
    pulse: Pulse
    held: Held
    health: Health

    @property
    def known(self) -> bool:
        return self.held is not NOTHING

    @property
    def known_ms(self) -> int:
        """From here on nothing is known."""
        live = self.pulse.state == "live"
        return self.view.window.end_ms if live else self.pulse.as_of_ms or self.view.window.start_ms


def system(facts: Facts) -> SystemPage:
    """The whole page."""
    view, held = facts.view, facts.held
    components, dependencies, hosts = _components(facts), _dependencies(facts), _hosts(facts)
    state, sentence, why = _verdict(facts, components, dependencies, hosts)
    categories: Counter[str] = Counter()
    for cells in held.errors.values():
        categories.update(made(cells, _categories, _categories))
    return SystemPage(
        state=state,
        sentence=sentence,
        why=why,
        as_of=facts.pulse.as_of_ms,
        now=facts.now_ms,
        live=view.live,
        start=view.window.start_ms,
        end=view.window.end_ms,
        step=view.step_ms,
        tiles=_tiles(facts),
        components=components[:COMPONENTS],
        health=facts.health,
        dependencies=dependencies[:DEPENDENCIES],
        hosts=hosts[:HOSTS],
        latency=_lines(facts, lambda name, cells: made(cells, P95[name], P95[name])),
        failing=_lines(facts, lambda name, cells: made(cells, _failed, _failed)),
        faults=_faults(facts),
        categories=dict(sorted(categories.items(), key=lambda one: (-one[1], one[0]))),
        known=facts.known,
    )


# --- the sentence -----------------------------------------------------------------------------------------------------


def _verdict(
    facts: Facts, components: Sequence[Component], dependencies: Sequence[Dependency], hosts: Sequence[Host]
) -> tuple[Mark, Words, Words]:
    unsure = doubt(facts.pulse, facts.now_ms)
    if unsure is not None:
        detail = f"{facts.pulse.detail[:1].upper()}{facts.pulse.detail[1:]}."
        return *unsure, [f"{detail} The figures below are the last that are known."]
    parts = [one for one in facts.health.checks if one.name in health.NAMES]
    why: Words = [f"{_answering(components)} {_beside(dependencies, hosts)}"]
    for state in ("failing", "degraded"):
        broken = [one.name for one in components if one.state == state]
        services = [one.name for one in dependencies if one.state == state]
        bad = [one for one in parts if one.state == {"failing": "unhealthy", "degraded": "degraded"}[state]]
        loaded = [f"{host.name} {name} {figure(load.value, 1, 0)}{NB}%" for host in hosts for name, load in host.loads.items()
                  if load.state == state]  # fmt: skip
        if broken:
            verb = "down" if state == "failing" else "partly down"
            return state, [f"{_several(broken)} {'is' if len(broken) == 1 else 'are'} {verb}."], why
        if services:
            verb = "does not answer" if state == "failing" else "answers badly"
            return (
                state,
                [f"{_several(services)} {verb if len(services) == 1 else verb.replace('does', 'do', 1)}."],
                why,
            )
        if bad:
            said = "does not work" if state == "failing" else "works badly"
            return state, [f"{bad[0].name.capitalize()} {said}: {bad[0].detail}."], why
        if loaded:
            limit = "critical" if state == "failing" else "over the warning"
            return state, [f"Machines are loaded: {_several(loaded)}, {limit}."], why
    lost = [one for one in components if one.state == "stale"]
    if lost:
        return (
            "nodata",
            [f"{_several([one.name for one in lost])} {'is' if len(lost) == 1 else 'are'} no longer checked."],
            why,
        )
    if not components:
        return "nodata", ["Nothing is probed, so it is not known what is up."], why
    return "ok", ["Everything that is checked is up."], why


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _answering(components: Sequence[Component]) -> str:
    up = sum(one.state == "ok" for one in components)
    return f"{up} of {counted(len(components), 'component')} answer." if components else "No component is probed."


def _beside(dependencies: Sequence[Dependency], hosts: Sequence[Host]) -> str:
    fine = sum(one.state == "ok" for one in dependencies)
    calm = sum(all(load.state == "ok" for load in host.loads.values()) for host in hosts)
    services = f"{fine} of {counted(len(dependencies), 'service')} outside work. " if dependencies else ""
    return services + (f"{calm} of {counted(len(hosts), 'machine')} are within their limits." if hosts else "")


# --- what is probed ---------------------------------------------------------------------------------------------------


Probed = tuple[Counter[str], Counter[str]]
"""By component: how many probes there were, and of how many it was up."""


def _probed(cells: Totals) -> Probed:
    checks, up = Counter[str](), Counter[str]()
    for key, cell in cells.items():
        checks[str(key[_COMPONENT])] += cell.count
        up[str(key[_COMPONENT])] += cell.count if key[_STATUS] == "up" else 0
    return checks, up


def _together(steps: Iterable[Totals]) -> Probed:
    checks, up = Counter[str](), Counter[str]()
    for cells in steps:
        step = made(cells, _probed, _probed)
        checks.update(step[0])
        up.update(step[1])
    return checks, up


def _uptime(probed: Probed, component: str | None = None) -> float | None:
    checks, up = (of.total() if component is None else of[component] for of in probed)
    return up / checks if checks else None


def _step_uptime(cells: Totals) -> float | None:
    return _uptime(_probed(cells))


def _components(facts: Facts) -> list[Component]:
    """The worst first, then by name. Of those not probed in the last minute nothing is known."""
    held, now_ms = facts.held, facts.now_ms
    latest: dict[str, list[tuple[int, bool]]] = {}
    for name, start, up in health.probes(now_ms, held.probes):
        latest.setdefault(name, []).append((start, up))
    day, month = window_of(now_ms, DAY), _probed(held.whole_month)
    of_day = _together(cells for start, cells in held.month.items() if start + HOUR > day.start_ms)
    responses = {start: made(cells, _responses, _responses) for start, cells in held.checks.items()}
    names = {*latest, *of_day[0], *(name for known in responses.values() for name in known)}
    by_name = _by_component(held.responses)
    found = []
    for name in sorted(names):
        seen = latest.get(name)
        state: Mark = "stale"
        word, note, checked = "Not known", "", None
        if seen:
            down = sum(not up for _, up in seen)
            state = "ok" if not down else "failing" if down == len(seen) else "degraded"
            word = {"ok": "Up", "failing": "Down", "degraded": "Partly down"}[state]
            note = f"{down} of {counted(len(seen), 'probe')} down" if down else ""
            checked = round((now_ms - max(start for start, _ in seen)) / 1000, 1)
        else:
            last = max((start for start, known in responses.items() if name in known), default=None)
            checked = None if last is None else round((now_ms - min(last + facts.view.step_ms, now_ms)) / 1000, 1)
            note = "not probed any more" if last is None else ""
        found.append(
            Component(
                name=name,
                state=state,
                word=word,
                note=note,
                checked_s=checked,
                trend=[responses[start].get(name) if start in responses else None for start in facts.view.starts],
                p95_ms=_measured("health", "response_ms", by_name.get(name, []), 0.95),
                errors=_errors(held.last_errors, name) if held.errors else None,
                day=_uptime(of_day, name),
                month=_uptime(month, name),
            )
        )
    order = ("failing", "degraded", "stale", "ok")
    return sorted(found, key=lambda one: (order.index(one.state), one.name))


def _by_component(cells: Totals) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for key, cell in cells.items():
        found.setdefault(str(key[_COMPONENT]), []).append(cell)
    return found


def _responses(cells: Totals) -> dict[str, float | None]:
    """The mean response time of each component's probes in ms."""
    return {name: _measured("health", "response_ms", mine, None) for name, mine in _by_component(cells).items()}


def _measured(table: str, measure: str, cells: Sequence[Cell], q: float | None) -> float | None:
    at, scale = next(
        (at, 1000 if one.thousandths else 1) for at, one in enumerate(TABLES[table].measures) if one.name == measure
    )
    stats = [cell.stats[at] for cell in cells if at < len(cell.stats)]
    if q is not None:
        found = kpis.quantile_of(stats, q)
        return None if found is None else round(found / scale, 1)
    n = sum(stat.n for stat in stats)
    return round(sum(stat.total for stat in stats) / n / scale, 1) if n else None


def _errors(cells: Totals, component: str) -> int:
    return sum(
        cell.count
        for key, cell in cells.items()
        if key[_E["kind"]] == "error.raised" and key[_E["component"]] == component
    )


# --- what others answer, and machines ---------------------------------------------------------------------------------


def _dependencies(facts: Facts) -> list[Dependency]:
    """Services that were called in the last 6 hours, the worst first."""
    found = []
    for name in sorted({str(key[_TARGET]) for key in (*facts.held.targets_known, *facts.held.targets)}):
        cells = {key: cell for key, cell in facts.held.targets.items() if key[_TARGET] == name}
        calls = sum(cell.count for cell in cells.values())
        failed = sum(cell.count for key, cell in cells.items() if key[_OUTCOME] == "connection_failed")
        state: Mark = doubted(facts.pulse) or "ok"
        if not calls:
            state = "nodata"
        elif failed >= ENOUGH and failed > WORSE * calls:
            state = "failing" if failed > BROKEN * calls else "degraded"
        p95 = _measured("calls", "latency_ms", list(cells.values()), 0.95)
        found.append(
            Dependency(
                name=name, state=state, calls=calls, failed=failed / calls if calls else None,
                p95_s=None if p95 is None else round(p95 / 1000, 3),
            )
        )  # fmt: skip
    order = ("failing", "degraded", "nodata", "behind", "stale", "ok")
    return sorted(found, key=lambda one: (order.index(one.state), one.name))


def _hosts(facts: Facts) -> list[Host]:
    """The machine that is nearest to a limit first."""
    names = sorted({str(key[_HOST]) for key in (*facts.held.load_known, *facts.held.load)})
    resources = sorted({str(key[_RESOURCE]) for key in facts.held.load_known}, key=lambda one: (one not in LIMITS, one))
    cells: dict[tuple[str, str], list[Cell]] = {}
    for key, cell in facts.held.load.items():
        cells.setdefault((str(key[_HOST]), str(key[_RESOURCE])), []).append(cell)
    found = [Host(name=name, loads={one: _load(cells.get((name, one), []), one) for one in resources}) for name in names]

    def nearness(host: Host) -> float:
        return max(
            (load.value / load.critical for load in host.loads.values() if load.value and load.critical), default=0.0
        )

    return sorted(found, key=lambda one: (-nearness(one), one.name))


def _load(cells: Sequence[Cell], resource: str) -> Load:
    value = _measured("resources", "value", cells, None)
    warning, critical = LIMITS.get(resource, (None, None))
    state: Mark = "ok"
    if value is None:
        state = "nodata"
    elif critical is not None and value > critical:
        state = "failing"
    elif warning is not None and value > warning:
        state = "degraded"
    return Load(value=value, warning=warning, critical=critical, state=state)


# --- lines and tiles --------------------------------------------------------------------------------------------------


def _p95_ms(name: str, cells: Totals) -> float | None:
    return _measured(name, "lag_ms" if name == "webhooks" else "latency_ms", list(cells.values()), 0.95)


P95 = {name: partial(_p95_ms, name) for name in ANSWERS}


def _failed(cells: Totals) -> float | None:
    total = sum(cell.count for cell in cells.values())
    bad = sum(cell.count for key, cell in cells.items() if key[_OUTCOME] != "ok")
    return round(bad / total, 4) if total else None


def _each(facts: Facts, name: str, of: Callable[[Totals], float | None]) -> list[float | None]:
    """A value of each step that is over; null where nothing is known."""
    view, steps = facts.view, facts.held.answers.get(name, {})
    until = min(facts.known_ms, facts.now_ms - view.step_ms + 1)
    return [of(steps.get(start, {})) if start < until else None for start in view.starts]


def _lines(facts: Facts, of: Callable[[str, Totals], float | None]) -> Lines:
    lines = {said: _each(facts, name, lambda cells, one=name: of(one, cells)) for name, said in NAMED.items()}  # type: ignore[misc]
    view = facts.view
    return Lines(ends=view.window.start_ms + view.step_ms, step=view.step_ms, lines=lines)


def _tiles(facts: Facts) -> list[Tile]:
    held = facts.held
    behind: Mark = doubted(facts.pulse) or "ok"
    timed = (
        ("requests", "Requests, p95", 0.95),
        ("queries", "Database query, mean", None),
        ("webhooks", "Webhook lag, p95", 0.95),
    )
    tiles = [_uptime_tile(facts, behind)]
    for name, said, q in timed:
        measure = "lag_ms" if name == "webhooks" else "latency_ms"

        def of(cells: Totals, name: str = name, measure: str = measure, q: float | None = q) -> float | None:
            if q is not None:
                return made(cells, P95[name], P95[name])
            return made(cells, "mean", lambda cells: _measured(name, measure, list(cells.values()), None))

        now, was = of(held.recent.get(name, {})), of(held.before.get(name, {}))
        written, unit = _timed(now)
        week = "" if was is None else f"; last week {NB.join(_timed(was))}"
        tiles.append(
            Tile(
                name=said, figure=written, unit=unit, state="nodata" if now is None else behind, note=f"Last 5 min{week}",
                trend=_each(facts, name, of),
            )
        )  # fmt: skip
    return [*tiles, _errors_tile(facts, behind)]


def _uptime_tile(facts: Facts, behind: Mark) -> Tile:
    hours = sorted(facts.held.month)
    first = max(facts.now_ms - DAY, hours[0] if hours else 0)
    month = _uptime(_probed(facts.held.whole_month))
    day = _uptime(_together(facts.held.month[hour] for hour in hours if hour + HOUR > first))
    note = f"24 h {percent(day, 2)}"
    if month is None or day is None:
        note = "Nothing is probed"
    elif len(hours) < 24:
        note = f"Known for {duration((facts.now_ms - hours[0]) / 1000)}"
    return Tile(
        name="Uptime, 30 days", figure=figure(month, 100, 2), unit="%", state="nodata" if month is None else behind, note=note,
        trend=[made(facts.held.month[hour], _step_uptime, _step_uptime) for hour in hours[-60:]],
    )  # fmt: skip


def _errors_tile(facts: Facts, behind: Mark) -> Tile:
    raised, before = (
        sum(cell.count for key, cell in cells.items() if key[_E["kind"]] == "error.raised")
        for cells in (facts.held.recent_errors, facts.held.errors_before)
    )
    known = bool(facts.held.errors) or any(facts.held.answers.values())
    hours = usual.weeks_before(window_of(facts.now_ms, NOW_MS))[0].window  # one, or two around a full hour
    minutes = (hours.end_ms - hours.start_ms) / MINUTE_MS
    week = f"; last week {figure(before / minutes, 1, 1)}" if facts.held.errors_before else ""
    return Tile(
        name="Errors a minute", figure=figure(raised / (NOW_MS / MINUTE_MS), 1, 1) if known else "–", unit="",
        state=behind if known else "nodata", note=f"Last 5 min{week}",
        trend=[float(sum(one.values())) for one in _by_hour(facts)],
    )  # fmt: skip


def _timed(ms: float | None) -> tuple[str, str]:
    if ms is None:
        return "–", ""
    return (figure(ms, 1, 0), "ms") if ms < 1000 else (figure(ms / 1000, 1, 1), "s")


def _by_hour(facts: Facts) -> list[dict[str, int]]:
    """Errors raised by component in each hour since the first that is known."""
    hours = sorted(facts.held.errors)
    found = []
    for hour in range(hours[0], hours[-1] + HOUR, HOUR) if hours else ():
        found.append(made(facts.held.errors.get(hour, {}), _raised, _raised))
    return found


def _raised(errors: Totals) -> dict[str, int]:
    """How many errors were raised, by component."""
    return _errors_by(errors, "component")


def _categories(errors: Totals) -> dict[str, int]:
    return _errors_by(errors, "category")


def _errors_by(errors: Totals, dimension: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for key, cell in errors.items():
        if key[_E["kind"]] == "error.raised":
            name = str(key[_E[dimension]])
            counts[name] = counts.get(name, 0) + cell.count
    return counts


def _faults(facts: Facts) -> list[Faults]:
    """The components with the most errors of the last 24 hours, by the hour. Before the first that is known: null."""
    by_hour = _by_hour(facts)
    totals: dict[str, int] = {}
    for counts in by_hour:
        for name, count in counts.items():
            totals[name] = totals.get(name, 0) + count
    found = []
    for name in sorted(totals, key=lambda one: (-totals[one], one))[:FAULTY]:
        hours: list[int | None] = [counts.get(name, 0) for counts in by_hour]
        critical = sum(
            cell.count
            for key, cell in facts.held.last_errors.items()
            if key[_E["kind"]] == "error.raised" and key[_E["component"]] == name and key[_E["critical"]] is True
        )
        missing: list[int | None] = [None] * (24 - len(hours))
        found.append(
            Faults(
                component=name, hours=[*missing, *hours], hour=_errors(facts.held.last_errors, name), critical=critical
            )
        )
    return found
