"""From events on a broker to alerts on a topic: on a clock that the test moves, through restarts, crashes and replays."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from local.broker import EmbeddedBroker
from runtime.kafka import create_topics
from runtime.settings import Settings
from schemas.alert import AlertEvent
from tests.conftest import Broker
from tests.integration.conftest import Crew, Run
from tests.integration.oracle import ms_of
from tests.support.events import Event, failed, failed_sign_in, probe, succeeded, violation
from tests.support.store import KillableStore
from tests.support.topics import produce, read_all
from tests.support.wait import eventually_async as eventually_within

eventually = partial(eventually_within, limit_s=60.0)
"""A worker starts, takes partitions from another and reads them: on a busy machine that takes its time."""


async def alerts(settings: Settings) -> list[AlertEvent]:
    """Every alert on the topic, in order."""
    assert settings.kafka is not None
    records = await read_all(settings.kafka, settings.names.alerts)
    found = [AlertEvent.model_validate_json(record.value) for record in records]
    for record, alert in zip(records, found, strict=True):
        assert record.key == alert.data.fingerprint.encode()
        assert dict(record.headers)["content-type"].startswith(b"application/cloudevents+json")
    return found


def told(found: Iterable[AlertEvent], *rules: str) -> list[str]:
    return [f"{one.data.rule} {one.transition}" for one in found if not rules or one.data.rule in rules]


def outage(at: float, seconds: int = 30) -> list[Event]:
    """One provider down for so long, between healthy minutes: two payments a second."""
    before = [succeeded(at + n / 2, provider=("peach", "ozow")[n % 2]) for n in range(120)]
    during = [
        (failed if n % 2 else succeeded)(at + 60 + n / 2, provider=("peach", "ozow")[n % 2]) for n in range(2 * seconds)
    ]
    after = [succeeded(at + 60 + seconds + n / 2, provider=("peach", "ozow")[n % 2]) for n in range(700)]
    return [*before, *during, *after]


async def test_an_outage_is_told_and_so_is_its_end(running_worker: Run) -> None:
    running = await running_worker()
    at = running.clock.now()
    events = outage(at)
    for start in range(0, len(events), 20):
        await running.produce(events[start : start + 20])
        await running.advance(10.0)
    await running.advance(60.0)
    found = await alerts(running.settings)
    assert told(found, "provider_down") == ["provider_down firing", "provider_down resolved"]
    down = next(one for one in found if one.data.rule == "provider_down")
    assert down.data.group == {"provider": "ozow"}
    assert at + 60 <= (down.data.first_bad_at or 0) / 1000 <= at + 75
    assert told(found, "payment_processing_failure")[0] == "payment_processing_failure firing"
    assert all(one.data.judged_at.offset > 0 for one in found)


async def test_a_rule_of_each_kind_on_the_clock(running_worker: Run) -> None:
    running = await running_worker()
    at = running.clock.now()
    await running.produce([violation(at), *(failed_sign_in(at + n) for n in range(10))])
    assert told(await alerts(running.settings)) == ["security_breach firing"]
    await running.produce([failed_sign_in(at + 20), *(probe(at + 10 * n, False, component="db") for n in range(4))])
    assert sorted(told(await alerts(running.settings))) == [
        "security_breach firing", "suspicious_activity firing", "system_down firing"
    ]  # fmt: skip
    await running.produce([probe(at + 45, True, component="db")])
    for _ in range(80):
        await running.advance(5.0)
    found = [one for one in await alerts(running.settings) if one.transition != "no_data"]  # the probes end, too
    assert sorted(told(found)[3:]) == [
        "security_breach resolved",
        "suspicious_activity resolved",
        "system_down resolved",
    ]
    assert len({one.id for one in found}) == 6


async def test_another_leader_goes_on_where_the_first_ended(installation: Settings, crew: Crew) -> None:
    at = time.time() - 200
    assert installation.kafka is not None
    await crew.start(installation)
    await produce(installation.kafka, installation.names, outage(at)[:180])
    first = await eventually(lambda: some(installation, "payment_processing_failure firing"), "an alert fires")
    await crew.leave()
    await crew.start(installation)
    await produce(installation.kafka, installation.names, outage(at)[180:])
    await eventually(lambda: some(installation, "provider_down resolved"), "it is resolved")
    found = await alerts(installation)
    assert told(found, "payment_processing_failure")[:1] == ["payment_processing_failure firing"]
    assert len({one.id for one in found}) == len(found)
    assert {one.id for one in first} <= {one.id for one in found}


async def some(settings: Settings, wanted: str) -> list[AlertEvent]:
    """Every alert, once `wanted` is among them."""
    found = await alerts(settings)
    return found if wanted in told(found) else []


@pytest.mark.fault
@pytest.mark.parametrize("point", ["after_save", "after_alert"])
async def test_an_alert_is_told_once_whenever_its_judge_is_killed(
    installation: Settings, crew: Crew, point: str
) -> None:
    assert installation.kafka is not None
    victim = await crew.start(installation, TILLWATCH_FAULT=f"{point}:1")
    await produce(installation.kafka, installation.names, [violation(time.time())])
    await eventually(lambda: _ended(victim), "it was killed at the point")
    await crew.start(installation)
    await eventually(lambda: some(installation, "security_breach firing"), "the next leader tells")
    await produce(installation.kafka, installation.names, [violation(time.time())])
    await eventually(lambda: some(installation, "security_breach updated"), "and goes on")
    found = await alerts(installation)
    assert {one.transition: one.data.value for one in found} == {"firing": 1, "updated": 2}
    assert len({one.id for one in found if one.transition == "firing"}) == 1


async def _ended(victim: object) -> bool:
    return not victim.running  # type: ignore[attr-defined]


async def test_an_emptied_store_tells_nothing_twice(fragile: Settings, patient: KillableStore, crew: Crew) -> None:
    assert fragile.kafka is not None
    at = time.time() - 200
    await crew.start(fragile)
    await produce(fragile.kafka, fragile.names, [violation(at), *(failed_sign_in(at + n) for n in range(12))])
    before = await eventually(lambda: some(fragile, "suspicious_activity firing"), "alerts fire")
    before = await eventually(lambda: some(fragile, "security_breach firing"), "both of them")
    patient.empty()
    await produce(fragile.kafka, fragile.names, [violation(time.time())])
    found = await eventually(lambda: some(fragile, "security_breach updated"), "what comes then is judged")
    assert told(found) == [*told(before), "security_breach updated"]
    assert found[-1].data.value == 2


async def test_a_replay_into_an_empty_store_has_the_same_ids(
    broker: Broker, running_worker: Run, fragile: Settings, patient: KillableStore, crew: Crew
) -> None:
    """The alerts topic is made anew, so that nothing is known of what was told."""
    if isinstance(broker, EmbeddedBroker):
        pytest.skip("the embedded broker deletes no topics")
    at = time.time() - 3_600
    at -= at % 5
    others = [
        violation(at + 5),
        *(failed_sign_in(at + n) for n in range(12)),
        *(probe(at + 10 * n, n > 8) for n in range(12)),
    ]
    events = sorted([*outage(at), *others], key=lambda one: one["time"])
    running = await running_worker(at, redis=fragile.redis)
    for _, some in groupby(events, lambda one: ms_of(one["time"]) // 5_000):
        running.clock.advance(5.0)
        await running.produce(some)
    await running.advance(120.0)
    first = await alerts(fragile)
    assert {"provider_down resolved", "system_down resolved", "suspicious_activity firing"} <= set(told(first))
    await running.stop()

    patient.empty()
    admin = AIOKafkaAdminClient(bootstrap_servers=fragile.kafka)
    await admin.start()
    await admin.delete_topics([fragile.names.alerts, fragile.names.rollups])
    await admin.close()
    await eventually(lambda: _recreated(fragile), "the topics are made anew")
    await crew.start(fragile)
    await eventually(lambda: _same(fragile, first), "the same episodes began and ended")


async def _recreated(settings: Settings) -> bool:
    try:
        return all(one.did in ("created", "exists") for one in await create_topics(settings, 3))
    except KafkaError:  # still being deleted
        return False


async def _same(settings: Settings, first: list[AlertEvent]) -> bool:
    again = await alerts(settings)
    wanted = {one.id for one in first if one.transition in ("firing", "resolved")}
    assert {one.id for one in again if one.transition in ("firing", "resolved")} == wanted
    return True


# --- rules that change while a worker runs ------------------------------------------------------------------------------


PACK = 'pack: {{any: {{condition: "security_violations > {limit}", severity: high}}}}\n'


async def test_rules_that_change_are_in_force_without_a_restart(installation: Settings, crew: Crew, tmp_path: Path) -> None:
    assert installation.kafka is not None
    folder = tmp_path / "rules"
    folder.mkdir()
    pack = folder / "pack.yaml"
    pack.write_text(PACK.format(limit=100))
    settings = installation.model_copy(update={"rules": folder})
    worker = await crew.start(settings)
    await produce(installation.kafka, installation.names, [violation(time.time())])

    pack.write_text("pack: {any: {condition: 'security_violatons > 0', severity: high}}\n")  # what was in force stays
    await eventually(lambda: "the rules that were in force stay" in worker.output, "the error is told")
    assert "did you mean security_violations?" in worker.output
    assert await alerts(installation) == []

    pack.write_text(PACK.format(limit=1))
    await eventually(lambda: "1 rules of" in worker.output, "the new rules are in force")
    await produce(installation.kafka, installation.names, [violation(time.time())])
    await eventually(lambda: some(installation, "any firing"), "the new rule fires, with what was there before")

    pack.write_text('pack: {other: {condition: "failed_auth_attempts > 5 in 5 minutes", severity: high}}\n')
    found = await eventually(lambda: some(installation, "any resolved"), "the alert of a rule that is no more ends")
    assert "no longer in force" in found[-1].data.summary
