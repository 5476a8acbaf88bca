"""The score of a rule: what came of the incidents that it had a part in, over a real notifier's desk."""

from __future__ import annotations

import time

import msgspec
import pytest

from console.incidents import known_from
from console.scores import DAYS, LONG_DAYS, known_since, records
from console.shapes import RuleRecord
from notifier.policy import CLOSED_KEPT_MS, CLOSED_MOST
from rollups.tables import DAY
from schemas.incident import Incident
from tests.support.night import Night, alert

DOWN, SLOW = "payment_alerts/down", "payment_alerts/slow"


def kept(night: Night) -> list[Incident]:
    return sorted(night.desk.incidents.values(), key=lambda one: -one.number)


def of(night: Night, rule: str = DOWN) -> RuleRecord:
    return records(kept(night), night.now_ms)[rule]


def fires_and_ends(night: Night, provider: str, at: str, until: str, **more: int) -> None:
    night.until(at)
    night.alert(alert("down", provider=provider, at_ms=night.now_ms, **more))
    night.until(until)
    night.alert(alert("down", "resolved", provider=provider, at_ms=night.now_ms, **more))


def test_taken_by_itself_and_what_goes_on_are_told_apart() -> None:
    night = Night()
    fires_and_ends(night, "a", "1:00", "4:00")
    fires_and_ends(night, "b", "20:00", "35:00")
    night.until("50:00")
    night.alert(alert("down", provider="c", at_ms=night.now_ms))
    night.until("51:00")
    night.tell("ack", number=3)
    month = of(night).month
    assert (month.incidents, month.over, month.by_itself, month.taken) == (3, 2, 1, 1), "15 minutes are not soon"


@pytest.mark.parametrize("word", ["ack", "note"])
def test_what_somebody_has_said_anything_of_did_not_end_by_itself(word: str) -> None:
    night = Night()
    night.alert(alert("down", provider="a"))
    night.until("1:00")
    night.tell(word, "we look" if word == "note" else "")
    night.until("2:00")
    night.alert(alert("down", "resolved", provider="a", at_ms=night.now_ms))
    assert (of(night).month.over, of(night).month.by_itself) == (1, 0)


def test_what_fires_again_after_its_end_flaps_and_what_a_person_opens_again_does_not() -> None:
    night = Night()
    fires_and_ends(night, "a", "1:00", "2:00")
    night.until("4:00")
    night.alert(alert("down", provider="a", at_ms=night.now_ms, episode=1))
    assert of(night).month.again == 1
    other = Night()
    fires_and_ends(other, "a", "1:00", "2:00")
    other.tell("reopen")
    assert of(other).month.again == 0
    hasty = Night()
    hasty.alert(alert("down", provider="a"))
    hasty.until("1:00")
    hasty.tell("resolve")
    hasty.until("120:00")
    assert hasty.story(1, "reopened") and of(hasty).month.again == 0, "it had never ended"


def test_what_is_judged_afterwards_had_ended_by_itself_all_the_same() -> None:
    night = Night()
    fires_and_ends(night, "a", "1:00", "4:00")
    night.until("9:00")
    night.tell("judge", "wrong")
    assert (of(night).month.by_itself, of(night).month.wrong) == (1, 1)


def test_precision_is_of_what_people_judged_of_this_rule() -> None:
    night = Night()
    for name in ("a", "b", "c"):
        night.alert(alert("down", provider=name))
    night.alert(alert("slow", provider="a"))
    night.tell("judge", "right", number=1)
    night.tell("judge", "wrong", number=1, rules=(SLOW,))
    night.tell("judge", "wrong", number=2)
    assert (of(night).month.right, of(night).month.wrong, of(night).month.precision) == (1, 1, 0.5)
    assert (of(night, SLOW).month.right, of(night, SLOW).month.wrong, of(night, SLOW).month.precision) == (0, 1, 0.0)
    fresh = Night()
    fresh.alert(alert("down", provider="a"))
    assert of(fresh).month.precision is None, "nobody has judged"


def test_the_time_to_detect_is_of_the_alerts_of_this_rule() -> None:
    night = Night()
    night.alert(alert("down", provider="a"))
    night.alert(alert("slow", provider="a"))
    assert (of(night).month.detect_s, of(night).month.detected) == (10.0, 1)
    assert (of(night, SLOW).month.detect_s, of(night, SLOW).month.detected) == (None, 0)
    assert (of(night).month.lasted_s, of(night, SLOW).month.incidents) == (None, 1)


def test_windows_of_a_month_and_a_quarter_and_a_bar_for_each_day() -> None:
    night = Night()
    for provider in "abcd":
        night.alert(alert("down", provider=provider))
    ages = (0, 2 * DAY, (DAYS + 1) * DAY, (LONG_DAYS + 1) * DAY)
    found = [msgspec.structs.replace(one, opened_ms=night.now_ms - ago) for one, ago in zip(kept(night), ages, strict=True)]
    told = records(found, night.now_ms)[DOWN]
    assert (told.month.incidents, told.quarter.incidents) == (2, 3)
    assert (len(told.daily), told.daily[-1], told.daily[-3], sum(told.daily)) == (DAYS, 1, 1, 2)
    assert told.latest == [4, 3, 2]


def test_what_nobody_was_told_of_does_not_count() -> None:
    night = Night()
    night.alert(alert("down", provider="a", historical=True))
    assert records(kept(night), night.now_ms) == {}


def test_it_says_since_when_it_knows() -> None:
    night = Night()
    assert known_since([], night.now_ms) is None
    night.alert(alert("down", provider="a"))
    (first,) = kept(night)
    assert known_since([first], night.now_ms) == first.opened_ms, "of the time before the first one nothing is known"
    later = msgspec.structs.replace(first, number=7)
    assert known_since([later], night.now_ms) == night.now_ms - CLOSED_KEPT_MS
    over = msgspec.structs.replace(later, status="resolved", opened_ms=night.now_ms - DAY)
    assert known_from([over] * CLOSED_MOST, night.now_ms) == night.now_ms - DAY, "those before it were removed"


def test_it_is_counted_in_a_moment() -> None:
    night = Night()
    night.alert(*(alert(f"rule{number}", provider="a") for number in range(5)))
    for minute in range(1, 20):
        night.until(f"{minute}:00")
        night.tell("note", "we look")
    (one,) = kept(night)
    many = [msgspec.structs.replace(one, number=number, id=str(number)) for number in range(2_000, 0, -1)]
    begun = time.perf_counter()
    told = records(many, night.now_ms)
    took_ms = (time.perf_counter() - begun) * 1000
    assert told["payment_alerts/rule0"].month.incidents == 2_000
    print(f"{took_ms:.0f} ms for {len(many):,} incidents of {len(one.members)} rules and {len(one.timeline)} entries each")
    assert took_ms < 1_000, "a tenth of it where nothing else runs"
