"""The first page in figures: one sentence that says how things are, what it rests on, and what to look at. Pure.

A sentence is a list of texts and times: where a time stands, each reader sees that of their own zone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from console import brief, health, kpis
from console.board import Event
from console.health import BROKEN, ENOUGH, WORSE, Buckets
from console.readings import FINE_MS, MINUTE_MS, Pulse, Totals, Window, window_of
from console.series import Cut, Series
from console.shapes import Mark, Overview, Provider, Station, Story, Tile, Words
from console.span import View
from console.words import NB, counted, duration, figure, grouped, percent
from rollups.cells import Cell
from schemas.incident import Incident
from schemas.tables import TABLES, Key
from schemas.time import epoch_ms

NOW_MS, HOUR_MS = 5 * MINUTE_MS, 60 * MINUTE_MS
FINISHED = ("succeeded", "failed")
TOLD = 6
"""Alerts that are told on the page."""
ENOUGH_OPEN, NEVER = 20, sys.maxsize
"""Payments from which on the minute that is open is told: a rate of fewer jumps, and a count of less than a minute misleads."""
_GRAVE: dict[str, Mark] = {"critical": "failing", "high": "degraded", "medium": "degraded"}
_OUTCOME, _PROVIDER = (TABLES["payments"].dimensions.index(name) for name in ("outcome", "provider"))


@dataclass(frozen=True, slots=True)
class Held:
    """What was read. `five`: what the last 5 minutes hold of payments; `minutes`: the last hour of them, by the minute;
    `probes`: the last minute of health."""

    five: Totals
    minutes: Buckets
    probes: Buckets


NOTHING = Held({}, {}, {})
_PAYMENTS = Cut("payments", frozenset({"outcome", "fault", "provider"}), measures=frozenset({"latency_ms"}))


async def read(series: Series, now_ms: int) -> Held:
    """Raises what redis raises when it is away."""
    five, hour = windows(now_ms)
    return Held(
        await series.totals(_PAYMENTS, five),
        await series.steps(_PAYMENTS, View(hour, "1m", MINUTE_MS, True)),
        await series.steps(health.PROBES, View(health.window(now_ms), "10s", FINE_MS, True)),
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is made of. `firing`: the alerts that fire, the worst first; `rules`: how many are in force; `incidents`:
    those that are kept."""

    now_ms: int
    pulse: Pulse
    held: Held
    firing: Sequence[Event]
    rules: int
    incidents: Sequence[Incident] = ()
    _minutes: dict[int, _Figures] = field(default_factory=dict, init=False, compare=False)

    def minute(self, start: int) -> _Figures:
        """The figures of a minute of the last hour."""
        if start not in self._minutes:
            self._minutes[start] = _figures(self.minutes.get(start, {}))
        return self._minutes[start]

    @property
    def five(self) -> Totals:
        return self.held.five

    @property
    def minutes(self) -> Buckets:
        return self.held.minutes

    @property
    def paging(self) -> list[Event]:
        """Alerts that say something new: no other one says it already, and it is no history."""
        return [
            one
            for one in self.firing
            if one["data"]["status"] == "firing" and not one["data"].get("inhibited_by") and not one["data"]["historical"]
        ]


def windows(now_ms: int) -> tuple[Window, Window]:
    """The last 5 minutes, and the hour of whole minutes that ends with the open one."""
    end = now_ms - now_ms % MINUTE_MS + MINUTE_MS
    return window_of(now_ms, NOW_MS), Window(end - HOUR_MS, end)


def overview(facts: Facts) -> Overview:
    """The whole page."""
    state, sentence = _verdict(facts)
    return Overview(
        state=state,
        sentence=sentence,
        why=_why(facts),
        as_of=facts.pulse.as_of_ms,
        now=facts.now_ms,
        tiles=_tiles(facts),
        success=_trend(facts, _success),
        minutes_end=windows(facts.now_ms)[1].end_ms,
        providers=_providers(facts),
        alerts=sorted(map(_story, facts.firing), key=lambda story: story.held_back)[:TOLD],
        pipeline=_pipeline(facts),
        incidents=brief.incidents(facts.incidents, facts.now_ms),
        happened=brief.happened(facts.incidents),
    )


# --- the sentence -----------------------------------------------------------------------------------------------------


def doubt(pulse: Pulse, now_ms: int) -> tuple[Mark, Words] | None:
    """The verdict of any page where the present is not known, else None."""
    age_s = pulse.age_s(now_ms)
    if pulse.state in ("down", "blind"):
        if pulse.as_of_ms is None:
            return "nodata", ["Nothing is known yet: no worker has been heard."]
        return "stale", ["Nothing is known since ", pulse.as_of_ms, "."]
    if pulse.state == "behind":
        if pulse.as_of_ms is None or age_s is None:
            return "behind", ["Tillwatch is behind: ", f"{pulse.detail}."]
        return "behind", [f"Tillwatch is {duration(age_s)} behind. What it says is true up to ", pulse.as_of_ms, "."]
    return None


def doubted(pulse: Pulse) -> Mark | None:
    """The state of what is said of the present, where that is not known; else None."""
    return {"behind": "behind", "down": "stale", "blind": "stale"}.get(pulse.state)  # type: ignore[return-value]


def _verdict(facts: Facts) -> tuple[Mark, Words]:
    unsure = doubt(facts.pulse, facts.now_ms)
    if unsure is not None:
        return unsure
    worst = next((one for one in facts.paging if one["data"]["severity"] in _GRAVE), None)
    if worst is not None:
        return _GRAVE[worst["data"]["severity"]], _fails(worst, facts)
    last = _last_payment(facts)
    if last is None:
        return "nodata", ["No payment has arrived in the last hour."]
    figures = _figures(facts.five)
    if not figures.finished:
        return "nodata", ["No payment has arrived since ", last, "."]
    per_minute = round(figures.finished / (NOW_MS / MINUTE_MS))
    return "ok", [f"Customers can pay. Success {percent(figures.success)}, {grouped(per_minute)} payments a minute."]


def _fails(alert: Event, facts: Facts) -> Words:
    data = alert["data"]
    since = epoch_ms(data.get("first_bad_at") or alert["time"])
    title = str(data["summary"]).partition(":")[0].rstrip(".")
    value = data["value"]
    share = f": {percent(value, 0)}" if data["unit"] == "ratio" and value is not None and len(title) < 60 else ""
    words: Words = [f"{title}{share} since ", since, "."]
    provider = data["group"].get("provider")
    fine = [one.name for one in _providers(facts) if one.state == "ok" and one.name != provider]
    if provider is not None and fine and len(fine) == len(_providers(facts)) - 1:
        words.append(" The other providers are fine.")
    elif _figures(facts.five).state == "ok":
        words.append(" Customers can pay.")
    return words


def _why(facts: Facts) -> Words:
    if facts.pulse.state != "live":
        return [f"{facts.pulse.detail[:1].upper()}{facts.pulse.detail[1:]}.", " The figures below are the last that are known."]
    others = len(facts.paging) - 1
    said: list[str] = []
    if others > 0:
        said.append(f"{others} more {'alert fires' if others == 1 else 'alerts fire'}.")
    elif not facts.paging:
        said.append("No alert fires.")
    said.append(f"{health.components(facts.now_ms, facts.held.probes).detail.capitalize()}.")
    return [" ".join(said)]


# --- tiles ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Figures:
    finished: int
    failing: int
    success: float | None
    latency_s: float | None

    @property
    def state(self) -> Mark:
        share = self.failing / self.finished if self.finished else 0.0
        if self.failing >= ENOUGH and share > WORSE:
            return "failing" if share > BROKEN else "degraded"
        return "ok" if self.finished else "nodata"


def _figures(cells: Mapping[Key, Cell]) -> _Figures:
    held = {"payments": dict(cells)}
    finished, failing = kpis.value("payment_volume", held), kpis.value("payment_failure_rate", held)
    return _Figures(
        int(finished or 0),
        round((failing or 0.0) * (finished or 0)),
        kpis.value("payment_success_rate", held),
        kpis.value("avg_payment_latency", held),
    )


def _success(figures: _Figures) -> float | None:
    return figures.success


def _trend(facts: Facts, of: Callable[[_Figures], float | None], least: int = ENOUGH_OPEN) -> list[float | None]:
    """By the minute. Nothing is known before the first minute that holds any; the open one is told from `least` payments on."""
    window, first = windows(facts.now_ms)[1], min(facts.minutes, default=facts.now_ms)
    found: list[float | None] = []
    for start in range(window.start_ms, window.end_ms, MINUTE_MS):
        figures = facts.minute(start)
        told = start >= first and (start + MINUTE_MS < window.end_ms or figures.finished >= least)
        one = of(figures) if told else None
        found.append(None if one is None else round(float(one), 4))
    return found


def _tiles(facts: Facts) -> list[Tile]:
    now = _figures(facts.five)
    minutes = [one for one in _trend(facts, lambda figures: figures.finished, NEVER) if one is not None]
    usual = f"{grouped(round(sum(minutes) / len(minutes)))} a minute" if minutes else "nothing"
    latency: Mark = "nodata" if now.latency_s is None else "ok"
    if now.latency_s is not None and now.latency_s > 5:
        latency = "failing" if now.latency_s > 10 else "degraded"
    paging = facts.paging
    grave: Mark = _GRAVE.get(paging[0]["data"]["severity"], "ok") if paging else "ok"
    names = ", ".join(dict.fromkeys(str(one["data"]["rule"]) for one in paging[:3]))
    return [
        Tile(
            name="Success rate", figure=figure(now.success, 100, 1), unit="%", state=now.state,
            note="Last 5 min; target above 95" + NB + "%", trend=_trend(facts, _success),
        ),
        Tile(
            name="Payments a minute", figure=grouped(round(now.finished / 5)) if facts.held is not NOTHING else "–", unit="",
            state="ok" if now.finished else "nodata", note=f"Last hour {usual}",
            trend=_trend(facts, lambda figures: figures.finished, NEVER),
        ),
        Tile(
            name="Latency, mean", figure=figure(now.latency_s, 1, 1), unit="s", state=latency,
            note="Last 5 min; target below 5" + NB + "s", trend=_trend(facts, lambda figures: figures.latency_s),
        ),
        Tile(
            name="Failing rules", figure=str(len({one["data"]["rule"] for one in paging})), unit="", state=grave,
            note=names or f"All {facts.rules} rules are quiet", trend=[],
        )
        if facts.pulse.state == "live" or (facts.pulse.state == "behind" and paging)
        else Tile(name="Failing rules", figure="–", unit="", state="nodata", note="Not judged up to now", trend=[]),
    ]  # fmt: skip


def _providers(facts: Facts) -> list[Provider]:
    """Those that had a payment in the last hour, the worst first."""
    recent: dict[str, dict[Key, Cell]] = {}
    for cells in facts.minutes.values():
        for key in cells:
            recent.setdefault(str(key[_PROVIDER]), {})
    for key, cell in facts.five.items():
        recent.setdefault(str(key[_PROVIDER]), {})[key] = cell
    found = []
    for name, held in recent.items():
        now = _figures(held)
        found.append((now.success if now.success is not None else 2.0, name, now))
    order = ("failing", "degraded", "nodata", "ok")
    found.sort(key=lambda one: (order.index(one[2].state), one[0], one[1]))
    return [
        Provider(
            name=name,
            success=figure(now.success, 100, 1),
            latency=figure(now.latency_s, 1, 1),
            per_minute=grouped(round(now.finished / 5)) if now.finished else "–",
            state=now.state,
        )
        for _, name, now in found
    ]


def _last_payment(facts: Facts) -> int | None:
    """The start of the last minute in which one finished."""
    some = (
        start
        for start, cells in sorted(facts.minutes.items(), reverse=True)
        if any(key[_OUTCOME] in FINISHED for key in cells)
    )
    return next(some, None)


def _story(alert: Event) -> Story:
    data = alert["data"]
    return Story(
        rule=str(data["rule"]),
        level=str(data["level"]),
        state="nodata" if data["status"] == "no_data" else _GRAVE.get(data["severity"], "ok"),
        summary=str(data["summary"]),
        since=epoch_ms(data.get("first_bad_at") or alert["time"]),
        held_back=bool(data.get("inhibited_by")),
    )


# --- the pipeline -----------------------------------------------------------------------------------------------------


def _pipeline(facts: Facts) -> list[Station]:
    pulse = facts.pulse
    partitions = [part for one in pulse.workers for part in one["partitions"]]
    lag = sum(max((part["end"] or 0) - part["next"], 0) for part in partitions)
    states: dict[str, Mark] = {"live": "ok", "behind": "behind", "blind": "nodata"}
    worker = states.get(pulse.state, "failing")
    marks = [mark for mark in (pulse.leader or {}).get("table_watermarks", {}).values() if mark is not None]
    judged: Mark = "nodata" if pulse.state == "blind" else "failing" if pulse.leader is None else "ok"
    return [
        Station(
            name="Kafka", state=worker, lines=[f"{len(partitions)} partitions", f"lag {grouped(lag)}"] if partitions else []
        ),
        Station(name="Measure", state=worker, lines=[counted(len(pulse.workers), "worker"), pulse.detail or "keeps up"]),
        Station(
            name="Evaluate",
            state=judged,
            lines=[
                f"{facts.rules} rules",
                f"watermark {duration(max(facts.now_ms - min(marks), 0) / 1000)} old" if marks else "no watermark",
            ],
        ),
        Station(
            name="Store",
            state="failing" if pulse.state == "blind" else "ok",
            lines=[pulse.detail if pulse.state == "blind" else "answers"],
        ),
    ]
