"""What a report is made of, from a real store: events of a simulated shop, folded as workers fold them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from console.reports.facts import gather, window_of
from console.reports.periods import KINDS, Kind, period_of
from console.reports.report import report
from console.reports.shelf import file_of, keep, period_in
from local.simulator import Simulator
from rollups.tables import DAY, HOUR
from runtime.clock import ManualClock
from runtime.settings import Settings
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


# --- as a page --------------------------------------------------------------------------------------------------------


def policy_of(answer: httpx.Response) -> dict[str, str]:
    """Its content security policy by directive."""
    parts = (one.strip().partition(" ") for one in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


def is_bare(answer: httpx.Response) -> bool:
    """Whether it may do nothing but show itself, in its own style."""
    found = policy_of(answer)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return found == {
        "default-src": "'none'", "style-src": f"'sha256-{digest}'", "base-uri": "'none'", "form-action": "'none'",
        "frame-ancestors": "'none'", "sandbox": "",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/api/v1/reports/daily?format=html", "/reports/daily"])
async def test_a_report_is_a_page_that_may_do_nothing(client: httpx.AsyncClient, held: Held, path: str) -> None:
    await held.tell()
    await held.write("payments", {NOW_MS - NOW_MS % DAY - 12 * HOUR: [paid(40)]})
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>") and is_bare(answer)
    assert "style=" not in answer.text.partition("</style>")[2], "which the policy would not take"


async def test_reports_that_were_written_are_listed_and_shown(client: httpx.AsyncClient, settings: Settings) -> None:
    assert (await client.get("/api/v1/reports")).json() == {"reports": []}
    folder, zone = settings.data / "reports", ZoneInfo("Africa/Johannesburg")
    written: tuple[tuple[Kind, int], ...] = (("daily", 28), ("daily", 29), ("weekly", 29), ("monthly", 1))
    for kind, day in written:
        keep(folder, period_of(kind, date(2026, 11, day), zone), f"<style>b{{}}</style><p>{kind} {day}")
    (folder / "daily-2026-13-40.html").write_text("of no day")
    (folder / "notes.html").write_text("of somebody else")
    found = (await client.get("/api/v1/reports")).json()["reports"]
    assert [one["file"] for one in found] == [
        "monthly-2026-11.html", "daily-2026-11-29.html", "weekly-2026-W48.html", "daily-2026-11-28.html",
    ]  # fmt: skip
    assert [one["title"] for one in found][:3] == ["November 2026", "Sun 29 Nov 2026", "Mon 23 to Sun 29 Nov 2026"]
    for path in ("/api/v1/reports/kept", "/reports/kept"):
        answer = await client.get(f"{path}/weekly-2026-W48.html")
        assert answer.text.endswith("<p>weekly 29") and is_bare(answer)


@pytest.mark.parametrize(
    "file",
    ["daily-2026-11-29.html", "notes.html", "daily-2026-13-40.html", "..%2Freports%2Fnotes.html", ".daily-2026-11-28.html"],
)
async def test_nothing_else_of_the_folder_can_be_asked_for(client: httpx.AsyncClient, settings: Settings, file: str) -> None:
    folder = settings.data / "reports"
    folder.mkdir(parents=True)
    for name in ("notes.html", "daily-2026-13-40.html", ".daily-2026-11-28.html"):
        (folder / name).write_text("not for everybody")
    assert (await client.get(f"/api/v1/reports/kept/{file}")).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_found_again_by_its_name(kind: Kind) -> None:
    for day in (date(2026, 1, 1), date(2026, 12, 31), date(2024, 2, 29)):
        period = period_of(kind, day, KOLKATA)
        assert period_in(file_of(period), KOLKATA) == period
