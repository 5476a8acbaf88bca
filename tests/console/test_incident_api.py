"""The routes of incidents, over a real notifier, broker and store: what is done, what is told, and what is refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Scope

from console.access import Access, Caller
from console.desk import Desk
from console.who import Who
from notifier.desk import Duty, Result
from notifier.service import Notifier
from runtime.clock import ManualClock
from runtime.kafka import create_topics
from runtime.settings import Settings
from schemas.alert import AlertEvent, Slice, Window
from schemas.incident import Incident, Page
from tests.conftest import Broker
from tests.console.conftest import RULES, Held, Trusting
from tests.console.rows import failed, paid
from tests.support.night import JOHANNESBURG, Book, alert, end_of_business
from tests.support.store import KillableStore
from tests.support.topics import send
from tests.support.wait import eventually_async

pytestmark = pytest.mark.integration
READY_WITHIN_S = 60.0
UNKNOWN = "f" * 64


@pytest.fixture
async def settings(broker: Broker, store: KillableStore, namespace: str, tmp_path: Path) -> Settings:
    """An installation of the test's own, with its topics."""
    found = Settings(kafka=broker.bootstrap, redis=SecretStr(store.url), namespace=namespace, data=tmp_path / "data")
    await create_topics(found, 1)
    return found


@pytest.fixture
def clock() -> ManualClock:
    """The present, as workers and brokers have it, too."""
    return ManualClock(time.time())


async def deliver(incident: Incident, page: Page) -> Result:
    return Result(incident.id, page.key, True, "recorded")


@asynccontextmanager
async def working(settings: Settings, clock: ManualClock) -> AsyncIterator[Notifier]:
    """A notifier within the test."""
    one = Notifier(settings, clock, Duty(Book(), end_of_business(JOHANNESBURG)), deliver)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(one.run(stop, ready.set))
    await asyncio.wait_for(ready.wait(), READY_WITHIN_S)
    try:
        yield one
    finally:
        stop.set()
        await asyncio.wait_for(task, READY_WITHIN_S)


@pytest.fixture
async def notifier(settings: Settings, clock: ManualClock) -> AsyncIterator[Notifier]:
    async with working(settings, clock) as one:
        yield one


async def publish(settings: Settings, *alerts: AlertEvent) -> None:
    assert settings.kafka is not None
    records = [
        (settings.names.alerts, one.data.fingerprint.encode(), one.model_dump_json(exclude_none=False).encode())
        for one in alerts
    ]
    await send(settings.kafka, records)


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def opened(
    client: httpx.AsyncClient, settings: Settings, clock: ManualClock, rule: str = "provider_down", **how: Any
) -> Any:
    """An incident that this alert opened, as the list has it."""
    before = (await get(client, "/api/v1/incidents"))["open"]
    how = {"provider": "ozow", "at_ms": int(clock.now() * 1000)} | how
    await publish(settings, alert(rule, **how))

    async def more() -> bool:
        return bool((await get(client, "/api/v1/incidents"))["open"] == before + 1)

    await eventually_async(more, "the incident is opened")
    return (await get(client, "/api/v1/incidents"))["incidents"][0]


async def test_from_the_alert_to_the_review(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    one = await opened(client, settings, clock)
    path = f"/api/v1/incidents/{one['number']}"
    for action, text, status in (
        ("ack", "", "acknowledged"),
        ("note", "the provider looks", "acknowledged"),
        ("assign", "sipho", "acknowledged"),
        ("investigate", "", "investigating"),
        ("mitigate", "traffic goes elsewhere", "mitigated"),
        ("escalate", "", "triggered"),
        ("severity", "P1", "triggered"),
        ("resolve", "over", "resolved"),
        ("review", "", "reviewed"),
        ("judge", "right", "reviewed"),
        ("reopen", "again", "triggered"),
    ):
        answer = await client.post(f"{path}/{action}", json={"text": text} if text else None)
        told = answer.json()
        assert (answer.status_code, told["done"], told["incident"]["status"]) == (200, True, status), action
    whole = await get(client, path)
    assert (whole["assignee"], whole["severity"]) == ("sipho", "high")
    said = [entry for entry in whole["timeline"] if entry["by_person"]]
    assert {entry["author"] for entry in said} == {"this machine"}
    assert "the provider looks" in [entry["text"] for entry in said]
    assert whole["members"][0]["judgement"] == "right"
    figures = await get(client, "/api/v1/kpis/operations")
    assert (figures["alert_accuracy"], figures["counts"]["alert_accuracy"]) == (1.0, 1)
    assert figures["mttd_s"] == 10.0


async def test_what_customers_are_told(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    one = await opened(client, settings, clock)
    said = {"text": "Please pay by EFT.", "title": "Card payments fail", "services": ["Card payments"], "felt": "failing"}
    answer = await client.post(f"/api/v1/incidents/{one['id']}/publish", json=said)
    assert answer.status_code == 200 and answer.json()["incident"]["published"]
    [update] = (await get(client, f"/api/v1/incidents/{one['id'][:12]}"))["updates"]
    assert {name: update[name] for name in said} == said
    assert update["author"] == "this machine"


async def test_what_is_sent_twice_with_a_key_is_done_once(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    one = await opened(client, settings, clock)
    path, note = f"/api/v1/incidents/{one['id']}/note", {"text": "once"}
    for key in ("a", "a", "b"):
        assert (await client.post(path, json=note, headers={"Idempotency-Key": key})).status_code == 200
    told = [entry["text"] for entry in (await get(client, f"/api/v1/incidents/{one['id']}"))["timeline"]]
    assert told.count("once") == 2, "another key is another note"


async def test_what_cannot_be_done_is_said(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    one = await opened(client, settings, clock)
    path = f"/api/v1/incidents/{one['id']}"
    for action, said, why in (
        ("reopen", {}, "#1 is open"),
        ("note", {}, "a note needs a text"),
        ("severity", {"text": "horrible"}, "no severity 'horrible'"),
        ("judge", {"text": "wrong", "rules": ["a/b"]}, "no alert of 'a/b'"),
        ("publish", {"text": " "}, "An update needs a text"),
    ):
        answer = await client.post(f"{path}/{action}", json=said)
        assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
        assert why in answer.json()["detail"]
    for wanted in ("99", UNKNOWN, "nonsense"):
        answer = await client.post(f"/api/v1/incidents/{wanted}/ack")
        assert answer.status_code == 404 and "lists them" in answer.json()["detail"]


async def test_silences_are_added_listed_and_ended(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    wanted = {"matchers": ["provider=ozow", "rule!=system_down"], "reason": "they know", "lasts_s": 3600}
    answer = await client.post("/api/v1/silences", json=wanted)
    added = answer.json()["silence"]
    assert answer.status_code == 200
    assert (added["matchers"], added["phase"], added["author"]) == (wanted["matchers"], "active", "this machine")
    await publish(settings, alert("provider_down", provider="ozow", at_ms=int(clock.now() * 1000)))

    async def there() -> bool:
        return len((await get(client, "/api/v1/incidents"))["incidents"]) == 1

    await eventually_async(there, "what is silenced is recorded")
    assert (await get(client, "/api/v1/incidents/1"))["members"][0]["pages"] is False
    assert [one["id"] for one in (await get(client, "/api/v1/silences"))["silences"]] == [added["id"]]
    ended = await client.delete(f"/api/v1/silences/{added['id'][:8]}")
    assert (ended.status_code, ended.json()["silence"]["phase"]) == (200, "over")
    assert (await get(client, "/api/v1/silences"))["silences"] == []
    assert len((await get(client, "/api/v1/silences", all=True))["silences"]) == 1
    assert (await client.delete("/api/v1/silences/ffffffff")).status_code == 404


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"matchers": ["*"], "lasts_s": 60}, "is no matcher"),
        ({"matchers": ["rule=*"], "lasts_s": 60}, "every alert"),
        ({"matchers": ["rule=x"]}, "either end or lasts_s"),
        ({"matchers": ["rule=x"], "end": "2020-01-01T00:00:00Z"}, "over already"),
        ({"matchers": [], "lasts_s": 60}, "matchers"),
        ({"matchers": ["rule=x"], "lasts_s": 60, "reason": ""}, "reason"),
        ({"matchers": ["rule=x"], "lasts_s": 60, "more": 1}, "more"),
    ],
)
async def test_a_silence_that_cannot_be_used_is_refused(client: httpx.AsyncClient, wanted: dict[str, Any], why: str) -> None:
    answer = await client.post("/api/v1/silences", json={"reason": "works"} | wanted)
    assert answer.status_code == 400 and why in answer.json()["detail"]


async def test_whoever_listens_hears_of_an_incident(
    desk: Desk, client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    await eventually_async(lambda: desk.incidents.ledger.known, "the ledger is read")
    with desk.board.listening() as messages:
        one = await opened(client, settings, clock)
        heard = [json.loads(message.data) async for message in _until(messages, "incident", 1)]
    assert (heard[0]["id"], heard[0]["status"]) == (one["id"], "triggered")


async def _until(messages: AsyncIterator[Any], kind: str, count: int) -> AsyncIterator[Any]:
    async with asyncio.timeout(20):
        async for message in messages:
            if message.kind == kind:
                yield message
                count -= 1
            if not count:
                return


async def test_a_notifier_that_is_away_is_told_and_does_it_later(
    client: httpx.AsyncClient, settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(settings, clock):
        one = await opened(client, settings, clock)
    monkeypatch.setattr("console.incident_desk.WITHIN_S", 0.3)
    answer = await client.post(f"/api/v1/incidents/{one['id']}/ack")
    assert (answer.status_code, answer.json()["done"]) == (202, None)
    assert "it was asked" in answer.json()["text"]
    async with working(settings, clock):

        async def done() -> bool:
            return bool((await get(client, f"/api/v1/incidents/{one['id']}"))["status"] == "acknowledged")

        await eventually_async(done, "the next notifier does it")


async def test_a_viewer_looks_and_does_not_act(
    client: httpx.AsyncClient,
    notifier: Notifier,
    settings: Settings,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await opened(client, settings, clock)

    async def viewer(self: Access, scope: Scope) -> Caller:
        return Caller(Who("gast", "viewer"), "token", "127.0.0.1")

    monkeypatch.setattr(Trusting, "caller", viewer)
    assert (await get(client, f"/api/v1/pages/incident/{one['id']}"))["may"] is False
    for path in (f"/api/v1/incidents/{one['id']}/ack", "/api/v1/silences"):
        answer = await client.post(path, json={"matchers": ["rule=x"], "reason": "r", "lasts_s": 60} if "sil" in path else {})
        assert answer.status_code == 403 and "responder" in answer.json()["detail"]
    assert (await client.delete("/api/v1/silences/ffffffff")).status_code == 403
    assert (await get(client, f"/api/v1/incidents/{one['id']}"))["status"] == "triggered"


async def test_the_list_is_filtered_and_comes_in_pages(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    for n in range(3):
        await opened(client, settings, clock, f"rule_{n}", provider=f"p{n}", severity="low" if n == 1 else "critical")
    await client.post("/api/v1/incidents/3/resolve")
    numbers = lambda told: [one["number"] for one in told["incidents"]]  # noqa: E731
    first = await get(client, "/api/v1/incidents", limit=2)
    assert (numbers(first), first["next"], first["open"]) == ([3, 2], 2, 2)
    rest = await get(client, "/api/v1/incidents", limit=2, before=first["next"])
    assert (numbers(rest), rest["next"]) == ([1], None)
    assert numbers(await get(client, "/api/v1/incidents", state="open")) == [2, 1]
    assert numbers(await get(client, "/api/v1/incidents", state="resolved", severity="critical")) == [3]
    assert numbers(await get(client, "/api/v1/incidents", severity="low")) == [2]
    wrong = await client.get("/api/v1/incidents", params={"state": "opn"})
    assert wrong.status_code == 400 and "did you mean open?" in wrong.json()["detail"]
    page = await get(client, "/api/v1/pages/incidents")
    assert [one["number"] for one in (*page["open"], *page["last"])] == [1, 2, 3], "what is open by its severity"
    assert page["figures"] == await get(client, "/api/v1/kpis/operations") | {"as_of": page["figures"]["as_of"]}


async def test_the_figures_of_then_are_kept_and_never_change_again(
    desk: Desk, client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock, held: Held
) -> None:
    rule = next(one for one in RULES.rules if one.name == "provider_down")
    bad_ms = int(clock.now() * 1000) // 10_000 * 10_000
    rows = {bad_ms - n * 10_000: [paid(97, provider="ozow"), failed(3, provider="ozow")] for n in range(1, 90)}
    rows |= {bad_ms + n * 10_000: [paid(10, provider="ozow"), failed(30, provider="ozow", method="card")] for n in range(30)}
    await held.write("payments", rows)
    clock.advance(20)
    slices = (Slice(dimensions={"method": "card"}, share=1.0),)
    one = await opened(
        client, settings, clock, "provider_down", first_bad_at=bad_ms, detected_at=bad_ms + 12_000, slice=slices,
        window=Window(start=bad_ms, end=bad_ms + 20_000), rule_version=rule.version, pack=rule.pack,
    )  # fmt: skip
    path = f"/api/v1/incidents/{one['id']}"
    soon = (await get(client, path))["evidence"]
    assert soon["chart"]["final"] is False
    assert soon["means"] is not None and soon["chart"]["title"] == "payment failure rate"
    clock.advance(600)
    final = (await get(client, path))["evidence"]
    chart = final["chart"]
    assert chart["final"] is True and chart["step_s"] == 10
    assert chart["points"][:30] == [0.03] * 30 and chart["points"][30:48] == [0.75] * 18
    assert chart["usual"] == [0.03, 0.03]
    assert [(part["wrong"], part["all"]) for part in final["slices"]] == [(60, 60)]
    await held.write("payments", {bad_ms: [paid(5_000, provider="ozow")]})
    assert (await get(client, path))["evidence"]["chart"] == chart


async def test_a_room_has_what_its_page_shows_and_the_same_as_the_api(
    client: httpx.AsyncClient, notifier: Notifier, settings: Settings, clock: ManualClock
) -> None:
    runbook = "docs/runbooks/provider_down.md"
    one = await opened(client, settings, clock, runbook=runbook, summary="Ozow fails: 20 %.")

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        return await get(client, f"/api/v1/pages/incident/{one['number']}"), await get(client, f"/api/v1/incidents/{one['id']}")

    async def alike() -> bool:
        room, whole = await both()
        return bool(room["incident"] == whole)

    await eventually_async(alike, "the same incident in both")  # its timeline grows when its page is delivered
    room, whole = await both()
    assert room["state"] == "failing" and room["sentence"][0].startswith("Ozow fails: 20")
    assert room["acts"][0]["do"] == "ack" and room["may"] is True
    assert whole["runbook"]["name"] == "provider_down" and whole["runbook"]["nodes"]
    assert room["people"] == ["you"]


async def test_where_other_systems_plug_in(client: httpx.AsyncClient) -> None:
    told = await get(client, "/api/v1/integration")
    assert told["incident_api"] == "http://localhost:8321/api/v1/incidents"
    assert told["alert_webhook"] is None
    assert (await client.get("/api/v1/incidents")).status_code == 200


async def test_who_is_on_call(client: httpx.AsyncClient) -> None:
    told = await get(client, "/api/v1/oncall")
    assert [(one["team"], one["level"], one["people"]) for one in told["now"]] == [("everyone", "primary", ["You"])]
    assert told["gaps"] == [] and "TILLWATCH_TEAMS is not set" in told["notes"][0]
    assert (await client.get("/api/v1/runbooks/provider_down")).json()["title"] == "provider_down"
    assert (await client.get("/api/v1/runbooks/nothing_such")).status_code == 404
