"""The page of rules: how each stands, and what the alerts say of it."""

from __future__ import annotations

from typing import Any

import pytest

from console.readings import Pulse
from console.rules_page import BRIEF_S, history, rules_page
from console.shapes import RuleRecords
from console.words import plain
from rules.loader import load
from tests.console.rows import NOW_MS, status
from tests.console.test_board import event

RULES = load()
NONE = RuleRecords(rules={}, since=None, followed=True)
LIVE = Pulse("live", "", NOW_MS - 1_000, leader=status(NOW_MS / 1000))


def told(*steps: tuple[str, int], rule: str = "provider_down", **more: Any) -> list[dict[str, Any]]:
    """Alert events, the latest first: (transition, seconds before now)."""
    known = {"resolved": "resolved", "retracted": "resolved"}
    return [
        event(rule, transition, NOW_MS - ago * 1_000, status=known.get(transition, "firing"), **more)
        for transition, ago in sorted(steps, key=lambda step: step[1])
    ]


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        (told(("firing", 600), ("resolved", 300)), {"episodes": 1, "brief": 0, "median_s": 300.0, "last": NOW_MS - 600_000}),
        (told(("firing", 600), ("updated", 590), ("resolved", 600 - int(BRIEF_S) + 1)), {"episodes": 1, "brief": 1}),
        (told(("firing", 600), ("retracted", 500)), {"episodes": 1, "withdrawn": 1, "brief": 1}),
        (told(("firing", 600), inhibited_by="other"), {"episodes": 1, "explained": 1, "median_s": None}),
        (told(("firing", 600), historical=True), {"episodes": 1, "explained": 1}),
        (told(("no_data", 600), ("resolved", 480), ("no_data", 60)), {"episodes": 0, "no_data": 2, "no_data_s": 120.0}),
        (told(("firing", 900), ("no_data", 600), ("firing", 570), ("resolved", 300)), {"no_data_s": 30.0, "median_s": 270.0}),
        (told(("resolved", 600)), {"episodes": 0, "median_s": None, "last": None}),
    ],
)
def test_what_alerts_tell_of_a_rule(alerts: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    found = history(alerts)["provider_down"].model_dump()
    assert {name: found[name] for name in expected} == expected


def test_groups_of_one_rule_are_episodes_of_their_own() -> None:
    one = event("provider_down", "firing", NOW_MS - 9_000)
    other = event("provider_down", "firing", NOW_MS - 8_000, fingerprint="f" * 64)
    over = event("provider_down", "resolved", NOW_MS - 5_000, status="resolved", fingerprint="f" * 64)
    found = history([over, other, one])["provider_down"]
    assert (found.episodes, found.median_s) == (2, 3.0)


def test_the_sentence_names_what_is_loud_and_the_gravest_come_first() -> None:
    states = {
        "provider_down": [{"group": {"provider": "a"}, "state": "firing", "since": None}],
        "source_silent": [{"group": {"source": "/a"}, "state": "no_data", "since": None}],
        "payment_volume_drop": [{"group": {}, "state": "learning", "since": None}],
    }
    page = rules_page(NOW_MS, LIVE, RULES, states, told(("firing", 60)), NONE)
    assert page.state == "failing"
    assert plain(page.sentence) == f"2 rules of {len(RULES.rules)} are loud: provider_down, source_silent."
    assert [one.rule for one in page.rules][:2] == ["provider_down", "source_silent"]
    assert "1 rule still learns what is usual." in plain(page.why)
    assert page.since == NOW_MS - 60_000


def test_nothing_is_called_quiet_that_nobody_judges() -> None:
    page = rules_page(NOW_MS, Pulse("down", "no worker says that it works", NOW_MS - 90_000), RULES, {}, [], NONE)
    assert page.state == "stale"
    assert {one.state for one in page.rules if one.enabled} == {"unknown"}
    assert {(tile.figure, tile.state) for tile in page.tiles} == {("–", "nodata")}
