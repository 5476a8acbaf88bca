"""Key figures from rows."""

from __future__ import annotations

from typing import Any

import pytest

from console import kpis
from console.kpis import Seen
from console.readings import Pulse, window_of
from tests.console.rows import NOW_MS, cells, failed, paid

SEEN = Seen(window_of(NOW_MS, 3_600_000), Pulse("live", "", NOW_MS))


def holding(subject: str, **rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {table: cells(table, rows.get(table, [])) for table in kpis.TABLES_OF[subject]}


def payments(rows: list[dict[str, Any]], cohorts: list[dict[str, Any]] | None = None) -> Any:
    held = holding("payments", payments=rows, payment_cohorts=cohorts or [])
    return kpis.payments(SEEN, held, {"payments": cells("payments", [*rows, paid(1000)])})


def test_payments_are_told_as_the_contract_has_it() -> None:
    rows = [paid(90), failed(4), failed(1, "unknown"), failed(5, "business"), paid(7, outcome="initiated", latency_ms=None)]
    cohorts = [paid(100, outcome="initiated"), paid(85), failed(15)]
    found = payments([*rows, paid(2, currency="USD", amount=500)], cohorts).model_dump()
    assert found["success_rate"] == pytest.approx(92 / 102)
    assert found["failure_rate"] == pytest.approx(5 / 102)
    assert found["decline_rate"] == pytest.approx(5 / 102)
    assert found["average_latency"] == pytest.approx((92 * 2 + 10 * 4) / 102)
    assert found["conversion_rate"] == pytest.approx(0.85)
    assert found["daily_volume"] == 1102
    assert found["revenue"] == {"USD": 1000, "ZAR": 900_000}
    assert {name: one["met"] for name, one in found["targets"].items()} == {
        "success_rate": False, "average_latency": True, "failure_rate": True, "conversion_rate": True
    }  # fmt: skip


def test_a_target_is_to_be_passed_and_not_to_be_reached() -> None:
    targets = payments([paid(95), failed(5)]).targets
    assert (targets["success_rate"].met, targets["failure_rate"].met) == (False, False)


def test_where_nothing_happened_rates_are_null_and_targets_neither_met_nor_missed() -> None:
    found = kpis.payments(SEEN, holding("payments"), {"payments": {}})
    rates = (found.success_rate, found.failure_rate, found.decline_rate, found.average_latency, found.conversion_rate)
    assert rates == (None,) * 5
    assert (found.daily_volume, found.revenue) == (0, {})
    assert {one.met for one in found.targets.values()} == {None}
    assert kpis.errors(SEEN, holding("errors")).error_rate is None
    performance = kpis.performance(SEEN, holding("performance"))
    assert {getattr(performance, name).state for name in ("response_time", "throughput", "cpu", "memory")} == {"unknown"}


def test_a_payment_without_a_latency_is_no_part_of_the_mean() -> None:
    assert payments([paid(1), paid(99, latency_ms=None, method="qr")]).average_latency == 2.0


def test_figures_say_what_they_are_of_and_whether_they_are_stale() -> None:
    found = kpis.errors(Seen(SEEN.window, Pulse("down", "nobody works", NOW_MS - 60_000)), holding("errors"))
    told = found.model_dump(mode="json")
    assert told["stale"] is True
    assert told["as_of"] == "2026-09-21T11:59:05.000Z"
    assert told["window"] == {"start": "2026-09-21T11:00:10.000Z", "end": "2026-09-21T12:00:10.000Z"}


def test_errors_by_category() -> None:
    raised = {"kind": "error.raised", "component": "checkout", "critical": False}
    found = kpis.errors(
        SEEN,
        holding(
            "errors",
            errors=[
                raised | {"category": "payment", "count": 3},
                raised | {"category": "security", "critical": True, "count": 2},
                raised | {"kind": "error.resolved", "category": "payment"},
            ],
            requests=[{"outcome": "ok", "count": 18}, {"outcome": "error"}, {"outcome": "connection_failed"}],
        ),
    )
    assert (found.error_count, found.critical_errors, found.resolved_errors, found.error_rate) == (5, 2, 1, 0.1)
    assert found.error_categories == {"application": 0, "payment": 3, "webhook": 0, "configuration": 0, "security": 2}


def test_security_by_kind() -> None:
    kinds = ("auth.failed", "authz.violated", "api.suspicious", "request.blocked", "security.incident", "security.violated")
    found = kpis.security(
        SEEN,
        holding(
            "security",
            security=[{"kind": kind, "component": "login", "count": at} for at, kind in enumerate(kinds, 1)],
            webhooks=[
                {"outcome": "rejected", "reason": "invalid_signature", "count": 7},
                {"outcome": "rejected", "reason": "unknown_route", "count": 9},
            ],
        ),
    )
    assert found.model_dump(exclude={"targets", "window", "as_of", "stale"}) == {
        "authentication_failures": 1, "authorization_violations": 2, "webhook_security_violations": 7,
        "suspicious_activities": 3, "blocked_requests": 4, "security_incidents": 5,
    }  # fmt: skip


def test_load_is_that_of_the_most_loaded_host() -> None:
    sample = {"resource": "cpu", "interval_s": 10.0}
    held = holding(
        "performance",
        resources=[
            sample | {"host": "a", "value": 95.0}, sample | {"host": "a", "value": 65.0}, sample | {"host": "b", "value": 70.0}
        ],
    )  # fmt: skip
    assert kpis.performance(SEEN, held).cpu.model_dump() == {
        "value": 0.8, "unit": "ratio", "warning": 0.7, "critical": 0.9, "state": "warning", "of": "a"
    }  # fmt: skip


@pytest.mark.parametrize(("value", "state"), [(5.0, "ok"), (5.1, "warning"), (10.0, "warning"), (10.1, "critical")])
def test_a_figure_is_a_warning_above_its_limit_and_not_at_it(value: float, state: str) -> None:
    assert kpis.gauge(value, "s", 5.0, 10.0).state == state


def test_performance_has_the_thresholds_of_the_contract() -> None:
    found = kpis.performance(SEEN, holding("performance"))
    assert (found.response_time.warning, found.response_time.critical) == (5, 10)
    assert (found.memory.warning, found.memory.critical) == (0.80, 0.95)
    assert (found.cpu.warning, found.cpu.critical) == (0.70, 0.90)
    assert (found.database_query_time.warning, found.database_query_time.critical) == (1, 5)
