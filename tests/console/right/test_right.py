"""Numbers on pages are those of SQL over the same tables, and those that the rules judged."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest

from console.board import Post
from console.desk import Desk
from rollups.tables import HOUR
from rules.loader import RuleSet
from rules.signals import shipped
from runtime.clock import ManualClock
from runtime.settings import Settings
from schemas.alert import AlertEvent
from tests.console.conftest import APPLICATION, RULES, Held, client_of
from tests.console.right import of_key_figures, of_payments, of_people, of_system
from tests.console.right.asking import (
    Asked,
)
from tests.console.right.figures import Figures
from tests.console.right.known import (
    NO_FIGURES,
    Known,
    ending_now,
)
from tests.console.right.shop import ASKS, MINUTE, Shop, every_signal, judged
from tests.console.rows import NOW_MS, status
from tests.console.test_incident_pages import keep
from tests.support.desk import Desk as Judge
from tests.support.night import Night, alert

PAGES = of_key_figures.PAGES | of_payments.PAGES | of_system.PAGES | of_people.PAGES
NO_NUMBERS = {"/api/v1/pages/analyst"}
"""Pages that show what somebody asks for, and no figure of their own."""


def test_every_page_is_compared() -> None:
    compared = {path.partition("?")[0] for path in PAGES} | NO_NUMBERS
    pages = {path for path in APPLICATION.openapi()["paths"] if path.startswith(("/api/v1/pages/", "/api/v1/kpis/"))}
    assert {path for path in pages if path.replace("{incident}", "2") not in compared} == set()


def told_by_rules(judge: Judge) -> dict[tuple[str, frozenset[tuple[str, Any]]], float]:
    """What was judged of each signal and group over the 5 minutes that end now; of a share over the hour that ended half an
    hour ago."""
    found = {}
    names = sorted(shipped(), key=len, reverse=True)
    for one in judge.alerts:
        data = one.data
        if data.rule.startswith(ASKS):
            signal = shipped()[next(name for name in names if data.rule.removeprefix(ASKS).startswith(name))]
            back, length = (signal.delay_ms, HOUR) if signal.aggregate == "share" else (0, 5 * MINUTE)
            start, end = ending_now(length)
            if (data.window.start, data.window.end) == (start - back, end - back) and data.value is not None:
                found[signal.name, frozenset(data.group.items())] = float(data.value)
    return found


def handled(alerts: Sequence[AlertEvent]) -> Night:
    """A night of three hours: one incident that was taken, over and a false alarm, and those that these alerts open now."""
    night = Night(datetime.fromtimestamp((NOW_MS - 3 * HOUR) / 1000, UTC))
    night.alert(
        alert("memory_pressure", severity="medium", host="db", at_ms=night.now_ms, summary="A host runs out of memory.")
    )
    night.until("4:00")
    night.tell("ack")
    night.until("30:00")
    night.alert(alert("memory_pressure", "resolved", severity="medium", host="db", at_ms=night.now_ms))
    night.tell("judge", "wrong")
    night.until("3:00:00")
    shares = [one for one in alerts if one.data.unit == "ratio" and not one.data.inhibited_by]
    night.alert(shares[0])
    night.alert(*(one for one in alerts if one is not shares[0]))
    return night


def telling(judge: Judge) -> dict[str, Any]:
    """What a worker says of itself that has judged this."""
    parts = [
        {
            "topic": f"{judge.namespace}.{name}.v1",
            "partition": 0,
            "next": 90,
            "end": end,
            "watermark_ms": NOW_MS - 30_000,
            "behind": False,
        }
        for name, end in (("payments", 100), ("platform", 93))
    ]
    states = [asdict(one) for one in judge.engine.states(judge.progress()) if not one.rule.startswith(ASKS)]
    return status(time.time() + 600, partitions=parts, rules={"count": len(RULES.rules), "states": states})


async def test_every_number_is_that_of_sql_and_of_the_rules(
    held: Held, settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.status_book.PAUSE_S", 0.0)
    shop = Shop(seed=1)
    await shop.fill(held)
    judge = judged(shop, RuleSet((*RULES.rules, *every_signal().rules)), settings.namespace)
    told = [one for one in judge.alerts if not one.data.rule.startswith(ASKS) and one.data.detected_at == NOW_MS]
    events, night, says = [json.loads(one.model_dump_json()) for one in told], handled(told), telling(judge)
    await held.redis.set(settings.names.worker("worker-a"), json.dumps(says))
    desk = Desk(settings, clock, RULES)
    async with desk.running(), client_of(desk) as client:
        for nth, one in enumerate(events):
            desk.board.post(Post("log", nth, one), nth, news=False)
        await keep(desk, held, night)
        await desk.status.look()
        known = Known(Asked(client), shop, told_by_rules(judge), events[::-1], says, desk.incidents.ledger.incidents)
        wrong: list[str] = []
        for path, compare in PAGES.items():
            page = Figures(await known.asked.get(path))
            await compare(known, page)
            wrong += [f"{path}: {one}" for one in page.wrong]
            wrong += [f"{path}: {one} is compared with nothing" for one in page.left(NO_FIGURES)]
    assert not wrong, "\n".join(wrong)
