"""What bench.report makes of figures: spreads, tables, pictures and the document; and how bench.compare judges sums."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare import difference, keyed, sorted_out, watched
from bench.measure import Mix, Produced, backlog
from bench.report import (
    SECTIONS,
    Curve,
    Panel,
    Spread,
    bars,
    comparison,
    comparison_picture,
    cost,
    cost_picture,
    curves,
    lines,
    live,
    marked,
    pages,
    plain,
    table,
    write,
)

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {"cores": 2, "processor": "A <processor>", "memory_gib": 24, "system": "Linux"}
HEAD = {
    "command": "python -m bench",
    "made": "2026-11-28T10:00:00+00:00",
    "machine": MACHINE,
    "versions": {"Python": "3.11"},
}


def run(events: int, seconds: float, wrong: str | None = None) -> dict[str, Any]:
    return {
        "events": events,
        "seconds": seconds,
        "cpu_seconds": seconds / 2,
        "second_half": events / seconds,
        "peak_mb": 100.0,
        "from_start_s": seconds + 2,
        "servers_cpu_seconds": seconds / 2,
        "others_cores": 0.25,
        "wrong": wrong,
    }


def contender(
    name: str, *runs: dict[str, Any], lacking: str | None = None, failed: str | None = None
) -> dict[str, Any]:
    return {
        "name": name, "title": name.title(), "counts": name != "empty", "lacking": lacking, "failed": failed,
        "runs": list(runs),
    }  # fmt: skip


def compared(*contenders: dict[str, Any]) -> dict[str, Any]:
    mix = {"events": 1_000, "partitions": 8}
    return HEAD | {
        "mix": mix, "bytes_an_event": 355.0, "windows": 2, "cells_a_window": 40.0, "events_a_cell": 12,
        "contenders": list(contenders),
    }  # fmt: skip


def point(series: str, value: int, *costs_s: float) -> dict[str, Any]:
    runs = [
        {
            "whole_cpu_seconds": one, "whole_servers_cpu_seconds": one / 2, "whole_seconds": one * 2,
            "whole_others_cpu_seconds": one, "peak_rss_mb": 120.0,
        }
        for one in costs_s
    ]  # fmt: skip
    return {
        "series": series, "value": value, "mix": {"events": 1_000}, "bytes_an_event": 355.0 + value, "cells": 7.0 * value,
        "runs": runs, "failed": None if runs else "it broke",
    }  # fmt: skip


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (16_381.0, "16,400"),
        (412.4, "412"),
        (3.456, "3.46"),
        (0.0, "0"),
        (999.9, "1,000"),
        (0.01234, "0.0123"),
        (1e6, "1,000,000"),
    ],
)
def test_a_number_has_three_digits_that_mean_something(value: float, text: str) -> None:
    assert plain(value) == text


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9))
def test_a_spread_encloses_its_median(values: list[float]) -> None:
    spread = Spread.of(values)
    assert min(values) == spread.least <= spread.median <= spread.most == max(values)


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no figure"):
        Spread.of([])


def test_a_spread_of_one_figure_is_that_figure() -> None:
    assert str(Spread.of([100.0])) == "100"
    assert str(Spread.of([300.0, 100.0, 200.0])) == "200 (100 to 300)"


# --- the comparison ---------------------------------------------------------------------------------------------------


def test_a_contender_that_was_wrong_once_has_no_figure() -> None:
    (line,) = lines(compared(contender("quix", run(1_000, 2.0), run(1_000, 2.0, wrong="3 of 40 cells differ"))))

    assert line.rate is None
    assert line.said == "wrong: 3 of 40 cells differ"


def test_what_is_lacking_or_failed_is_told() -> None:
    found = lines(
        compared(
            contender("streams", lacking="no javac"),
            contender("faust", failed="timed out"),
            contender("late"),
            contender("quix", run(1_000, 2.0), failed="died"),
            contender("empty", run(1_000, 2.0)),
        )
    )

    assert [line.said for line in found] == [
        "not here: no javac",
        "failed: timed out",
        "failed: no time was left",
        "right, then failed: died",
        "adds up nothing",
    ]


def test_the_figures_of_a_contender() -> None:
    (line,) = lines(compared(contender("tillwatch", run(1_000, 2.0), run(1_000, 4.0), run(1_000, 5.0))))

    assert line.rate == Spread(250.0, 200.0, 500.0)
    assert line.per_cpu == Spread(500.0, 400.0, 1_000.0)
    assert line.with_servers == line.rate  # as much again by the servers


def test_the_table_of_the_comparison() -> None:
    without = run(1_000, 2.0) | {"second_half": None}
    text = comparison(
        compared(
            contender("faust", run(1_000, 2.0)), contender("tillwatch", without), contender("quix", lacking="a|b\nc")
        )
    )

    assert text[-3] == "| Faust | 500 | 500 | 1,000 | 500 | 100 | right |"
    assert text[-2] == "| Tillwatch | 500 | – | 1,000 | 500 | 100 | right |"
    assert text[-1] == "| Quix | – | – | – | – | – | not here: a\\|b c |"
    assert "2026-11-28, 2 cores (A <processor>), 24 GiB" in text[0]
    assert "0.25 cores" in text[2]


def test_every_row_of_a_table_has_as_many_columns() -> None:
    found = table(["a", "b"], [["1|2", "3"], ["x\ny", ""]])
    assert [line.replace("\\|", "").count("|") for line in found] == [3, 3, 3, 3]


# --- pictures ---------------------------------------------------------------------------------------------------------


def widths(svg: str, drawn: str) -> list[float]:
    return [float(one.attrib["width"]) for one in ET.fromstring(svg).iter(f"{SVG}rect") if one.attrib["class"] == drawn]


def test_bars_are_as_long_as_their_figures() -> None:
    svg = bars(
        "T", ["a", "b <&>", "c"], 0, [Panel("n", [Spread(100, 90, 110), Spread(50, 50, 50), None])], ["", "", "gone"]
    )

    (ours,), (other,) = widths(svg, "ours"), widths(svg, "other")
    assert ours == pytest.approx(2 * other, abs=0.2)
    words = [one.text for one in ET.fromstring(svg).iter(f"{SVG}text")]
    assert {"b <&>", "gone", "100", "50.0"} <= set(words)


def test_a_picture_without_any_figure_is_still_one() -> None:
    ET.fromstring(comparison_picture(compared(contender("quix", lacking="no"))))
    ET.fromstring(curves("T", "up", [Curve("a", "b", [])]))


def test_a_picture_loads_nothing_and_tells_its_numbers() -> None:
    svg = comparison_picture(compared(contender("tillwatch", run(1_000, 2.0))))

    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    (told,) = ET.fromstring(svg).iter(f"{SVG}desc")
    assert told.text is not None and "Tillwatch: 500 events a second" in told.text


def test_a_curve_goes_up_where_the_cost_does() -> None:
    places = [(1.0, Spread(10, 10, 10)), (10.0, Spread(20, 15, 40)), (100.0, Spread(40, 40, 40))]
    dots = list(ET.fromstring(curves("T", "up", [Curve("a", "b", places)])).iter(f"{SVG}circle"))

    across, up = [float(one.attrib["cx"]) for one in dots], [float(one.attrib["cy"]) for one in dots]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)  # by its logarithm
    assert up[0] > up[1] > up[2]


# --- the cost of an event ---------------------------------------------------------------------------------------------


def test_the_table_of_costs() -> None:
    result = HEAD | {"points": [point("partitions", 4, 0.05, 0.07), point("cells", 10), point("size", 100, 0.05)]}
    text = cost(result)

    assert (
        text[-3]
        == "| 4 partitions | 359 | 28 | 60.0 (50.0 to 70.0) | 30.0 (25.0 to 35.0) | 8,570 (7,140 to 10,000) | 120 |"
    )
    assert text[-2] == "| 10 merchants | – | – | failed: it broke | – | – | – |"
    ET.fromstring(cost_picture(result))


# --- while events come in ---------------------------------------------------------------------------------------------


def test_the_tables_of_latency_and_recovery() -> None:
    latency = {"load_events_a_second": 1_000.0, "p50_ms": 241, "p95_ms": 366, "p99_ms": 1_400, "max_ms": 1_577, "trials": 40}
    ways = [
        {"way": "takeover", "seconds": [7.0, 6.5, 8.0], "failed": None},
        {"way": "stop", "seconds": [], "failed": "no"},
    ]
    text = live(HEAD | {"latency": [latency], "recovery": ways})

    assert "| 1,000 | 241 | 366 | 1,400 | 1,577 | 40 |" in text
    assert text[-2] == "| one of two workers is killed, the other takes over | 7.00 (6.50 to 8.00) s |"
    assert text[-1] == "| one of two workers is told to end | failed: no |"


# --- the document -----------------------------------------------------------------------------------------------------


def test_what_is_between_the_marks_is_replaced_and_nothing_else() -> None:
    document = "before\n<!-- bench: cost -->\nold\n<!-- end -->\nafter\n<!-- bench: compare -->\n<!-- end -->\n"
    found = marked(document, "cost", ["new", "lines"])

    assert found == document.replace("old\n", "new\nlines\n")
    assert marked(found, "cost", ["new", "lines"]) == found
    with pytest.raises(ValueError, match="no <!-- bench: other -->"):
        marked(document, "other", [])


def test_only_what_was_measured_is_written(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "benchmarks.md").write_text(
        "<!-- bench: compare -->\n<!-- end -->\n<!-- bench: cost -->\nkept\n<!-- end -->\n"
    )
    (tmp_path / "compare.json").write_text(json.dumps(compared(contender("tillwatch", run(1_000, 2.0)))))

    written = write(tmp_path, tmp_path)

    assert written == [tmp_path / "benchmarks.md", tmp_path / "img" / "bench-compare.svg"]
    text = written[0].read_text()
    assert "](img/bench-compare.svg)" in text and "| Tillwatch |" in text and "\nkept\n" in text


def test_the_document_has_a_place_for_every_figure() -> None:
    document = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    assert list(SECTIONS) == ["compare", "cost", "live", "paging", "pages"]
    for name in SECTIONS:
        marked(document, name, [])


SEEN = {"paint": 90, "paint_most": 120, "drawn": 300, "drawn_most": 410, "charts": 1, "bytes": 150_400}


@pytest.mark.parametrize("views", [None, {"/": SEEN}])
def test_pages_are_told_with_what_was_seen_of_them(views: dict[str, Any] | None) -> None:
    told = pages(
        HEAD
        | {
            "cells": 1_000, "others": 200, "rows": {"1h": 9_504}, "load": [0.1, 1.2], "peak_mb": 400, "views": views,
            "answers": {"/api/v1/overview": {"first": 912.4, "first_cpu": 700, "p50": 12.1, "p95": 31.7, "bytes": 737}},
            "tabs": {"tabs": 100, "core": 0.1234, "seconds": 60, "requests_s": 21.5, "machine_cores": 0.8},
        }
    )  # fmt: skip
    assert "| `/overview` | 912 | 700 | 12 | 32 | 0.7 |" in told
    assert any(line.startswith("100 tabs: 12.3% of a core in 60 s") for line in told)
    assert ("| `/` | 90 (120) | 300 (410) | 1 | 150 |" in told) == bool(views)


# --- sums -------------------------------------------------------------------------------------------------------------


def test_sums_that_differ_are_told() -> None:
    wanted = {(0, "succeeded", "ozow", "eft"): (3, 300), (10, "failed", "ozow", "eft"): (1, 50)}

    assert difference(dict(wanted), wanted) is None
    for found in (
        {(0, "succeeded", "ozow", "eft"): (3, 300)},
        wanted | {(0, "succeeded", "ozow", "eft"): (3, 301)},
        wanted | {(20, "succeeded", "ozow", "eft"): (1, 1)},
    ):
        assert "1 of 2 cells differ" in (difference(found, wanted) or "")


def test_the_sums_of_a_backlog_are_those_that_were_produced() -> None:
    mix = Mix(400, 4, 20.0, heartbeats=False, repeats=0.0)
    produced, totals = Produced(Counter()), {}  # type: ignore[var-annotated]
    records = list(watched(backlog(mix, 1_795_420_800_000, produced), totals))

    outcomes = Counter[str]()
    for (start, outcome, _, _), (count, _) in totals.items():
        assert start % 10 == 0
        outcomes[outcome] += count
    assert outcomes == produced.outcomes
    assert sum(amount for _, amount in totals.values()) == produced.amount

    again = list(keyed(records, 4))
    assert [value for _, _, value in again] == [value for _, _, value in records]
    of_key = {key: partition for partition, key, _ in again}
    assert all(
        of_key[key] == partition and key == "|".join(sorted_out(value)[0][1:]).encode()
        for partition, key, value in again
    )
