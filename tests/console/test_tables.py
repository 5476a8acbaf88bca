"""Questions about a table: what is asked for, what is wrong with it, and rows."""

from __future__ import annotations

from typing import Any

import pytest

from console.problems import Refused
from console.tables import Answer, question
from rollups.tables import HOUR
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid


def asked(table: str = "payments", resolution: str = "10s", **how: Any) -> Any:
    parts = {"start": None, "end": None, "by": (), "where": (), "now_ms": NOW_MS} | how
    return question(table, resolution, **parts)


def told(rows: list[dict[str, Any]], **how: Any) -> list[dict[str, Any]]:
    answer = Answer(asked(**how))
    answer.add({OPEN_MS: cells(how.get("table", "payments"), rows)})
    found: list[dict[str, Any]] = answer.told()["rows"]
    return found


def test_the_last_hour_unless_said() -> None:
    found = asked()
    assert found.end_ms == NOW_MS + 1
    assert NOW_MS - HOUR - 10_000 < found.start_ms <= NOW_MS - HOUR


@pytest.mark.parametrize("text", ["2026-09-21T11:00:00Z", "2026-09-21T13:00:00+02:00", "2026-09-21T13:00:00 02:00"])
def test_times_have_a_zone_also_where_its_plus_was_not_escaped(text: str) -> None:
    assert asked(start=text).start_ms == OPEN_MS - HOUR


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"table": "paymens"}, "did you mean payments?"),
        ({"resolution": "10m"}, "there are 10s, 1m, 1h"),
        ({"by": ["provder"]}, "did you mean provider?"),
        ({"where": ["provder=x"]}, "did you mean provider?"),
        ({"where": ["provider"]}, "expected dimension=value"),
        ({"start": "yesterday"}, "expected an RFC 3339 time"),
        ({"end": "2026-09-21"}, "expected an RFC 3339 time"),
        ({"start": "2026-09-21T12:00:10Z", "end": "2026-09-21T12:00:10Z"}, "'from' is not before 'to'"),
        ({"start": "2026-09-20T12:00:00Z"}, "at most 1500 are told at once"),
        ({"table": "experience", "where": ["available=yes"]}, "expected true, false or none"),
        ({"table": "experience", "where": ["score=²"]}, "expected an integer"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(how: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says.replace("?", r"\?")) as refused:
        asked(**how)
    assert refused.value.status == (404 if how.get("table") == "paymens" else 400)


def test_rows_are_added_up_over_what_is_not_asked_for() -> None:
    rows = [paid(2), paid(3, provider="peach"), failed(1)]
    [whole] = told(rows)
    assert (whole["bucket"], whole["count"], whole["amount_sum"]) == ("2026-09-21T12:00:00.000Z", 6, 60_000)
    assert (whole["latency_ms_max"], whole["latency_ms_p50"]) == (4000.0, pytest.approx(2000, rel=0.01))
    assert "outcome" not in whole
    by_provider = told(rows, by=["provider"])
    assert [(row["provider"], row["count"]) for row in by_provider] == [("ozow", 3), ("peach", 3)]
    assert len(told(rows, by=["provider,outcome"])) == 3


def test_where_chooses_any_of_several_values_and_absent_ones() -> None:
    rows = [paid(2), failed(1), failed(4, "business")]
    assert told(rows, where=["outcome=failed"])[0]["count"] == 5
    assert told(rows, where=["fault=technical", "fault=none"])[0]["count"] == 3
    assert told(rows, where=["fault=business", "outcome=succeeded"]) == []


def test_where_knows_truth_and_numbers() -> None:
    rows = [
        {"kind": "feature.checked", "component": "c", "feature": "f", "available": True, "count": 2},
        {"kind": "feedback.given", "component": "c", "score": 1, "count": 3},
    ]
    assert told(rows, table="experience", where=["available=true"])[0]["count"] == 2
    assert told(rows, table="experience", where=["score=1"])[0]["count"] == 3


def test_too_many_rows_are_refused_and_not_cut() -> None:
    answer = Answer(asked(by=["reason"]))
    with pytest.raises(Refused, match="more than 10000 rows"):
        rows = cells("payments", [failed(reason=f"r{n}") for n in range(1000)])
        for at in range(11):
            answer.add({OPEN_MS - at * 10_000: rows})
