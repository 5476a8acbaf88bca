"""What incidents cost: failed payments beyond the usual, of the right provider and time."""

from __future__ import annotations

import pytest

from notifier.impact import BEFORE_MS, MINUTE_MS, MOST, charged, cost, span
from rollups.cells import Cell, Stat
from rollups.tables import Rows
from schemas.incident import Incident
from tests.support.night import Night, alert


def cell(count: int, amount: int) -> Cell:
    return Cell(count=count, stats=[Stat(count, amount), Stat()])


def minute(rows: Rows, at_ms: int, provider: str, succeeded: int, failed: int, currency: str = "ZAR") -> None:
    """A minute of payments of 100.00 each."""
    for outcome, count in (("succeeded", succeeded), ("failed", failed)):
        if count:
            key = (outcome, provider, "card", currency, None, None)
            rows.setdefault(at_ms - at_ms % MINUTE_MS, {})[key] = cell(count, count * 10_000)


@pytest.fixture
def night() -> Night:
    night = Night()
    night.alert(alert("provider_down", provider="ozow"))
    return night


def hour(night: Night, failing: int) -> tuple[Incident, Rows, int]:
    """An hour of ten payments a minute of which none, or one, failed; then five minutes in which so many do."""
    one, rows = night.incident(), {}
    began = span(one, night.now_ms)[1]
    for n in range(60):
        minute(rows, began - BEFORE_MS + n * MINUTE_MS, "ozow", 9, 1)
    for n in range(5):
        minute(rows, began + n * MINUTE_MS, "ozow", 10 - failing, failing)
    return one, rows, began + 5 * MINUTE_MS


def test_what_failed_beyond_the_usual(night: Night) -> None:
    one, rows, now = hour(night, 8)
    found = cost(one, rows, now)
    assert found.failed_payments == 8 * 5 - 5
    assert found.at_risk == {"ZAR": 35 * 10_000}


def test_payments_as_usual_cost_nothing(night: Night) -> None:
    one, rows, now = hour(night, 1)
    assert (cost(one, rows, now).failed_payments, cost(one, rows, now).at_risk) == (0, {})


def test_other_providers_do_not_count_unless_it_is_about_none(night: Night) -> None:
    one, rows, now = hour(night, 1)
    for n in range(5):
        minute(rows, span(one, now)[1] + n * MINUTE_MS, "peach", 0, 10)
    assert cost(one, rows, now).failed_payments == 0
    night.alert(alert("system_down", component="db"))
    assert cost(night.incident(2), rows, now).failed_payments > 30


def test_currencies_are_not_added_up(night: Night) -> None:
    one, rows, now = hour(night, 8)
    minute(rows, span(one, now)[1], "ozow", 0, 3, "USD")
    assert set(cost(one, rows, now).at_risk) == {"ZAR", "USD"}


def test_before_there_was_anything_all_counts(night: Night) -> None:
    rows: Rows = {}
    one = night.incident()
    minute(rows, span(one, night.now_ms)[1], "ozow", 5, 5)
    assert cost(one, rows, night.now_ms).failed_payments == 5


def test_only_what_people_are_to_hear_of_is_looked_at_and_not_too_many() -> None:
    night = Night()
    night.alert(*(alert(f"rule_{n}", severity="low", host=f"h{n}") for n in range(15)))
    night.until("6:00")
    night.alert(alert("past", historical=True, host="p"), alert("worst", host="w"))
    night.alert(*(alert(f"other_{n}", severity="low", host=f"o{n}") for n in range(9)))
    found = charged(night.desk.incidents.values())
    assert found[0].title == "worst is bad"
    assert len(found) == MOST
    assert "past is bad" not in [one.title for one in found]


def test_however_long_it_lasts_the_look_back_is_bounded(night: Night) -> None:
    one = night.incident()
    week = night.now_ms + 7 * 86_400_000
    assert week - span(one, week)[0] <= 7 * 3_600_000 + MINUTE_MS
