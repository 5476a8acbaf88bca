"""Health: nothing is true without fresh evidence, and what nothing is known of is never healthy."""

from __future__ import annotations

from typing import Any

import pytest

from console import health
from console.readings import Pulse
from console.shapes import Health
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid

LIVE = Pulse("live", "", NOW_MS - 1_000)
UP = {"component": "payments-db", "instance": "a", "place": "jnb", "status": "up"}
GOOD: dict[str, list[dict[str, Any]]] = {
    "payments": [paid(20)],
    "webhooks": [{"outcome": "processed", "provider": "ozow", "count": 20}],
    "calls": [{"component": "c", "target": "t", "outcome": "ok", "count": 20}],
    "queries": [{"component": "c", "target": "t", "outcome": "ok", "count": 20}],
}


def seen(start: int = OPEN_MS, **rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = GOOD | rows
    return {table: {start: cells(table, found[table])} if found.get(table) else {} for table in health.TABLES_READ}


def verdict(minute: dict[str, Any], pulse: Pulse = LIVE) -> Health:
    return health.overall(NOW_MS, pulse, minute, {})


def check(found: Health, name: str) -> tuple[str, float | None]:
    one = next(one for one in found.checks if one.name == name)
    return one.state, one.age_s


def test_what_works_is_healthy() -> None:
    found = verdict(seen())
    assert found.overall_health == "healthy"
    assert found.payment_system and found.webhook_processing and found.database_connectivity and found.api_connectivity
    assert check(found, "payment") == ("healthy", 5.0)
    assert found.as_of == LIVE.as_of_ms


@pytest.mark.parametrize(("start", "true"), [(OPEN_MS - 50_000, True), (OPEN_MS - 60_000, False), (OPEN_MS + 10_000, False)])
def test_a_boolean_is_true_only_on_evidence_younger_than_a_minute_and_not_of_the_future(start: int, true: bool) -> None:
    found = verdict(seen(start))
    assert (found.payment_system, found.webhook_processing, found.database_connectivity, found.api_connectivity) == (true,) * 4
    assert found.overall_health == ("healthy" if true else "unhealthy")


def test_the_window_that_is_read_holds_all_evidence() -> None:
    window = health.window(NOW_MS)
    assert window.start_ms <= NOW_MS - 60_000 and window.end_ms > NOW_MS


@pytest.mark.parametrize(
    ("rows", "part", "state"),
    [
        ({"payments": [paid(95), failed(5)]}, "payment", "healthy"),
        ({"payments": [paid(94), failed(6)]}, "payment", "degraded"),
        ({"payments": [paid(4), failed(6)]}, "payment", "unhealthy"),
        ({"payments": [paid(1), failed(20, "business")]}, "payment", "healthy"),
        ({"payments": [paid(1), failed(1)]}, "payment", "healthy"),
        ({"payments": [failed(1)]}, "payment", "degraded"),
        ({"payments": [paid(4, outcome="initiated")]}, "payment", "unknown"),
        ({"payments": [paid(5, outcome="initiated")]}, "payment", "unhealthy"),
        ({"payments": []}, "payment", "unknown"),
        ({"webhooks": [{"outcome": "received", "count": 5}]}, "webhook", "unhealthy"),
        ({"webhooks": [{"outcome": "processed", "count": 4}, {"outcome": "failed", "count": 6}]}, "webhook", "unhealthy"),
        ({"queries": [{"outcome": "connection_failed", "count": 5}]}, "database", "unhealthy"),
        ({"queries": [{"outcome": "error", "count": 50}]}, "database", "healthy"),
        ({"calls": [{"outcome": "ok", "count": 9}, {"outcome": "connection_failed", "count": 11}]}, "api", "unhealthy"),
        ({"health": [UP | {"status": "down"}]}, "database", "unhealthy"),
        ({"health": [UP, UP | {"place": "cpt", "status": "down"}]}, "database", "degraded"),
        ({"health": [UP], "queries": []}, "database", "healthy"),
    ],
)
def test_a_part_is_judged_by_what_was_counted_and_probed(rows: dict[str, Any], part: str, state: str) -> None:
    found = verdict(seen(**rows))
    assert check(found, part)[0] == state
    flags = {
        "payment": found.payment_system, "webhook": found.webhook_processing,
        "database": found.database_connectivity, "api": found.api_connectivity,
    }  # fmt: skip
    nothing_worked = rows.get("payments") == [failed(1)]
    assert flags[part] is (state in ("healthy", "degraded") and not nothing_worked)
    assert found.overall_health == {"unknown": "degraded"}.get(state, state)


def test_the_latest_probe_of_a_place_counts() -> None:
    minute = seen()
    minute["health"] = {
        OPEN_MS - 10_000: cells("health", [UP | {"status": "down"}]), OPEN_MS: cells("health", [UP])
    }  # fmt: skip
    assert check(verdict(minute), "database") == ("healthy", 5.0)
    for both in ([UP, UP | {"status": "down"}], [UP | {"status": "down"}, UP]):
        minute["health"][OPEN_MS] = cells("health", both)
        assert check(verdict(minute), "database")[0] == "unhealthy"


def test_a_component_that_is_no_part_degrades_the_whole() -> None:
    found = verdict(seen(health=[{"component": "mailer", "instance": "a", "status": "down"}]))
    assert (found.overall_health, check(found, "components")[0]) == ("degraded", "degraded")


@pytest.mark.parametrize(
    ("pulse", "overall"),
    [
        (Pulse("behind", "late", NOW_MS - 60_000), "degraded"),
        (Pulse("down", "no worker says that it works", NOW_MS), "unhealthy"),
        (Pulse("down", "no worker says that it works", None), "unhealthy"),
    ],
)
def test_a_pipeline_that_is_not_up_to_date_is_never_healthy(pulse: Pulse, overall: str) -> None:
    found = verdict(seen(), pulse)
    assert found.overall_health == overall
    assert health.of_part("payment", NOW_MS, pulse, seen(), {}).overall_health == overall


def test_a_store_that_is_away_is_known_by_nothing() -> None:
    found = health.unread(health.NAMES, NOW_MS, Pulse("blind", "the store does not answer", NOW_MS - 9_000))
    assert found.overall_health == "unhealthy"
    assert not (found.payment_system or found.webhook_processing or found.database_connectivity or found.api_connectivity)
    assert check(found, "pipeline") == ("unhealthy", 9.0)


def test_one_part_says_nothing_of_the_others() -> None:
    found = health.of_part("payment", NOW_MS, LIVE, seen(), {})
    assert (found.overall_health, found.payment_system) == ("healthy", True)
    assert not (found.webhook_processing or found.database_connectivity or found.api_connectivity)
    assert [one.name for one in found.checks] == ["payment", "pipeline"]
    assert found.response_time == 2000.0
    assert health.of_part("webhook", NOW_MS, LIVE, seen(webhooks=[]), {}).overall_health == "unhealthy"


def test_response_time_is_of_the_last_minute_and_uptime_of_a_day() -> None:
    day = cells("health", [UP | {"count": 97}, UP | {"status": "down", "count": 3}, UP | {"component": "x", "count": 100}])
    requests = [{"outcome": "ok", "latency_ms": 100.0, "count": 3}, {"outcome": "error", "latency_ms": 500.0}]
    found = health.overall(NOW_MS, LIVE, seen(requests=requests), day)
    assert (found.response_time, found.uptime_percentage) == (200.0, 98.5)
    assert health.of_part("database", NOW_MS, LIVE, seen(), day).uptime_percentage == 97.0
    assert verdict(seen()).uptime_percentage is None


@pytest.mark.parametrize(
    ("component", "part"),
    [
        ("payments-db", "database"), ("webhook-worker", "webhook"), ("enrollment-api", "api"), ("Checkout", "payment"),
        ("ozow", None),
    ],
)  # fmt: skip
def test_a_probe_counts_for_the_part_that_its_component_is_called_after(component: str, part: str | None) -> None:
    found = health.part_of(component)
    assert (None if found is None else found.name) == part
