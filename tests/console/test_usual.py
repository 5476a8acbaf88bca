"""What is usual: from the weeks before, and from what the leader has learned."""

from __future__ import annotations

import json
import zlib

import pytest
from redis.asyncio import Redis

from console import usual
from console.kept import Keeper
from console.readings import MINUTE_MS, Window
from rollups.tables import HOUR
from rules.baseline.guard import Guard
from rules.learned import kept_as
from rules.loader import load
from runtime.settings import Settings
from tests.console.rows import NOW_MS, cells, paid
from tests.rules.baseline.traffic import DAY_MS, Traffic, by_day


def test_of_four_weeks_the_best_and_the_worst_are_left_out() -> None:
    found = usual.share([(900, 1000), (100, 1000), (940, 1000), (1000, 1000)])
    assert found is not None
    assert (found.middle, found.low, found.high) == (pytest.approx(0.92), 0.9, 0.94)


@pytest.mark.parametrize("weeks", [[], [(90, 100)], [(90, 100), (9, 10)]])
def test_one_week_or_a_few_events_say_nothing(weeks: list[tuple[float, float]]) -> None:
    assert usual.share(weeks) is None


def test_chance_widens_a_band_the_more_the_fewer_events_there_are() -> None:
    found = usual.share([(950, 1000), (960, 1000)])
    assert found is not None
    hour, minute = found.band(HOUR), found.band(MINUTE_MS)
    assert minute[0] < hour[0] < 0.95 and 0.96 < hour[1] < minute[1] == 1.0


def test_a_count_is_scaled_to_the_step_and_has_the_noise_of_counting() -> None:
    edges = usual.count([6000.0, 6600.0], MINUTE_MS)
    assert edges == (pytest.approx(100 - 2 * 10), pytest.approx(110 + 2 * 110**0.5))
    assert usual.count([6000.0], MINUTE_MS) is None


def test_the_weeks_before_are_whole_hours_and_a_week_without_rows_is_left_out() -> None:
    window = Window(NOW_MS - 90 * MINUTE_MS, NOW_MS)
    views = usual.weeks_before(window)
    assert [view.window.start_ms % HOUR for view in views] == [0] * usual.WEEKS
    assert views[0].window.end_ms == usual.hours(window).end_ms - usual.WEEK_MS
    hour = NOW_MS - NOW_MS % HOUR
    rows = cells("payments", [paid(3)])
    assert usual.of_hour([{hour - usual.WEEK_MS: rows}, {}, {hour - 3 * usual.WEEK_MS: rows}], NOW_MS) == [rows, rows]


def learned() -> tuple[Guard, Traffic]:
    guard, traffic = Guard(calendar=load().calendar), Traffic(by_day(12_000, 3_000), MINUTE_MS)
    traffic.feed(guard, 9 * DAY_MS)
    return guard, traffic


def test_what_the_leader_learned_holds_what_comes_at_that_time_of_day() -> None:
    guard, traffic = learned()
    start = traffic.now - traffic.now % HOUR
    day, night = (guard.usual(start + at * HOUR, HOUR, usual.SURE) for at in (14, 26))
    assert day is not None and night is not None
    assert day[0] < 12_000 < day[1] < 1.4 * 12_000
    assert night[0] < 3_000 < night[1] < day[0]
    quarter = guard.usual(start + 14 * HOUR, 15 * MINUTE_MS, usual.SURE)
    assert quarter is not None
    assert quarter[0] < 3_000 < quarter[1]
    assert quarter[1] / quarter[0] > day[1] / day[0] * 0.98, "a shorter time is not known better"
    assert Guard().usual(start, HOUR, usual.SURE) is None, "nothing was learned"


@pytest.mark.integration
async def test_the_baseline_that_the_leader_keeps_is_found(settings: Settings) -> None:
    rules, (guard, traffic) = load(), learned()
    [part] = [
        part for rule in rules.rules for part in rule.parts
        if part.baseline is not None and part.signal.name == "payment_volume"
    ]  # fmt: skip
    assert settings.redis is not None
    async with Redis.from_url(settings.redis.get_secret_value()) as redis:
        assert (await Keeper(redis, settings.names).volume(rules)) is None
        told = json.dumps({"guard": guard.snapshot()}).encode()
        await redis.hset(settings.names.baselines, kept_as(part, ()), zlib.compress(told))
        found = (await Keeper(redis, settings.names).volume(rules))
        assert found is not None
        assert found.usual(traffic.now, HOUR, usual.SURE) == guard.usual(traffic.now, HOUR, usual.SURE)
        await redis.hset(settings.names.baselines, kept_as(part, ()), zlib.compress(b'{"guard": {"format": 99}}'))
        assert (await Keeper(redis, settings.names).volume(rules)) is None, "of another release"
