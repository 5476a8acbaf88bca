"""The demonstration as a person sees it: it tells a story, survives what one does to it, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from local.demo import PLAN_S, plan
from local.flow import Flow, flow_of
from rollups.cells import Cell, Stat
from schemas.tables import TABLES
from tests.local.terminal import Left, Terminal
from tests.local.traffic import START_S
from tests.local.waiting import eventually

OPEN = r"a simulated shop is open"
SEEN_WITHIN_S = 90.0
"""From the opening of the shop; it takes half a minute or so, but this machine may be busy."""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    """A demonstration of one worker that has begun."""
    with Terminal(tmp_path, "demo", "--workers", "1") as terminal:
        yield terminal


# --- the story --------------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_an_outage_begins_is_detected_and_is_resolved(demo: Terminal) -> None:
    demo.shows("starting a broker, a store and 1 worker")
    demo.shows(OPEN)
    address = re.search(r"http://127\.0\.0\.1:\d+/", demo.shows("open http://"))
    assert address is not None
    with urllib.request.urlopen(f"{address[0]}readyz", timeout=10) as answer:
        assert answer.status == 200
    assert "ikhokha fails 97% of its payments" in demo.shows("outage begins")
    after = re.search(r"detected after ([\d.]+) s", demo.shows(r"detected after .*provider_down", SEEN_WITHIN_S))
    assert after is not None and float(after[1]) < 30, "while it lasts"
    demo.shows("outage is over")
    demo.shows(r"resolved: provider_down \(provider ikhokha\), [\d.]+ s after the outage was over", SEEN_WITHIN_S)
    assert re.search(r"· [\d,]+ events/s; counted of late: [1-9][\d,]* payments, [\d.]+% failing", demo.text)
    demo.press_ctrl_c()
    assert demo.ends() == 0
    assert "the demonstration ends" in demo.text
    assert re.search(r"provider_outage: detected after [\d.]+ s; provider_down \(provider ikhokha\) resolved", demo.text)
    assert re.search(r"incident #1 \(P[01]\): a page goes to you", demo.text)
    assert re.search(r"incident #1 is acknowledged, [\d.]+ s after it was opened", demo.text)
    assert "an alert that was not injected" not in demo.text
    assert "no data:" not in demo.text, "every source speaks"
    assert "Traceback" not in demo.text


# --- its end ----------------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_told_to_end_it_ends_cleanly_and_leaves_nothing(demo: Terminal, how: str) -> None:
    demo.shows(OPEN)
    left = Left(demo)
    assert set(left.pids) == {"supervisor", "broker", "store", "worker-1", "notifier", "console"}
    if how == "Ctrl-C":
        demo.press_ctrl_c()
    else:
        demo.send(signal.Signals[how])
    assert demo.ends(10) == 0
    left.nothing()
    assert "the demonstration ends" in demo.text
    assert re.findall(r".*SIGKILL.*", demo.text) == [], "everything ended in order"
    assert "Traceback" not in demo.text


@pytest.mark.integration
def test_ctrl_c_while_it_is_starting_is_heard(demo: Terminal) -> None:
    demo.shows("broker is ready")
    left = Left(demo)
    demo.press_ctrl_c()
    assert demo.ends(10) == 0
    left.nothing()


@pytest.mark.integration
@pytest.mark.fault
def test_a_second_ctrl_c_ends_it_at_once(demo: Terminal) -> None:
    demo.shows(OPEN)
    left = Left(demo)
    os.kill(left.pids["worker-1"], signal.SIGSTOP)  # it cannot end in order
    demo.press_ctrl_c()
    demo.shows("the demonstration ends")
    demo.press_ctrl_c()
    assert demo.ends(3) == 128 + signal.SIGINT
    left.nothing()


@pytest.mark.integration
@pytest.mark.fault
def test_ctrl_c_while_the_broker_is_frozen_is_heard(demo: Terminal) -> None:
    demo.shows(OPEN)
    left = Left(demo)
    os.kill(left.pids["broker"], signal.SIGSTOP)
    demo.press_ctrl_c()
    assert demo.ends(12) == 0
    left.nothing()


@pytest.mark.integration
@pytest.mark.fault
def test_killed_it_leaves_nothing_and_can_be_started_again(demo: Terminal, tmp_path: Path) -> None:
    demo.shows(OPEN)
    left = Left(demo)
    demo.send(signal.SIGKILL)
    assert demo.ends() == -signal.SIGKILL
    left.nothing()
    with Terminal(tmp_path, "demo", "--workers", "1") as again:
        again.shows("broker is ready")


# --- what dies while it runs ------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.fault
@pytest.mark.timeout(240)
def test_when_the_broker_and_a_worker_are_killed_the_story_goes_on(demo: Terminal) -> None:
    demo.shows(OPEN)
    demo.shows("outage begins")
    os.kill(demo.pids["broker"], signal.SIGKILL)
    demo.shows("broker was ended by SIGKILL; starting it again")
    demo.shows("worker-1 and notifier cannot go on without it")
    demo.shows("worker-1 is ready")
    worker = demo.pids["worker-1"]
    os.kill(worker, signal.SIGKILL)
    demo.shows("worker-1 was ended by SIGKILL; starting it again")
    demo.shows("worker-1 is ready")
    eventually(lambda: demo.pids["worker-1"] != worker, "other commands find the new one")
    demo.shows(r"detected after .*suspicious_activity", SEEN_WITHIN_S)
    left = Left(demo)
    demo.press_ctrl_c()
    assert demo.ends() == 0
    left.nothing()
    assert "Unable to" not in demo.text, "what libraries say is nobody's business here"
    assert "Traceback" not in demo.text


# --- its parts --------------------------------------------------------------------------------------------------------


def test_the_first_outage_comes_soon_and_each_round_has_the_same() -> None:
    scenarios = list(plan(START_S, None))
    assert scenarios[0].name == "provider_outage"
    assert scenarios[0].start_s - START_S <= 30
    rounds = [
        [one.name for one in scenarios if START_S + 1200 * number <= one.start_s < START_S + 1200 * (number + 1)]
        for number in range(int(PLAN_S // 1200))
    ]
    assert len(rounds[0]) == 7
    assert all(one == rounds[0] for one in rounds)


@pytest.mark.parametrize("seconds", [0.5, 30, 130, 1000])
def test_what_would_begin_after_the_end_is_not_planned(seconds: float) -> None:
    assert all(one.start_s < START_S + seconds for one in plan(START_S, seconds))


def test_two_outages_do_not_overlap() -> None:
    outages = [one for one in plan(START_S, None) if one.name == "provider_outage"]
    assert all(before.end_s < after.start_s for before, after in pairwise(outages))


def _cell(count: int, latency_s: float | None = None) -> Cell:
    cell = Cell(len(TABLES["payments"].measures), count=count)
    if latency_s is not None:
        index = [measure.name for measure in TABLES["payments"].measures].index("latency_ms")
        cell.stats[index] = Stat(count, round(latency_s * 1_000_000) * count)
    return cell


def test_the_flow_counts_what_ended_and_tells_failures_from_refusals() -> None:
    def key(outcome: str, fault: str | None = None) -> tuple[str | None, ...]:
        return (outcome, "ozow", "eft", "ZAR", fault, None)

    flow = flow_of(
        {
            0: {key("initiated"): _cell(500), key("succeeded"): _cell(80, 2.0)},
            10_000: {
                key("failed", "technical"): _cell(6, 4.0),
                key("failed", "unknown"): _cell(4, 4.0),
                key("failed", "business"): _cell(9, 2.0),
                key("failed", "fraud"): _cell(1, 2.0),
            },
        }
    )
    assert flow == Flow(100, 10, 10, pytest.approx(2.2))
    assert str(flow) == "100 payments, 10.0% failing, 10% declined, 2.2 s each"
    assert str(flow_of({})) == "no payment yet"
