"""Approval by a link in a page, from the message to the call: once, in time, by nobody else, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from notifier.actions.registered import On
from notifier.answers import answer
from notifier.callbacks import Answered, Callbacks
from notifier.channels import email, outbox, slack
from notifier.channels.base import Delivery, Message, Receipt, answers
from notifier.channels.settings import Around
from notifier.courier import Outcome
from notifier.links import Links, SpentHere
from notifier.people.directory import Directory, Person, builtin
from notifier.post import Post
from notifier.store import Counter
from runtime.clock import ManualClock
from schemas.incident import Answer, Command
from tests.support.acts import Acting, registered
from tests.support.night import alert
from tests.support.providers import BOT_TOKEN

PUBLIC = "https://pages.example"
KEY = SecretStr("a-key-of-a-test-that-is-long-enough-1")
THANDI = Person("thandi", "Thandi Mokoena", ZoneInfo("Africa/Johannesburg"), {"email": "thandi@example.org"})


class House:
    """A night whose pages are rendered with links, and the server that hears them."""

    def __init__(self) -> None:
        self.night = Acting(registered(approval=True, approval_within_s=900.0), deliver=False)
        self.clock = ManualClock(self.night.now_ms / 1000)
        self.links = Links(PUBLIC, [KEY], self.clock)
        self.messages: list[Message] = []
        self.post = Post(Directory({"thandi": THANDI}, builtin().teams), self, self.links)
        self.server = Callbacks(self.links, {}, self.heard, SpentHere(self.clock), self.clock)
        self.client: TestClient[Any, Any]
        self.commands: list[Command] = []

    async def deliver(self, message: Message, channel: str, contacts: Mapping[str, str]) -> Outcome:
        self.messages.append(message)
        return Outcome(message.key, channel, Receipt("r", "taken"), ())

    async def send(self, command: Command, within_s: float) -> Answer:
        """As the counter does."""
        self.commands.append(command)
        changes = self.night.desk.act([command], self.night.now_ms)
        self.night._told(changes)
        return changes.answers[command.id]

    async def heard(self, told: Answered | Delivery) -> str:
        assert isinstance(told, Answered)
        return await answer(cast(Counter, self), told)

    async def page(self) -> Message:
        """The latest message by e-mail to thandi."""
        pairs = [pair for pair in self.night.desk.unsent() if (pair[1].person, pair[1].channel) == ("thandi", "email")]
        await self.post.deliver(self.night.incident(), pairs[-1][1])
        return self.messages[-1]

    def until(self, at: str) -> None:
        self.night.until(at)
        self.clock.advance(self.night.now_ms / 1000 - self.clock.now())

    async def open(self, link: str) -> tuple[int, str]:
        found = await self.client.get(link.removeprefix(PUBLIC))
        return found.status, await found.text()

    async def press(self, link: str) -> tuple[int, str]:
        found = await self.client.post(link.removeprefix(PUBLIC))
        return found.status, await found.text()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    it = House()
    it.night.alert(alert("provider_down", provider="ozow", component="checkout"))
    async with TestClient(TestServer(it.server.app(), host="127.0.0.1")) as it.client:
        yield it


async def test_the_page_says_what_waits_and_a_link_approves_it_once(house: House) -> None:
    message = await house.page()
    assert list(message.answer) == ["ack", "resolve", "escalate", "approve/drain", "refuse/drain"]
    assert "drain waits for approval (provider_down fires): it would call /usr/local/bin/drain ozow" in message.lines
    link = message.answer["approve/drain"]
    assert len(link) < 200
    for _ in range(2):  # a scanner of mail, and the person
        status, text = await house.open(link)
        assert status == 200 and "Approve drain as thandi?" in text
    assert house.night.begun() == [], "to look at it does nothing"
    house.until("2:00")
    status, text = await house.press(link)
    assert status == 200 and "Incident #1 has your approval of drain." in text
    assert (await house.press(link))[0] == 409 and len(house.commands) == 1, "a replay is refused"
    assert house.night.begun() == ["2:00 drain #1"]
    assert "thandi approves drain" in house.night.story(1, "action")
    assert "approve/drain" not in (await house.page()).answer, "nothing waits any more"


async def test_a_replay_after_a_restart_changes_nothing(house: House) -> None:
    """The memory of used links is the process's; the command has the same id."""
    link = (await house.page()).answer["approve/drain"]
    await house.press(link)
    assert house.night.begun() == ["0:00 drain #1"]
    house.night.ended()
    house.server._spent = SpentHere(house.clock)
    status, text = await house.press(link)
    assert status == 200 and "#1 has it already" in text
    house.server._spent = SpentHere(house.clock)
    status, text = await house.press((await _again(house)).answer["refuse/drain"])
    assert "drain of #1 does not wait for approval: it is done" in text
    assert house.night.begun() == []


async def _again(house: House) -> Message:
    """The message as it was before the approval: somebody kept it."""
    return house.messages[0]


async def test_a_link_refuses_it(house: House) -> None:
    message = await house.page()
    _, text = await house.press(message.answer["refuse/drain"])
    assert "Incident #1 will not have drain." in text and house.night.states() == ["refused"]
    _, text = await house.press(message.answer["approve/drain"])
    assert "drain of #1 does not wait for approval: it is refused" in text and house.night.begun() == []


async def test_its_link_is_over_with_its_approval(house: House) -> None:
    link = (await house.page()).answer["approve/drain"]
    house.until("14:59")
    assert (await house.open(link))[0] == 200
    house.until("15:00")
    assert [(await house.open(link))[0], (await house.press(link))[0]] == [410, 410]
    assert house.commands == [] and house.night.states() == ["expired"]


async def test_forged_links_are_refused(house: House) -> None:
    one, call = house.night.incident(), house.night.call()
    good = (await house.page()).answer["approve/drain"]
    other = Links(PUBLIC, [SecretStr("x" * 32)], house.clock)
    forged = [good[:-1] + ("A" if good[-1] != "A" else "B"), good[:-8]]
    forged += other.decisions(one.id, "thandi", "drain", call.key, call.until_ms or 0).values()
    for link in forged:
        assert [(await house.open(link))[0], (await house.press(link))[0]] == [403, 403]
    assert house.commands == [] and house.night.states() == ["waiting"]


async def test_a_link_of_one_thing_does_nothing_else(house: House) -> None:
    """Genuine tokens: of another incident, of another call, and of an acknowledgement."""
    one, call = house.night.incident(), house.night.call()
    wrong = [
        house.links.token("ab" * 32, "approve/drain", "thandi", call.key),
        house.links.token(one.id, "approve/drain", "thandi", "cd" * 32),
    ]
    for token in wrong:
        status, text = await house.press(f"{PUBLIC}/answer/{token}")
        assert status == 200 and ("no incident" in text or "has no action" in text)
    await house.press((await house.page()).answer["ack"])
    assert house.night.states() == ["waiting"] and house.night.begun() == []


async def test_channels_show_it(house: House) -> None:
    message = await house.page()
    shown = answers(message)
    assert shown[3:] == (
        f"Approve drain: {message.answer['approve/drain']}", f"Refuse drain: {message.answer['refuse/drain']}"
    )  # fmt: skip
    assert message.answer["approve/drain"] in email.text(message) and ">Approve drain</a>" in email.html(message)
    assert "[Approve drain]" in slack.view(message) and "Approve drain: " in outbox.VIEWS["text"](message)
    elements = slack.blocks(message)[-1]["elements"]
    assert [one["action_id"] for one in elements][3:] == ["tillwatch:approve/drain", "tillwatch:refuse/drain"]


async def test_a_button_in_slack_approves(house: House) -> None:
    secret = "a-signing-secret-of-a-test"
    settings = slack.Settings.model_validate({"kind": "slack", "token": BOT_TOKEN, "signing_secret": secret})
    ops = slack.Slack("ops", settings, Around(callbacks=PUBLIC, clock=house.clock))
    server = Callbacks(house.links, {"ops": ops}, house.heard, SpentHere(house.clock), house.clock)
    pressed = slack.blocks(await house.page())[-1]["elements"][3]
    payload = {"user": {"id": "U0TEST", "username": "sipho"}, "actions": [pressed]}
    body, at = urlencode({"payload": json.dumps(payload)}).encode(), str(int(house.clock.now()))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": slack.signature(secret, at, body),
    }
    async with TestClient(TestServer(server.app(), host="127.0.0.1")) as client:
        forged = await client.post("/slack/ops", data=body, headers=headers | {"X-Slack-Signature": "v0=" + "0" * 64})
        assert forged.status == 403 and house.night.states() == ["waiting"]
        assert (await client.post("/slack/ops", data=body, headers=headers)).status == 200
    assert house.night.states() == ["approved"] and house.night.call().by == "sipho (U0TEST)"


async def test_many_that_wait_have_room(house: House) -> None:
    many = [registered(f"one-{n}", On(rules=("slow",)), command=("/bin/one",), approval=True) for n in range(9)]
    house.night.register(*many)
    house.night.alert(alert("slow", provider="ozow", component="checkout"))
    message = await house.page()
    assert sum(action.startswith("approve/") for action in message.answer) == 5
    assert len(slack.blocks(message)[-1]["elements"]) <= 25
