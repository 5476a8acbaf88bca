"""Completeness: what has come of what a source says it has sent, between its first and its latest word in the window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollups.cells import Cell, Stat
from rules.judges.completeness import _Source
from rules.loader import read
from rules.words import ends, explain
from tests.support.desk import START_S, Desk, rule, shipped
from tests.support.events import Event, event, succeeded

T0 = START_S
SOURCE = "/checkout/1"


def alive(at: float, sent: int, source: str = SOURCE) -> Event:
    return event("source.alive", at, source=source, sent=sent, started_at="2026-11-23T07:00:00Z")


def paid(at: float, number: int, source: str = SOURCE) -> Event:
    return {**succeeded(at, transaction_id=f"{source}-{number}"), "source": source}


def shop(
    start: float, seconds: int, every: int, lost: range = range(0), source: str = SOURCE, before: int = 0
) -> list[Event]:
    """A payment a second, and a word every so many seconds; `lost`: numbers of payments that never come."""
    sent, events = before, []
    for second in range(seconds):
        if sent not in lost:
            events.append(paid(start + second, sent, source))
        sent += 1
        if second % every == every - 1:
            events.append(alive(start + second + 0.5, sent, source))
    return events


def test_all_that_was_sent_has_come() -> None:
    desk = Desk(shipped("events_missing"), now=T0)
    desk.play(shop(T0, 1_800, 10))
    desk.wait(120)
    assert desk.told == []


def test_what_is_missing_is_told_with_the_source_and_is_over_when_the_window_has_passed() -> None:
    desk = Desk(shipped("events_missing"), now=T0)
    both = shop(T0, 1_200, 10, range(600, 612)) + shop(T0, 1_200, 10, source="/checkout/2")
    desk.play(sorted(both, key=lambda one: one["time"]))
    assert desk.told == ["events_missing firing"]
    (alert,) = desk.alerts
    assert alert.data.group == {"source": SOURCE}
    assert "events that were sent have come in 15 minutes" in alert.data.arithmetic and "< 99 %" in alert.data.arithmetic
    desk.play(shop(T0 + 1_200, 900, 10, before=1_200))
    desk.wait(60)
    assert desk.told == ["events_missing firing", "events_missing resolved"]


def test_one_in_a_hundred_may_be_missing() -> None:
    desk = Desk(rule("completeness < 99% over 10 minutes", min_events=100), now=T0)
    desk.play(shop(T0, 600, 10, range(320, 323)))
    desk.wait(60)
    assert desk.told == []


def test_what_comes_late_takes_it_back() -> None:
    desk = Desk(rule("completeness < 99% over 10 minutes", min_events=100), now=T0)
    desk.play(shop(T0, 600, 10, range(300, 330)))
    desk.wait(60)
    assert desk.told == ["rule firing"]
    desk.put(*(paid(T0 + number, number) for number in range(300, 330)))
    assert desk.told[1:] in (["rule retracted"], ["rule resolved"])


def test_a_source_that_starts_again_counts_from_zero() -> None:
    desk = Desk(rule("completeness < 99% over 10 minutes", min_events=100), now=T0)
    desk.play(shop(T0, 300, 10) + shop(T0 + 300, 300, 10, source=SOURCE)[10:])
    desk.wait(60)
    assert desk.told == ["rule firing"], "ten that the new one sent before its first word have not come"
    other = Desk(rule("completeness < 99% over 10 minutes", min_events=100), now=T0)
    again = [{**one, "id": f"again-{number}"} for number, one in enumerate(shop(T0 + 300, 300, 10))]
    other.play(shop(T0, 300, 10) + again)
    other.wait(60)
    assert other.told == []


def test_a_source_that_begins_in_the_middle_of_a_bucket_with_many_events_lacks_none() -> None:
    desk = Desk(rule("completeness < 99% over 15 minutes", min_events=100), now=T0)
    begun = T0 + 4.5
    burst = [paid(begun + number / 1000, number) for number in range(400)]
    desk.play([*burst[:200], alive(begun + 0.1995, 200), *burst[200:], alive(begun + 5, 400)])
    desk.wait(60)
    assert desk.told == []


def test_a_source_that_says_nothing_is_not_judged() -> None:
    desk = Desk(shipped("events_missing"), now=T0)
    desk.play(paid(T0 + number, number) for number in range(600))
    desk.wait(60)
    assert desk.told == []


def test_a_restart_in_the_middle_makes_no_difference() -> None:
    events = shop(T0, 900, 10, range(400, 420))
    one, other = (Desk(shipped("events_missing"), now=T0) for _ in range(2))
    one.play(events)
    for part in range(0, len(events), 100):
        other.play(events[part : part + 100])
        other.restart()
    assert one.told and [alert.id for alert in one.alerts] == [alert.id for alert in other.alerts]


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=2, max_size=30))
def test_of_a_source_that_loses_nothing_all_has_come_however_many_and_however_often_it_starts_again(
    buckets: list[tuple[int, bool]],
) -> None:
    """Events at even steps through each bucket of 5 s, a word at each bucket's last millisecond."""
    width, source, sent = 5_000, _Source(), 0
    for number, (count, starts_again) in enumerate(buckets):
        bucket = number * width
        sent = count if starts_again and number else sent + count
        word = Cell(count=1, times=[bucket + width - 1], stats=[Stat(1, sent, sent, sent)])
        source.tell(bucket, word, 0, width)
        times = [bucket + width * at // count for at in range(count)]
        if count < 64:
            source.times += times
        else:
            source.buckets.append((bucket, count))
    # Of the first bucket it is not known how many came before its word; who starts again may have come further than before.
    hidden = any(again and count >= before for (before, _), (count, again) in zip(_totals(buckets), buckets[1:], strict=False))
    assert hidden or (source.came(width), source.sent) == (sum(count for count, _ in buckets[1:]),) * 2


def _totals(buckets: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    found, sent = [], 0
    for number, (count, again) in enumerate(buckets):
        sent = count if again and number else sent + count
        found.append((sent, again))
    return found


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("completeness > 99% over 15 minutes", "is compared by <"),
        ("completeness < 99%", "needs a span"),
        ("completeness < 2 over 15 minutes", "%"),
    ],
)
def test_what_makes_no_sense_is_told(condition: str, text: str) -> None:
    (problem,) = read([("p.yaml", f'p: {{r: {{condition: "{condition}", severity: high}}}}')]).problems
    assert text in str(problem)


def test_its_sentence() -> None:
    (found,) = shipped("events_missing").rules
    assert explain(found) == (
        "Fires (medium) when less than 99 % of the events that were sent in 15 minutes have come, once there are at least 200, "
        "judged for each source on its own."
    )
    assert ends(found) == (
        "Resolves when, with at least 200 events that were sent in a closed window of 15 minutes, at least 99 % of them have "
        "come."
    )
