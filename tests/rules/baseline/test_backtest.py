"""The life of pages, the score, and series that were labelled by others."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.baseline.backtest import HOUR_MS, WEEK_MS, Interval, Page, Pager, Score, intervals, pages, score, whole
from rules.baseline.calendar import Calendar
from rules.baseline.guard import Guard
from rules.baseline.history import History, read

MINUTE_MS = 60_000
ROOT = Path(__file__).resolve().parents[3]
PLACES = (ROOT / "data/cloud-monitoring", ROOT.parent / "shared/data/cloud-monitoring")


def life(bad: str) -> list[tuple[int, int | None]]:
    """When pages open and close, in minutes, where '!' is a minute of breach."""
    pager = Pager()
    for at, sign in enumerate(bad):
        pager.step(at * MINUTE_MS, (at + 1) * MINUTE_MS, sign == "!")
    return [(one.opened // MINUTE_MS, one.closed and one.closed // MINUTE_MS) for one in pager.pages]


def test_a_page_opens_after_fifteen_minutes_of_breach_and_closes_after_thirty_clear() -> None:
    assert life("!" * 14 + "." * 60) == []
    assert life("!" * 15 + "." * 29) == [(15, None)]
    assert life("!" * 15 + "." * 29 + "!" + "." * 29) == [(15, None)]
    assert life("." * 5 + "!" * 20 + "." * 30) == [(20, 55)]
    assert life("!" * 7 + "." + "!" * 14) == []


def test_a_step_of_an_hour_opens_and_closes_alone() -> None:
    pager = Pager()
    for at, bad in enumerate((False, True, True, False, True)):
        pager.step(at * HOUR_MS, (at + 1) * HOUR_MS, bad)
    assert [(one.opened // HOUR_MS, one.closed and one.closed // HOUR_MS) for one in pager.pages] == [(2, 4), (5, None)]


def hours(*pairs: tuple[float, float | None]) -> list[Page]:
    return [Page(round(at * HOUR_MS), None if end is None else round(end * HOUR_MS)) for at, end in pairs]


@pytest.mark.parametrize(
    ("found", "detected", "false"),
    [
        (hours((101, 103)), 1, 0),
        (hours((94, 101)), 1, 0),
        (hours((93, 101)), 0, 1),
        (hours((96, 99)), 0, 1),
        (hours((96, None)), 1, 0),
        (hours((105.4, 106)), 0, 0),
        (hours((105.6, 106)), 0, 1),
        (hours((101, 102), (103, 104)), 1, 0),
        (hours((50, 51), (200, 201)), 0, 2),
        ([], 0, 0),
    ],
)
def test_what_counts_as_detected_and_as_false(found: list[Page], detected: int, false: int) -> None:
    """One interval, from hour 100 to hour 105."""
    got = score(found, [Interval(100 * HOUR_MS, 105 * HOUR_MS)], 0, WEEK_MS * 2)
    assert (got.detected, got.missed, got.false) == (detected, 1 - detected, false)


def test_delays_and_weeks_add_up() -> None:
    wanted = [Interval(100 * HOUR_MS, 105 * HOUR_MS), Interval(200 * HOUR_MS, 203 * HOUR_MS)]
    got = score(hours((101, 103), (199, 202), (300, 301)), wanted, 0, 2 * WEEK_MS)
    assert got.delays_ms == (HOUR_MS, 0)
    assert got.delay_ms == HOUR_MS / 2
    assert got.false_a_week == 0.5
    both = got + Score(1, (), 3, 2.0)
    assert (both.intervals, both.missed, both.false_a_week) == (3, 1, 1.0)


def test_what_is_odd_in_another_way_is_neither_wanted_nor_false() -> None:
    odd = (Interval(100 * HOUR_MS, 105 * HOUR_MS),)
    got = score(hours((101, 103)), [], 0, WEEK_MS, odd)
    assert (got.intervals, got.false) == (0, 0)


def test_labels_that_touch_are_one_interval() -> None:
    history = History(HOUR_MS, [(at * HOUR_MS, 1.0) for at in range(6)], [False, True, True, False, True, False])
    assert intervals(history) == [Interval(HOUR_MS, 3 * HOUR_MS), Interval(4 * HOUR_MS, 5 * HOUR_MS)]


def test_the_first_week_is_not_scored() -> None:
    rows = [(at * HOUR_MS, 1.0) for at in range(14 * 24)]
    history = History(HOUR_MS, [*rows], [at in (50, 250) for at in range(14 * 24)])
    got = whole(hours((51, 52), (60, 61), (251, 252)), history)
    assert (got.intervals, got.detected, got.false, got.weeks) == (1, 1, 0, 1.0)


def labelled(name: str) -> History:
    for place in PLACES:
        if (place / name).is_file():
            with (place / name).open(encoding="utf-8-sig", newline="") as file:
                return read(file)
    pytest.skip("needs the labelled series in data/cloud-monitoring")


def test_on_eight_months_of_real_requests_false_pages_are_rare_and_injected_outages_found() -> None:
    history = labelled("ecommerce-api-incoming-rps/api-01.csv")
    rows = list(history.rows)
    wanted = []
    for at in range(400, len(rows) - 4, 331):
        wanted.append(Interval(rows[at][0], rows[at + 2][0]))
        for place in range(at, at + 3):
            rows[place] = (rows[place][0], (rows[place][1] or 0.0) * 0.25)
    found = pages(Guard(HOUR_MS, counts=False, calendar=Calendar("UTC")), History(HOUR_MS, rows))
    got = score(found, wanted, rows[0][0] + WEEK_MS, rows[-1][0], intervals(history))
    assert got.intervals >= 17
    assert got.detected >= got.intervals - 1
    assert got.false_a_week < 0.25


def test_a_series_that_is_almost_always_zero_pages_nobody() -> None:
    history = labelled("consumer-purchase-rate/purchase-01.csv")
    assert pages(Guard(HOUR_MS, calendar=Calendar("UTC")), history) == []


def test_the_clock_change_in_a_real_file_is_told() -> None:
    history = labelled("ecommerce-api-incoming-rps/api-01.csv")
    assert [remark.partition(":")[0] for remark in history.remarks] == [
        "line 100",
        "1 step missing before 2018-03-11T03",
    ]
