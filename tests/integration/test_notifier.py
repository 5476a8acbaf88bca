"""From alerts on the topic to messages at a recorder or in the outbox: through restarts, kills and a store that forgets."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from local.broker import EmbeddedBroker
from local.process import free_port
from notifier import service
from notifier.answers import answer
from notifier.callbacks import Answered
from notifier.desk import Duty, Result
from notifier.service import Notifier, NotifierFailed
from notifier.store import Counter
from rollups.cells import Cell, Stat
from rollups.tables import TableStore
from runtime.clock import ManualClock
from runtime.kafka import KafkaUnreachable, create_topics
from runtime.outbox import HEADER, Entry, tail
from runtime.redis import RedisAway, RedisUnusable, check
from runtime.settings import Settings
from schemas.alert import AlertEvent
from schemas.incident import Command, Incident, IncidentEvent, Page, Silence
from tests.faults.proxy import Proxy
from tests.integration.tables import redis_of
from tests.support.events import event
from tests.support.night import JOHANNESBURG, Book, alert, end_of_business
from tests.support.store import KillableStore
from tests.support.topics import produce, read_all, send
from tests.support.wait import eventually_async
from tests.support.worker import Worker as Process

READY_WITHIN_S = 60.0


async def publish(settings: Settings, *alerts: AlertEvent) -> None:
    assert settings.kafka is not None
    records = [
        (settings.names.alerts, one.data.fingerprint.encode(), one.model_dump_json(exclude_none=False).encode())
        for one in alerts
    ]
    await send(settings.kafka, records)


async def incidents(settings: Settings) -> list[Incident]:
    async with redis_of(settings) as redis:
        return list((await Counter(redis, settings.names).all())[0])


async def lifecycle(settings: Settings) -> list[tuple[IncidentEvent, Incident]]:
    """Every event on the incidents topic, with the incident that travels with it."""
    assert settings.kafka is not None
    found = []
    for record in await read_all(settings.kafka, settings.names.incidents):
        if b"tillwatch.silence." in record.value:
            continue
        event = IncidentEvent.model_validate_json(record.value)
        assert record.key == event.subject.encode()
        state = Entry.decode(event.subject, dict(record.headers)[HEADER]).state
        found.append((event, msgspec.convert(state["incident"], Incident)))
    return found


# --- within the test ----------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """A notifier within the test, with its clock, its book of who is on call, and what it sent."""

    settings: Settings
    clock: ManualClock
    book: Book = field(default_factory=Book)
    sent: list[tuple[str, str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def deliver(self, incident: Incident, page: Page) -> Result:
        self.keys.append(page.key)
        self.sent.append((page.kind, page.person or "", page.channel))
        return Result(incident.id, page.key, True, "recorded")

    async def start(self) -> tuple[Notifier, asyncio.Event, asyncio.Task[None]]:
        duty = Duty(self.book, end_of_business(JOHANNESBURG))
        one = Notifier(self.settings, self.clock, duty, self.deliver)
        stop, ready = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(one.run(stop, ready.set))
        await asyncio.wait_for(ready.wait(), READY_WITHIN_S)
        return one, stop, task

    async def tell(self, kind: str, text: str = "") -> str:
        command = Command(f"{kind}-{time.time()}", kind, "thandi", "#1", text)  # type: ignore[arg-type]
        async with redis_of(self.settings) as redis:
            answer = await Counter(redis, self.settings.names).send(command, 20.0)
        assert answer is not None
        return answer.text


Start = Callable[[], Awaitable[tuple[Notifier, asyncio.Event]]]


@pytest.fixture
async def desk(fragile: Settings) -> Desk:
    return Desk(fragile, ManualClock(time.time()))


@pytest.fixture
async def start(desk: Desk) -> AsyncIterator[Start]:
    """Starts a notifier; those that run are stopped at the end."""
    running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def begin() -> tuple[Notifier, asyncio.Event]:
        one, stop, task = await desk.start()
        running.append((stop, task))
        return one, stop

    yield begin
    for stop, task in running:
        stop.set()
        await asyncio.wait_for(task, READY_WITHIN_S)


DOWN = alert("provider_down", provider="ozow")
ASKED = [("page", "thandi", channel) for channel in ("phone", "sms", "email")]


async def test_from_the_alert_to_the_page_to_the_answer(desk: Desk, start: Start, patient: KillableStore) -> None:
    await start()
    await publish(desk.settings, DOWN)
    await eventually_async(lambda: sorted(desk.sent) == sorted(ASKED), "the primary is paged")
    desk.clock.advance(301)
    await eventually_async(lambda: len(desk.sent) == 6, "the secondary is paged")
    assert {person for _, person, _ in desk.sent[3:]} == {"sipho"}
    assert await desk.tell("ack") == "#1 is acknowledged"
    assert await desk.tell("severity", "horrible") == "no severity 'horrible': there are critical, high, medium, low"

    async with redis_of(desk.settings) as redis:
        told = Answered("0" * 32, (await incidents(desk.settings))[0].id, "escalate", desk.keys[0], "sipho", "", "link")
        for _ in range(2):  # the second changes nothing
            said = await answer(Counter(redis, desk.settings.names), told)
            assert said == "Incident #1 is escalated: the team lead is asked."
    await eventually_async(lambda: len(desk.sent) == 9, "the team lead is paged")
    assert await desk.tell("ack") == "#1 is acknowledged"

    silence = Silence("5" * 64, "silence", (("provider", True, "peach"),), 0, int(desk.clock.now() * 1000) + 60_000, "", "x")
    async with redis_of(desk.settings) as redis:
        done = await Counter(redis, desk.settings.names).send(Command("s", "silence", "thandi", silence=silence), 20.0)
    assert done is not None and done.done

    # A store that lost everything: the topic tells the rest.
    patient.empty()
    await publish(desk.settings, alert("provider_down", provider="peach"))
    await publish(desk.settings, alert("provider_down", "resolved", provider="ozow"))
    await eventually_async(lambda: any(kind == "resolved" for kind, _, _ in desk.sent), "its end is told")
    one, silenced = await eventually_async(lambda: incidents(desk.settings), "they are kept")
    assert (one.status, silenced.status, silenced.pages) == ("resolved", "triggered", ())
    assert [(entry.kind, entry.author) for entry in one.timeline if entry.author != "tillwatch"] == [
        ("acknowledged", "thandi"), ("escalated", "sipho"), ("acknowledged", "thandi")
    ]
    assert len(set(desk.keys)) == len(desk.keys), "nothing was sent twice"
    events = [(event, state) for event, state in await lifecycle(desk.settings) if state.number == 1]
    assert events[0][0].type == "tillwatch.incident.opened"
    kinds = [event.type.rpartition(".")[2] for event, _ in events]
    assert [kind for kind in kinds if kind not in ("delivered", "silenced")] == [
        "opened", "escalated", "acknowledged", "escalated", "acknowledged", "resolved"
    ]  # fmt: skip
    assert [one.version for _, one in events] == sorted({one.version for _, one in events})


async def kept(settings: Settings, status: str) -> list[Incident]:
    found = await incidents(settings)
    return found if found and all(one.status == status for one in found) else []


async def test_another_goes_on_and_what_is_no_alert_stops_nobody(desk: Desk, start: Start) -> None:
    _, stop = await start()
    assert desk.settings.kafka is not None
    await send(desk.settings.kafka, [(desk.settings.names.alerts, b"x", b"no alert")])
    await publish(desk.settings, DOWN)
    await eventually_async(lambda: len(desk.sent) == 3, "the primary is paged")
    await eventually_async(lambda: kept(desk.settings, "triggered"), "it is kept")
    stop.set()
    desk.clock.advance(200)
    second, _ = await start()
    await eventually_async(lambda: second.leading, "the other leads")
    desk.clock.advance(101)
    await eventually_async(lambda: len(desk.sent) == 6, "the secondary is paged by the other")
    assert len(set(desk.keys)) == 6


async def test_a_leader_that_hands_over_records_what_it_has_sent(
    desk: Desk, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever joins makes the group share anew: nobody died, so nothing comes again."""
    taken, send, revoked = asyncio.Event(), desk.deliver, Notifier.revoked

    async def deliver(incident: Incident, page: Page) -> Result:
        result = await send(incident, page)
        await taken.wait()
        return result

    async def handing_over(self: Notifier) -> None:
        if self.leading:
            taken.set()
        await revoked(self)

    monkeypatch.setattr(desk, "deliver", deliver)
    monkeypatch.setattr(Notifier, "revoked", handing_over)
    await start()
    await publish(desk.settings, DOWN)
    await eventually_async(lambda: len(desk.sent) == 3, "the primary is paged")
    await start()

    async def recorded() -> bool:
        return {page.state for one in await incidents(desk.settings) for page in one.pages} == {"sent"}

    await eventually_async(recorded, "what came of it is kept")
    assert len(desk.keys) == len(set(desk.keys)) == 3


async def test_what_changed_before_and_what_it_costs_are_with_it(
    desk: Desk, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "COST_EVERY_S", 0.1)
    settings, now = desk.settings, desk.clock.now()
    assert settings.kafka is not None
    release = event("deploy.released", now - 600, component="checkout", version="v42", author="sipho")
    await produce(settings.kafka, settings.names, [release])
    one, _ = await start()
    await eventually_async(lambda: len(one.recent) == 1, "the release is read")
    payments = int(now * 1000) // 10_000 * 10_000
    cell = Cell(count=70, stats=[Stat(70, 700_000), Stat()])
    async with redis_of(settings) as redis:
        tables = TableStore(redis, settings.names)
        await tables.take("writer")
        await tables.write("payments", {payments: {("failed", "ozow", "card", "ZAR", None, None): cell}}, {})
    down = alert("provider_down", provider="ozow", at_ms=payments)
    await publish(settings, down)
    await eventually_async(lambda: {person for _, person, _ in desk.sent} == {"thandi", "sipho"}, "customers feel it")
    found = (await eventually_async(lambda: kept(settings, "triggered"), "it is kept"))[0]
    assert [(moved.kind, moved.component, moved.text) for moved in found.changes] == [
        ("deploy.released", "checkout", "v42, by sipho")
    ]
    assert found.impact is not None
    assert (found.impact.failed_payments, found.impact.at_risk) == (70, {"ZAR": 700_000})


async def test_one_that_is_started_while_the_store_is_away_begins_once_it_is_back(
    desk: Desk, start: Start, patient: KillableStore, caplog: pytest.LogCaptureFixture
) -> None:
    patient.kill()
    await publish(desk.settings, DOWN)
    one, _ = await start()
    assert "Redis does not answer" in caplog.text and "nobody is paged but of that" in caplog.text
    await eventually_async(lambda: one.standing().holder, "it has the lead, so it is it that tells")
    assert not one.leading and desk.sent == []
    patient.start()
    await eventually_async(lambda: len(desk.sent) == 3, "the primary is paged")


async def test_a_store_that_evicts_ends_it_also_where_it_did_not_answer_at_first(
    desk: Desk, patient: KillableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with patient.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    def made() -> Notifier:
        return Notifier(desk.settings, desk.clock, Duty(desk.book, end_of_business(JOHANNESBURG)), desk.deliver)

    with pytest.raises(RedisUnusable, match="noeviction"):
        await made().run(asyncio.Event())
    asked: list[int] = []

    async def away_at_first(redis: Redis) -> None:
        asked.append(1)
        if len(asked) <= 2:
            raise RedisAway("Redis does not answer")
        await check(redis)

    monkeypatch.setattr(service, "check", away_at_first)
    with pytest.raises(NotifierFailed, match="noeviction"):
        await asyncio.wait_for(made().run(asyncio.Event()), READY_WITHIN_S)


async def test_a_broker_that_is_away_is_waited_for_within_bounds(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "KAFKA_WITHIN_S", 0.3)
    away = desk.settings.model_copy(update={"kafka": f"127.0.0.1:{free_port()}"})
    one = Notifier(away, desk.clock, Duty(desk.book, end_of_business(JOHANNESBURG)), desk.deliver)
    with pytest.raises(KafkaUnreachable):
        await asyncio.wait_for(one.run(asyncio.Event()), READY_WITHIN_S)
    assert "starting, within 0.3 s" in caplog.text and "trying again until it answers" in caplog.text


async def test_one_that_is_started_while_the_broker_is_away_begins_once_it_is_there(
    embedded: EmbeddedBroker, desk: Desk, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    await create_topics(desk.settings.model_copy(update={"kafka": embedded.bootstrap}), 1)
    way = Proxy(embedded.port)
    try:
        await asyncio.to_thread(way.change, open=False)
        desk.settings = desk.settings.model_copy(update={"kafka": f"127.0.0.1:{way.port}"})
        starting = asyncio.create_task(start())
        await eventually_async(lambda: "trying again until it answers" in caplog.text, "it waits")
        assert not starting.done()
        await asyncio.to_thread(way.change, open=True)
        one, _ = await starting
        await eventually_async(lambda: one.leading, "it leads")
    finally:
        way.stop()


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(desk: Desk, start: Start) -> None:
    async with redis_of(desk.settings) as redis:
        place = {"place": {"log": "gone", "base": 0, "next": 100}, "commands": "0", "last": 41}
        await redis.hset(desk.settings.names.notifier("leader"), "desk", json.dumps(place))
    await publish(desk.settings, DOWN)
    await start()
    await eventually_async(lambda: len(desk.sent) == 3, "the primary is paged")
    (one,) = await incidents(desk.settings)
    assert (one.number, one.members[0].offset) == (42, 100)


async def test_of_what_the_topic_tells_the_highest_number_counts(installation: Settings) -> None:
    """Whoever led before may be late."""
    assert installation.kafka is not None
    topic = installation.names.incidents
    for number in (1, 3, 2):
        entry = Entry("one", number, {"at": number})
        await send(installation.kafka, [(topic, b"one", b"{}")], headers=[(HEADER, entry.header())])
    await send(installation.kafka, [(topic, b"other", b"{}")], headers=[])
    assert [(one.key, one.number, one.state) for one in await tail(installation.kafka, topic, "test")] == [
        ("one", 3, {"at": 3})
    ]
    assert await tail(installation.kafka, topic, "test", most=1) == []


# --- as processes -------------------------------------------------------------------------------------------------------


TEAMS = """
[people.thandi]
name = "Thandi"
contacts = {outbox = "thandi"}
[people.sipho]
name = "Sipho"
contacts = {outbox = "sipho"}
[teams.payments]
name = "Payments"
default = true
primary = ["thandi"]
secondary = ["sipho"]
"""
FAULTS = ("after_incident_saved", "after_incident_told", "after_page")


def outbox(settings: Settings) -> list[tuple[str, str]]:
    """(kind, recipient) of every message in the outbox."""
    files = (settings.data / "outbox").glob("[0-9]*.json")
    found = [json.loads(path.read_text()) for path in files]
    return [(one["kind"], one["recipient"]) for one in found]


def down(number: int, transition: str = "firing") -> AlertEvent:
    return alert(f"rule_{number}", transition, "high", provider=f"p{number}", channels=("email",))  # type: ignore[arg-type]


@pytest.mark.fault
async def test_every_page_arrives_once_whenever_the_notifier_is_killed_and_the_store_forgets(
    fragile: Settings, patient: KillableStore, tmp_path: Path
) -> None:
    """Killed at every point and in the midst of work, with a store that comes back without its last seconds, and once empty."""
    (tmp_path / "teams.toml").write_text(TEAMS)
    clock = tmp_path / "clock"
    now = time.time()
    clock.write_text(str(now))
    changes = {"teams": tmp_path / "teams.toml", "clock": f"file:{clock}", "session_timeout": 1.5}
    settings = fragile.model_copy(update=changes)
    draw = random.Random(7)
    count = 0
    for life, fault in enumerate((*FAULTS, None)):
        more = {} if fault is None else {"TILLWATCH_FAULT": f"{fault}:1"}
        process = Process(settings, tmp_path, f"notifier-{life}", command="notifier", **more)
        try:
            await asyncio.to_thread(process.start)
            patient.mark()
            await publish(settings, down(count), down(count + 1))
            count += 2
            if fault is None:
                least = draw.randint(1, count)
                await eventually_async(lambda least=least: len(outbox(settings)) >= least, "it is at work")
                async with redis_of(settings) as redis:  # which the store then forgets
                    acknowledged = await Counter(redis, settings.names).send(Command("a", "ack", "Thandi", "1"), 20.0)
                assert acknowledged is not None and acknowledged.done
            else:
                await eventually_async(lambda process=process: _ended(process), f"it dies {fault}")
        finally:
            if process.running:
                process.kill()
        if life in (1, 3):
            patient.fall_back()
        if life == 2:
            patient.empty()
    last = Process(settings, tmp_path, "notifier-last", command="notifier")
    try:
        await asyncio.to_thread(last.start)
        wanted = Tally({("page", "Thandi"): count})
        await eventually_async(lambda: Tally(outbox(settings)) == wanted, "each primary page is there, and none twice", 60)
        clock.write_text(str(now + 901))
        wanted += Tally({("page", "Sipho"): count - 1})
        await eventually_async(lambda: Tally(outbox(settings)) == wanted, "each timer fired once, but for what was answered")
        await publish(settings, *(down(number, "resolved") for number in range(count)))
        wanted += Tally({("resolved", "Thandi"): count, ("resolved", "Sipho"): count - 1})
        await eventually_async(lambda: Tally(outbox(settings)) == wanted, "each end is told")
        assert last.term() == 0
    finally:
        if last.running:
            last.kill()
    found = await incidents(settings)
    assert len({one.number for one in found}) == len(found) == count
    assert {one.status for one in found} == {"resolved"}
    assert {page.state for one in found for page in one.pages} == {"sent"}


async def _ended(process: Process) -> bool:
    return not process.running


