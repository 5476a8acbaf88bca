"""Baselines of rules: what they learn from merged rows, and what a calendar beside the packs changes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from rollups.cells import Cell
from rules.engine import Engine
from rules.learned import Imported, Learned
from rules.loader import RuleSet, load
from schemas.tables import TABLES, Key
from tests.support.desk import START_S, rule, rules

HOUR = 3_600_000
NOW = int(START_S) * 1000
DAYS = 9


def engine(of: RuleSet) -> Engine:
    return Engine(of, "t", 5_000, 900_000, 120_000)


def key(provider: str, outcome: str = "succeeded") -> Key:
    named = {"outcome": outcome, "provider": provider, "method": "card", "currency": "ZAR"}
    return tuple(named.get(name) for name in TABLES["payments"].dimensions)


def hours(count: int, **volumes: int) -> dict[int, dict[Key, Cell]]:
    """Rows of so many hours before now: payments of each provider, and as many that were only begun."""
    return {
        NOW - HOUR * hour: {
            one: Cell(count=volume, times=None)
            for name, volume in volumes.items()
            for one in (key(name), key(name, "initiated"))
        }
        for hour in range(count, 0, -1)
    }


def learn(of: RuleSet, rows: dict[int, dict[Key, Cell]], *imported: Imported) -> dict[tuple[object, ...], Learned]:
    baselines = engine(of).baselines
    baselines.restore({}, imported)
    assert baselines.tables == {"payments"}
    baselines.remember("payments", HOUR, rows)
    for _ in baselines.learn(imported):
        pass
    assert not baselines.tables
    return {one.group: one for _, one in baselines.all()}


def expected(one: Learned) -> float | None:
    """Of the next quarter of an hour, were it as usual."""
    for minute in range(15):
        reading = one.guard.step(NOW + 60_000 * minute, 10.0)
    return reading.expected


DROP = "payment_volume < 50% of baseline for 15 minutes"


def test_a_rule_that_is_new_learns_from_the_hours_of_the_table() -> None:
    (one,) = learn(rule(DROP), hours(24 * DAYS, ozow=600, peach=300)).values()
    assert one.until == NOW
    assert expected(one) == pytest.approx(225)


def test_each_group_and_what_a_rule_narrows_to_by_themselves() -> None:
    found = learn(rule(DROP, by=["provider"]), hours(24 * DAYS, ozow=600, peach=300))
    assert {group: expected(one) for group, one in found.items()} == pytest.approx({("ozow",): 150, ("peach",): 75})
    (one,) = learn(rule(DROP, where={"provider": "peach"}), hours(24 * DAYS, ozow=600, peach=300)).values()
    assert expected(one) == pytest.approx(75)


def test_an_hour_without_a_row_is_not_known_and_one_without_a_cell_is_zero() -> None:
    rows = hours(24 * DAYS, ozow=600)
    for hour in range(5, 25):
        del rows[NOW - HOUR * hour]
    (one,) = learn(rule(DROP), rows).values()
    assert one.guard.snapshot()["known_ms"] == HOUR * (24 * DAYS - 20)
    rows = hours(24 * DAYS, ozow=600, peach=60)
    for hour in range(5, 25):
        del rows[NOW - HOUR * hour][key("peach")]
    found = learn(rule(DROP, by=["provider"]), rows)
    assert found["peach",].guard.snapshot()["known_ms"] == HOUR * 24 * DAYS


def test_what_was_imported_goes_before_the_tables_own() -> None:
    old = [(NOW - HOUR * hour, 1200.0) for hour in range(24 * 20, 0, -1)]
    (one,) = learn(rule(DROP), hours(24 * 2, ozow=600), Imported("a", "payment_volume", {}, HOUR, old)).values()
    assert one.guard.snapshot()["known_ms"] == HOUR * 24 * 20
    assert one.imported == "a"
    assert 100 < (expected(one) or 0) < 300, "two days at half of what was usual before"


def test_what_is_kept_goes_on_until_something_else_is_imported() -> None:
    of, first = rule(DROP), Imported("a", "payment_volume", {}, HOUR, [(NOW - HOUR * n, 600.0) for n in range(240, 0, -1)])
    baselines = engine(of).baselines
    baselines.restore({}, [first])
    for _ in baselines.learn([first]):
        pass
    kept = baselines.changed()
    assert len(kept) == 1
    baselines.kept()
    assert not baselines.changed()

    again = engine(of).baselines
    assert again.restore(kept, [first]) == []
    assert not again.tables
    assert [one.guard.snapshot() for _, one in again.all()] == [one["guard"] for one in kept.values()]

    other = engine(of).baselines
    other.restore(kept, [Imported("b", "payment_volume", {}, HOUR, [(NOW - HOUR * n, 60.0) for n in range(240, 0, -1)])])
    assert other.tables == {"payments"}
    assert not list(other.all())

    assert engine(rule("payment_volume < 40% of baseline for 15 minutes")).baselines.restore(kept, []) == list(kept)


def test_two_rules_with_one_test_share_a_baseline() -> None:
    of = rules(f"p: {{one: {{condition: '{DROP}', severity: high}}, two: {{condition: '{DROP}', severity: low}}}}")
    assert len(learn(of, hours(48, ozow=600))) == 1


class TestCalendar:
    def test_is_that_of_south_africa_unless_a_file_lies_beside_the_packs(self, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text(f'p: {{r: {{condition: "{DROP}", severity: high}}}}')
        usual = load([tmp_path]).calendar
        assert (usual.zone, (usual.special or {})[date(2026, 12, 25)]) == ("Africa/Johannesburg", "sunday")
        (tmp_path / "calendar.txt").write_text("zone Europe/Paris  # where the shop is\n2026-12-31 skip\n")
        found = load([tmp_path])
        assert not found.problems
        assert (found.calendar.zone, found.calendar.special) == ("Europe/Paris", {date(2026, 12, 31): "skip"})

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("2026-12-25\nzone Mars/Olympus\n", "calendar.txt:2:1: error: no time zone 'Mars/Olympus'"),
            ("2026-12-45\n", "calendar.txt:1:1: error: expected a date such as"),
            ("zone\n", "calendar.txt:1:1: error: expected 'zone' and a name"),
        ],
    )
    def test_what_is_wrong_in_it_is_told_and_the_rules_run(self, tmp_path: Path, text: str, problem: str) -> None:
        (tmp_path / "p.yaml").write_text(f'p: {{r: {{condition: "{DROP}", severity: high}}}}')
        (tmp_path / "calendar.txt").write_text(text)
        found = load([tmp_path])
        assert problem in str(found.problems[0])
        assert [one.name for one in found.rules] == ["r"]
