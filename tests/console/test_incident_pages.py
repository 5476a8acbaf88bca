"""The pages of incidents as they are sent: with their verdict, with the figures of the API, and without markup from data."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from console.desk import Desk
from console.ledger import Following, Ledger
from runtime.clock import ManualClock
from runtime.outbox import Entry
from schemas.incident import Incident, Silence, Update
from tests.console.conftest import Held
from tests.support.night import Night, alert


async def keep(desk: Desk, held: Held, night: Night) -> None:
    """What a notifier would have saved, and the console has read."""
    names = held.settings.names
    entries: dict[str, Incident | Silence] = {one.id: one for one in night.desk.incidents.values()}
    for mark, one in entries.items():
        value = Entry(mark, one.version, {"incident": one}).encode()
        await held.redis.hset(names.notifier("incidents"), mark, value)
    await desk.incidents.following.look()


@pytest.fixture
def night(clock: ManualClock) -> Night:
    night = Night()
    night.start_ms = night.now_ms = int(clock.now() * 1000)
    return night


def opened(night: Night, rule: str = "provider_down", **how: Any) -> None:
    night.alert(alert(rule, **({"provider": "ozow", "at_ms": night.now_ms} | how)))


def first_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="first">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


async def test_the_list_has_its_verdict_before_any_script_runs(
    client: httpx.AsyncClient, desk: Desk, held: Held, night: Night
) -> None:
    opened(night, summary="Ozow fails: 20 %.")
    opened(night, "slow", severity="high", provider="payfast", summary="Payfast is slow: 9 s.")
    await keep(desk, held, night)
    page = (await client.get("/incidents")).text
    assert "2 incidents are open. The worst: Ozow fails, since 1" in page and "UTC." in page
    assert re.search(r'href="/incidents" data-page="incidents" data-key="3" aria-current="page"', page)
    assert first_of(page)["open"] == (await client.get("/api/v1/pages/incidents")).json()["open"]


async def test_no_incident_is_told_from_not_knowing(client: httpx.AsyncClient, desk: Desk) -> None:
    assert "No incident is open." in (await client.get("/incidents")).text


async def test_the_filter_is_in_the_address(client: httpx.AsyncClient, desk: Desk, held: Held, night: Night) -> None:
    opened(night)
    opened(night, "slow", severity="high", provider="payfast")
    await keep(desk, held, night)
    told = first_of((await client.get("/incidents", params={"severity": "high"})).text)
    assert ([one["number"] for one in told["open"]], told["asked"]) == ([2], {"severity": "high"})
    assert (await client.get("/incidents", params={"severity": "hih"})).status_code == 400


async def test_the_room_has_its_verdict_and_is_found_by_number_and_id(
    client: httpx.AsyncClient, desk: Desk, held: Held, night: Night
) -> None:
    opened(night, summary="Ozow fails: 20 %.")
    await keep(desk, held, night)
    for which in ("1", night.incident().id, night.incident().id[:10]):
        page = (await client.get(f"/incidents/{which}")).text.replace("\u00a0", " ")
        assert re.search(r"<h1 aria-live=\"polite\">Ozow fails: 20 % since \d\d:\d\d UTC\.</h1>", page)
        assert "Incident 1, critical (P0), triggered." in page
        assert '<span class="where">Incident 1</span>' in page
    missing = await client.get("/incidents/9")
    assert missing.status_code == 404


async def test_what_data_say_is_text_and_never_markup(client: httpx.AsyncClient, desk: Desk, held: Held, night: Night) -> None:
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    opened(night, summary=f"{bad} is bad", provider=bad)
    night.tell("note", bad)
    night.tell("publish", update=Update(bad, "failing", bad))
    await keep(desk, held, night)
    for path in ("/incidents", "/incidents/1", "/", "/status"):
        page = (await client.get(path)).text
        assert "<img" not in page and "<script>alert" not in page, path
    assert first_of((await client.get("/incidents/1")).text)["incident"]["timeline"][1]["text"] == bad


async def test_a_runbook_has_a_page(client: httpx.AsyncClient, desk: Desk) -> None:
    page = (await client.get("/runbooks/provider_down")).text
    assert first_of(page)["runbook"]["name"] == "provider_down"
    assert (await client.get("/runbooks/nothing_such")).status_code == 404


async def test_the_first_page_has_the_incidents(client: httpx.AsyncClient, desk: Desk, held: Held, night: Night) -> None:
    opened(night)
    await keep(desk, held, night)
    told = (await client.get("/api/v1/overview")).json()
    assert [one["number"] for one in told["incidents"]] == [1]
    assert told["happened"][-1]["kind"] == "opened"
    assert (await desk.tick()).incidents.model_dump() == {"open": 1, "state": "failing"}


async def test_a_store_that_is_away_leaves_what_was_known_and_says_so(
    desk: Desk, client: httpx.AsyncClient, held: Held, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(night)
    await keep(desk, held, night)

    async def away() -> Any:
        raise ConnectionError("away")

    monkeypatch.setattr(desk.incidents.following, "_read", away)
    with pytest.raises(ConnectionError):
        await desk.incidents.following.look()
    told = (await client.get("/api/v1/pages/incidents")).json()
    assert ([one["number"] for one in told["open"]], told["followed"], told["as_of"]) == ([1], False, None)


# --- the ledger -------------------------------------------------------------------------------------------------------


class TestLedger:
    def test_of_two_versions_the_later_counts_wherever_it_came_from(self) -> None:
        night = Night()
        opened(night)
        early = night.incident()
        night.tell("ack")
        late = night.incident()
        heard: list[str] = []
        ledger = Ledger(lambda one: heard.append(one.status))
        ledger.replace([early], [], frozenset())
        ledger.put(late)
        ledger.put(early)
        ledger.replace([early], [], ledger.marks())
        assert ledger.find("1") is late
        assert heard == ["acknowledged"], "what was there at first is no news"

    def test_what_is_kept_no_longer_goes_and_what_came_meanwhile_stays(self) -> None:
        night = Night()
        opened(night)
        opened(night, "slow", provider="payfast")
        ledger = Ledger()
        ledger.put(night.incident(1))
        before = ledger.marks()
        ledger.put(night.incident(2))
        ledger.replace([], [], before)
        assert [one.number for one in ledger.incidents] == [2]

    async def test_what_is_asked_for_again_and_again_is_read_once(self, held: Held) -> None:
        reads = 0

        async def read() -> tuple[tuple[Incident, ...], tuple[Silence, ...]]:
            nonlocal reads
            reads += 1
            return (), ()

        following = Following(Ledger(), held.settings, read)
        for _ in range(3):
            await following.look(60.0)
        assert reads == 1
        await following.look()
        assert reads == 2


# --- abuse ------------------------------------------------------------------------------------------------------------

NOTE, SILENCE = "/api/v1/incidents/1/note", "/api/v1/silences"
BASE = {"matchers": ["rule=x"], "reason": "works", "lasts_s": 60}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (NOTE, b"no json"),
        (NOTE, b"[]"),
        (NOTE, b'{"text": 5}'),
        (NOTE, b'{"text": "\\ud800"}'),
        (NOTE, b'{"text": "x", "more": 1}'),
        (NOTE, json.dumps({"text": "x" * 2_001}).encode()),
        ("/api/v1/incidents/1/publish", b'{"text": "x", "next_at": "soon"}'),
        ("/api/v1/incidents/1/publish", b'{"text": "x", "next_at": 1e300}'),
        ("/api/v1/incidents/1/publish", b'{"text": "x", "next_at": 99999999999999999999999}'),
        ("/api/v1/incidents/1/publish", b'{"text": "x", "felt": "awful"}'),
        ("/api/v1/incidents/1/explode", b"{}"),
        (SILENCE, json.dumps(BASE | {"start": 10**30}).encode()),
        (SILENCE, json.dumps(BASE | {"lasts_s": 1e308}).encode()),
        (SILENCE, json.dumps(BASE | {"start": "9999-12-31T23:59:59+14:00"}).encode()),
        (SILENCE, json.dumps(BASE | {"start": "0001-01-01T00:00:00+14:00"}).encode()),
        (SILENCE, json.dumps(BASE | {"matchers": ["\ud800=x"]}).encode()),
        (SILENCE, json.dumps(BASE | {"kind": "holiday"}).encode()),
    ],
)
async def test_what_is_no_command_is_refused_and_never_a_fault(
    client: httpx.AsyncClient, desk: Desk, held: Held, night: Night, path: str, body: bytes
) -> None:
    opened(night)
    await keep(desk, held, night)
    answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["detail"], answer.text
    assert await held.redis.xlen(held.settings.names.notifier("commands")) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/incidents/%00",
        "/api/v1/incidents/%D9%A3",
        "/api/v1/incidents/999999999999999",
        "/api/v1/pages/incident/%F0%9F%98%80",
        "/incidents/%3Cscript%3E",
        "/api/v1/runbooks/Makefile",
    ],
)
async def test_what_there_is_not_is_not_found(client: httpx.AsyncClient, desk: Desk, path: str) -> None:
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "before=-1", "before=x", f"before={10**30}", "state=", "severity=P9"]
)
async def test_a_question_that_makes_no_sense_is_refused(client: httpx.AsyncClient, desk: Desk, query: str) -> None:
    for path in ("/api/v1/incidents", "/incidents", "/api/v1/pages/incidents"):
        assert (await client.get(f"{path}?{query}")).status_code == 400
