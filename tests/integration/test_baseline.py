"""A baseline through the real agents: history from a file, a drop that is told, and other leaders in the middle of it."""

from __future__ import annotations

import re
import time

from tests.integration.conftest import Run, Running
from tests.integration.test_alerts import alerts, told
from tests.integration.volume import A_MINUTE, import_usual
from tests.support.events import Event, succeeded

RULE = "payment_volume_drop"


def traffic(start: float, minutes: int) -> list[list[Event]]:
    """Payments of some minutes, minute by minute."""
    return [[succeeded(start + 60 * minute + 5 * n) for n in range(A_MINUTE)] for minute in range(minutes)]


async def play(running: Running, minutes: list[list[Event]]) -> None:
    for events in minutes:
        await running.advance(60.0)
        await running.produce(events)


async def test_a_drop_is_told_once_whoever_leads(running_worker: Run) -> None:
    start = time.time() - 3 * 3_600
    start -= start % 60
    running = await running_worker(start)
    await play(running, traffic(start, 2))
    assert await alerts(running.settings) == []

    await import_usual(running)
    await play(running, traffic(start + 120, 16))
    before = await alerts(running.settings)
    assert told(before, RULE) == []

    for _ in range(5):
        await running.advance(60.0)
    await running.stop()
    running = await running_worker(running.clock.now())
    for _ in range(8):
        await running.advance(60.0)
    found = await alerts(running.settings)
    assert told(found, RULE) == [f"{RULE} firing"]
    drop = next(one.data for one in found if one.data.rule == RULE)
    assert drop.value is not None and drop.threshold is not None and drop.value < drop.threshold
    assert re.search(r"\d+ in 15 min, expected 1[78]\d .* from the last 7 days at", drop.arithmetic)

    await running.stop()
    running = await running_worker(running.clock.now())
    await play(running, traffic(running.clock.now(), 12))
    found = await alerts(running.settings)
    assert told(found, RULE) == [f"{RULE} firing", f"{RULE} resolved"]
