"""The first page: one sentence that says how things are, figures with their state, and nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from console.overview import NOTHING, Facts, Held, overview, windows
from console.readings import MINUTE_MS, Pulse
from console.shapes import Overview
from console.words import duration, grouped, plain
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid
from tests.console.test_board import event

LIVE = Pulse("live", "", NOW_MS - 1_000)
MINUTE = NOW_MS - NOW_MS % MINUTE_MS
PROBES = {OPEN_MS: cells("health", [{"component": "shop", "instance": "a", "status": "up"}])}


def page(
    five: list[dict[str, Any]] | None = None,
    minutes: dict[int, list[dict[str, Any]]] | None = None,
    pulse: Pulse = LIVE,
    firing: list[dict[str, Any]] | None = None,
) -> Overview:
    rows = [paid(950, provider="ozow"), paid(1000, provider="peach"), failed(50)] if five is None else five
    hour = {MINUTE - MINUTE_MS * ago: rows for ago in range(3)} if minutes is None else minutes
    held = {start: cells("payments", some) for start, some in hour.items()}
    return overview(Facts(NOW_MS, pulse, Held(cells("payments", rows), held, PROBES), firing or [], 38))


def says(found: Overview) -> tuple[str, str]:
    return found.state, plain(found.sentence).replace("\u00a0", " ")


def test_the_windows_are_the_last_five_minutes_and_an_hour_of_whole_ones() -> None:
    five, hour = windows(NOW_MS)
    assert five.end_ms - five.start_ms == 5 * MINUTE_MS and five.end_ms > NOW_MS
    assert hour.end_ms - hour.start_ms == 60 * MINUTE_MS and hour.start_ms % MINUTE_MS == 0


@pytest.mark.parametrize(
    ("how", "state", "sentence"),
    [
        ({}, "ok", "Customers can pay. Success 97.5 %, 400 payments a minute."),
        ({"pulse": Pulse("down", "no worker says that it works", NOW_MS - 65_000)}, "stale",
         "Nothing is known since 11:59 UTC."),
        ({"pulse": Pulse("blind", "the store does not answer", NOW_MS - 65_000)}, "stale", "Nothing is known since 11:59 UTC."),
        ({"pulse": Pulse("down", "no worker says that it works", None)}, "nodata",
         "Nothing is known yet: no worker has been heard."),
        ({"pulse": Pulse("behind", "2 partitions wait", NOW_MS - 360_000)}, "behind",
         "Tillwatch is 6 min behind. What it says is true up to 11:54 UTC."),
        ({"five": [], "minutes": {}}, "nodata", "No payment has arrived in the last hour."),
        ({"five": [], "minutes": {MINUTE - 20 * MINUTE_MS: [paid(4)]}}, "nodata", "No payment has arrived since 11:40 UTC."),
        ({"firing": [event("payment_failing_fast", summary="More payments fail than should: 8 of 10.")]}, "failing",
         "More payments fail than should: 60 % since 12:00 UTC. Customers can pay."),
        ({"firing": [event("suspicious_activity", severity="high", unit="count", summary="Failed sign-ins: 11 in 5 minutes.")]},
         "degraded", "Failed sign-ins since 12:00 UTC. Customers can pay."),
        ({"firing": [event("slow_tail", severity="low")]}, "ok", "Customers can pay. Success 97.5 %, 400 payments a minute."),
        ({"firing": [event(inhibited_by="f" * 64)]}, "ok", "Customers can pay. Success 97.5 %, 400 payments a minute."),
        ({"firing": [event(historical=True)]}, "ok", "Customers can pay. Success 97.5 %, 400 payments a minute."),
    ],
)  # fmt: skip
def test_one_sentence_says_how_things_are(how: dict[str, Any], state: str, sentence: str) -> None:
    assert says(page(**how)) == (state, sentence)


def test_when_one_provider_fails_the_others_are_told_to_be_fine() -> None:
    alert = event(summary="Most payments through one provider fail (provider ozow): 9 of 10.", group={"provider": "ozow"})
    rows = [failed(90), paid(10), paid(100, provider="peach"), paid(100, provider="payfast")]
    assert says(page(rows, firing=[alert])) == (
        "failing",
        "Most payments through one provider fail (provider ozow): 60 % since 12:00 UTC. The other providers are fine.",
    )
    worse = [*rows, failed(50, provider="peach")]
    assert "fine" not in plain(page(worse, firing=[alert]).sentence)


def test_tiles_have_a_figure_a_state_and_what_it_is_compared_with() -> None:
    found = page([paid(80), failed(20)])
    success, volume, latency, rules = found.tiles
    assert (success.figure, success.unit, success.state) == ("80.0", "%", "degraded")
    assert (volume.figure, volume.note) == ("20", "Last hour 100 a minute")
    assert (latency.figure, latency.unit, latency.state) == ("2.4", "s", "ok")
    assert (rules.figure, rules.state, rules.note) == ("0", "ok", "All 38 rules are quiet")
    grave = page(firing=[event("provider_down"), event("x", severity="low")]).tiles[3]
    assert (grave.figure, grave.state, grave.note) == ("2", "failing", "provider_down, x")


def test_what_is_not_known_is_a_dash_and_never_zero() -> None:
    found = page([], {})
    assert [(tile.figure, tile.state) for tile in found.tiles[:3]] == [("–", "nodata"), ("0", "nodata"), ("–", "nodata")]
    assert set(found.success) == {None}
    blind = Pulse("blind", "the store does not answer", None)
    unread = overview(Facts(NOW_MS, blind, NOTHING, [], 38))
    assert {tile.figure for tile in unread.tiles} == {"–"}, "not one of them was read"


def test_a_trend_has_gaps_before_the_first_minute_and_where_the_open_one_says_too_little() -> None:
    found = page([paid(1)], {MINUTE - MINUTE_MS: [paid(3), failed(1)], MINUTE - 3 * MINUTE_MS: [paid(1)], MINUTE: [paid(19)]})
    assert found.success[-5:] == [None, 1.0, None, 0.75, None]
    assert found.tiles[1].trend[-5:] == [None, 1, 0, 4, None], "a minute without payments is a measured zero"
    assert page([paid(1)], {MINUTE: [paid(20)]}).success[-1] == 1.0


def test_providers_stand_worst_first_and_one_that_went_silent_is_told() -> None:
    rows = [paid(90, provider="fine"), failed(60, provider="down"), paid(40, provider="down"), failed(10, provider="bad"),
            paid(90, provider="bad")]  # fmt: skip
    found = page(rows, {MINUTE: [*rows, paid(5, provider="silent")]}).providers
    assert [(one.name, one.state) for one in found] == [
        ("down", "failing"), ("bad", "degraded"), ("silent", "nodata"), ("fine", "ok")
    ]  # fmt: skip
    assert (found[2].success, found[2].per_minute) == ("–", "–")


def test_what_fires_is_listed_and_what_pages_nobody_comes_last() -> None:
    found = page(firing=[event("a", inhibited_by="f" * 64), event("b", "no_data", severity="low")]).alerts
    assert [(one.rule, one.state, one.held_back) for one in found] == [("b", "nodata", False), ("a", "failing", True)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (63, "63 s"), (455, "7 min 35 s"), (420, "7 min"), (1_800, "30 min"), (8_040, "2 h 14 min"),
        (300_000, "3 days"),
    ],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == words


def test_thousands_are_grouped_by_a_blank_that_does_not_break() -> None:
    assert (grouped(999), grouped(1480), grouped(1234567)) == ("999", "1\u00a0480", "1\u00a0234\u00a0567")
