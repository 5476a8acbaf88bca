"""Reports: periods as people have them, and what facts are told as."""

from __future__ import annotations

import re
import xml.dom.minidom
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from console.readings import Pulse
from console.reports.charts import round_up
from console.reports.facts import TABLES_READ, Facts, Part
from console.reports.money import money
from console.reports.page import page
from console.reports.periods import Period, last_over, period_of
from console.reports.report import Report, report
from console.reports.text import summary, text
from notifier.policy import POLICY
from rollups.cells import Cell
from rollups.tables import DAY, HOUR
from schemas.incident import Incident, Member
from tests.console.rows import cells, failed, paid

JOHANNESBURG, BERLIN, KOLKATA = (ZoneInfo(name) for name in ("Africa/Johannesburg", "Europe/Berlin", "Asia/Kolkata"))
FRIDAY = period_of("daily", date(2026, 11, 27), JOHANNESBURG)
MORNING_MS = FRIDAY.end_ms + 6 * HOUR
LIVE = Pulse("live", "", MORNING_MS)


# --- periods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "day", "first", "last", "name", "title"),
    [
        ("daily", "2026-11-27", "2026-11-27", "2026-11-27", "2026-11-27", "Fri 27 Nov 2026"),
        ("weekly", "2026-11-27", "2026-11-23", "2026-11-29", "2026-W48", "Mon 23 to Sun 29 Nov 2026"),
        ("weekly", "2027-01-01", "2026-12-28", "2027-01-03", "2026-W53", "Mon 28 Dec 2026 to Sun 3 Jan 2027"),
        ("monthly", "2028-02-29", "2028-02-01", "2028-02-29", "2028-02", "February 2028"),
        ("monthly", "2026-12-31", "2026-12-01", "2026-12-31", "2026-12", "December 2026"),
    ],
)
def test_a_period_is_whole_days(kind: Any, day: str, first: str, last: str, name: str, title: str) -> None:
    found = period_of(kind, date.fromisoformat(day), JOHANNESBURG)
    assert (found.first.isoformat(), found.last.isoformat(), found.name, found.title) == (first, last, name, title)
    assert found.before.end_ms == found.start_ms
    assert found.steps[0] == found.start_ms
    assert found.step_end(len(found.steps) - 1) == found.end_ms


def test_days_are_those_of_the_zone_also_when_clocks_change() -> None:
    assert FRIDAY.start_ms == datetime(2026, 11, 27, tzinfo=JOHANNESBURG).timestamp() * 1000
    spring, autumn = (period_of("daily", date(2026, month, day), BERLIN) for month, day in ((3, 29), (10, 25)))
    assert [len(one.steps) for one in (spring, autumn, FRIDAY)] == [23, 25, 24]
    assert spring.end_ms - spring.start_ms == 23 * HOUR


def test_a_moment_is_in_the_step_that_holds_it() -> None:
    month = period_of("monthly", date(2026, 11, 3), JOHANNESBURG)
    assert month.step_of(month.start_ms) == 0
    assert month.step_of(month.start_ms + DAY - 1) == 0
    assert month.step_of(month.start_ms + DAY) == 1
    assert month.step_of(month.end_ms - 1) == 29


def test_the_last_that_is_over_ends_at_the_last_midnight() -> None:
    assert last_over("daily", MORNING_MS, JOHANNESBURG) == FRIDAY
    assert last_over("daily", FRIDAY.end_ms - 1, JOHANNESBURG) == FRIDAY.before
    assert last_over("monthly", MORNING_MS, JOHANNESBURG).name == "2026-10"


# --- facts ------------------------------------------------------------------------------------------------------------


def part(rows: Mapping[int, list[dict[str, Any]]], of: Period = FRIDAY, **tables: list[dict[str, Any]]) -> Part:
    """Payments by the hour of the period; other tables as a whole. Events of some kind came in every hour."""
    held: dict[str, dict[Any, Cell]] = {name: {} for name in TABLES_READ}
    steps: dict[int, dict[str, dict[Any, Cell]]] = {}
    for hour, some in rows.items():
        for key, cell in cells("payments", some).items():
            held["payments"].setdefault(key, Cell()).add(cell)
            step = steps.setdefault(of.step_of(of.start_ms + hour * HOUR), {"payments": {}})
            step["payments"].setdefault(key, Cell()).add(cell)
    for name, some in tables.items():
        held[name] = cells(name, some)
    return Part(held, steps, frozenset(range(of.start_ms, of.end_ms, HOUR)))


def facts(now: Part, before: Part | None = None, *incidents: Incident, **more: Any) -> Facts:
    usual = part({n: [paid(96), failed(4)] for n in range(24)}, FRIDAY.before) if before is None else before
    return replace(Facts(FRIDAY, MORNING_MS, now, usual, incidents, (), LIVE), **more)


WELL = part({hour: [paid(97), failed(3)] for hour in range(24)})


def told(of: Facts) -> Report:
    """The report, which can be written in every way."""
    found = report(of)
    assert found == Report.model_validate_json(found.model_dump_json())
    xml.dom.minidom.parseString(page(found).removeprefix("<!doctype html>").replace("<meta charset=\"utf-8\">", "").replace(
        '<meta name="viewport" content="width=device-width, initial-scale=1">', ""))
    assert text(found).startswith(found.title)
    return found


def figure(found: Report, signal: str) -> tuple[float | None, float | None, bool | None]:
    one = next(one for one in (*found.payments, *found.system) if one.signal == signal)
    return one.value, one.before, None if one.target is None else one.target.met


def test_a_day_that_was_well() -> None:
    found = told(facts(WELL))
    assert (found.state, found.over, found.stale, found.remarks) == ("ok", True, False, [])
    assert found.title == "Daily report, Fri 27 Nov 2026"
    assert figure(found, "payment_success_rate") == (0.97, 0.96, True)
    assert figure(found, "payment_volume") == (2_400, 2_400, None)
    assert figure(found, "conversion_rate") == (None, None, None)
    assert "97.0" in found.sentence
    assert "+1.0" in found.why
    assert [(one.payments, one.success_rate) for one in found.steps] == [(100, 0.97)] * 24
    assert found.review == []


def test_a_target_that_was_missed_is_said_first_and_to_be_reviewed() -> None:
    found = told(facts(part({0: [paid(90), failed(10)]})))
    assert found.state == "failing"
    assert figure(found, "payment_failure_rate") == (0.1, 0.04, False)
    assert found.review[0].startswith("Payment success rate 90.0")
    slow = told(facts(part({0: [paid(100, latency_ms=6_000.0)]})))
    assert slow.state == "degraded"
    assert "verage payment latency 6.0" in slow.sentence


def test_nothing_known_is_not_zero() -> None:
    nothing = Part({name: {} for name in TABLES_READ})
    found = told(facts(nothing, nothing))
    assert found.state == "nodata"
    assert {one.value for one in (*found.payments, *found.system)} == {None}
    assert {one.payments for one in found.steps} == {None}
    assert found.remarks == [
        "The period (Fri 27 Nov 2026) is not in the tables.",
        "The period before (Thu 26 Nov 2026) is not in the tables.",
    ]
    alive = told(facts(replace(nothing, hours=WELL.hours)))
    assert alive.state == "nodata", "no payment finished"
    assert figure(alive, "payment_volume")[0] == 0, "and that is known"


def test_what_is_held_in_part_is_said() -> None:
    nothing = Part({name: {} for name in TABLES_READ})
    late = replace(WELL, hours=frozenset(hour for hour in WELL.hours if hour >= FRIDAY.start_ms + 9 * HOUR))
    assert told(facts(late, nothing)).remarks[0].startswith("The period is held from Fri 27 Nov 09:00 on")
    holes = replace(WELL, hours=WELL.hours - {FRIDAY.start_ms + 3 * HOUR, FRIDAY.start_ms + 4 * HOUR})
    found = told(facts(holes))
    assert found.remarks == ["The period has 2 hours in which no event of any kind came."]
    assert [number for number, one in enumerate(found.steps) if one.payments is None] == [3, 4]


def test_what_may_be_missing_is_said() -> None:
    behind = Pulse("behind", "2 partitions wait to be read", FRIDAY.end_ms - HOUR)
    found = told(facts(WELL, pulse=behind))
    assert found.stale
    assert found.remarks == ["Events after Fri 27 Nov 23:00 may be missing: 2 partitions wait to be read."]
    down = told(facts(WELL, pulse=Pulse("down", "no worker says that it works", None)))
    assert down.remarks == ["Whether all events of it are counted is not known: no worker says that it works."]
    assert not told(facts(WELL, pulse=replace(behind, as_of_ms=FRIDAY.end_ms))).stale


def test_a_period_that_goes_on_is_told_so_far() -> None:
    noon = FRIDAY.start_ms + 12 * HOUR + 1
    found = told(facts(WELL, now_ms=noon, pulse=Pulse("live", "", noon)))
    assert not found.over
    assert "so far" in found.sentence
    assert found.remarks[0] == "The period is not over: it is told up to Fri 27 Nov 12:00."
    assert len(found.steps) == 13


def test_currencies_are_never_added_up() -> None:
    now = part({0: [paid(2, amount=10_000), paid(1, currency="NAD", amount=5_000), failed(9, amount=1)]})
    found = told(facts(now, part({0: [paid(1, amount=700)]}, FRIDAY.before)))
    assert [(one.currency, one.amount, one.before) for one in found.revenue] == [("NAD", 5_000, 0), ("ZAR", 20_000, 700)]


def test_providers_and_reasons_are_ranked() -> None:
    now = part({0: [paid(100), paid(50, provider="ikhokha"), failed(50, provider="ikhokha"), failed(1, fault="business")]})
    found = told(facts(now))
    assert [(one.provider, one.payments, one.failed, one.declined) for one in found.providers] == [
        ("ikhokha", 100, 50, 0),
        ("ozow", 101, 0, 1),
    ]
    assert [(one.reason, one.fault, one.count) for one in found.reasons] == [
        ("timeout", "technical", 50),
        ("timeout", "business", 1),
    ]
    assert sum(one.share for one in found.reasons) == 1


# --- incidents --------------------------------------------------------------------------------------------------------


def incident(number: int, *, opened: int = 0, taken: int | None = None, over: int | None = None, **more: Any) -> Incident:
    """Opened so many minutes after noon, a minute after its first bad event; then taken and over after so many minutes."""
    at = FRIDAY.start_ms + 12 * HOUR + opened * 60_000
    made = Incident(
        id=f"i{number}", number=number, version=1, title=f"Incident {number}", severity="high",
        status="triggered" if over is None else "resolved", opened_ms=at, since_ms=at - 60_000, team="shop",
        policy=POLICY, changed_ms=at, alerted_ms=at, said_ms=at,
        acknowledged_ms=None if taken is None else at + taken * 60_000,
        resolved_ms=None if over is None else at + over * 60_000,
        members=(Member(f"f{number}", "slow", "pack", "high", over is None, "Slow", at, 1, "a", ids=("a", "b")),),
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def test_mean_times_say_what_they_rest_on() -> None:
    some = (incident(1, taken=2, over=10), incident(2, opened=60, taken=4, over=20), incident(3, opened=90))
    found = told(facts(WELL, None, *some)).operations
    assert (found.opened, found.open_now, found.never_taken) == (3, 1, 0)
    assert (found.mttd.seconds, found.mttd.of) == (60, 3)
    assert (found.mtta.seconds, found.mtta.of) == (180, 2)
    assert (found.mttr.seconds, found.mttr.of) == (900, 2)
    assert told(facts(WELL)).operations.mttr.seconds is None


def test_incidents_of_other_days_and_those_that_nobody_was_told_of_are_left_out() -> None:
    old, silent = incident(1, opened=-24 * 60, over=5), incident(2, over=5, said_ms=None)
    found = told(facts(WELL, None, old, silent))
    assert found.incidents == []
    assert found.operations_before is not None
    assert found.operations_before.opened == 1


def test_a_rule_whose_incidents_end_before_anybody_takes_them_is_noisy() -> None:
    quick = [incident(n, opened=n * 20, over=1) for n in range(3)]
    found = told(facts(WELL, None, *quick))
    assert [(one.rule, one.incidents, one.alerts, one.unattended, one.noisy) for one in found.rules] == [
        ("slow", 3, 6, 3, True)
    ]
    assert any(one.startswith("slow is noisy: 3 of its 3 incidents") for one in found.review)
    taken = [incident(n, opened=n * 20, taken=1, over=2) for n in range(3)]
    assert [one.noisy for one in told(facts(WELL, None, *taken, quick[0])).rules] == [False]


def test_incidents_that_are_kept_no_more_are_not_taken_for_none() -> None:
    old = period_of("monthly", date(2026, 6, 1), JOHANNESBURG)
    found = told(facts(part({}, old), part({}, old.before), period=old))
    assert found.operations_before is None
    assert any("are not kept any more" in one for one in found.remarks)


# --- how it is written ------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else() -> None:
    written = page(told(facts(WELL)))
    assert "<script" not in written
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import|https?://", written)
    assert written.count("@media screen and (prefers-color-scheme: dark)") == 1
    assert "@font-face" not in written
    assert re.findall(r'href="#(\w+)"', written) != []
    assert {*re.findall(r'href="#(\w+)"', written)} <= {*re.findall(r'symbol id="(\w+)"', written)}


def test_what_data_say_is_text_and_no_markup() -> None:
    evil = "<script>alert(1)</script>&"
    now = part({0: [paid(1, provider=evil), failed(1, reason=evil, currency=evil)]})
    bad = incident(1, title=evil, assignee=evil)
    written = page(told(facts(now, None, bad)))
    assert "<script" not in written
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in written


def test_a_gap_in_a_chart_is_no_line_to_zero() -> None:
    now = part({hour: [paid(10)] for hour in (0, 1, 5, 6)})
    now = replace(now, hours=frozenset(hour for hour in now.hours if (hour - FRIDAY.start_ms) // HOUR not in (2, 3)))
    written = page(told(facts(now)))
    assert written.count('class="line"') == 4, "two runs, in two charts"
    assert written.count('class="gap"') == 2 * 20 + 2


def test_the_summary_says_what_an_e_mail_needs() -> None:
    lines = summary(told(facts(part({0: [paid(90), failed(10)]}))))
    assert any("payment success rate" in line and "MISSED" in line for line in lines)
    assert any(line.startswith("Revenue: ZAR") for line in lines)
    assert any(line.startswith("To review: ") for line in lines)


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [
        (0, "ZAR", "ZAR\u00a00.00"),
        (9_999, "ZAR", "ZAR\u00a099.99"),
        (42_300_049, "ZAR", "ZAR\u00a0423\u00a0000"),
        (42_300_050, "ZAR", "ZAR\u00a0423\u00a0001"),
        (1_234, "JPY", "JPY\u00a01\u00a0234"),
        (1_234, "KWD", "KWD\u00a01.234"),
        (-150, "NAD", "\u2212NAD\u00a01.50"),
    ],
)
def test_money_has_its_code_and_cents_only_below_a_hundred(minor: int, currency: str, written: str) -> None:
    assert money(minor, currency) == written


def test_an_axis_ends_at_a_round_number() -> None:
    assert [round_up(one) for one in (0, 0.3, 1, 1.1, 3, 60, 251, 1_000)] == [1, 0.5, 1, 2, 5, 100, 500, 1_000]
