"""Simulated traffic: valid, repeatable, believable, and nothing that a rule would page for while all is well."""

from __future__ import annotations

import math
from collections import Counter
from itertools import groupby, pairwise

import pytest

from local import cast
from local.simulator import Simulator, daily_shape
from schemas.decode import Decoder
from schemas.events import SUBJECT_OF
from schemas.masking import holds_card
from tests.local.traffic import (
    HOUR,
    MINUTE,
    START_S,
    Seen,
    broken,
    failing,
    finished,
    longest_above,
    mean_latency_s,
    most_in_a_row,
    most_within,
    of_type,
    traffic,
    windows,
    worst,
)

HOURS = 3
KEY = b"a key that is long enough"


@pytest.fixture(scope="module")
def healthy() -> list[Seen]:
    """Three hours in which nothing is wrong, at a low rate: where an average rests on few, it strays most."""
    return traffic(HOURS * HOUR, rate=0.5)


# --- valid ------------------------------------------------------------------------------------------------------------


def test_every_event_is_accepted_on_its_topic_without_a_remark(healthy: list[Seen]) -> None:
    decoders = {subject: Decoder(subject, KEY) for subject in set(SUBJECT_OF.values())}
    for one in healthy:
        _, ms, notes = decoders[one.topic].decode(one.encoded, one.key.encode(), [])
        assert notes is None, one
        assert ms / 1000 - START_S == pytest.approx(one.at)


def test_every_type_goes_to_the_topic_of_its_subject(healthy: list[Seen]) -> None:
    assert all(one.type == "source.alive" or one.topic == SUBJECT_OF[one.type] for one in healthy)


def test_every_topic_gets_something(healthy: list[Seen]) -> None:
    assert {one.topic for one in healthy} == set(SUBJECT_OF.values()) - {SUBJECT_OF["source.alive"]}


def test_no_two_events_share_an_id_and_source(healthy: list[Seen]) -> None:
    assert len({(one.source, one.id) for one in healthy}) == len(healthy)


def test_nothing_looks_like_a_card_number(healthy: list[Seen]) -> None:
    for one in healthy:
        assert not holds_card(one.encoded) and not holds_card(one.key.encode())


def test_no_run_of_digits_in_an_id_is_long_enough_to_be_a_card_number() -> None:
    """Whatever the seed: of the digits in a row at most twelve."""
    for seed in range(200):
        for one in traffic(2, seed=seed, rate=5):
            ids = [one.id, one.key, *(str(value) for name, value in one.data.items() if name.endswith("_id"))]
            for text in ids:
                runs = [len(list(run)) for digit, run in groupby(text, str.isdigit) if digit]
                assert max(runs, default=0) < 13, text


# --- repeatable -------------------------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_events() -> None:
    assert traffic(MINUTE) == traffic(MINUTE)


def test_another_seed_gives_other_events() -> None:
    assert {one.id for one in traffic(MINUTE)}.isdisjoint(one.id for one in traffic(MINUTE, seed=8))


def test_a_later_beginning_gives_what_the_whole_has_from_there_on() -> None:
    simulator = Simulator(7, START_S, 2.0)
    whole = list(simulator.events(START_S, START_S + 120))
    assert list(simulator.events(START_S + 60, START_S + 120)) == [
        emission for emission in whole if str(emission[2]["time"]) >= "2027-01-15T08:01:00.000Z"
    ]


def test_events_come_in_the_order_of_their_times(healthy: list[Seen]) -> None:
    assert all(before.at <= after.at for before, after in pairwise(healthy))


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e9, math.nan])
def test_a_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Simulator(1, START_S, rate)


# --- believable -------------------------------------------------------------------------------------------------------


def test_the_daily_shape_is_one_on_average_and_never_beyond_the_peak() -> None:
    week = [daily_shape(START_S + minute * 60) for minute in range(7 * 24 * 60)]
    assert sum(week) / len(week) == pytest.approx(1, abs=0.001)
    assert 0.1 < min(week) < 0.4 and 1.5 < max(week) < 1.8  # 1.8 is what arrivals are thinned from


def test_nights_are_quiet_and_evenings_busy() -> None:
    midnight = START_S - START_S % 86_400 - 2 * HOUR  # on the shop's clock, two hours ahead
    assert daily_shape(midnight + 18 * HOUR) > 5 * daily_shape(midnight + 3 * HOUR)


def test_payments_begin_at_the_rate_that_was_asked_for(healthy: list[Seen]) -> None:
    expected = sum(0.5 * daily_shape(START_S + second) for second in range(int(HOURS * HOUR)))
    assert _within(len(of_type(healthy, "payment.initiated")), expected, math.sqrt(expected))


def test_providers_and_methods_are_drawn_as_the_cast_says(healthy: list[Seen]) -> None:
    begun = of_type(healthy, "payment.initiated")
    shares = Counter(one.data["provider"] for one in begun)
    for provider, share in {"ikhokha": 0.35, "ozow": 0.25, "peach": 0.20, "payfast": 0.12, "stitch": 0.08}.items():
        assert _share(shares[provider], len(begun), share), provider
    for provider in cast.PROVIDERS.things:
        used = {one.data["method"] for one in begun if one.data["provider"] == provider}
        assert used == set(cast.METHODS_OF[provider].things)


def test_shares_of_those_who_leave_are_declined_and_break(healthy: list[Seen]) -> None:
    begun, ended = of_type(healthy, "payment.initiated"), finished(healthy)
    assert _share(len(begun) - len(ended), len(begun), 0.05, slack=20)  # some are under way at the end
    faults = Counter(one.data.get("fault") for one in ended)
    assert _share(faults["technical"], len(ended), 0.006)
    assert _share(faults["unknown"], len(ended), 0.002)
    assert _share(faults["fraud"], len(ended), 0.003)
    assert 0.08 < faults["business"] / len(ended) < 0.11
    assert all((one.type == "payment.failed") == ("fault" in one.data) for one in ended)


def test_latency_has_a_tail(healthy: list[Seen]) -> None:
    taken = sorted(one.data["latency_ms"] for one in finished(healthy))
    median, late = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    assert 1_000 < median < 2_500
    assert 3 * median < late < 15_000
    assert taken[-1] <= 90_000


def test_a_payment_is_one_story_in_order(healthy: list[Seen]) -> None:
    stories: dict[str, list[Seen]] = {}
    for one in healthy:
        if one.event.get("subject"):
            stories.setdefault(one.event["subject"], []).append(one)
    whole = [story for story in stories.values() if finished(story)]
    assert len(whole) > 1_000
    for story in whole:
        kinds = [one.type for one in story]
        assert kinds[:2] == ["payment.initiated", "payment.redirected"]
        end = finished(story)
        assert len(end) == 1
        assert end[0].data["initiated_at"] == story[0].event["time"]
        if kinds.count("enrollment.access_granted"):
            assert end[0].type == "payment.succeeded"
        assert len({one.data.get("amount", end[0].data["amount"]) for one in story}) == 1


def test_a_source_tells_how_much_it_has_sent(healthy: list[Seen]) -> None:
    counted: Counter[str] = Counter()
    told = 0
    for one in healthy:
        if one.type != "source.alive":
            counted[one.source] += 1
        else:
            told += 1
            assert one.data["sent"] == counted[one.source]
    assert told == len(cast.SOURCES) * HOURS * 360


def test_samples_and_probes_come_as_often_as_they_promise(healthy: list[Seen]) -> None:
    for host in cast.HOSTS:
        for resource in cast.RESOURCES:
            samples = of_type(healthy, "resource.sampled", host=host, resource=resource)
            gaps = {round(after.at - before.at, 3) for before, after in pairwise(samples)}
            assert gaps == {one.data["interval_s"] for one in samples}


# --- nothing that a rule would page for -------------------------------------------------------------------------------


def test_failures_are_far_below_what_pages(healthy: list[Seen]) -> None:
    assert worst(finished(healthy), 5 * MINUTE, failing, at_least=5) < 0.04  # 5 % pages
    busy = finished(traffic(8 * MINUTE, rate=10))
    assert worst(busy, 5, failing, at_least=20) < 0.25  # half pages
    for provider in cast.PROVIDERS.things:
        mine = [one for one in busy if one.data["provider"] == provider]
        assert worst(mine, 10, failing, at_least=20) < 0.25
    assert worst(busy, MINUTE, failing, at_least=5) < 0.03


def test_latencies_are_far_below_what_pages(healthy: list[Seen]) -> None:
    assert worst(finished(healthy), 3 * MINUTE, mean_latency_s, at_least=5) < 5  # 10 s page
    assert worst(of_type(healthy, "request.served"), 5 * MINUTE, mean_latency_s) < 0.5  # 5 s page


def test_counts_stay_below_what_pages(healthy: list[Seen]) -> None:
    assert most_within(of_type(healthy, "query.run", outcome="connection_failed"), 5 * MINUTE) == 0  # 3 page
    assert most_within(of_type(healthy, "call.made", outcome="connection_failed"), 10 * MINUTE) <= 2  # 6 page
    assert most_within(of_type(healthy, "auth.failed"), 5 * MINUTE) <= 7  # 11 page
    assert most_within(of_type(healthy, "webhook.rejected", reason="invalid_signature"), 5 * MINUTE) <= 2  # 4 page


def test_there_is_noise_and_no_violation(healthy: list[Seen]) -> None:
    for kind in ("auth.failed", "request.blocked", "authz.violated", "api.suspicious", "webhook.rejected"):
        assert of_type(healthy, kind), kind
    assert not of_type(healthy, "security.violated", "security.incident", "data_access.flagged")


def test_no_probe_fails_twice_in_a_row(healthy: list[Seen]) -> None:
    assert most_in_a_row(of_type(healthy, "health.checked")) <= 1  # 4 page


def test_machines_have_room_to_spare(healthy: list[Seen]) -> None:
    for host in cast.HOSTS:
        memory = of_type(healthy, "resource.sampled", host=host, resource="memory")
        cpu = of_type(healthy, "resource.sampled", host=host, resource="cpu")
        assert longest_above(memory, 80) == 0  # 90 % for 10 minutes pages
        assert longest_above(cpu, 70) == 0  # 85 % for 15 minutes pages


def test_the_volume_follows_the_shape(healthy: list[Seen]) -> None:
    """A window of a quarter of an hour is never half of what its neighbours lead one to expect."""
    counts = [len(window) for window in windows(finished(healthy), 15 * MINUTE, 15 * MINUTE)]
    assert min(counts) > 0.75 * sum(counts) / len(counts)


def test_reconciliation_finds_no_difference(healthy: list[Seen]) -> None:
    assert {one.data["outcome"] for one in of_type(healthy, "reconciliation.checked")} == {"match"}


def test_what_breaks_is_told_as_an_error(healthy: list[Seen]) -> None:
    raised = of_type(healthy, "error.raised", category="payment")
    assert len(raised) == sum(map(broken, finished(healthy)))


def _within(found: float, expected: float, deviation: float) -> bool:
    """Within four standard deviations: one in 16,000 would not be, and the seed is fixed."""
    return abs(found - expected) <= 4 * deviation


def _share(found: int, of: int, share: float, slack: float = 0.0) -> bool:
    expected = of * share
    return _within(found, expected, math.sqrt(expected * (1 - share)) + slack)
