"""The page of the pipeline: what is counted, what is late, and nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from console.pipeline_page import Facts, pipeline_page
from console.readings import MINUTE_MS, Pulse, Window
from console.shapes import PipelinePage
from console.span import View
from console.words import plain
from runtime.names import Names
from tests.console.rows import NOW_MS, cells, status
from tests.console.test_board import event

END = NOW_MS - NOW_MS % MINUTE_MS + MINUTE_MS
VIEW = View(Window(END - 60 * MINUTE_MS, END), "1m", MINUTE_MS, True)


def rows(**counts: int) -> list[dict[str, Any]]:
    return [{"kind": "event", "source": f"/{name}", "count": count} for name, count in counts.items()]


def page(
    steps: dict[int, list[dict[str, Any]]], pulse: Pulse | None = None, alerts: Any = (), notifiers: Any = ()
) -> PipelinePage:
    worker = status(NOW_MS / 1000, leader=True)
    worker["partitions"][0]["topic"] = "tillwatch.payments.v1"
    live = Pulse("live", "", NOW_MS - 1_000, (worker,), worker)
    held = {start: cells("pipeline", some) for start, some in steps.items()}
    return pipeline_page(Facts(NOW_MS, pulse or live, VIEW, held, notifiers, alerts, 38, Names().subject))


def test_a_calm_pipeline_says_so_with_its_figures() -> None:
    calm = page({END - MINUTE_MS * ago: rows(a=600, b=60) for ago in range(1, 61)}, notifiers=[{"name": "n", "leader": True}])
    assert calm.state == "ok"
    assert plain(calm.sentence) == "Everything that happened is counted: 1 worker, 38 rules, nothing waits."
    assert [(one.source, one.events, one.state) for one in calm.sources] == [("/a", 36_000, "ok"), ("/b", 3_600, "ok")]
    events = calm.events.lines["events a second"]
    assert events[:-1] == [11.0] * 59 and events[-1] is None, "the open minute would look like a drop"
    assert [(one.name, one.state) for one in calm.stations][-1] == ("Notify", "ok")
    assert (calm.topics[0].topic, calm.topics[0].lag) == ("payments", 10)


def test_what_could_not_be_used_is_told_by_reason() -> None:
    refused = [{"kind": "dead_letter", "type": "invalid_field", "count": 30}, {"kind": "repeat", "type": "x", "count": 4}]
    found = page({END - MINUTE_MS * 2: rows(a=600) + refused})
    assert found.state == "degraded" and "30" in plain(found.sentence)
    assert (found.letters, found.drift) == ({"invalid_field": 30}, {"events that came twice": 4})


def test_a_source_that_stopped_is_silent_and_one_that_spoke_once_is_not() -> None:
    steps = {END - MINUTE_MS * ago: rows(a=600) for ago in range(5, 61)}
    steps[END - MINUTE_MS * 30] += rows(deployer=1)
    found = {one.source: one.state for one in page(steps).sources}
    assert found == {"/a": "nodata", "/deployer": "ok"}


@pytest.mark.parametrize("state", ["down", "blind"])
def test_nothing_is_zero_or_green_where_nothing_is_known(state: str) -> None:
    found = page({}, Pulse(state, "no worker says that it works", None))
    assert found.state == "nodata"
    assert {one.figure for one in found.tiles} == {"–"}
    assert {one.state for one in found.tiles} == {"nodata"}
    assert set(found.events.lines["events a second"]) == {None}
    assert "ok" not in {one.state for one in found.stations if one.name != "Store"}


def test_the_time_from_event_to_alert_is_of_alerts_of_the_present() -> None:
    quick = event(detected_at=NOW_MS + 1_500)
    found = page({}, alerts=[quick, event(detected_at=NOW_MS + 900_000, late=True), event(transition="resolved")])
    assert found.detected_s == [1.5]


