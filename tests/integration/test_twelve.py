"""The twelve rules through the real agents on a clock: nothing at a near miss, each with the event that is one too many, and
over when it must be; while one judge judges, and while another takes over in the middle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from math import comb, sqrt
from pathlib import Path

import pytest

from rules.loader import PACKS
from runtime.settings import Settings
from schemas.alert import AlertEvent
from tests.integration.conftest import Run, Running
from tests.integration.oracle import ms_of
from tests.integration.test_alerts import alerts
from tests.integration.volume import A_MINUTE, import_usual
from tests.support.events import (
    Event,
    call,
    failed,
    failed_sign_in,
    probe,
    query,
    rejected_webhook,
    request,
    succeeded,
    usage,
    violation,
)

GROUPS = ("payment_alerts", "system_health_alerts", "performance_alerts", "security_alerts")
COUNTED = ("database_connectivity", "api_connectivity", "suspicious_activity", "webhook_security_violation")
Z, MONTH_OF_WINDOWS = 1.96, 8_640


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The packs of the twelve alone."""
    folder = tmp_path / "rules"
    folder.mkdir()
    for name in GROUPS:
        shutil.copy(PACKS / f"{name}.yaml", folder)
    return folder


class Shop:
    """An installation whose minutes pass one by one."""

    def __init__(self, run: Run, rules: Path, start: float) -> None:
        self._run, self._rules, self._start = run, rules, start
        self.running: Running | None = None
        self.latencies: list[tuple[float, float]] = []
        """(time, seconds) of every finished payment; `times`: the same of requests."""
        self.times: list[tuple[float, float]] = []

    @property
    def now(self) -> float:
        return self.worker.clock.now()

    @property
    def worker(self) -> Running:
        assert self.running is not None
        return self.running

    async def open(self) -> None:
        self.running = await self._run(self._start, rules=self._rules)
        await import_usual(self.running)

    @property
    def settings(self) -> Settings:
        return self.worker.settings

    async def another_judge(self, *, joins: bool = False) -> None:
        """The worker ends, and another takes over where it was; one that joins does so before."""
        now, before = self.now, self.worker
        if not joins:
            await before.stop()
        self.running = await self._run(now, rules=self._rules)
        if joins:
            await before.stop()
            await self.worker.beaten()

    async def send(self, *events: Event) -> None:
        for one in events:
            at = ms_of(one["time"]) / 1000
            if one["type"] in ("payment.succeeded", "payment.failed"):
                self.latencies.append((at, one["data"]["latency_ms"] / 1000))
            if one["type"] == "request.served":
                self.times.append((at, one["data"]["latency_ms"] / 1000))
        await self.worker.produce(events)

    async def minute(self, *, resources: float, paying: bool = True) -> None:
        """A minute in which all is well, but for how much of memory and CPU is in use."""
        await self.worker.advance(60.0)
        at = self.now - 60
        events = [usage(at + 10 * n, name, resources, host="app-1") for n in range(6) for name in ("memory", "cpu")]
        events += [request(at + 5 * n, 1_000.0) for n in range(A_MINUTE)]
        events += [probe(at + 30, True, component="db")]
        if paying:
            events += [succeeded(at + 5 * n, latency_ms=1_000) for n in range(A_MINUTE)]
        await self.send(*events)

    async def told(self) -> list[AlertEvent]:
        return await alerts(self.settings)

    async def rules_told(self, transition: str = "firing") -> list[str]:
        return sorted(one.data.rule for one in await self.told() if one.transition == transition)

    def slow_enough(self, seen: list[tuple[float, float]], window: float, mean: float, at: float) -> float:
        """How many milliseconds one more must take so that the mean over the open bucket and those before is just this."""
        first = at - at % 5 + 5 - window
        held = [seconds for when, seconds in seen if first <= when]
        return (mean * (len(held) + 1) - sum(held)) * 1000


def surely_above(share: float, n: int) -> int:
    """Of so many that succeeded, the least number of further ones that fail with which the lower Wilson bound is above, and
    which would not come by chance in each of a month's five minutes where half as many fail."""
    for k in range(3, n):
        p, all_ = k / (n + k), n + k
        low = (p + Z * Z / (2 * all_) - Z * sqrt((p * (1 - p) + Z * Z / (4 * all_)) / all_)) / (1 + Z * Z / all_)
        half = share / 2
        chance = 1 - sum(comb(all_, some) * half**some * (1 - half) ** (all_ - some) for some in range(k))
        if low > share and chance * MONTH_OF_WINDOWS <= 1:
            return k
    raise AssertionError("no number does")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("takes_over", [False, True], ids=["one judge", "another takes over"])
async def test_each_fires_when_it_must_and_is_over_when_it_must(
    running_worker: Run, rules: Path, takes_over: bool
) -> None:
    start = time.time() - 3 * 3_600
    shop = Shop(running_worker, rules, start - start % 60)
    await shop.open()

    # For ten minutes memory, for fifteen CPU has been above; at nine and at fourteen they have not.
    for minute in range(9):
        await shop.minute(resources=95.0)
        if takes_over and minute == 4:
            await shop.another_judge()
    assert await shop.rules_told() == []
    for _ in range(2):
        await shop.minute(resources=95.0)
    assert await shop.rules_told() == ["high_memory_usage"]
    for minute in range(3):
        await shop.minute(resources=95.0)
        if takes_over and minute == 1:
            await shop.another_judge(joins=True)
    assert await shop.rules_told() == ["high_memory_usage"]
    for _ in range(2):
        await shop.minute(resources=95.0)
    holding = ["high_cpu_usage", "high_memory_usage"]
    assert await shop.rules_told() == holding

    # As many as a count may reach, and three checks that failed; then one more of each.
    one_more: list[Callable[[float], Event]] = [
        lambda at: query(at, "connection_failed"),
        lambda at: call(at, "connection_failed"),
        failed_sign_in,
        rejected_webhook,
    ]
    at = shop.now - 30
    for make, most in zip(one_more, (2, 5, 10, 3), strict=True):
        await shop.send(*(make(at + n / 10) for n in range(most)))
    await shop.send(*(probe(at + 1 + n, False, component="db") for n in range(3)))
    assert await shop.rules_told() == holding
    if takes_over:
        await shop.another_judge()
    for make, name in zip(one_more, COUNTED, strict=True):
        await shop.send(make(at + 5))
        assert name in await shop.rules_told(), name
    await shop.send(probe(at + 6, False, component="db"))
    assert await shop.rules_told() == sorted([*holding, *COUNTED, "system_down"])
    await shop.send(violation(at + 7))
    firing = sorted([*holding, *COUNTED, "system_down", "security_breach"])
    assert await shop.rules_told() == firing

    # Means of exactly the threshold, and a hair above.
    at = shop.now - 2  # in the latest bucket that there is
    await shop.send(request(at, shop.slow_enough(shop.times, 300, 5.0, at)))
    await shop.send(succeeded(at, latency_ms=shop.slow_enough(shop.latencies, 180, 10.0, at)))
    assert await shop.rules_told() == firing
    if takes_over:
        await shop.another_judge()
    await shop.send(request(at, 5_001.0), succeeded(at, latency_ms=10_001))
    firing = sorted([*firing, "high_response_time", "high_payment_latency"])
    assert await shop.rules_told() == firing

    # One failure too few to be sure, and one more.
    first = at - at % 5 + 5 - 300
    few = surely_above(0.05, sum(first <= when for when, _ in shop.latencies)) - 1
    await shop.send(*(failed(at + n / 100, latency_ms=11_000) for n in range(few)))
    assert await shop.rules_told() == firing
    await shop.send(failed(at + 1, latency_ms=11_000))
    firing = sorted([*firing, "payment_processing_failure"])
    assert await shop.rules_told() == firing
    assert await shop.rules_told("resolved") == []

    # All is well again: each is over, nothing else is told.
    for minute in range(13):
        await shop.minute(resources=50.0)
        if takes_over and minute == 3:
            await shop.another_judge()
    assert await shop.rules_told() == firing
    assert await shop.rules_told("resolved") == firing

    # Nobody pays any more: half of fifteen minutes are gone after seven and a half.
    for _ in range(7):
        await shop.minute(resources=50.0, paying=False)
    assert "payment_volume_drop" not in await shop.rules_told()
    for minute in range(3):
        await shop.minute(resources=50.0, paying=False)
        if takes_over and minute == 1:
            await shop.another_judge()
    assert await shop.rules_told() == sorted([*firing, "payment_volume_drop"])
    for _ in range(10):
        await shop.minute(resources=50.0)
    over = [one.data.rule for one in await shop.told() if one.transition == "resolved"]
    assert over.count("payment_volume_drop") == 1
    found = await shop.told()
    assert len({one.id for one in found}) == len(found)
