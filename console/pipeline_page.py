"""The page of the pipeline: from the producers to the page, how far everything is and what was refused. Pure but for `read`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.board import Event
from console.overview import doubt
from console.readings import STALLED_AFTER_S, Pulse, Totals
from console.series import COUNTS, Cut, Series, made
from console.shapes import Lines, Mark, PipelinePage, SourceSeen, Station, Tile, TopicLag, Worker
from console.span import View
from console.words import counted, duration, grouped
from schemas.tables import EVENT, TABLES, Value
from schemas.time import epoch_ms

_KIND, _TYPE, _SOURCE = (TABLES["pipeline"].dimensions.index(name) for name in ("kind", "type", "source"))
_CUT = Cut("pipeline", frozenset(TABLES["pipeline"].dimensions), measures=COUNTS)
_BESIDE = {
    "repeat": "events that came twice", "unknown_field": "events with fields that are not known",
    "extension": "events with extensions", "overflow": "cells beyond a table's limit",
    "cohort_out_of_range": "payments begun out of range",
}  # fmt: skip
SOURCES = 50
"""Sources that are told, those with the most events."""
SILENT_AFTER_S = 120.0
STEADY, STEPS_KNOWN = 0.5, 3
"""A source is missed that spoke in half of the steps since its first, and in three at least."""
DETECTIONS = 50

Steps = Mapping[int, Totals]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is made of. `notifiers`: what they say of themselves; `alerts`: the last ones; `names`: of topics."""

    now_ms: int
    pulse: Pulse
    view: View
    steps: Steps
    notifiers: Sequence[Mapping[str, Any]]
    alerts: Sequence[Event]
    rules: int
    subject: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a step holds, by the kind of it, the source of an event, the reason that a record could not be used."""

    kinds: Counter[Value]
    sources: Counter[str]
    letters: Counter[str]
    beside: Counter[str]

    @classmethod
    def of(cls, cells: Totals) -> _Counted:
        found = cls(Counter(), Counter(), Counter(), Counter())
        for key, cell in cells.items():
            kind = key[_KIND]
            found.kinds[kind] += cell.count
            if kind == EVENT and key[_SOURCE] is not None:
                found.sources[str(key[_SOURCE])] += cell.count
            elif kind == "dead_letter":
                found.letters[str(key[_TYPE])] += cell.count
            elif kind in _BESIDE:
                found.beside[_BESIDE[str(kind)]] += cell.count
        return found


NOTHING: Steps = {}


async def read(series: Series, view: View) -> Steps:
    """Raises what redis raises when it is away."""
    return await series.steps(_CUT, view)


def pipeline_page(facts: Facts) -> PipelinePage:
    """The whole page."""
    workers, topics = _workers(facts), _topics(facts)
    sources = _sources(facts)
    letters: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    for cells in facts.steps.values():
        held = made(cells, _Counted, _Counted.of)
        letters.update(held.letters)
        beside.update(held.beside)
    delays = _delays(facts.alerts)
    state, sentence = doubt(facts.pulse, facts.now_ms) or ("ok", [_calm(facts, workers)])
    if state == "ok" and letters and sum(letters.values()) > 0.01 * max(1, sum(one.events for one in sources)):
        state, sentence = "degraded", [f"{grouped(sum(letters.values()))} records could not be used: see the reasons below."]
    return PipelinePage(
        state=state,
        sentence=sentence,
        why=[facts.pulse.detail.capitalize() + "." if facts.pulse.detail else _why(workers, topics, sources)],
        as_of=facts.pulse.as_of_ms,
        now=facts.now_ms,
        tiles=_tiles(facts, topics, letters, delays),
        stations=_stations(facts, workers, topics, sources),
        events=_lines(facts, {"events a second": EVENT}),
        refused=_lines(facts, {"dead letters": "dead_letter", "repeats": "repeat"}, a_second=False),
        workers=workers,
        topics=topics,
        sources=sources,
        letters=dict(letters.most_common()),
        drift=dict(beside.most_common()),
        detected_s=delays,
    )


def _calm(facts: Facts, workers: Sequence[Worker]) -> str:
    count = len([one for one in workers if one.role == "worker"])
    return f"Everything that happened is counted: {counted(count, 'worker')}, {facts.rules} rules, nothing waits."


def _why(workers: Sequence[Worker], topics: Sequence[TopicLag], sources: Sequence[SourceSeen]) -> str:
    silent = [one.source for one in sources if one.state == "nodata"]
    said = f"{counted(sum(one.partitions for one in topics), 'partition')} of {counted(len(topics), 'topic')}."
    return f"{said} {counted(len(sources), 'source')}{f', {len(silent)} silent: ' + ', '.join(silent[:3]) if silent else ''}."


# --- parts ------------------------------------------------------------------------------------------------------------


def _workers(facts: Facts) -> list[Worker]:
    now_s = facts.now_ms / 1000
    found = []
    for one in facts.pulse.workers:
        flushed = None if not one["last_flush_at"] else round(max(now_s - one["last_flush_at"], 0), 1)
        late = sum(part["behind"] for part in one["partitions"])
        stalled = bool(one["partitions"]) and flushed is not None and flushed > STALLED_AFTER_S
        detail = "has not written for a while" if stalled else f"{counted(late, 'partition')} behind" if late else ""
        found.append(
            Worker(
                name=str(one["name"]),
                role="worker",
                state="behind" if stalled or late else "ok",
                partitions=len(one["partitions"]),
                lag=sum(_lag(part) for part in one["partitions"]),
                flushed_s=flushed,
                detail=", ".join(text for text in ("leads" if one["leader"] else "", detail) if text),
            )
        )
    for one in facts.notifiers:
        found.append(
            Worker(
                name=str(one.get("name", "notifier")),
                role="notifier",
                state="ok",
                partitions=None,
                lag=None,
                flushed_s=None,
                detail="leads" if one.get("leader") else "stands by",
            )
        )
    return sorted(found, key=lambda one: (one.role, one.name))


def _lag(part: Mapping[str, Any]) -> int:
    lag: int = max((part["end"] or 0) - part["next"], 0)
    return lag


def _topics(facts: Facts) -> list[TopicLag]:
    by_topic: dict[str, list[Mapping[str, Any]]] = {}
    for worker in facts.pulse.workers:
        for part in worker["partitions"]:
            by_topic.setdefault(part["topic"], []).append(part)
    found = []
    for topic, parts in sorted(by_topic.items()):
        marks = [part["watermark_ms"] for part in parts if part["watermark_ms"] is not None]
        behind = any(part["behind"] for part in parts)
        found.append(
            TopicLag(
                topic=facts.subject(topic),
                partitions=len(parts),
                read=sum(part["next"] for part in parts),
                lag=sum(map(_lag, parts)),
                watermark_s=round((facts.now_ms - min(marks)) / 1000, 1) if marks else None,
                state="behind" if behind else "ok",
            )
        )
    return found


def _sources(facts: Facts) -> list[SourceSeen]:
    counts: dict[str, dict[int, int]] = {}
    for start, cells in facts.steps.items():
        for source, count in made(cells, _Counted, _Counted.of).sources.items():
            counts.setdefault(source, {})[start] = count
    minutes = facts.view.step_ms / 60_000
    busiest = sorted(counts.items(), key=lambda one: (-sum(one[1].values()), one[0]))[:SOURCES]
    found = []
    for source, steps in busiest:
        begun, last = min(steps), max(steps) + facts.view.step_ms
        age = max(facts.now_ms - last, 0) / 1000
        # Who spoke now and then only, such as whoever tells of deployments, is not missed yet.
        steady = len(steps) >= STEADY * (last - facts.view.step_ms - begun) / facts.view.step_ms and len(steps) >= STEPS_KNOWN
        silent = facts.view.live and steady and age > max(SILENT_AFTER_S, facts.view.step_ms / 1000)
        found.append(
            SourceSeen(
                source=source,
                events=sum(steps.values()),
                per_minute=[
                    None if start < begun or _open(facts, start) else round(steps.get(start, 0) / minutes, 2)
                    for start in facts.view.starts
                ],
                age_s=age,
                state="nodata" if silent else "ok",
            )
        )
    return found


def _delays(alerts: Sequence[Event]) -> list[float]:
    """Of the last alerts that fired in the present, the latest first."""
    found = []
    for event in alerts:
        data = event["data"]
        if str(event["type"]).endswith(".firing") and data.get("first_bad_at") and not data["historical"] and not data["late"]:
            found.append(round(max(epoch_ms(data["detected_at"]) - epoch_ms(data["first_bad_at"]), 0) / 1000, 2))
    return found[:DETECTIONS]


def _lines(facts: Facts, kinds: Mapping[str, str], a_second: bool = True) -> Lines:
    """Of each kind how many. The open step is told only of what is counted as it comes; a rate of it would look like a drop."""
    divisor = facts.view.step_ms / 1000 if a_second else 1
    known = min(facts.steps, default=None)
    lines: dict[str, list[float | None]] = {}
    for name, kind in kinds.items():
        values: list[float | None] = []
        for start in facts.view.starts:
            if known is None or start < known or _open(facts, start):
                values.append(None)
            else:
                cells = facts.steps.get(start, {})
                values.append(round(made(cells, _Counted, _Counted.of).kinds[kind] / divisor, 3))
        lines[name] = values
    return Lines(ends=facts.view.window.start_ms + facts.view.step_ms, step=facts.view.step_ms, lines=lines)


def _open(facts: Facts, start: int) -> bool:
    return facts.view.live and start + facts.view.step_ms > facts.now_ms


def _tiles(
    facts: Facts, topics: Sequence[TopicLag], letters: Mapping[str, int], delays: Sequence[float]
) -> list[Tile]:
    unread = facts.pulse.state in ("down", "blind")
    events = _lines(facts, {"all": EVENT}).lines["all"]
    last = next((value for value in reversed(events) if value is not None), None)
    lag = sum(one.lag for one in topics)
    age = facts.pulse.age_s(facts.now_ms)
    typical = sorted(delays)[len(delays) // 2] if delays else None
    refused = sum(letters.values())

    def tile(name: str, figure: str, unit: str, note: str, state: Mark, trend: list[float | None] | None = None) -> Tile:
        return Tile(name=name, figure=figure, unit=unit, state=state, note=note, trend=trend or [])

    nodata: Mark = "nodata"
    return [
        tile("Events", "–" if last is None else grouped(round(last)), "a second", "of all sources, last whole step",
             nodata if last is None else "ok", events),
        tile("Lag", "–" if unread else grouped(lag), "records", "published and not yet folded",
             nodata if unread else "behind" if facts.pulse.state == "behind" else "ok"),
        tile("Known to", "–" if age is None else duration(age), "ago", "up to when everything is counted",
             nodata if age is None else "behind" if facts.pulse.state == "behind" else "ok"),
        tile("Dead letters", grouped(refused) if facts.steps else "–", "", "records that could not be used, in this time",
             nodata if not facts.steps else "degraded" if refused else "ok"),
        tile("Event to alert", "–" if typical is None else duration(typical), "",
             f"median of the last {len(delays)} alerts, from the first bad event" if delays else "no alert to tell it by",
             nodata if typical is None else "ok"),
    ]  # fmt: skip


def _stations(
    facts: Facts, workers: Sequence[Worker], topics: Sequence[TopicLag], sources: Sequence[SourceSeen]
) -> list[Station]:
    pulse = facts.pulse
    states: dict[str, Mark] = {"live": "ok", "behind": "behind", "blind": "nodata"}
    work = states.get(pulse.state, "failing")
    marks = [mark for mark in (pulse.leader or {}).get("table_watermarks", {}).values() if mark is not None]
    notifiers = [one for one in workers if one.role == "notifier"]
    silent = [one for one in sources if one.state == "nodata"]
    lag = sum(one.lag for one in topics)
    watermark = f"watermark {duration(max(facts.now_ms - min(marks), 0) / 1000)} old" if marks else "no watermark"
    judged: Mark = "nodata" if pulse.state == "blind" else "failing" if pulse.leader is None else "ok"
    return [
        Station(
            name="Producers",
            state="nodata" if not sources or len(silent) == len(sources) else "degraded" if silent else "ok",
            lines=[counted(len(sources), "source"), f"{len(silent)} silent" if silent else "all speak"],
        ),
        Station(name="Kafka", state=work, lines=[f"{sum(one.partitions for one in topics)} partitions", f"lag {grouped(lag)}"]),
        Station(name="Measure", state=work, lines=[counted(len(pulse.workers), "worker"), pulse.detail or "keeps up"]),
        Station(name="Evaluate", state=judged, lines=[f"{facts.rules} rules", watermark]),
        Station(
            name="Store",
            state="failing" if pulse.state == "blind" else "ok",
            lines=[pulse.detail if pulse.state == "blind" else "answers"],
        ),
        Station(
            name="Notify",
            state="ok" if any("leads" in one.detail for one in notifiers) else "nodata" if not notifiers else "behind",
            lines=[counted(len(notifiers), "notifier") if notifiers else "no notifier has been heard"],
        ),
    ]
