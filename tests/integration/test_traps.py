"""What a well-known stack gets wrong on the same rules, through the real agents: each row of the table of traps is a test."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from rollups.tables import TableStore
from runtime.settings import Settings
from tests.integration.conftest import Crew, Run
from tests.integration.tables import redis_of
from tests.integration.test_alerts import alerts, eventually, some, told
from tests.integration.volume import A_MINUTE, import_usual
from tests.support.clock import ClockFile
from tests.support.events import Event, failed, failed_sign_in, succeeded, usage, violation
from tests.support.topics import produce

MEMORY = "high_memory_usage"
VOLUME = "payment_volume_drop"


# --- on a clock within the test ---------------------------------------------------------------------------------------


async def test_ten_failed_sign_ins_are_ten(running_worker: Run) -> None:
    running = await running_worker()
    at = running.clock.now()
    await running.produce(failed_sign_in(at + 29 * n) for n in range(10))
    assert await alerts(running.settings) == []
    await running.produce([failed_sign_in(at + 290)])
    assert told(await alerts(running.settings)) == ["suspicious_activity firing"]


async def test_the_very_first_violation_pages(running_worker: Run) -> None:
    running = await running_worker()
    await running.produce([violation(running.clock.now())])
    assert told(await alerts(running.settings)) == ["security_breach firing"]


async def test_one_of_three_payments_is_no_outage_and_five_of_five_are(running_worker: Run) -> None:
    running = await running_worker()
    at = running.clock.now()
    await running.produce([succeeded(at), failed(at + 60), succeeded(at + 120)])
    await running.advance(600.0)
    assert await alerts(running.settings) == []
    at = running.clock.now()
    await running.produce(failed(at + 50 * n) for n in range(4))
    assert await alerts(running.settings) == []
    await running.produce([failed(at + 200)])
    assert "payment_processing_failure firing" in told(await alerts(running.settings))


async def test_when_the_source_dies_there_is_no_data_and_nothing_is_resolved(running_worker: Run) -> None:
    running = await running_worker()
    at = running.clock.now()
    await running.produce(memory(at, 0, 660))
    assert told(await alerts(running.settings), MEMORY) == [f"{MEMORY} firing"]
    for _ in range(40):
        await running.advance(30.0)
    found = await alerts(running.settings)
    assert told(found, MEMORY) == [f"{MEMORY} firing", f"{MEMORY} no_data"]
    assert [one.data.status for one in found if one.data.rule == MEMORY][-1] == "no_data"


async def test_two_violations_before_the_source_dies_are_both_told(running_worker: Run) -> None:
    running = await running_worker()
    at = running.clock.now()
    await running.produce([violation(at), violation(at + 1)])
    for _ in range(40):
        await running.advance(30.0)
    found = [one for one in await alerts(running.settings) if one.data.rule == "security_breach"]
    assert [one.transition for one in found] in (["firing", "resolved"], ["firing", "updated", "resolved"])
    assert found[-2].data.value == 2


async def test_ten_delayed_minutes_are_judged_when_they_happened(running_worker: Run) -> None:
    """They come at once, from several partitions, beside payments of the present that are fine."""
    running = await running_worker()
    at = running.clock.now()
    await running.produce(succeeded(at + n) for n in range(60))
    for _ in range(10):
        await running.advance(60.0)
        await running.produce(succeeded(running.clock.now() - 60 + n) for n in range(60))
    assert await alerts(running.settings) == []
    await running.produce(failed(at + 60 + 2 * n) for n in range(300))  # as many as 1 in 3 of those ten minutes
    found = await alerts(running.settings)
    down = [one.data for one in found if one.data.rule == "payment_processing_failure" and one.transition == "firing"]
    assert len(down) == 1
    assert at + 60 <= (down[0].first_bad_at or 0) / 1000 <= at + 90, "once so many had failed that it was sure"
    assert down[0].late and not down[0].historical
    assert down[0].detected_at == int(running.clock.now() * 1000)


async def test_a_monitor_that_was_away_for_six_minutes_tells_nothing_of_it(
    running_worker: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.time() - 3 * 3_600
    start -= start % 60
    running = await running_worker(start)
    await import_usual(running)
    with monkeypatch.context() as patch:
        patch.setattr("agents.evaluate.CHECK_EVERY_S", float("inf"))  # it is gone before it kept anything by the way
        for _ in range(20):
            await running.advance(60.0)
            await running.produce(paid(running.clock.now() - 60, 1))
        await running.stop()
    assert running.settings.kafka is not None
    now = running.clock.now()
    await produce(running.settings.kafka, running.settings.names, paid(now, 6))
    running = await running_worker(now + 360)
    for _ in range(12):
        await running.advance(60.0)
        await running.produce(paid(running.clock.now() - 60, 1))
    assert await alerts(running.settings) == []
    (minutes,) = [len(one.readings) for rule, one in running.worker.evaluate.baselines() if rule.name == VOLUME]
    assert minutes >= 16, "those that were missed were judged afterwards"


def memory(at: float, first: int, end: int, percent: float = 95.0) -> list[Event]:
    """A sample every ten seconds, from `first` seconds after `at` until `end`."""
    return [usage(at + second, "memory", percent, host="app-1") for second in range(first, end, 10)]


def paid(at: float, minutes: int) -> list[Event]:
    return [succeeded(at + 5 * n) for n in range(A_MINUTE * minutes)]


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(tmp_path: Path) -> ClockFile:
    """Begun an hour ago."""
    return ClockFile(tmp_path / "clock", float(int(time.time()) - 3_600))


@pytest.fixture
def clocked(installation: Settings, clock: ClockFile) -> Settings:
    """The installation on that clock."""
    return installation.model_copy(update={"clock": clock.setting})


@pytest.mark.fault
async def test_a_monitor_killed_in_the_middle_of_a_for_is_not_late(clocked: Settings, clock: ClockFile, crew: Crew) -> None:
    settings, at = clocked, clock.began
    worker = await crew.start(settings)
    await send(settings, memory(at, 0, 300))
    clock.set(at + 300)
    await eventually(lambda: _counted(settings, 30), "the samples are counted")
    worker.kill()

    await crew.start(settings)
    await send(settings, memory(at, 300, 600))
    clock.set(at + 599)
    await eventually(lambda: _counted(settings, 60), "the samples are counted")
    assert told(await alerts(settings), MEMORY) == []
    clock.set(at + 600)
    await send(settings, memory(at, 600, 610))
    found = await eventually(lambda: some(settings, f"{MEMORY} firing"), "it fires")
    (alert,) = [one.data for one in found if one.data.rule == MEMORY]
    assert alert.first_bad_at == at * 1000
    assert alert.detected_at == (at + 600) * 1000, "with the sample that completes the ten minutes"


@pytest.mark.fault
async def test_a_monitor_killed_while_alerts_fire_tells_nothing_new(clocked: Settings, clock: ClockFile, crew: Crew) -> None:
    settings, at = clocked, clock.began
    worker = await crew.start(settings)
    await send(settings, [*memory(at, 0, 610), *(failed(at + 600 + n / 10) for n in range(60))])
    clock.set(at + 610)
    await eventually(lambda: some(settings, f"{MEMORY} firing"), "memory fires")
    before = await eventually(lambda: some(settings, "payment_processing_failure firing"), "payments fire")
    worker.kill()

    await crew.start(settings)
    for minute in range(1, 7):
        await send(settings, [*memory(at, 550 + 60 * minute, 610 + 60 * minute)])
        clock.set(at + 610 + 60 * minute)
    await eventually(lambda: _counted(settings, 97), "the samples are counted")
    found = await alerts(settings)
    assert [one for one in found if one.transition == "resolved"] == []
    assert len({one.id for one in found}) == len(found), "nothing is told twice"
    assert {one.id for one in before} <= {one.id for one in found}
    assert told(found, MEMORY) == [f"{MEMORY} firing"]
    assert told(found, "payment_processing_failure")[0] == "payment_processing_failure firing"


async def send(settings: Settings, events: Iterable[Event]) -> None:
    assert settings.kafka is not None
    await produce(settings.kafka, settings.names, events)


async def _counted(settings: Settings, samples: int) -> bool:
    async with redis_of(settings) as redis:
        rows = await TableStore(redis, settings.names).read("resources", "10s")
    return sum(cell.count for cells in rows.values() for cell in cells.values()) == samples
