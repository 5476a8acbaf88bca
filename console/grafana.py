"""Grafana dashboards over what `/metrics` tells: overview, payments, system, security and the pipeline itself.

The JSON model of dashboards as Grafana 10 and later import it (schemaVersion 39). Every expression names metrics of
`console.metrics`; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from console import kpis
from console.metrics import signal_metric
from rules.signals import Unit, shipped

Dashboard = dict[str, Any]
Kind = Literal["stat", "timeseries", "table"]
SCHEMA = 39
_WIDE = 24
"""Columns of Grafana's grid."""
_SPACE = '{namespace=~"$namespace"}'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UNITS: Mapping[Unit, str] = {"ratio": "percentunit", "percent": "percentunit", "s": "s", "count": "short", "minor": "short"}
_LINKS = {
    "type": "dashboards",
    "title": "Tillwatch",
    "tags": ["tillwatch"],
    "asDropdown": True,
    "keepTime": True,
    "includeVars": True,
}
_GREEN, _ORANGE, _RED = "#009E73", "#E69F00", "#D55E00"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `queries` are (expression, legend); `steps`: (from which value, colour) above the first colour, which is green
    unless `worse_below`, where values below the first step are red."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float, str]] = ()
    worse_below: bool = False
    least: float | None = 0
    text: str = ""


def dashboards() -> dict[str, Dashboard]:
    """Each by its name."""
    return {
        "overview": _dashboard("overview", "Tillwatch: overview", _overview()),
        "payments": _dashboard("payments", "Tillwatch: payments", _payments()),
        "system": _dashboard("system", "Tillwatch: system", _system()),
        "security": _dashboard("security", "Tillwatch: security", _security()),
        "pipeline": _dashboard("pipeline", "Tillwatch: pipeline", _pipeline()),
    }


# --- what each shows --------------------------------------------------------------------------------------------------


def _overview() -> list[Panel]:
    return [
        _stat("payment_success_rate"),
        _stat("avg_payment_latency"),
        _stat("payment_volume"),
        Panel(
            "Alerts that fire", [(_sum("tillwatch_alerts_firing"), "firing")], kind="stat", width=6, height=4,
            steps=[(1, _RED)],
        ),
        _over("payment_success_rate", width=12),
        _over("payment_success_rate", "provider", width=12),
        Panel("Alerts that fire, by severity", [(f"tillwatch_alerts_firing{_SPACE}", "{{severity}}")], width=12),
        Panel(
            "Rules that are not well", [(f"tillwatch_rule_groups{_SPACE}", "{{rule}} {{state}}")], kind="table", width=12
        ),
        *_freshness(),
    ]  # fmt: skip


def _payments() -> list[Panel]:
    names = ("payment_success_rate", "payment_failure_rate", "payment_decline_rate", "conversion_rate")
    return [
        *map(_stat, names),
        _over("payment_success_rate", "provider", width=12),
        _over("payment_volume", "provider", width=12),
        _over("p95_payment_latency", "provider", width=12),
        _over("payment_failure_rate", "provider", width=12),
        _over("revenue", "currency", width=12, title="Revenue of 5 minutes, in minor units"),
        _over("enrollments_created", width=12),
        _over("webhook_lag", "provider", width=12),
        _over("reconciliation_differences", "provider", width=12),
    ]


def _system() -> list[Panel]:
    return [
        *map(_stat, ("error_rate", "avg_response_time", "critical_errors", "avg_query_time")),
        _over("uptime", "component", width=12),
        _over("p95_response_time", "component", width=12),
        _over("cpu_usage", "host"),
        _over("memory_usage", "host"),
        _over("disk_usage", "host"),
        _over("error_rate", "component", width=12),
        _over("errors_raised", "component", width=12),
        _over("database_connection_failures", "component", width=12),
        _over("api_connection_failures", "component", width=12),
    ]


def _security() -> list[Panel]:
    kinds = (
        "failed_auth_attempts", "authorization_violations", "suspicious_activities", "blocked_requests",
        "security_violations", "security_incidents",
    )  # fmt: skip
    return [
        *map(_stat, ("security_violations", "failed_auth_attempts", "invalid_webhook_signatures", "failed_policy_checks")),
        Panel(
            "Security events of 5 minutes, by kind",
            [(f"{_metric(name)}{_SPACE}", shipped()[name].title) for name in kinds],
            width=24,
        ),
        _over("failed_auth_attempts", "component", width=12),
        _over("invalid_webhook_signatures", "provider", width=12),
    ]


def _pipeline() -> list[Panel]:
    return [
        Panel(
            "State", [(f"tillwatch_pipeline_state{_SPACE} == 1", "{{state}}")], kind="stat", width=6, height=4,
            text="name",
        ),
        *_freshness(width=6, height=4),
        Panel(
            "Workers", [(_sum("tillwatch_workers"), "workers")], kind="stat", width=6, height=4, steps=[(1, _GREEN)],
            worse_below=True,
        ),
        Panel("Rules in force", [(_sum("tillwatch_rules"), "rules")], kind="stat", width=6, height=4),
        Panel("Records that wait, by topic", [(f"tillwatch_lag_records{_SPACE}", "{{topic}}")], width=12),
        Panel("Partial rollups that wait", [(f"tillwatch_rollups_lag_records{_SPACE}", "rollups")], width=12),
        Panel("Age of watermarks", [(f"tillwatch_watermark_age_seconds{_SPACE}", "{{table}}")], unit="s", width=12),
        Panel(
            "Alert events sent",
            [(f"sum by (transition) (increase(tillwatch_alerts_sent_total{_SPACE}[$__rate_interval]))", "{{transition}}")],
            width=12,
        ),
        _over("dead_letters", width=12),
        _over("schema_drift", width=12),
        Panel("Streams of events that are open", [(f"tillwatch_console_listeners{_SPACE}", "console")], width=12),
    ]  # fmt: skip


def _freshness(width: int = 24, height: int = 6) -> list[Panel]:
    kind: Kind = "stat" if height < 6 else "timeseries"
    return [
        Panel(
            "Age of the newest data", [(f"tillwatch_data_age_seconds{_SPACE}", "age")], unit="s", kind=kind, width=width,
            height=height, steps=[(15, _ORANGE), (60, _RED)],
        )
    ]  # fmt: skip


# --- panels on signals ------------------------------------------------------------------------------------------------


def _metric(name: str, by: str | None = None) -> str:
    return signal_metric(shipped()[name], () if by is None else (by,))


def _stat(name: str) -> Panel:
    signal = shipped()[name]
    side, limit = kpis.TARGETS.get(name, (None, 0.0))
    steps = [] if side is None else [(limit, _GREEN if side == "above" else _RED)]
    return Panel(
        _title(name), [(f"{_metric(name)}{_SPACE}", signal.title)], _UNITS[signal.unit], "stat", 6, 4, steps,
        worse_below=side == "above",
    )  # fmt: skip


def _over(name: str, by: str | None = None, width: int = 8, title: str | None = None) -> Panel:
    signal = shipped()[name]
    legend = signal.title if by is None else f"{{{{{by}}}}}"
    heading = title or f"{_title(name)}{f', by {by}' if by else ''}"
    return Panel(heading, [(f"{_metric(name, by)}{_SPACE}", legend)], _UNITS[signal.unit], width=width)


def _title(name: str) -> str:
    title = shipped()[name].title
    return f"{title[:1].upper()}{title[1:]}"


def _sum(metric: str) -> str:
    return f"sum({metric}{_SPACE})"


# --- Grafana's model --------------------------------------------------------------------------------------------------


def _dashboard(name: str, title: str, panels: Sequence[Panel]) -> Dashboard:
    return {
        "uid": f"tillwatch-{name}",
        "title": title,
        "tags": ["tillwatch"],
        "editable": True,
        "schemaVersion": SCHEMA,
        "version": 1,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "graphTooltip": 1,
        "annotations": {"list": []},
        "links": [_LINKS],
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": _placed(panels),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _namespace() -> dict[str, Any]:
    query = "label_values(tillwatch_pipeline_state, namespace)"
    return {
        "name": "namespace",
        "label": "Installation",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "namespace"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """From left to right, and below where a row is full."""
    found = []
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _WIDE:
            x, y, tallest = 0, y + tallest, 0
        found.append(_panel(panel, number, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return found


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    instant = panel.kind == "table"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                "format": "table" if instant else "time_series",
            }
            for at, (expression, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    first = _RED if panel.worse_below else _GREEN
    steps = [{"color": first, "value": None}, *({"color": colour, "value": value} for value, colour in panel.steps)]
    found: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": "not known",
        "color": {"mode": "thresholds" if panel.kind == "stat" and panel.steps else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.least is not None and panel.kind == "timeseries":
        found["min"] = panel.least
    if panel.unit == "percentunit" and panel.kind == "timeseries":
        found["max"] = 1
    if panel.kind == "timeseries":
        found["custom"] = {"lineWidth": 1, "fillOpacity": 0, "spanNulls": False, "showPoints": "auto"}
    return found


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduce, "textMode": panel.text or "auto", "colorMode": "value", "graphMode": "area"}
    if panel.kind == "table":
        return {"showHeader": True}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
