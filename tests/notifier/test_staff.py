"""The directory in force: its people, rooms and business hours, and what happens when the file changes."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from local.process import free_port
from notifier import staff
from notifier.callbacks import Answered
from notifier.channels.settings import Around
from notifier.desk import Duty
from notifier.links import Links
from notifier.people.business import Calendar
from notifier.people.directory import DirectoryError
from notifier.staff import Hearing, Staff, business_end
from runtime.clock import ManualClock
from tests.support.night import Night, alert
from tests.support.wait import eventually_async

TEAMS = """
[people.thandi]
contacts = {{email = "thandi@example.org"}}
[teams.{team}]
default = true
primary = ["thandi"]
[channels.email]
kind = "outbox"
shows = "email"
{more}
"""


def made(folder: Path, team: str = "payments", more: str = "") -> Staff:
    path = folder / "teams.toml"
    path.write_text(TEAMS.format(team=team, more=more))
    return Staff(path, Around(outbox=folder / "outbox"), ManualClock(0))


async def test_without_a_file_every_page_goes_to_the_outbox_as_its_channel_shows_it(tmp_path: Path) -> None:
    one = Staff(None, Around(outbox=tmp_path / "outbox"), ManualClock(0))
    night = Night(deliver=False)
    night.desk.duty = await one.load()
    assert night.alert(alert("provider_down", provider="ozow")) == ["0:00 page you: phone sms email slack webhook"]
    for incident, page in night.desk.unsent():
        assert (await one.deliver(incident, page)).sent
    shown = sorted(path.name.split("-")[1] for path in (tmp_path / "outbox").glob("[0-9]*.json"))
    assert shown == ["email", "phone", "slack", "sms", "webhook"]
    await one.close()


async def test_an_answer_by_link_comes_back(tmp_path: Path) -> None:
    heard: list[Answered] = []

    async def do(told: Answered) -> str:
        heard.append(told)
        return "Incident #1 is acknowledged."

    port, clock = free_port(), ManualClock(0)
    links = Links(f"http://127.0.0.1:{port}", [SecretStr("0123456789abcdef" * 2)], clock)
    around = Around(links.public, tmp_path / "outbox", clock)
    one = Staff(None, around, clock, Hearing(links, "127.0.0.1", port, do))
    night = Night(deliver=False)
    night.desk.duty = await one.load()
    night.alert(alert("provider_down", provider="ozow", channels=("email",)))
    ((incident, page),) = night.desk.unsent()
    await one.deliver(incident, page)
    shown = json.loads(next((tmp_path / "outbox").glob("[0-9]*.json")).read_text())["text"]
    link = re.search(rf"{links.public}/answer/[\w-]+", shown)
    assert link is not None
    async with ClientSession() as session, session.post(link[0]) as response:
        assert "Incident #1 is acknowledged." in await response.text()
    assert [(told.incident, told.action, told.issued_to, told.page) for told in heard] == [
        (incident.id, "ack", "you", page.key)
    ]
    await one.close()


async def test_a_channel_with_an_address_of_its_own_is_a_room(tmp_path: Path) -> None:
    one = made(tmp_path, more='[channels.slack]\nkind = "outbox"\nto = "#payments"\n')
    duty = await one.load()
    assert "slack" in duty.rooms
    await one.close()


async def test_what_is_wrong_is_told_and_what_was_in_force_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff, "LOOK_EVERY_S", 0.02)
    one = made(tmp_path)
    first = await one.load()
    assert first.roster.team_for("r", "p", None, ()).key == "payments"
    seen: list[Duty] = []
    task = asyncio.create_task(one.follow(seen.append))
    path = tmp_path / "teams.toml"
    path.write_text("[people]")
    with pytest.raises(DirectoryError):
        await one.load()
    path.write_text(TEAMS.format(team="checkout", more="# changed"))
    await eventually_async(lambda: bool(seen), "the change is in force")
    assert seen[-1].roster.team_for("r", "p", None, ()).key == "checkout"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await one.close()


async def test_actions_that_cannot_be_used_are_told_and_keep_nobody_from_being_paged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staff, "LOOK_EVERY_S", 0.02)
    path = tmp_path / "actions.toml"
    path.write_text("[actions.drain]\n")
    one = Staff(None, Around(outbox=tmp_path / "outbox"), ManualClock(0), actions=path)
    duty = await one.load()
    assert duty.actions == {} and duty.roster.on_call("everyone", "primary", datetime.now(UTC))
    assert one.actions_problem is not None and "actions.toml:1: error: actions.drain" in one.actions_problem
    assert one.actions_problem.endswith("; no action is called") and "no action is called" in caplog.text
    seen: list[Duty] = []
    task = asyncio.create_task(one.follow(seen.append))
    good = '[actions.drain]\non = {rules = ["a"]}\ncommand = ["/bin/true"]\n'
    path.write_text(good)
    await eventually_async(lambda: bool(seen and seen[-1].actions), "it is in force")
    assert one.actions_problem is None
    path.write_text(good + "colour = 1\n")
    await eventually_async(lambda: one.actions_problem, "that is told")
    assert set(seen[-1].actions) == {"drain"} and str(one.actions_problem).endswith("; what was in force before stays so")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await one.close()


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("2026-08-07T20:00", "2026-08-11T15:00"),  # Friday night; Monday is a holiday in South Africa
        ("2026-08-11T05:00", "2026-08-11T15:00"),  # Tuesday, seven in the morning
        ("2026-08-11T07:00", "2026-08-12T15:00"),  # Tuesday at nine
    ],
)
def test_business_ends_when_the_calendar_says(at: str, ends: str) -> None:
    ms = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    found = business_end(Calendar(closes=time(17)))(ms)
    assert datetime.fromtimestamp(found / 1000, UTC).strftime("%Y-%m-%dT%H:%M") == ends


ICS = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//shop//on call//EN\r\nBEGIN:VEVENT\r\nUID:1@shop.example\r\nSUMMARY:thandi\r\n"
    b"DTSTART:20260105T000000Z\r\nDTEND:20360105T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


async def test_a_calendar_that_cannot_be_fetched_stays_as_it_was_read_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [(200, ICS), (500, b""), (404, b"")]
    app = web.Application()

    async def serve(request: web.Request) -> web.Response:
        status, body = answers.pop(0)
        return web.Response(status=status, body=body)

    app.router.add_get("/a-secret-of-a-test", serve)
    async with TestServer(app, host="127.0.0.1") as server:
        url = str(server.make_url("/a-secret-of-a-test"))
        path = tmp_path / "teams.toml"
        path.write_text(
            f'[people.thandi]\ncontacts = {{email = "t@example.org"}}\n[teams.shop]\nprimary = {{calendar = "{url}"}}\n'
        )
        one = Staff(path, Around(outbox=tmp_path / "outbox"), ManualClock(0))
        now = datetime(2026, 11, 24, tzinfo=UTC)
        for _ in range(3):
            duty = await one.load()
            assert [person.key for person in duty.roster.on_call("shop", "primary", now)] == ["thandi"]
    said = [one.getMessage() for one in caplog.records if one.name.startswith("notifier")]  # the server logs what it is asked
    assert any("what was read of it last stays in force" in words for words in said)
    assert not any("secret" in words for words in said)
    assert answers == []
    await one.close()
