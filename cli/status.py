"""`tillwatch status`: the verdict first, then every part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.terminal import FAILED, out, print_json, say

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from runtime.clock import Clock
    from runtime.names import Names
    from runtime.settings import Settings

OK, BEHIND, NO_DATA, DOWN = "OK", "BEHIND", "NO_DATA", "DOWN"
FAILED_PART = "FAILED"
"""The state of a channel or switch that does not work: others step in, so it is no verdict on the whole."""
_STYLES = {OK: "green", BEHIND: "yellow", NO_DATA: "magenta", DOWN: "bold red", FAILED_PART: "red"}
_LOUD = ("no_data", "behind", "unknown", "learning")
STALLED_S = 15.0
"""A worker that has not flushed for so long waits for something."""
STUCK_S = 30.0
"""So does a notifier whose work has not gone round for so long."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part and how it is. Lags are records, ages seconds; None: not known or not applicable."""

    name: str
    kind: str
    state: str
    lag: int | None = None
    watermark_age_s: float | None = None
    last_flush_age_s: float | None = None
    detail: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "lag": self.lag,
            "watermark_age_s": self.watermark_age_s,
            "last_flush_age_s": self.last_flush_age_s,
            "detail": self.detail,
            **self.more,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict, one sentence about it, and the parts that it rests on."""

    verdict: str
    sentence: str
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out, before it is judged."""

    now_s: float
    workers: Sequence[Mapping[str, Any]]
    ends: Mapping[tuple[str, int], int]
    """The end offset of every partition of the event topics that exist."""
    unowned_next: Mapping[tuple[str, int], int]
    """Where partitions that no worker owns were left, by Redis."""
    missing_topics: Sequence[str] = ()
    alerts: Sequence[Mapping[str, Any]] = ()
    """The alert event last sent for each rule and group."""
    notifiers: Sequence[Mapping[str, Any]] = ()
    notifier_ran: bool = False
    """Whether one ever led here."""


def judge(found: Found, names: Names) -> Report:
    """The report on what was found.

    DOWN: nobody works, or nobody would be paged. BEHIND: someone does, and verdicts or pages may be late. NO_DATA: a source
    that events were expected from is silent.
    """
    if not found.workers:
        parts = [*_topics(found, names), _alerts(found), *_notifier(found)]
        return Report(
            DOWN, "no worker runs: start one with 'tillwatch worker' (or all on one machine: 'tillwatch up')", parts
        )
    leader = next((one for one in found.workers if one.get("leader")), None)
    judged = [_evaluate(found, leader), *_rules(leader), *_baselines(leader)]
    parts = [*_topics(found, names), *judged, *_workers(found), _alerts(found), *_notifier(found)]
    for verdict in (DOWN, BEHIND, NO_DATA):
        guilty = [part for part in parts if part.state == verdict]
        if guilty:
            return Report(verdict, "; ".join(f"{part.name}: {part.detail}" for part in guilty[:3]), parts)
    if not any(found.ends.values()):
        return Report(OK, "everything works; no event has arrived yet", parts)
    return Report(OK, f"everything works; {_count(len(found.workers), 'worker')}, {_firing(found.alerts)}", parts)


def _topics(found: Found, names: Names) -> list[Part]:
    owned = {(one["topic"], one["partition"]): one for worker in found.workers for one in worker["partitions"]}
    parts = []
    for topic in names.event_topics:
        partitions = [partition for partition in found.ends if partition[0] == topic]
        name = names.subject(topic)
        if topic in found.missing_topics or not partitions:
            parts.append(Part(name, "topic", DOWN, detail="the topic does not exist: run 'tillwatch setup topics'"))
            continue
        behind, orphans, lag = 0, 0, 0
        ages = []
        for partition in partitions:
            mine = owned.get(partition)
            end = found.ends[partition]
            if mine is None:
                orphans += 1
                lag += max(end - found.unowned_next.get(partition, 0), 0)
                continue
            lag += max(end - mine["next"], 0)
            behind += bool(mine["behind"])
            if mine["watermark_ms"] is not None:
                ages.append(round(found.now_s - mine["watermark_ms"] / 1000, 1))
        state, detail = OK, ""
        if orphans and found.workers:
            state, detail = BEHIND, f"{_count(orphans, 'partition')} owned by no worker"
        elif behind:
            state, detail = BEHIND, f"{_count(behind, 'partition')} behind"
        elif orphans:
            state, detail = DOWN, "no worker"
        more = {"partitions": len(partitions), "owned": len(partitions) - orphans}
        parts.append(Part(name, "topic", state, lag, max(ages, default=None), None, detail, more))
    return parts


def _evaluate(found: Found, leader: Mapping[str, Any] | None) -> Part:
    if leader is None:
        return Part("evaluate", "leader", BEHIND, detail="no worker leads: rules are not judged until one takes over")
    marks = [mark for mark in leader["table_watermarks"].values() if mark is not None]
    age = round(found.now_s - min(marks) / 1000, 1) if marks else None
    return Part(
        "evaluate", "leader", OK, leader["leader_lag"], age, _flush_age(found, leader), f"led by {leader['name']}"
    )


def _rules(leader: Mapping[str, Any] | None) -> Iterable[Part]:
    """How many rules stand how; those that are not well by name."""
    told = (leader or {}).get("rules") or {}
    if not told:
        return
    by_state: dict[str, list[str]] = {}
    for one in told["states"]:
        group = ", ".join(str(value) for value in one["group"].values())
        by_state.setdefault(one["state"], []).append(f"{one['rule']}{f' ({group})' if group else ''}")
    words = [
        f"{len(names)} {state.upper() if state in _LOUD else state}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
        for state, names in by_state.items()
    ]
    detail = "; ".join([_count(told["count"], "rule"), *words])
    yield Part("rules", "rules", OK, detail=detail, more={"count": told["count"], "states": told["states"]})


def _baselines(leader: Mapping[str, Any] | None) -> Iterable[Part]:
    """What the rules that compare with a baseline know: one that is learning, or knows nothing of now, judges nothing."""
    for one in (leader or {}).get("baselines", ()):
        group = ", ".join(f"{name} {value}" for name, value in one["group"].items())
        name = f"{one['rule']}{f' ({group})' if group else ''}"
        more = {"rule": one["rule"], "group": one["group"]}
        yield Part(name, "baseline", one["state"].upper(), detail=one["says"], more=more)


def _workers(found: Found) -> Iterable[Part]:
    for one in sorted(found.workers, key=lambda worker: str(worker["name"])):
        partitions = one["partitions"]
        lag = sum(max(found.ends.get((p["topic"], p["partition"]), p["next"]) - p["next"], 0) for p in partitions)
        marks = [p["watermark_ms"] for p in partitions if p["watermark_ms"] is not None]
        age = round(found.now_s - min(marks) / 1000, 1) if marks else None
        flushed = _flush_age(found, one)
        stalled = bool(partitions) and flushed is not None and flushed > STALLED_S
        state, detail = (BEHIND, "has not flushed for a while: is a server away?") if stalled else (OK, "")
        more = {"partitions": len(partitions), "leader": bool(one["leader"]), "started_at": one["started_at"]}
        yield Part(str(one["name"]), "worker", state, lag, age, flushed, detail, more)


def _flush_age(found: Found, worker: Mapping[str, Any]) -> float | None:
    at = worker.get("last_flush_at")
    return None if not at else round(max(found.now_s - at, 0.0), 1)


def _alerts(found: Found) -> Part:
    silent = [
        alert for alert in found.alerts if alert["data"]["status"] == "no_data" and not alert["data"]["historical"]
    ]
    last = max((alert["time"] for alert in found.alerts), default=None)
    more = {"firing": sum(alert["data"]["status"] == "firing" for alert in found.alerts), "last_sent_at": last}
    if silent:
        detail = "no data for " + ", ".join(sorted({str(alert["data"]["rule"]) for alert in silent}))
        return Part("alerts", "alerts", NO_DATA, detail=detail, more=more)
    return Part("alerts", "alerts", OK, detail=_firing(found.alerts), more=more)


def _notifier(found: Found) -> Iterable[Part]:
    """Who pages people, and the channels that do not work. Nothing where no notifier was ever meant to run."""
    leader = next((one for one in found.notifiers if one["leader"]), None)
    if leader is None:
        if found.notifiers:
            detail = f"{_count(len(found.notifiers), 'notifier')} and none leads: nobody is paged until one does"
            yield Part("notifier", "notifier", BEHIND, detail=detail)
        elif found.notifier_ran:
            detail = "none runs, though one did: nobody is paged (start one with 'tillwatch notifier')"
            yield Part("notifier", "notifier", DOWN, detail=detail)
        return
    overdue = [one["says"] for one in leader["watch"] if one["name"] == "steps_overdue"]
    stuck = leader["turned_age_s"] > STUCK_S
    page = leader["last_page_at"]
    told = [
        f"led by {leader['name']}",
        f"its work has not gone round for {leader['turned_age_s']:.0f} s" if stuck else "",
        f"steps are overdue: {overdue[0]}" if overdue else "",
        f"{_count(leader['open_incidents'], 'open incident')}",
        "no page sent" if page is None else f"last page sent {_age(max(found.now_s - page, 0.0))}",
    ]
    more = {
        "last_page_at": page,
        "open_incidents": leader["open_incidents"],
        "standing_by": len(found.notifiers) - 1,
        "watch": leader["watch"],
        "channels": leader["channels"],
        "deadman": leader["deadman"],
        "actions": leader.get("actions"),
    }
    state = BEHIND if stuck or overdue else OK
    yield Part("notifier", "notifier", state, leader["lag"], detail="; ".join(filter(None, told)), more=more)
    for name, one in leader["channels"].items():
        failed = one["last_failure"]
        if failed is not None and failed["at"] >= (one["last_ok_at"] or 0.0):
            ago = _age(max(found.now_s - failed["at"], 0.0))
            yield Part(name, "channel", FAILED_PART, detail=f"{failed['result']} {ago}: {failed['detail']}", more=one)
    switch = leader["deadman"]
    if switch is not None and switch["state"] == "failing":
        yield Part("dead man's switch", "deadman", FAILED_PART, detail=f"it cannot be called: {switch['detail']}")
    if leader.get("actions") is not None:
        yield Part("actions", "actions", FAILED_PART, detail=leader["actions"])


def _firing(alerts: Sequence[Mapping[str, Any]]) -> str:
    firing = sum(alert["data"]["status"] == "firing" for alert in alerts)
    return f"{_count(firing, 'alert')} firing" if firing else "no alert firing"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


# --- finding out ----------------------------------------------------------------------------------------------------


async def find(settings: Settings, clock: Clock) -> Found:
    """Asks Redis and Kafka. Raises KafkaUnreachable, RedisUnusable, or the clients' own errors."""
    from runtime.kafka import address, topic_logs
    from runtime.redis import check, connect

    names, kafka = settings.names, address(settings)
    redis = connect(settings)
    try:
        await check(redis)
        workers, notifiers = await _told(redis, names.worker("*")), await _told(redis, names.notifier_process("*"))
        ran = bool(await redis.exists(names.notifier("leader")))
        logs = await topic_logs(kafka, names.event_topics)
        ends = await _ends(kafka, {log.topic: log.partitions for log in logs.values()})
        ids = {log.topic: log.topic_id for log in logs.values()}
        owned = {(one["topic"], one["partition"]) for worker in workers for one in worker["partitions"]}
        left = await _left(redis, settings, [one for one in ends if one not in owned], ids)
        alerts = await _sent(redis, names)
    finally:
        await redis.aclose()
    missing = [topic for topic in names.event_topics if topic not in logs]
    return Found(clock.now(), workers, ends, left, missing, alerts, notifiers, ran)


async def _told(redis: Redis, match: str) -> list[dict[str, Any]]:
    """What processes say of themselves."""
    keys = [key async for key in redis.scan_iter(match=match, count=1000)]
    values = await redis.mget(keys) if keys else []
    return [json.loads(value) for value in values if value is not None]


async def _ends(kafka: str, partitions: Mapping[str, int]) -> dict[tuple[str, int], int]:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import TopicPartition

    from runtime.kafka import fetched_ends

    wanted = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    if not wanted:
        return {}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id="tillwatch-status", enable_auto_commit=False)
    await consumer.start()
    try:
        plain = await consumer.end_offsets(wanted)
    finally:
        await consumer.stop()
    return {(tp.topic, tp.partition): end for tp, end in (plain | await fetched_ends(kafka, plain)).items()}


async def _left(
    redis: Redis, settings: Settings, partitions: Sequence[tuple[str, int]], ids: Mapping[str, str]
) -> dict[tuple[str, int], int]:
    from rollups.sources import SourceStore
    from runtime.names import Source

    store = SourceStore(redis, settings.names, settings.bucket_ms)
    left = {}
    for topic, number in partitions:
        state = await store.state(Source(topic, ids[topic], number))
        if state is not None:
            left[topic, number] = state[0]
    return left


async def _sent(redis: Redis, names: Names) -> list[dict[str, Any]]:
    """The alert event last sent for each rule and group, from the outbox."""
    entries = [json.loads(value) for value in (await redis.hgetall(names.alert_states)).values()]
    return [json.loads(entry["alert"]) for entry in entries if entry.get("alert")]


# --- showing --------------------------------------------------------------------------------------------------------


def show(as_json: bool) -> int:
    """Prints the report; 0 only when the verdict is OK."""
    from aiokafka.errors import KafkaError
    from redis.exceptions import RedisError

    from runtime.kafka import KafkaUnreachable
    from runtime.log import masked
    from runtime.redis import RedisUnusable

    settings = installation.settings()
    clock = installation.clock(settings)
    try:
        report = judge(asyncio.run(find(settings, clock)), settings.names)
    except (KafkaUnreachable, KafkaError) as error:
        text = masked(str(error) or type(error).__name__)
        report = Report(DOWN, text, [Part("kafka", "server", DOWN, detail=text)])
    except (RedisUnusable, RedisError, OSError) as error:
        text = masked(str(error) or type(error).__name__)
        report = Report(DOWN, text, [Part("redis", "server", DOWN, detail=text)])
    if as_json:
        print_json(
            {
                "verdict": report.verdict,
                "sentence": report.sentence,
                "as_of": datetime.fromtimestamp(clock.now(), UTC)
                .isoformat(timespec="milliseconds")
                .replace("+00:00", "Z"),
                "parts": [part.as_json() for part in report.parts],
            }
        )
    else:
        _show(report)
    return 0 if report.verdict == OK else FAILED


def _show(report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    say(f"{report.verdict}  {report.sentence}", style=_STYLES[report.verdict])
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("part")
    table.add_column("state")
    for name in ("lag", "watermark", "last flush"):
        table.add_column(name, justify="right")
    table.add_column("")
    for part in report.parts:
        table.add_row(
            part.name,
            Text(part.state, style=_STYLES.get(part.state, "")),
            "" if part.lag is None else f"{part.lag:,}",
            _age(part.watermark_age_s),
            _age(part.last_flush_age_s),
            Text(part.detail),
        )
    out().print(table)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"
