"""What a page says, and how it gets to its recipient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from notifier.channels.base import Message, Receipt
from notifier.channels.email import html
from notifier.channels.outbox import VIEWS
from notifier.courier import Attempt, Outcome
from notifier.people.directory import Directory, Person, builtin
from notifier.post import Post, message
from schemas.alert import Slice
from schemas.incident import Incident, Moved, Page
from tests.support.night import Night, alert

PERSON = Person("thandi", "Thandi Mokoena", ZoneInfo("Africa/Johannesburg"), {"sms": "+27 00 000 0000"})
DIRECTORY = Directory({"thandi": PERSON}, builtin().teams)


@pytest.fixture
def night() -> Night:
    night = Night(deliver=False)
    night.moved = (Moved(night.start_ms - 600_000, "deploy.released", "checkout", "v42, by sipho"),)
    much = (Slice(dimensions={"provider": "ozow", "method": "card"}, share=0.8),)
    night.alert(alert("failing", component="checkout", slice=much, runbook="https://example.org/failing"))
    return night


def page(night: Night, kind: str = "page") -> tuple[Incident, Page]:
    one = night.incident()
    return one, next(found for found in reversed(one.pages) if found.kind == kind and found.channel == "sms")


class Courier:
    """Takes messages, and says of each what came of it."""

    def __init__(self, channel: str | None = "sms") -> None:
        self.channel = channel
        self.taken: list[tuple[Message, str, Mapping[str, str]]] = []

    async def deliver(self, message: Message, channel: str, contacts: Mapping[str, str]) -> Outcome:
        self.taken.append((message, channel, contacts))
        attempt = Attempt(0, 1, channel, "***", "accepted" if self.channel else "refused", "queued")
        receipt = Receipt("r1", "queued", "thread-7") if self.channel else None
        return Outcome(message.key, self.channel, receipt, (attempt,))


class Links:
    def answers(self, incident: str, person: str, page: str) -> Mapping[str, str]:
        return {"ack": f"https://example.org/{person}"}


def test_a_page_says_what_is_known(night: Night) -> None:
    one, first = page(night)
    told = message(one, first, "Thandi", {})
    assert (told.title, told.severity, told.level, told.status) == ("failing is bad", "critical", "P0", "triggered")
    assert told.lines == (
        "2 / 10 = 20 %",
        "80% of it: provider ozow, method card",
        "component: checkout",
        "9 min before: deploy.released checkout v42, by sipho",
    )
    assert told.key == first.key
    assert told.since_ms == one.since_ms
    assert told.runbook == "https://example.org/failing"


def test_who_is_asked_later_hears_why(night: Night) -> None:
    night.until("5:00")
    one, second = page(night)
    assert second.person == "sipho"
    assert message(one, second, "Sipho", {}).summary == "the primary did not answer in time: the secondary is asked"


def test_the_end_says_how(night: Night) -> None:
    night.tell("resolve", "fixed by hand")
    one, last = page(night, "resolved")
    assert message(one, last, "Thandi", {}).summary == "thandi has resolved it: fixed by hand"


TEMPLATE = "{incident} {0.__class__} %s %(x)s ${7*7} {{7*7}} #{7*7} <%= 7*7 %>"


@pytest.mark.parametrize("show", [*VIEWS.values(), html])
async def test_no_field_of_an_event_is_taken_for_a_template(show: Callable[[Message], str]) -> None:
    night = Night(deliver=False)
    night.alert(alert("failing", component=TEMPLATE, summary=TEMPLATE, arithmetic=TEMPLATE, runbook=f"https://{TEMPLATE}"))
    one, first = page(night)
    courier = Courier()
    await Post(DIRECTORY, courier, Links(), "https://example.org/{incident}").deliver(one, first)
    said = courier.taken[0][0]
    assert said.title == TEMPLATE and said.url == f"https://example.org/{one.id}"
    shown = unescape(show(said))
    assert TEMPLATE in shown and "49" not in shown.replace(said.key, "").replace(one.id, "")


async def test_it_goes_through_the_courier_to_the_contacts_of_the_person(night: Night) -> None:
    one, first = page(night)
    courier = Courier()
    result = await Post(DIRECTORY, courier, Links(), "https://example.org/{incident}?x={y}").deliver(one, first)
    (sent, channel, contacts) = courier.taken[0]
    assert (sent.recipient, channel, contacts) == ("Thandi Mokoena", "sms", PERSON.contacts)
    assert sent.answer == {"ack": "https://example.org/thandi"}
    assert sent.url == f"https://example.org/{one.id}?x={{y}}"
    assert (result.sent, result.detail, result.thread) == (True, "queued", "thread-7")
    night._told(night.desk.record([result], night.now_ms))
    assert message(night.incident(), first, "Thandi", {}).thread == "thread-7", "the next goes into the same thread"


async def test_another_channel_and_failure_are_told(night: Night) -> None:
    one, first = page(night)
    instead = await Post(DIRECTORY, Courier("email")).deliver(one, first)
    assert (instead.sent, instead.detail) == (True, "by email instead: queued")
    failed = await Post(DIRECTORY, Courier(None)).deliver(one, first)
    assert (failed.sent, failed.thread) == (False, None)
    gone = await Post(builtin(), Courier()).deliver(one, first)
    assert (gone.sent, gone.detail) == (False, "there is nobody of this name any more")
