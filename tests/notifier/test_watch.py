"""What is told of the notifier's own world, and when: timelines of observations, a second each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.watch import BLIND, PACK, RULES, Looked, Seen, Verdict, Watch, alert, blind_key
from schemas.alert import fingerprint

START_MS = 1_790_000_000_000
WELL = Seen(redis=True, kafka=True, holder=True, looked=Looked(worked=True, workers=()))
NO_REDIS, NO_KAFKA = (Seen(redis=False, kafka=True, holder=True), Seen(redis=True, kafka=False, holder=True))


def worker(behind: bool = False, leader: bool = True) -> dict[str, Any]:
    return {"leader": leader, "partitions": [{"behind": behind, "next": 10, "end": 12_350 if behind else 10}]}


def looking(seen: Seen = WELL, **looked: Any) -> Seen:
    return replace(seen, looked=Looked(**{"worked": True, "workers": (worker(),)} | looked))


FINE = looking()


class Line:
    """A watch, asked once a second."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch, self.now_ms = watch or Watch(), START_MS
        self.verdicts: list[Verdict] = []

    def see(self, seen: Seen, seconds: int, tell: bool = True) -> list[str]:
        """What is told within so many seconds in which this is seen: `30 blind`, `41 blind over`, in seconds from the start."""
        said = []
        for _ in range(seconds):
            for one in self.watch.see(seen, self.now_ms):
                self.verdicts.append(one)
                said.append(f"{(self.now_ms - START_MS) // 1000} {one.name}{' over' if one.over else ''}")
                if tell:
                    self.watch.done(one)
            self.now_ms += 1_000
        return said


@pytest.mark.parametrize("away", [NO_REDIS, NO_KAFKA, replace(NO_REDIS, kafka=False)])
def test_blind_is_told_once_after_half_a_minute_and_its_end_after_ten_seconds(away: Seen) -> None:
    line = Line()
    assert line.see(away, 120) == ["30 blind"]
    assert line.see(FINE, 5) == []
    assert line.see(away, 60) == [], "it was not over"
    assert line.see(FINE, 60) == ["195 blind over"]
    assert line.see(away, 40) == ["275 blind"], "another episode"


def test_a_short_absence_is_none() -> None:
    line = Line()
    assert line.see(NO_REDIS, 29) + line.see(FINE, 20) + line.see(NO_KAFKA, 29) + line.see(FINE, 20) == []


def test_what_comes_and_goes_within_ten_seconds_goes_on() -> None:
    line = Line()
    said = [text for _ in range(8) for text in line.see(NO_REDIS, 5) + line.see(FINE, 3)]
    assert said == ["32 blind"]


def test_what_is_away_is_named() -> None:
    line = Line()
    line.see(NO_KAFKA, 31)
    line.see(replace(NO_KAFKA, redis=False), 5)
    assert line.verdicts[0].text == "Kafka cannot be used"
    assert line.watch.told == {BLIND: "Redis and Kafka cannot be used"}


def test_who_stands_by_is_quiet_while_kafka_says_that_another_leads_and_later_where_it_cannot() -> None:
    assert Line().see(replace(NO_REDIS, holder=False), 300) == []
    assert Line().see(replace(NO_KAFKA, holder=False), 300) == ["60 blind"]


def test_whoever_gets_the_lead_meanwhile_tells_at_once() -> None:
    line = Line()
    assert line.see(replace(NO_REDIS, holder=False), 100) == []
    assert line.see(NO_REDIS, 10) == ["100 blind"]


def test_a_lag_that_comes_and_goes_is_told_once_and_what_is_short_never() -> None:
    behind, line = looking(workers=(worker(behind=True),)), Line()
    assert [text for _ in range(20) for text in line.see(behind, 5) + line.see(FINE, 15)] == []
    line.see(behind, 70)
    assert [text for _ in range(20) for text in line.see(behind, 20) + line.see(FINE, 40)] == []
    assert len(line.verdicts) == 1


def test_no_worker() -> None:
    line = Line()
    assert line.see(looking(workers=()), 100) == ["30 pipeline_down"]
    assert line.see(FINE, 60) == ["110 pipeline_down over"]
    assert Line().see(looking(workers=(), worked=False), 300) == [], "nothing was ever running here"


@pytest.mark.parametrize(
    ("late", "text"),
    [
        (worker(behind=True), "1 of the events' partitions are behind; 12,340 records wait"),
        (worker(leader=False), "no worker leads: rules are not judged"),
    ],
)
def test_behind(late: Mapping[str, Any], text: str) -> None:
    line = Line()
    assert line.see(looking(workers=(late, worker(leader=False))), 100) == ["60 pipeline_behind"]
    assert line.verdicts[0].text == text
    assert line.see(FINE, 90) == ["160 pipeline_behind over"]


def test_a_step_that_is_a_minute_late_is_overdue_since_it_was_due() -> None:
    line = Line()
    due = looking(due_ms=START_MS)
    assert line.see(due, 100) == ["70 steps_overdue"]
    assert line.verdicts[0].since_ms == START_MS
    assert line.see(FINE, 60) == ["110 steps_overdue over"]
    assert Line().see(replace(due, holder=False), 300) == ["100 steps_overdue"], "the others look as well"


def test_a_clock_that_jumps_makes_nothing_overdue() -> None:
    line = Line()
    line.see(looking(due_ms=START_MS + 300_000), 10)
    line.now_ms += 900_000
    assert line.see(looking(due_ms=START_MS + 300_000), 5) + line.see(FINE, 60) == []


def test_the_rest_is_not_judged_while_blind_and_has_to_catch_up_after() -> None:
    line = Line()
    behind = looking(workers=(worker(behind=True),), due_ms=START_MS)
    line.see(behind, 50)
    assert line.see(NO_REDIS, 20) == []
    assert line.see(behind, 50) == ["80 steps_overdue"], "ten seconds after it is known again"
    assert line.see(behind, 20) == ["130 pipeline_behind"]


def test_what_was_told_goes_on_through_a_blindness() -> None:
    line = Line()
    assert line.see(looking(workers=()), 31) == ["30 pipeline_down"]
    assert line.see(NO_REDIS, 40) == ["61 blind"]
    assert line.see(looking(workers=()), 40) == ["81 blind over"]
    assert line.see(FINE, 20) == ["121 pipeline_down over"]


def test_not_looked_is_not_well() -> None:
    line = Line()
    said = [text for _ in range(10) for text in line.see(looking(workers=()), 1) + line.see(replace(WELL, looked=None), 9)]
    assert said == ["30 pipeline_down"]


def test_what_could_not_be_told_is_told_again() -> None:
    line = Line()
    assert line.see(looking(workers=()), 33, tell=False) == ["30 pipeline_down", "31 pipeline_down", "32 pipeline_down"]
    assert line.see(looking(workers=()), 33) == ["33 pipeline_down"]


def test_whoever_takes_over_ends_what_another_told() -> None:
    line = Line()
    line.watch.adopt({(PACK, "pipeline_down"): START_MS - 60_000, (PACK, "of_the_rules"): 1, ("another", "steps_overdue"): 1})
    assert line.see(looking(workers=()), 60) == [], "it was told"
    assert line.see(FINE, 20) == ["70 pipeline_down over"]
    assert line.verdicts[-1].since_ms == START_MS - 60_000


SIGHTS = [
    *(FINE, NO_REDIS, NO_KAFKA, replace(NO_KAFKA, holder=False), replace(WELL, looked=None)),
    *(looking(workers=()), looking(workers=(worker(behind=True),)), looking(due_ms=START_MS)),
]


@given(st.lists(st.tuples(st.sampled_from(SIGHTS), st.integers(1, 90)), max_size=12))
def test_beginnings_and_ends_alternate_and_all_ends_once_all_is_well(sights: list[tuple[Seen, int]]) -> None:
    line = Line()
    for seen, seconds in (*sights, (FINE, 61)):
        line.see(seen, seconds)
    for name in (BLIND, *RULES):
        states = [one.over for one in line.verdicts if one.name == name]
        assert states == [n % 2 == 1 for n in range(len(states))]
        assert len(states) % 2 == 0
    assert line.watch.told == {}


# --- what is told -------------------------------------------------------------------------------------------------------

BEGAN = Verdict("steps_overdue", False, START_MS + 1_234, START_MS + 90_000, "the oldest was due at …", 90)


def test_an_alert_has_the_id_that_anybody_would_find() -> None:
    first = alert("shop", "steps_overdue", BEGAN, 5_000)
    again = alert("shop", "steps_overdue", replace(BEGAN, at_ms=BEGAN.at_ms + 7_000), 5_000)
    ended = alert("shop", "steps_overdue", replace(BEGAN, over=True), 5_000)
    others = alert("shop", "pipeline_down", BEGAN, 5_000), alert("x", "steps_overdue", BEGAN, 5_000)
    assert first.id == again.id
    assert len({one.id for one in (first, ended, *others)}) == 4
    assert (first.transition, first.data.status) == ("firing", "firing")
    assert (ended.transition, ended.data.status) == ("resolved", "resolved")
    assert first.data.fingerprint == ended.data.fingerprint == fingerprint("shop", PACK, "steps_overdue", {})
    assert (first.data.owner, first.data.level, first.data.unit, first.data.value) == ("tillwatch", "P1", "s", 90)


def keys(*verdicts: Verdict) -> Iterable[str]:
    return (blind_key("shop", one, "thandi", "email") for one in verdicts)


def test_messages_of_one_blindness_have_one_key() -> None:
    began = Verdict("blind", False, START_MS, START_MS + 30_000, "Redis cannot be used")
    assert len({*keys(began, replace(began, at_ms=began.at_ms + 500, since_ms=began.since_ms + 500))}) == 1
    assert len({*keys(began, replace(began, over=True), replace(began, since_ms=began.since_ms + 600_000))}) == 3
