"""Windows, the pulse, and one reading for all who ask."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.readings import Pulse, Readings, Shared, Window, pulse_of, window_of
from rollups.tables import DAY, HOUR, RESOLUTIONS
from runtime.clock import ManualClock
from tests.console.conftest import Held
from tests.console.rows import NOW_MS, OPEN_MS, status

TENS = st.integers(0, 5_000_000).map(lambda tens: tens * 10_000)


@given(TENS, TENS)
def test_pieces_make_up_the_window_each_row_once_and_as_few_as_can_be(one: int, other: int) -> None:
    start, end = sorted((one, other))
    pieces = Window(start, end).pieces()
    at = start
    for resolution, low, high in pieces:
        width = RESOLUTIONS[resolution].width_ms
        assert low == at < high and low % width == high % width == 0
        at = high
    assert at == end
    rows = {"10s": 0, "1m": 0, "1h": 0}
    for resolution, low, high in pieces:
        rows[resolution] += (high - low) // RESOLUTIONS[resolution].width_ms
    assert rows["10s"] <= 10 and rows["1m"] <= 118


def test_a_window_ends_with_what_is_open_and_is_as_long_as_asked_for() -> None:
    window = window_of(NOW_MS, HOUR)
    assert window == Window(OPEN_MS + 10_000 - HOUR, OPEN_MS + 10_000)


@pytest.mark.parametrize(("length", "grain"), [(6 * HOUR, 10_000), (DAY, 60_000), (7 * DAY, HOUR)])
def test_a_long_window_begins_where_rows_are_kept(length: int, grain: int) -> None:
    window = window_of(NOW_MS, length)
    assert window.start_ms % grain == 0
    assert 0 <= window.end_ms - window.start_ms - length < grain
    kept = {name: NOW_MS - one.kept_ms for name, one in RESOLUTIONS.items()}
    assert all(low > kept[name] for name, low, _ in window.pieces())


# --- the pulse --------------------------------------------------------------------------------------------------------

WALL_S = 1_000_000.0


def pulse(*statuses: dict[str, object], **how: object) -> Pulse:
    return pulse_of(statuses, NOW_MS, WALL_S, **how)  # type: ignore[arg-type]


def test_a_leader_that_works_is_live_and_known_as_of_when_it_spoke() -> None:
    found = pulse(status(WALL_S - 0.5))
    assert (found.state, found.as_of_ms, found.age_s(NOW_MS)) == ("live", NOW_MS - 500, 0.5)


def test_without_a_worker_it_is_down_and_what_was_known_before_stays_known() -> None:
    before = pulse(status(WALL_S))
    assert pulse(before=before) == Pulse("down", "no worker says that it works", NOW_MS)
    assert pulse().as_of_ms is None


@pytest.mark.parametrize(("age_s", "state"), [(9.9, "live"), (10.1, "down")])
def test_a_worker_that_has_said_nothing_for_ten_seconds_does_not_work(age_s: float, state: str) -> None:
    assert pulse(status(WALL_S - age_s)).state == state


def test_without_a_leader_it_is_behind() -> None:
    assert pulse(status(WALL_S, leader=False)).state == "behind"


def test_while_partitions_wait_it_is_true_up_to_the_watermark() -> None:
    partition = status(WALL_S)["partitions"][0] | {"behind": True}
    found = pulse(status(WALL_S, partitions=[partition]))
    assert (found.state, found.as_of_ms) == ("behind", NOW_MS - 30_000)


@pytest.mark.parametrize(("ago_s", "state"), [(15.0, "live"), (15.1, "behind")])
def test_a_worker_that_has_not_flushed_waits_for_something(ago_s: float, state: str) -> None:
    assert pulse(status(WALL_S, last_flush_at=NOW_MS / 1000 - ago_s)).state == state


@pytest.mark.parametrize(("ago_s", "state"), [(10.0, "live"), (10.1, "behind")])
def test_a_worker_of_which_the_broker_takes_no_heartbeat_hears_nothing_from_it(ago_s: float, state: str) -> None:
    found = pulse(status(WALL_S, last_beat_at=NOW_MS / 1000 - ago_s))
    assert found.state == state, "though it had nothing to write"
    assert state == "live" or found.as_of_ms == NOW_MS - 30_000


def test_a_partition_that_nobody_reads_is_told() -> None:
    found = pulse(status(WALL_S), partitions={"t.payments.v1": 2})
    assert (found.state, found.detail) == ("behind", "nobody reads t.payments.v1/1")


# --- one for all ------------------------------------------------------------------------------------------------------


async def test_many_who_ask_at_once_are_given_one_answer() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    shared: Shared[int] = Shared()
    assert await asyncio.gather(*(shared.get("a", ask) for _ in range(100))) == [1] * 100


async def test_an_answer_is_given_again_for_a_moment_and_then_asked_for_again() -> None:
    now = 0.0
    answers = iter(range(10))

    async def ask() -> int:
        return next(answers)

    shared: Shared[int] = Shared(kept_s=1.0, tick=lambda: now)
    assert await shared.get("a", ask) == 0
    now = 1.0
    assert await shared.get("a", ask) == 0
    now = 1.1
    assert await shared.get("a", ask, kept_s=2.0) == 0
    assert await shared.get("a", ask) == 1


async def test_a_failure_is_told_to_who_asked_and_not_kept() -> None:
    answers = iter([OSError("away"), 7])

    async def ask() -> int:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    shared: Shared[int] = Shared()
    with pytest.raises(OSError, match="away"):
        await shared.get("a", ask)
    assert await shared.get("a", ask) == 7


async def test_who_goes_away_takes_the_answer_from_nobody() -> None:
    going = asyncio.Event()

    async def ask() -> int:
        await going.wait()
        return 7

    shared: Shared[int] = Shared()
    leaving, staying = (asyncio.create_task(shared.get("a", ask)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    going.set()
    assert await staying == 7


async def test_only_so_many_answers_are_kept() -> None:
    asked: list[str] = []
    shared: Shared[None] = Shared(most=2)
    for key in ("a", "b", "c", "a"):

        async def ask(key: str = key) -> None:
            asked.append(key)

        await shared.get(key, ask)
    assert asked == ["a", "b", "c", "a"]


async def test_workers_are_looked_for_now_and_then_and_asked_by_name_in_between(
    held: Held, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among all keys of a store that others use, too: that takes a while."""
    looked = 0
    scan = held.redis.scan_iter

    def counted(*args: Any, **how: Any) -> Any:
        nonlocal looked
        looked += 1
        return scan(*args, **how)

    monkeypatch.setattr(held.redis, "scan_iter", counted)
    readings = Readings(held.redis, held.settings.names, clock)
    readings._statuses = Shared(kept_s=-1)
    await held.tell()
    assert [(await readings.pulse()).state for _ in range(5)] == ["live"] * 5
    assert looked == 1
    await held.tell(name="worker-b", leader=False)
    assert len((await readings.pulse()).workers) == 1, "a new one is found at the next look"
    monkeypatch.setattr("console.readings.LOOK_EVERY_S", 0.0)
    assert len((await readings.pulse()).workers) == 2
    await held.redis.delete(held.settings.names.worker("worker-a"), held.settings.names.worker("worker-b"))
    assert (await readings.pulse()).state == "down"
