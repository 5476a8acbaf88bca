"""Checklists: what ticks itself, what people tick, and for how long that counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from console.checklists import BY_KEY, ITEMS, ItemTold, Known, Tick, checklists
from console.desk import Desk
from console.readings import Pulse
from console.reports.periods import KINDS, period_of
from console.who import SCOPE_KEY, Who
from notifier.people.cover import Gap
from notifier.policy import POLICY
from rollups.tables import DAY, HOUR
from runtime.clock import ManualClock
from runtime.outbox import Entry
from runtime.settings import Settings
from schemas.incident import Incident, Silence
from tests.console.conftest import RULES, Held, app_of, client_of
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid, status
from tests.support.store import KillableStore

ZONE = ZoneInfo("Africa/Johannesburg")
LEADS = status(NOW_MS / 1000)
LIVE = Pulse("live", "", NOW_MS, (LEADS,), LEADS)
NOTHING: dict[str, list[dict[str, Any]]] = {
    "payments": [], "pipeline": [], "reconciliations": [], "security": [], "webhooks": [],
}  # fmt: skip


def known(**more: Any) -> Known:
    rows = NOTHING | {"payments": [paid(100)]} | more.pop("day", {})
    usual: dict[str, Any] = {
        "day": {name: cells(name, some) for name, some in rows.items()},
        "incidents": (),
        "gaps": (),
        "memory": (10 * 2**20, 0),
    }
    return Known(NOW_MS, more.pop("pulse", LIVE), **usual | more)


def item(key: str, of: Known | None = None, ticks: dict[tuple[str, str], Tick] | None = None, now_ms: int = NOW_MS) -> ItemTold:
    told = checklists(of or known(), ticks or {}, now_ms, ZONE)
    return next(one for many in told.lists for one in many.items if one.key == key)


def incident(number: int, **more: Any) -> Incident:
    usual: dict[str, Any] = {"severity": "high", "status": "triggered", "opened_ms": NOW_MS - HOUR, "said_ms": NOW_MS - HOUR}
    return Incident(
        id=f"{number:064x}", number=number, version=1, title=f"Incident {number}", since_ms=NOW_MS - HOUR, team="shop",
        policy=POLICY, changed_ms=NOW_MS, alerted_ms=NOW_MS, **usual | more,
    )  # fmt: skip


# --- what ticks itself ------------------------------------------------------------------------------------------------


def test_each_list_has_items_with_keys_of_their_own() -> None:
    assert len(BY_KEY) == len(ITEMS)
    assert {one.every for one in ITEMS} == {*KINDS}
    assert all("/" not in one.key for one in ITEMS)


def test_targets_that_were_met_tick_themselves_with_their_evidence() -> None:
    one = item("targets")
    assert (one.state, one.by, one.evidence_age_s) == ("done", "tillwatch", 0)
    assert "payment success rate 100.0" in one.evidence
    bad = item("targets", known(day={"payments": [paid(90), failed(10)]}))
    assert bad.state == "attention"
    assert "Missed: payment_success_rate, payment_failure_rate" in bad.evidence
    assert item("targets", known(day={"payments": []})).state == "open", "nothing to judge is not well"


@pytest.mark.parametrize(
    ("key", "table", "row"),
    [
        ("dead_letters", "pipeline", {"kind": "dead_letter", "type": "not_json"}),
        ("signatures", "webhooks", {"outcome": "rejected", "reason": "invalid_signature", "provider": "ozow"}),
        ("violations", "security", {"kind": "security.violated"}),
        ("reconciliation", "reconciliations", {"outcome": "missing", "provider": "ozow", "currency": "ZAR"}),
    ],
)
def test_what_should_not_happen_wants_attention_once_it_did(key: str, table: str, row: dict[str, Any]) -> None:
    assert item(key, known(day={table: [row | {"count": 3}]})).state == "attention"
    assert item(key, known(day={table: [row | {"outcome": "match", "kind": "event", "count": 3}]})).state == "done"


def test_payments_that_were_never_compared_are_not_reconciled() -> None:
    assert item("reconciliation").state == "open"


def test_an_open_incident_must_be_somebodys() -> None:
    assert item("open_incidents").state == "done"
    alone = item("open_incidents", known(incidents=(incident(1), incident(2, assignee="thandi"))))
    assert (alone.state, "#1." in alone.evidence) == ("attention", True)
    taken = known(incidents=(incident(1, acknowledged_ms=NOW_MS), incident(2, status="resolved", resolved_ms=NOW_MS)))
    assert item("open_incidents", taken).state == "done"


def test_cover_looks_as_far_as_it_says() -> None:
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    soon, later = (Gap("shop", "primary", now + timedelta(hours=ahead), now + timedelta(hours=ahead + 1)) for ahead in (23, 25))
    assert item("cover_today", known(gaps=(soon,))).state == "attention"
    assert item("cover_today", known(gaps=(later,))).state == "done"
    assert item("cover_ahead", known(gaps=(later,))).state == "attention"
    unread = item("cover_ahead", known(gaps=None, no_gaps="The rotas name calendars somewhere else."))
    assert (unread.state, unread.evidence) == ("open", "The rotas name calendars somewhere else.")


def test_grave_incidents_are_to_be_reviewed_within_two_weeks() -> None:
    over = {"status": "resolved", "resolved_ms": NOW_MS - DAY}
    assert item("reviews", known(incidents=(incident(1, **over),))).state == "attention"
    assert item("reviews", known(incidents=(incident(1, **over | {"status": "reviewed"}),))).state == "done"
    assert item("reviews", known(incidents=(incident(1, **over | {"severity": "low"}),))).state == "done"
    assert item("reviews", known(incidents=(incident(1, **over | {"resolved_ms": NOW_MS - 15 * DAY}),))).state == "done"


def test_a_silence_of_more_than_a_week_wants_attention() -> None:
    long = Silence("s", "silence", (("rule", True, "x"),), NOW_MS, NOW_MS + 8 * DAY, "sipho", "vendor")
    assert "vendor (sipho)" in item("silences", known(silences=(long,))).evidence
    assert item("silences", known(silences=(msgspec.structs.replace(long, phase="over"),))).state == "done"


def test_a_pipeline_that_is_late_wants_attention() -> None:
    assert item("pipeline").state == "done"
    old = LEADS | {"table_watermarks": {"payments": NOW_MS - 121_000}}
    assert item("pipeline", known(pulse=Pulse("live", "", NOW_MS, (old,), old))).state == "attention"
    assert item("pipeline", known(pulse=Pulse("behind", "2 partitions wait", None))).state == "attention"
    assert item("pipeline", known(pulse=Pulse("blind", "the store does not answer", None))).state == "open"


def test_channels_are_judged_by_what_was_sent_last() -> None:
    well, bad = ({"failures": n, "last_ok_at": 1.0} for n in (0, 2))
    assert item("channels", known(notifiers=[{"leader": True, "channels": {"sms": well}}])).state == "done"
    assert item("channels", known(notifiers=[{"leader": True, "channels": {"sms": well, "slack": bad}}])).state == "attention"
    assert item("channels", known(notifiers=[{"leader": False, "channels": {}}])).state == "attention", "nobody leads"
    assert item("channels").state == "open"


def test_a_store_without_a_limit_is_for_a_person_to_judge() -> None:
    assert item("memory").state == "open"
    assert item("memory", known(memory=(700, 1000))).state == "done"
    assert item("memory", known(memory=(800, 1000))).state == "attention"


def test_a_store_that_is_away_ticks_nothing() -> None:
    away = Known(NOW_MS, Pulse("blind", "the store does not answer", None), no_gaps="not known")
    assert {one.state for many in checklists(away, {}, NOW_MS, ZONE).lists for one in many.items} == {"open"}


# --- what people tick -------------------------------------------------------------------------------------------------

TODAY = period_of("daily", datetime.fromtimestamp(NOW_MS / 1000, ZONE).date(), ZONE)
SEEN = Tick("sipho", NOW_MS - HOUR, "called the provider")


def test_a_tick_counts_for_its_day_alone() -> None:
    ticks = {("report", TODAY.name): SEEN}
    assert (item("report", None, ticks).state, item("report", None, ticks).by) == ("done", "sipho")
    assert item("report", None, ticks, TODAY.end_ms - 1).state == "done"
    assert item("report", None, ticks, TODAY.end_ms).state == "open"


def test_what_was_found_can_be_ticked_as_seen_and_keeps_its_evidence() -> None:
    bad = known(day={"payments": [paid(90), failed(10)]})
    one = item("targets", bad, {("targets", TODAY.name): SEEN})
    assert (one.state, one.by, one.note) == ("done", "sipho", "called the provider")
    assert "Missed" in one.evidence


def test_the_page_says_first_what_wants_attention() -> None:
    told = checklists(known(day={"payments": [paid(90), failed(10)]}), {}, NOW_MS, ZONE)
    assert (told.state, told.sentence) == ("degraded", ["1 thing wants attention."])
    ticks = {(one.key, TODAY.name): SEEN for one in ITEMS if one.every == "daily"}
    assert checklists(known(), ticks, NOW_MS, ZONE).sentence == ["Everything of today is done."]


def test_weeks_and_months_are_those_of_the_zone() -> None:
    sunday = datetime(2026, 11, 29, 22, 30, tzinfo=UTC)  # half past midnight of Monday, in the zone
    told = checklists(known(), {}, int(sunday.timestamp() * 1000), ZONE)
    assert [many.name for many in told.lists] == ["2026-11-30", "2026-W49", "2026-11"]
    assert period_of("weekly", date(2026, 11, 30), ZONE).name == "2026-W49"


# --- asked ------------------------------------------------------------------------------------------------------------


async def _state(client: httpx.AsyncClient, key: str) -> tuple[str, str | None, str]:
    lists = (await client.get("/api/v1/checklists")).json()["lists"]
    one = next(one for many in lists for one in many["items"] if one["key"] == key)
    return one["state"], one["by"], one["note"]


async def test_a_tick_is_kept_with_its_author_and_can_be_taken_back(client: httpx.AsyncClient, held: Held) -> None:
    answer = await client.post("/api/v1/checklists/restore", json={"note": " restored into a spare store "})
    assert answer.status_code == 200, answer.text
    assert await _state(client, "restore") == ("done", "this machine", "restored into a spare store")
    again = await client.post("/api/v1/checklists/restore", json={"done": False})
    assert again.status_code == 200
    assert await _state(client, "restore") == ("open", None, "")


async def test_a_tick_is_over_with_its_day_and_is_forgotten_in_time(
    client: httpx.AsyncClient, held: Held, clock: ManualClock
) -> None:
    await client.post("/api/v1/checklists/report", json={})
    assert (await _state(client, "report"))[0] == "done"
    clock.advance(86_400)
    assert (await _state(client, "report"))[0] == "open"
    clock.advance(100 * 86_400)
    await client.post("/api/v1/checklists/restore", json={})
    assert len(await held.redis.hkeys(held.settings.names.checklists)) == 1


async def test_incidents_and_rows_of_the_store_are_looked_at(client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(10)]})
    one = incident(7)
    entry = Entry(one.id, 1, {"place": None, "incident": one})
    await held.redis.hset(held.settings.names.notifier("incidents"), one.id, entry.encode())
    assert (await _state(client, "open_incidents"))[0] == "attention"
    assert (await _state(client, "targets"))[:2] == ("done", "tillwatch")
    assert (await _state(client, "cover_ahead"))[0] == "done", "the built-in rota has no gap"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("restor", {}, 404),
        ("restore", {"done": "perhaps"}, 400),
        ("restore", {"note": "x" * 501}, 400),
    ],
)
async def test_a_tick_that_cannot_be_is_refused(client: httpx.AsyncClient, path: str, body: dict[str, Any], code: int) -> None:
    answer = await client.post(f"/api/v1/checklists/{path}", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (code, "application/problem+json")
    if code == 404:
        assert "did you mean restore?" in answer.json()["detail"]


async def test_whoever_may_only_look_ticks_nothing(desk: Desk) -> None:
    inner = app_of(desk)._app  # what is behind the gate, which finds out who asks

    async def as_viewer(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope | {SCOPE_KEY: Who("lerato", "viewer")}, receive, send)

    transport = httpx.ASGITransport(as_viewer)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8321") as client:
        assert (await client.get("/api/v1/checklists")).status_code == 200
        assert (await client.post("/api/v1/checklists/restore", json={})).status_code == 403


async def test_a_store_that_is_away_is_told(settings: Settings, clock: ManualClock, patient: KillableStore) -> None:
    lost = Desk(settings.model_copy(update={"redis": SecretStr(patient.url)}), clock, RULES)
    async with lost.running(), client_of(lost) as client:
        patient.kill()
        assert (await client.post("/api/v1/checklists/restore", json={})).status_code == 503
        assert await _state(client, "targets") == ("open", None, "")
        assert (await _state(client, "cover_today"))[0] == "done", "that is known without it"
        patient.start()


async def test_the_page_has_its_verdict_before_any_script_runs(client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    page = (await client.get("/checklists")).text
    assert "Nothing wants attention." in page
    assert page.count('aria-current="page"') >= 1
