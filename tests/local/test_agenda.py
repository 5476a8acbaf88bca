"""The agenda keeps the order of time, and streams of chance that do not disturb each other."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.agenda import Agenda, Happening, hash_of

START_MS = 1_800_000_000_000
Happened = list[tuple[int, str]]


def recorded(into: Happened) -> Happening:
    return lambda ms, rng, name: into.append((ms, name))


def run(agenda: Agenda, until_ms: float) -> None:
    for ms, act in agenda.until(until_ms):
        act(ms)


@given(st.lists(st.integers(0, 50), max_size=50))
def test_acts_come_in_order_of_time_and_those_of_one_moment_in_the_order_they_were_put(times: list[int]) -> None:
    agenda, done = Agenda(1, 0), list[tuple[int, int]]()
    for number, ms in enumerate(times):
        agenda.put(ms, lambda ms, number=number: done.append((ms, number)))  # type: ignore[misc]
    run(agenda, math.inf)
    assert done == sorted((ms, number) for number, ms in enumerate(times))


def test_an_act_may_put_down_more_and_the_end_is_not_included() -> None:
    agenda, done = Agenda(1, 0), list[int]()

    def again(ms: int) -> None:
        done.append(ms)
        agenda.put(ms + 10, again)

    agenda.put(0, again)
    run(agenda, 30)
    assert done == [0, 10, 20]
    run(agenda, 31)
    assert done == [0, 10, 20, 30]


def test_what_is_periodic_keeps_its_period_and_has_a_phase_of_its_own() -> None:
    agenda, one, other = Agenda(1, START_MS), Happened(), Happened()
    agenda.every(5_000, "one", recorded(one))
    agenda.every(5_000, "other", recorded(other))
    run(agenda, START_MS + 60_000)
    assert [ms - one[0][0] for ms, _ in one] == [5_000 * number for number in range(12)]
    assert START_MS <= one[0][0] < START_MS + 5_000
    assert one[0][0] != other[0][0]
    assert len({name for _, name in one + other}) == 24


def test_arrivals_are_a_poisson_process() -> None:
    """Mean and variance of the count in a second are the rate, within four standard errors."""
    agenda, done = Agenda(3, START_MS), Happened()
    agenda.arrivals("a", 5.0, recorded(done))
    run(agenda, START_MS + 2_000_000)
    counts = [0] * 2_000
    for ms, _ in done:
        counts[(ms - START_MS) // 1000] += 1
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    assert abs(mean - 5) < 4 * math.sqrt(5 / len(counts))
    assert abs(variance - 5) < 4 * 5 * math.sqrt(2 / len(counts)) * 1.2


def test_arrivals_keep_to_their_span() -> None:
    agenda, done = Agenda(3, START_MS), Happened()
    start_s = START_MS / 1000
    agenda.arrivals("a", 10.0, recorded(done), span_s=(start_s + 10, start_s + 20))
    run(agenda, START_MS + 60_000)
    assert 50 < len(done) < 150
    assert all(START_MS + 10_000 <= ms < START_MS + 20_000 for ms, _ in done)


def test_a_span_that_is_over_has_none() -> None:
    agenda, done = Agenda(3, START_MS), Happened()
    agenda.arrivals("a", 10.0, recorded(done), span_s=(0, START_MS / 1000 - 1))
    run(agenda, START_MS + 60_000)
    assert done == []


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_thinning_leaves_out_a_share_and_changes_no_other(share: float) -> None:
    whole, thinned = Happened(), Happened()
    for done, kept in ((whole, 1.0), (thinned, share)):
        agenda = Agenda(3, START_MS)
        agenda.arrivals("a", 10.0, recorded(done), thin=lambda ms, kept=kept: kept)  # type: ignore[misc]
        run(agenda, START_MS + 300_000)
    assert set(thinned) <= set(whole)
    assert len(thinned) / len(whole) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(whole)))


def test_a_happening_has_chance_of_its_own() -> None:
    """However much one draws, the next one's is the same."""

    def draws(count: int) -> list[float]:
        agenda, last = Agenda(3, START_MS), list[float]()

        def greedy(ms: int, rng: Random, name: str) -> None:
            last.append(rng.random())
            for _ in range(count):
                rng.random()

        agenda.arrivals("a", 10.0, greedy)
        run(agenda, START_MS + 10_000)
        return last

    assert draws(0) == draws(7)


def test_a_hash_is_the_same_in_every_process() -> None:
    assert hash_of(1, "a") == 4923302134452111476
    assert len({hash_of(1, "a"), hash_of("1", "a"), hash_of(1, "b"), hash_of((1, "a"))}) == 4
