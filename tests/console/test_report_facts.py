"""What a report is made of, from a real store: events of a simulated shop, folded as workers fold them."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from console.reports.facts import gather, window_of
from console.reports.periods import period_of
from console.reports.report import report
from local.simulator import Simulator
from rollups.tables import DAY, HOUR
from runtime.clock import ManualClock
from tests.console.conftest import Held
from tests.console.history import folded, write
from tests.console.rows import NOW_MS, paid

JOHANNESBURG, KOLKATA = ZoneInfo("Africa/Johannesburg"), ZoneInfo("Asia/Kolkata")


async def test_a_report_says_what_happened(held: Held) -> None:
    """Twenty minutes around midnight: each payment is in the day in which it finished."""
    friday = period_of("daily", date(2026, 11, 27), JOHANNESBURG)
    end_s = friday.end_ms / 1000
    shop = Simulator(11, end_s - 600, rate=0.5)
    events = [event for _, _, event in shop.events(end_s - 600, end_s + 600)]
    await write(held.tables, folded(shop.events(end_s - 600, end_s + 600)), friday.end_ms + 2 * HOUR)

    counted: Counter[tuple[str, str]] = Counter()
    revenue: Counter[str] = Counter()
    for event in events:
        verb = str(event["type"]).partition(".")
        if verb[0] == "payment" and verb[2] in ("succeeded", "failed"):
            day = datetime.fromisoformat(str(event["time"])).astimezone(JOHANNESBURG).date().isoformat()
            counted[day, verb[2]] += 1
            data: Any = event["data"]
            if verb[2] == "succeeded" and day == friday.name:
                revenue[data["currency"]] += data["amount"]

    clock = ManualClock(end_s + 6 * 3_600)
    for day in (27, 28):
        period = period_of("daily", date(2026, 11, day), JOHANNESBURG)
        told = report(await gather(held.redis, held.settings.names, clock, period))
        of = {one.signal: one.value for one in told.payments}
        well, bad = (counted[period.name, outcome] for outcome in ("succeeded", "failed"))
        assert well > 50
        assert of["payment_volume"] == well + bad
        assert of["payment_success_rate"] == well / (well + bad)
        assert sum(one.payments or 0 for one in told.steps) == well + bad
        if day == 27:
            assert {one.currency: one.amount for one in told.revenue} == revenue
        else:
            assert {one.signal: one.before for one in told.payments}["payment_volume"] == counted[friday.name, "succeeded"] + (
                counted[friday.name, "failed"]
            )


@pytest.mark.parametrize(("days_ago", "whole_hours"), [(1, False), (30, True)])
def test_days_of_long_ago_are_whole_hours_where_midnight_is_not(days_ago: int, whole_hours: bool) -> None:
    day = period_of("daily", datetime.fromtimestamp(NOW_MS / 1000 - days_ago * 86_400, KOLKATA).date(), KOLKATA)
    found = window_of(day, NOW_MS)
    assert (found.start_ms % HOUR == 0) is whole_hours
    assert found.end_ms - found.start_ms == DAY
    assert 0 <= day.start_ms - found.start_ms < HOUR


async def test_the_api_tells_a_report(client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {NOW_MS - NOW_MS % DAY - 12 * HOUR: [paid(40)]})
    answer = await client.get("/api/v1/reports/daily")
    assert answer.status_code == 200, answer.text
    assert next(one["value"] for one in answer.json()["payments"] if one["signal"] == "payment_volume") == 40
    named = await client.get("/api/v1/reports/daily", params={"date": answer.json()["name"]})
    assert named.json()["steps"] == answer.json()["steps"]


@pytest.mark.parametrize(
    "path",
    ["reports/dayly", "reports/daily?date=yesterday", "reports/daily?date=2999-01-01", "reports/monthly?date=0001-01-01",
     "reports/weekly?date=9999-12-31"],
)  # fmt: skip
async def test_what_cannot_be_reported_is_refused(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
