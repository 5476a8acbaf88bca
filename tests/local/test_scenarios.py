"""Each scenario does what its name says, as much as its rule needs, and touches nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from local import cast
from local.scenarios import FAULTS, Conditions, Scenario
from schemas.decode import Decoder
from schemas.events import SUBJECT_OF
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
    scenario,
    traffic,
    worst,
)

LASTS = 6 * MINUTE
BEGIN, END = 2 * MINUTE, 5 * MINUTE
quick = partial(traffic, LASTS, rate=2.0)


@pytest.fixture(scope="module")
def healthy() -> list[Seen]:
    """The same six minutes with nothing wrong."""
    return quick()


def during(events: Iterable[Seen], begin: float = BEGIN, end: float = END) -> list[Seen]:
    return [one for one in events if begin <= one.at < end]


_PAYMENT = re.compile(r"x(p[0-9a-f]+?)(?:p\d|c|w\d|n\w\w|v|r|e\d|s\d|q0\w)$")


def payment_of(one: Seen) -> str | None:
    """The payment that an event is of or comes of, if any."""
    match = _PAYMENT.search(one.id)
    return None if match is None else match[1]


def differences(healthy: Iterable[Seen], hurt: Iterable[Seen]) -> list[Seen]:
    """Events that are in one and not in the other, but for the running counts that sources tell."""
    before, after = (
        {(one.source, one.id): one for one in events if one.type != "source.alive"} for events in (healthy, hurt)
    )
    return [one for key, one in before.items() if after.get(key) != one] + [
        one for key, one in after.items() if key not in before
    ]


# --- what they do -----------------------------------------------------------------------------------------------------


def test_an_outage_fails_one_provider_and_no_other(healthy: list[Seen]) -> None:
    hurt = quick(scenario("provider_outage", BEGIN, END, provider="ozow", share=0.9))
    mine = [one for one in finished(hurt, provider="ozow") if BEGIN + 30 <= one.at < END]
    assert 0.8 < failing(mine) < 1
    for provider in set(cast.PROVIDERS.things) - {"ozow"}:
        assert finished(hurt, provider=provider) == finished(healthy, provider=provider)
    assert worst(mine, 10, failing, at_least=3) > 0.5  # provider_down pages
    lost = of_type(during(hurt), "call.made", outcome="connection_failed", target="ozow")
    assert most_within(lost, 10 * MINUTE) > 5
    assert most_in_a_row(of_type(hurt, "health.checked", component="ozow")) > 3
    assert most_in_a_row(of_type(hurt, "health.checked", component="ikhokha")) <= 1


def test_an_outage_of_a_large_provider_pages_for_all_payments_too() -> None:
    hurt = finished(quick(scenario("provider_outage", BEGIN, END)))
    assert worst(hurt, 5 * MINUTE, failing) > 0.1
    assert worst(hurt, MINUTE, failing) > 0.2


def test_an_outage_changes_what_entails_from_its_payments_alone(healthy: list[Seen]) -> None:
    hurt = quick(scenario("provider_outage", BEGIN, END, provider="ozow"))
    changed = differences(healthy, hurt)
    probes = [one for one in changed if one.type == "health.checked"]
    assert {one.data["component"] for one in probes} == {"ozow"}
    mine = {payment_of(one) for one in of_type(healthy, "payment.initiated", provider="ozow")}
    touched = {payment_of(one) for one in changed if one not in probes}
    assert len(touched) > 20 and touched <= mine
    assert all(one.at >= BEGIN for one in changed)


def test_a_slow_provider_is_slow_and_does_not_fail_more(healthy: list[Seen]) -> None:
    span = 0, LASTS
    hurt = quick(scenario("slow_provider", *span, provider="ikhokha"))
    late = finished(hurt, provider="ikhokha")
    assert mean_latency_s(late) > 15 * mean_latency_s(finished(healthy, provider="ikhokha"))
    assert worst(finished(hurt)[100:], 3 * MINUTE, mean_latency_s) > 10  # high_payment_latency pages
    ids = {one.id for one in late}
    before = [one for one in finished(healthy, provider="ikhokha") if one.id in ids]
    assert [broken(one) for one in sorted(late, key=_id)] == [broken(one) for one in sorted(before, key=_id)]


def test_customers_stay_away_and_those_who_come_are_the_same(healthy: list[Seen]) -> None:
    hurt = quick(scenario("volume_drop", BEGIN, END, share=0.8))
    begun = len(of_type(during(healthy), "payment.initiated"))
    assert 0.1 < len(of_type(during(hurt), "payment.initiated")) / begun < 0.3  # below half pages
    known = {one.id: one for one in healthy}
    assert all(known[one.id] == one for one in hurt if one.type.startswith("payment."))


def test_passwords_are_guessed_by_one_actor(healthy: list[Seen]) -> None:
    hurt = quick(scenario("brute_force", BEGIN, END, rate=1.0, actor="203.0.113.9"))
    added = differences(healthy, hurt)
    assert {(one.type, one.data["actor"]) for one in added} == {("auth.failed", "203.0.113.9")}
    assert len(added) == len(during(added))
    assert 130 < len(added) < 230
    assert most_within(of_type(hurt, "auth.failed"), 5 * MINUTE) > 10


def test_signatures_are_wrong_in_the_name_of_a_provider(healthy: list[Seen]) -> None:
    hurt = quick(scenario("bad_webhook_signatures", BEGIN, END, provider="peach"))
    added = differences(healthy, hurt)
    assert {(one.type, one.data["reason"], one.data["provider"]) for one in added} == {
        ("webhook.rejected", "invalid_signature", "peach")
    }
    assert most_within(added, 5 * MINUTE) > 3


def test_a_database_that_is_down_is_felt_everywhere_above_it(healthy: list[Seen]) -> None:
    hurt = quick(scenario("database_down", BEGIN, END))
    assert most_within(of_type(hurt, "query.run", outcome="connection_failed"), 5 * MINUTE) > 2
    assert most_in_a_row(of_type(hurt, "health.checked", component=cast.DATABASE)) > 3
    assert worst(finished(hurt), MINUTE, failing) > 0.3
    assert of_type(during(hurt), "error.raised", critical=True)
    untouched = ("resource.sampled", "auth.failed", "feature.checked")
    assert of_type(hurt, *untouched) == of_type(healthy, *untouched)


def test_a_leak_fills_the_memory_of_one_machine_for_long_enough(healthy: list[Seen]) -> None:
    leak = scenario("memory_leak", 0, 20 * MINUTE, host="worker-1")
    hurt = traffic(20 * MINUTE, leak, rate=0.1)
    memory = of_type(hurt, "resource.sampled", host="worker-1", resource="memory")
    assert longest_above(memory, 90) > 10 * MINUTE
    added = differences(traffic(20 * MINUTE, rate=0.1), hurt)
    assert {(one.data["host"], one.data["resource"]) for one in added} == {("worker-1", "memory")}


def test_a_leak_climbs_and_does_not_jump() -> None:
    conditions = Conditions([Scenario("memory_leak", 1000, 2000, host="app-1", percent=95.0, ramp=0.5)])
    assert [conditions.memory("app-1", 55.0, second * 1000) for second in (999, 1000, 1250, 1500, 1999, 2000)] == [
        55.0, 55.0, 75.0, 95.0, 95.0, 55.0,
    ]  # fmt: skip
    assert conditions.memory("app-2", 55.0, 1500_000) == 55.0


def test_a_silent_source_sends_nothing_and_the_others_all(healthy: list[Seen]) -> None:
    hurt = quick(scenario("source_silent", BEGIN, END, source="/webhooks/za-1"))
    assert not [one for one in during(hurt) if one.source == "/webhooks/za-1"]
    missing = [one for one in differences(healthy, hurt)]
    assert {one.source for one in missing} == {"/webhooks/za-1"}
    alive = of_type(hurt, "source.alive")
    assert [one for one in alive if one.source == "/webhooks/za-1" and one.at >= END]


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_scenario_makes_is_valid(name: str) -> None:
    decoders = {subject: Decoder(subject, b"k" * 16) for subject in set(SUBJECT_OF.values())}
    for one in traffic(60, scenario(name, 10, 50), rate=4):
        _, _, notes = decoders[one.topic].decode(one.encoded, one.key.encode(), [])
        assert notes is None, one


@pytest.mark.parametrize("name", FAULTS)
def test_before_it_begins_nothing_is_different(healthy: list[Seen], name: str) -> None:
    hurt = traffic(3 * MINUTE, scenario(name, BEGIN, END), rate=2.0)
    assert [one for one in hurt if one.at < BEGIN] == [one for one in healthy if one.at < BEGIN]
    assert differences([one for one in healthy if one.at < 3 * MINUTE], hurt), "and then something is"


def test_two_at_once_are_both_there(healthy: list[Seen]) -> None:
    hurt = quick(scenario("brute_force", BEGIN, END), scenario("provider_outage", BEGIN, END, provider="peach"))
    assert most_within(of_type(hurt, "auth.failed"), 5 * MINUTE) > 10
    assert failing([one for one in finished(during(hurt), provider="peach") if one.at > BEGIN + 30]) > 0.8


# --- how they are written ---------------------------------------------------------------------------------------------


def _make(name: str = "provider_outage", start: float = 0, end: float = 1, **params: str | float) -> Scenario:
    return Scenario(name, start, end, **params)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: _make("provider_outag"), "did you mean 'provider_outage'"),
        (lambda: _make("x"), "known: bad_webhook_signatures, brute_force"),
        (lambda: _make(providr="ozow"), "did you mean 'provider'"),
        (lambda: _make(provider=3), "cannot be 3; the default is 'ikhokha'"),
        (lambda: _make(share="all"), "cannot be 'all'"),
        (lambda: _make(share=1.5), "above 0 and at most 1"),
        (lambda: _make("memory_leak", ramp=0), "above 0 and at most 1"),
        (lambda: _make("brute_force", rate=0), "rate must be above 0"),
        (lambda: _make(start=5, end=5), "start < end"),
        (lambda: _make(start=-1), "start < end"),
        (lambda: _make(end=float("inf")), "start < end"),
        (lambda: _make(end=float("nan")), "start < end"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_right_word_named(wrong: Callable[[], Scenario], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("provider_outage", {"provider": "nobody"}),
        ("slow_provider", {"provider": "nobody"}),
        ("bad_webhook_signatures", {"provider": "nobody"}),
        ("memory_leak", {"host": "nobody"}),
        ("source_silent", {"source": "/nobody"}),
    ],
)
def test_what_does_not_appear_in_the_traffic_cannot_be_hurt(name: str, params: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="nobody"):
        _make(name, **params)


def test_it_says_in_words_what_happens() -> None:
    assert str(_make(provider="ozow", share=0.5)) == "ozow fails 50% of its payments"
    for name in FAULTS:
        assert "{" not in str(_make(name))


def test_it_lasts_from_its_start_to_just_before_its_end() -> None:
    one = _make(start=10, end=20)
    assert [one.active(ms) for ms in (9_999, 10_000, 19_999, 20_000)] == [False, True, True, False]


def test_a_scenario_over_many_hours_is_found_in_each(healthy: list[Seen]) -> None:
    conditions = Conditions([Scenario("provider_outage", START_S, START_S + 50 * HOUR)])
    for hour in range(50):
        assert conditions.outage("ikhokha", int((START_S + hour * HOUR) * 1000)) == 0.97
    assert conditions.outage("ikhokha", int((START_S + 50 * HOUR) * 1000)) == 0


def _id(one: Seen) -> str:
    return one.id
