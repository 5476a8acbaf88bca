"""The shortcut of bench.quiet: cells that are drawn give the alerts that the same events give through fold and merge."""

from __future__ import annotations

from random import Random

import pytest

from bench.quiet import BUCKET_MS, START_MS, Drawn, Shop, Simulation
from local.past import poisson
from schemas.alert import AlertEvent
from schemas.tables import TABLES
from tests.support.desk import Desk, rules
from tests.support.events import Event, event

RULES = rules("""
bench:
  down: {condition: "payment_failure_rate > 50% over 5 seconds", severity: critical}
  five_minutes: {condition: "payment_failure_rate > 5% for 5 minutes", severity: critical}
  fast: {condition: "payment_failure_rate > 5% over 1 minute", severity: high, inhibited_by: [five_minutes]}
  one_provider: {condition: "payment_failure_rate > 8% over 5 minutes", by: [provider], severity: high}
  slow: {condition: "avg_payment_latency > 2500 ms over 3 minutes", severity: low}
""")
MINUTES = 12
NOON_MS = START_MS + 12 * 3_600_000


def payments(drawn: Drawn) -> list[Event]:
    """The events that a draw stands for."""
    made = []
    for (table, key), batch in drawn.items():
        if table != "payments":
            continue
        said = {name: value for name, value in zip(TABLES[table].dimensions, key, strict=True) if value is not None}
        outcome = said.pop("outcome")
        for place, ms in enumerate(batch.times):
            data = said | {"amount": batch.columns[0][place]}
            if batch.columns[1]:
                data["latency_ms"] = batch.columns[1][place] / 1000
            made.append(event(f"payment.{outcome}", ms / 1000, **data))
    return made


def began(alerts: list[AlertEvent]) -> set[tuple[object, ...]]:
    """What fired: the rule, about whom, since when, and on what arithmetic."""
    return {
        (one.data.rule, str(one.data.group), one.data.first_bad_at, one.data.arithmetic)
        for one in alerts
        if one.transition == "firing"
    }


@pytest.mark.parametrize("rate", [20.0, 150.0], ids=["each payment", "a bucket at a time"])
def test_drawn_cells_and_folded_events_give_the_same_alerts(rate: float) -> None:
    shop, simulation = Shop(rate, Random(3), wrong=0.15), Simulation(RULES, BUCKET_MS)
    events: list[Event] = []
    told: list[AlertEvent] = []
    buckets = range(NOON_MS, NOON_MS + MINUTES * 60_000, BUCKET_MS)

    for bucket in buckets:
        drawn = shop.draw(bucket)
        events += payments(drawn)
        told += simulation.bucket(bucket, drawn)
    desk = Desk(RULES, now=NOON_MS / 1000)
    folded = desk.play(sorted(events, key=lambda one: one["time"]), every_s=5.0)

    assert {"fast", "five_minutes", "one_provider"} <= {str(one[0]) for one in began(told)}
    assert began(told) == began(folded)


def test_how_often_one_looks_makes_no_difference_to_what_fires() -> None:
    told = []
    for look_ms in (BUCKET_MS, 60_000):
        shop, simulation = Shop(20.0, Random(5), wrong=0.15), Simulation(RULES, look_ms)
        alerts = []
        for bucket in range(NOON_MS, NOON_MS + 20 * 60_000, BUCKET_MS):
            alerts += simulation.bucket(bucket, shop.draw(bucket))
        told.append(began(alerts))

    assert told[0]
    assert told[0] == told[1]


def test_healthy_traffic_has_the_shares_of_the_simulator() -> None:
    shop, finished, wrong = Shop(1_200.0, Random(1)), 0, 0
    for bucket in range(START_MS, START_MS + 3_600_000, BUCKET_MS):
        for (table, key), batch in shop.draw(bucket).items():
            if table == "payments":
                finished += len(batch.times)
                wrong += len(batch.times) if key[4] in ("technical", "unknown") else 0

    assert 0.006 < wrong / finished < 0.010  # 0.008, give or take three standard deviations
    assert finished > 10_000


def test_numbers_of_events_have_their_mean() -> None:
    rng = Random(1)
    for mean in (0.2, 5.0, 150.0, 400.0):
        seen = [poisson(rng, mean) for _ in range(2_000)]
        assert abs(sum(seen) / len(seen) - mean) < 4 * (mean / len(seen)) ** 0.5
