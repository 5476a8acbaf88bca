"""`/metrics`: what Prometheus reads. Each metric is named and explained here, once; its first label is the namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from console.board import Board
from console.readings import Pulse
from console.signals import EVENT_BY_EVENT, SignalNow, Signals, groupings
from rules.engine import GRAVEST
from rules.signals import Signal, Unit, shipped
from runtime.names import Names

CONTENT_TYPE = CONTENT_TYPE_LATEST
PIPELINE_STATES = ("live", "behind", "down", "blind")


class _Collected:
    """What one scrape is given: metrics that were made from readings, not counted here."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition(
    names: Names, pulse: Pulse, board: Board, rules: int, now_ms: int, signals: Signals | None = None
) -> bytes:
    """The text of one scrape. `rules`: how many are in force; `signals`: where these are told as well."""
    registry = CollectorRegistry(auto_describe=False)
    own = [*_pipeline(names, pulse, now_ms), *_rules(names, pulse, rules), *_alerts(names, board)]
    registry.register(_Collected([*own, *(() if signals is None else _signals(names, signals))]))
    return generate_latest(registry)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tillwatch_{name}", text, labels=["namespace", *labels])


def _pipeline(names: Names, pulse: Pulse, now_ms: int) -> Iterable[Metric]:
    space = names.namespace
    state = _gauge("pipeline_state", "1 for the state that the pipeline is in: live, behind, down or blind", "state")
    for one in PIPELINE_STATES:
        state.add_metric([space, one], float(one == pulse.state))
    age = _gauge("data_age_seconds", "How old the newest data of the tables are; absent where that is not known")
    if (seconds := pulse.age_s(now_ms)) is not None:
        age.add_metric([space], seconds)
    workers = _gauge("workers", "Workers that say that they work")
    workers.add_metric([space], len(pulse.workers))
    lag = _gauge("lag_records", "Records of an event topic that wait to be read", "topic")
    waiting: Counter[str] = Counter()
    for worker in pulse.workers:
        for part in worker["partitions"]:
            waiting[part["topic"]] += max((part["end"] or 0) - part["next"], 0)
    for topic, records in sorted(waiting.items()):
        lag.add_metric([space, topic], records)
    watermark = _gauge("watermark_age_seconds", "How far the watermark of a table is behind the present", "table")
    leader_lag = _gauge("rollups_lag_records", "Partial rollups that wait to be added up")
    if pulse.leader is not None:
        leader_lag.add_metric([space], pulse.leader["leader_lag"])
        for table, mark in pulse.leader["table_watermarks"].items():
            if mark is not None:
                watermark.add_metric([space, table], max(now_ms - mark, 0) / 1000)
    return state, age, workers, lag, watermark, leader_lag


def _rules(names: Names, pulse: Pulse, rules: int) -> Iterable[Metric]:
    space = names.namespace
    in_force = _gauge("rules", "Rules in force")
    in_force.add_metric([space], rules)
    standing = _gauge("rule_groups", "Groups of a rule that stand so; those that are well are not told", "rule", "state")
    told = ((pulse.leader or {}).get("rules") or {}).get("states", ())
    found = Counter((one["rule"], one["state"]) for one in told)
    for (rule, state), groups in sorted(found.items(), key=lambda item: (GRAVEST.index(item[0][1]), item[0][0])):
        standing.add_metric([space, rule, state], groups)
    return in_force, standing


def _alerts(names: Names, board: Board) -> Iterable[Metric]:
    space = names.namespace
    firing = _gauge("alerts_firing", "Alerts that fire now, by severity", "severity")
    by_severity = Counter(event["data"]["severity"] for event in board.firing() if event["data"]["status"] == "firing")
    for severity in ("critical", "high", "medium", "low"):
        firing.add_metric([space, severity], by_severity[severity])
    labels = ["namespace", "rule", "transition"]
    sent = CounterMetricFamily("tillwatch_alerts_sent", "Alert events that were sent since this console began", labels=labels)
    for (rule, transition), count in sorted(board.sent.items()):
        sent.add_metric([space, rule, transition], count)
    listeners = _gauge("console_listeners", "Streams of events that are open at this console")
    listeners.add_metric([space], board.listeners)
    return firing, sent, listeners


# --- signals ----------------------------------------------------------------------------------------------------------

_SUFFIX: dict[Unit, str] = {
    "ratio": "_ratio",
    "percent": "_ratio",
    "s": "_seconds",
    "count": "",
    "minor": "_minor_units",
}


def signal_metric(signal: Signal, by: tuple[str, ...]) -> str:
    """What the metric of a signal is called: `tillwatch_signal_…` as a whole, `tillwatch_provider_…` by provider."""
    return f"tillwatch_{'_'.join(by) or 'signal'}_{signal.name}{_SUFFIX[signal.unit]}"


def _signals(names: Names, told: Signals) -> Iterable[Metric]:
    """One metric for each signal and what it is told by; what is not known is absent."""
    for one in told.signals:
        signal = shipped()[one.signal]
        for by in () if signal.aggregate in EVENT_BY_EVENT else groupings(signal):
            yield _family(names, signal, by, one)
    more = _gauge("signal_groups_left_out", "Groups of a signal beyond those that are told", "signal")
    for one in told.signals:
        if one.groups_more:
            more.add_metric([names.namespace, one.signal], one.groups_more)
    yield more


def _family(names: Names, signal: Signal, by: tuple[str, ...], told: SignalNow) -> Metric:
    length_s = (told.window.end - told.window.start) // 1000
    text = f"{signal.title[:1].upper()}{signal.title[1:]}, over {length_s} s{f', by {by[0]}' if by else ''}"
    family = GaugeMetricFamily(signal_metric(signal, by), text, labels=["namespace", *by])
    for one in told.values:
        if one.value is not None and tuple(one.group) == by:
            labels = ["" if value is None else str(value) for value in one.group.values()]
            family.add_metric([names.namespace, *labels], one.value / 100 if signal.unit == "percent" else one.value)
    return family
