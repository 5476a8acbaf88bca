"""What the API answers, as the contract has it: rates are fractions, latencies seconds, money minor units, times RFC 3339 UTC.

A rate, a mean and a share are null where there is nothing to judge.
"""

from __future__ import annotations

import gzip
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alert import Instant

Verdict = Literal["healthy", "degraded", "unhealthy"]
State = Literal["healthy", "degraded", "unhealthy", "unknown"]
Level = Literal["ok", "warning", "critical", "unknown"]
Mark = Literal["ok", "degraded", "failing", "behind", "nodata", "stale", "maint"]


class Shape(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, serialize_by_alias=True, validate_by_name=True)

    @cached_property
    def encoded(self) -> bytes:
        """Its JSON, made once for all who are told it."""
        return self.model_dump_json().encode()

    @cached_property
    def packed(self) -> bytes:
        """The same in gzip."""
        return gzip.compress(self.encoded, compresslevel=5, mtime=0)


class Span(Shape):
    """What was added up: from `start` (inclusive) to `end` (exclusive), in event time."""

    start: Instant
    end: Instant


class Target(Shape):
    """What a figure should be above, or below; `met` is null where there is no figure."""

    above: float | None = None
    below: float | None = None
    met: bool | None


class Figures(Shape):
    """What all figures say of themselves. `stale`: newer events may have happened that are not in them."""

    targets: dict[str, Target] = {}
    window: Span
    as_of: Instant | None = Field(description="up to when the figures are known to hold what happened")
    stale: bool


class PaymentFigures(Figures):
    """Payments of a window. Failures are those of technical or unknown fault, declines those of business."""

    success_rate: float | None
    average_latency: float | None = Field(description="seconds")
    failure_rate: float | None
    decline_rate: float | None
    daily_volume: int = Field(description="payments that finished in the last 24 hours")
    conversion_rate: float | None = Field(description="succeeded of those that were begun in the window")
    revenue: dict[str, int] = Field(description="minor units by currency")


class ErrorFigures(Figures):
    """Errors of a window. `error_rate`: of the requests served."""

    error_rate: float | None
    error_count: int
    error_categories: dict[Literal["application", "payment", "webhook", "configuration", "security"], int]
    critical_errors: int
    resolved_errors: int


class SecurityFigures(Figures):
    """Security events of a window."""

    authentication_failures: int
    authorization_violations: int
    webhook_security_violations: int
    suspicious_activities: int
    blocked_requests: int
    security_incidents: int


class Gauge(Shape):
    """A figure, and what it is a warning above, and critical. `of`: the worst of its kind, where there are several."""

    value: float | None
    unit: Literal["s", "ratio", "1/s"]
    warning: float | None
    critical: float | None
    state: Level
    of: str | None = None


class PerformanceFigures(Figures):
    """How fast and how loaded: means over the window; of cpu, memory and disk the mean of the most loaded host."""

    response_time: Gauge
    throughput: Gauge
    cpu: Gauge
    memory: Gauge
    disk: Gauge
    database_query_time: Gauge
    network_latency: Gauge


class Check(Shape):
    """What was looked at. `age_s`: of the newest evidence, null where there is none."""

    name: str
    state: State
    age_s: float | None
    detail: str


class Health(Shape):
    """The verdict, and what it rests on. A boolean is true only on evidence younger than 60 s."""

    overall_health: Verdict
    api_connectivity: bool
    database_connectivity: bool
    webhook_processing: bool
    payment_system: bool
    response_time: float | None = Field(description="mean of the last minute, in ms")
    uptime_percentage: float | None = Field(description="0 to 100: health checks of the last 24 hours that found it up")
    checks: list[Check]
    as_of: Instant | None


class OpenIncidents(Shape):
    """How many incidents are open, and how bad the worst is."""

    open: int
    state: Mark


class Tick(Shape):
    """How fresh everything is; told every 2 s to whoever listens. `state`: live, behind, down or blind."""

    now: Instant
    state: str
    as_of: Instant | None
    age_s: float | None
    detail: str
    firing: int
    alerts: str = Field(description="followed, or why they are not")
    last_alert: str | None = Field(description="the place of the last alert")
    incidents: OpenIncidents


class RuleState(Shape):
    """How a rule stands in one group, where that is not well."""

    group: dict[str, Any]
    state: str = Field(description="firing, no_data, behind, unknown, learning or pending")
    since: Instant | None


class RuleInForce(Shape):
    """A rule, what it means in a sentence, and how it stands: the gravest state of its groups, `ok` or `unknown`."""

    pack: str
    rule: str
    version: str
    severity: str
    level: str
    condition: str
    explanation: str
    resolves: str
    by: list[str]
    channels: list[str]
    owner: str | None
    runbook: str | None
    enabled: bool
    state: str
    states: list[RuleState]


class Rules(Shape):
    """The rules in force."""

    rules: list[RuleInForce]
    as_of: Instant | None
    stale: bool


class PlacedAlert(Shape):
    """An alert event (schemas/generated/tillwatch.alert.json) at its place, which is null in a list of what fires."""

    place: str | None
    event: dict[str, Any]


class Alerts(Shape):
    """Alerts, the latest first. `next`: what to ask `before` for the ones before these, null where there are no more."""

    alerts: list[PlacedAlert]
    next: str | None
    followed: bool = Field(description="whether the alerts topic is followed now; otherwise there may be newer ones")


class Column(Shape):
    """A column of an answer and its DuckDB type."""

    name: str
    type: str


class Statement(Shape):
    """One SELECT over `<subject>_10s`, `_1m` and `_1h`."""

    sql: str


class Table(Shape):
    """What a SELECT answers: columns, and rows as arrays."""

    columns: list[Column]
    rows: list[list[Any]]


class Rows(Shape):
    """Rows of a table: `bucket`, the dimensions asked for, `count`, and of each measure sum, min, max and percentiles."""

    table: str
    resolution: str
    from_: str = Field(alias="from")
    to: str
    by: list[str]
    rows: list[dict[str, Any]]


class Integration(Shape):
    """The addresses where other systems plug in; null where there is none."""

    metrics_endpoint: str
    log_aggregation: str
    alert_webhook: str | None
    dashboard_url: str
    incident_api: str | None


Words = list[str | int]
"""A sentence: texts, and times in epoch ms, which each reader sees in their own zone."""


class Tile(Shape):
    """A figure as it is written, what it is compared with, and its trend; `before`: that of the same time a week ago."""

    name: str
    figure: str
    unit: str
    state: Mark
    note: str
    trend: list[float | None]
    before: list[float | None] | None = None


class Lines(Shape):
    """Lines over time. Each value is of `step` ms, the first of which end at `ends` (epoch ms); null: nothing is known."""

    ends: int
    step: int
    lines: dict[str, list[float | None]]
    low: list[float | None] | None = Field(None, description="the lower edge of what is usual")
    high: list[float | None] | None = None


class Happened(Shape):
    """Something that charts mark."""

    at: int
    kind: Literal["deploy", "incident", "config"]
    label: str


class Provider(Shape):
    """The last 5 minutes of one provider, as they are written."""

    name: str
    success: str
    latency: str
    per_minute: str
    state: Mark


class Story(Shape):
    """An alert that fires. `held_back`: another one says it already."""

    rule: str
    level: str
    state: Mark
    summary: str
    since: int
    held_back: bool


class Station(Shape):
    """A part of the pipeline."""

    name: str
    state: Mark
    lines: list[str]


class Page(Shape):
    """What every page says first: how things are, and what that rests on. Times in epoch ms."""

    state: Mark
    sentence: Words
    why: Words
    as_of: int | None = Field(description="up to when what it shows is known to hold what happened")
    now: int


class IncidentBrief(Shape):
    """An incident in half a line. Times in epoch ms; `lasted_s`: to its end, or to now."""

    number: int
    title: str
    level: str
    state: Mark
    status: str
    since: int
    lasted_s: float
    who: str | None


class HappenedBrief(Shape):
    """What happened in the worst of the incidents that are open. `at` in epoch ms."""

    at: int
    kind: str
    text: str


class Overview(Page):
    """What the first page shows. `success`: by the minute, the last of which ends at `minutes_end`."""

    tiles: list[Tile]
    success: list[float | None]
    minutes_end: int
    providers: list[Provider]
    alerts: list[Story]
    pipeline: list[Station]
    incidents: list[IncidentBrief] = Field(description="those that are open, the worst first, then the last ones")
    happened: list[HappenedBrief] = Field(description="so far in the first of them, while it is open; the latest first")


class RuleHistory(Shape):
    """What the last alert events tell of a rule: how often it fired, how often that paged nobody or was taken back, how often
    it was over within 2 minutes, how long it took (median, seconds), when it fired last (epoch ms), and how often and how long
    (seconds, of what is over) there were no data to judge."""

    episodes: int
    explained: int
    withdrawn: int
    brief: int
    median_s: float | None
    last: int | None
    no_data: int
    no_data_s: float


class RuleScore(Shape):
    """What came of the incidents of a window that a rule had a part in and that people were told of; medians in seconds, null
    where there is nothing to judge."""

    incidents: int
    taken: int = Field(description="somebody acknowledged them")
    over: int
    by_itself: int = Field(description="of those that are over: within ten minutes, and nobody had done anything")
    again: int = Field(description="fired again after they had ended by themselves")
    right: int = Field(description="people judged that somebody had to see to it")
    wrong: int = Field(description="people judged that it was a false alarm")
    precision: float | None = Field(description="right of all that were judged")
    detected: int = Field(description="on how many `detect_s` rests: those whose alert was this rule's")
    detect_s: float | None = Field(description="from the first bad event to its detection")
    lasted_s: float | None = Field(description="from the first bad event to the end, of those that are over")


class RuleRecord(Shape):
    """What the incidents tell of a rule. `daily`: how many opened in each 24 hours, the last of which end now."""

    month: RuleScore = Field(description="of the last 30 days")
    quarter: RuleScore = Field(description="of the last 90 days")
    daily: list[int]
    latest: list[int] = Field(description="the numbers of the last ones, the latest first")


class RuleRecords(Shape):
    """What the incidents tell of the rules, by `pack/rule`; of a rule that had part in none there is nothing. `since`: every
    incident that opened from then on is known (epoch ms); null while none is known of at all. `followed`: none is newer."""

    rules: dict[str, RuleRecord]
    since: int | None
    followed: bool


class RulesPage(Page):
    """Every rule, the gravest first. `since`: the time of the earliest alert that the history is made of."""

    tiles: list[Tile]
    rules: list[RuleInForce]
    marks: dict[str, Mark]
    history: dict[str, RuleHistory]
    since: int | None
    records: RuleRecords
    problems: list[str]


class RuleInFull(Shape):
    """A rule in force with its history (of the last 2,000 alert events, from `history_since` on) and its record; null where
    there is none."""

    rule: RuleInForce
    history: RuleHistory | None
    history_since: Instant | None
    record: RuleRecord | None
    record_since: Instant | None = Field(description="every incident that opened from then on is known")
    followed: bool = Field(description="whether there are no newer incidents than the record knows of")
    as_of: Instant | None
    stale: bool


class Worker(Shape):
    """A process of the pipeline. Ages in seconds; lag in records."""

    name: str
    role: str
    state: Mark
    partitions: int | None
    lag: int | None
    flushed_s: float | None
    detail: str


class TopicLag(Shape):
    """The partitions of one event topic together."""

    topic: str
    partitions: int
    read: int
    lag: int
    watermark_s: float | None
    state: Mark


class SourceSeen(Shape):
    """Events of one source: in the window, by the minute, and when the last of them came (age of its 10 s, seconds)."""

    source: str
    events: int
    per_minute: list[float | None]
    age_s: float | None
    state: Mark


class PipelinePage(Page):
    """How far the numbers are, from the producers to the page."""

    tiles: list[Tile]
    stations: list[Station]
    events: Lines
    refused: Lines
    workers: list[Worker]
    topics: list[TopicLag]
    sources: list[SourceSeen]
    letters: dict[str, int] = Field(description="records in dead letters, by reason, in the window")
    drift: dict[str, int] = Field(description="what was counted beside: repeats, unknown fields, extensions, overflows")
    detected_s: list[float] = Field(description="of the last alerts: from the first bad event until it was told, in seconds")


class SqlTable(Shape):
    """A table that SQL can name, its columns and their types, and how long its rows are kept (seconds)."""

    name: str
    kept_s: float
    columns: list[Column]


class SavedQuery(Shape):
    """A statement that somebody gave a name."""

    name: str
    sql: str
    by: str
    at: Instant


class AnalystPage(Page):
    """Where SQL is asked."""

    tables: list[SqlTable]
    saved: list[SavedQuery]


class Problem(Shape):
    """An error (RFC 9457). `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
