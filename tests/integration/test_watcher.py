"""The watcher beside a notifier: around a store that is killed, through the alerts topic, and to a switch somewhere else."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from cli.status import find, judge
from local.broker import EmbeddedBroker
from notifier import watcher
from notifier.channels.settings import Around
from notifier.service import Notifier, Standing
from notifier.staff import Staff
from notifier.store import Counter
from notifier.watch import PACK
from notifier.watcher import Watcher
from runtime.clock import ManualClock
from runtime.kafka import create_topics
from runtime.settings import Settings
from schemas.alert import AlertEvent
from schemas.incident import Incident
from tests.integration.tables import redis_of
from tests.support.sinks import sink
from tests.support.store import KillableStore
from tests.support.wait import eventually_async, pause

pytestmark = pytest.mark.integration

MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
TEAMS = """
[calendar]
zone = "UTC"
[people.thandi]
name = "Thandi"
contacts = {{email = "thandi@shop.example", webhook = "{hook}"}}
[people.sipho]
name = "Sipho"
zone = "Africa/Johannesburg"
contacts = {{outbox = "sipho", phone = "+27820000000"}}
[teams.shop]
default = true
primary = ["thandi"]
lead = ["thandi"]
secondary = {{rotate = ["thandi", "sipho"], every = "1 day", handover = "09:00", start = 2026-11-22}}
[teams.tillwatch]
primary = ["thandi"]
[[overrides]]
who = ["thandi", "sipho"]
team = "shop"
level = "lead"
from = "2026-11-23 09:00"
to = "2026-11-23 12:00"
[channels.email]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "tillwatch@shop.example"
[channels.webhook]
secret_file = "hook-secret"
allow = ["127.0.0.0/8"]
[channels.phone]
kind = "outbox"
"""


class Recipient:
    """A mailbox, and a server that webhooks are posted to: (kind, title) of what came."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.hooks: list[dict[str, Any]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(str(message_from_bytes(envelope.content)["Subject"]))
        return "250 OK"

    async def hook(self, request: web.Request) -> web.Response:
        self.hooks.append((await request.json())["data"])
        return web.Response()

    def titles(self) -> list[str]:
        return [one["title"] for one in self.hooks]


@asynccontextmanager
async def at_home(folder: Path) -> AsyncIterator[Recipient]:
    """Thandi's mailbox and hook, with a teams.toml that leads there."""
    thandi, app = Recipient(), web.Application()
    app.router.add_post("/hook", thandi.hook)
    smtp = await asyncio.get_running_loop().create_server(lambda: SMTP(thandi, hostname="localhost"), "127.0.0.1", 0)
    async with TestServer(app, host="127.0.0.1") as server:
        (folder / "hook-secret").write_text("whsec_" + "dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0")
        text = TEAMS.format(hook=server.make_url("/hook"), port=smtp.sockets[0].getsockname()[1])
        (folder / "teams.toml").write_text(text)
        yield thandi
    smtp.close()
    await smtp.wait_closed()


class Beside:
    """What a watcher asks of its notifier."""

    def __init__(self) -> None:
        self.state = Standing(True, True, 0.1, 0, 0, None, {})
        self.raised: list[AlertEvent] = []
        self.quick = True
        """Whether what is raised is taken at once."""

    def standing(self) -> Standing:
        return self.state

    async def raise_alert(self, alert: AlertEvent) -> None:
        self.raised.append(alert)
        if not (self.quick and self.state.leads):
            return
        firing = dict(self.state.firing)
        if alert.transition == "firing":
            firing[PACK, alert.data.rule] = alert.data.window.end
        else:
            del firing[PACK, alert.data.rule]
        self.state = replace(self.state, firing=firing)

    def told(self) -> list[str]:
        return [f"{one.data.rule} {one.transition}" for one in self.raised]


@pytest.fixture
async def here(
    embedded: EmbeddedBroker, patient: KillableStore, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An installation on the embedded broker and a store that may be killed, looked at many times a second."""
    monkeypatch.setattr(watcher, "TURN_S", 0.02)
    monkeypatch.setattr(watcher, "LOOK_EVERY_S", 0.05)
    settings = Settings(
        kafka=embedded.bootstrap,
        redis=SecretStr(patient.url),
        namespace=namespace,
        data=tmp_path / "data",
        teams=tmp_path / "teams.toml",
    )
    await create_topics(settings, 1)
    return settings


@asynccontextmanager
async def watching(settings: Settings, clock: ManualClock, notifier: Any) -> AsyncIterator[tuple[Watcher, Staff]]:
    """A watcher of this notifier, at work."""
    staff = Staff(settings.teams, Around(outbox=settings.data / "outbox", clock=clock), clock)
    await staff.load()
    one = Watcher(settings, clock, notifier, staff)
    task = asyncio.create_task(one.run())
    try:
        yield one, staff
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await staff.close()


async def said(settings: Settings) -> list[dict[str, Any]]:
    """What notifiers say of themselves."""
    async with redis_of(settings) as redis:
        return [json.loads(await redis.get(key)) async for key in redis.scan_iter(match=settings.names.notifier_process("*"))]


async def worked_once(settings: Settings) -> None:
    async with redis_of(settings) as redis:
        await redis.hset(settings.names.sources, "a", "1")


async def lives(settings: Settings, **partition: Any) -> None:
    one = {"topic": "t", "partition": 0, "next": 1, "end": 1, "behind": False} | partition
    async with redis_of(settings) as redis:
        await redis.set(settings.names.worker("w"), json.dumps({"name": "w", "leader": True, "partitions": [one]}))


# --- with the notifier --------------------------------------------------------------------------------------------------


@pytest.mark.fault
async def test_no_worker_is_an_incident_and_a_store_that_is_killed_is_told_around_it(
    here: Settings, patient: KillableStore, tmp_path: Path
) -> None:
    clock = ManualClock(time.time())
    await worked_once(here)
    async with at_home(tmp_path) as thandi:
        staff = Staff(here.teams, Around(outbox=here.data / "outbox", clock=clock), clock)
        notifier = Notifier(here, clock, await staff.load(), staff.deliver)
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(notifier.run(stop, ready.set))
        watch = Watcher(here, clock, notifier, staff)
        task = asyncio.create_task(watch.run())
        await asyncio.wait_for(ready.wait(), 60)
        await eventually_async(lambda: bool(watch._watch._episodes), "no worker is seen")
        clock.advance(31)
        down = "No worker runs: nothing is counted or judged"
        await eventually_async(lambda: thandi.titles() == [down], "the page")
        await eventually_async(lambda: thandi.mails == [f"P1 #1: {down}"], "the mail")
        one = (await incidents(here))[0]
        assert (one.team, one.severity, one.runbook) == ("tillwatch", "high", "docs/runbooks/pipeline_down.md")
        await eventually_async(lambda: _shown(here, clock), "status shows who leads, and the page")

        patient.kill()
        await eventually_async(lambda: "blind" in watch._watch._episodes, "Redis is seen to be away")
        clock.advance(31)
        blind = "Tillwatch is blind: Redis cannot be used"
        await eventually_async(lambda: thandi.titles()[1:] == [blind] and thandi.mails[1:] == [blind], "blind is told")
        patient.start()
        await eventually_async(lambda: said(here), "it says how it is again")
        await lives(here)
        await eventually_async(lambda: _well(watch, "blind"), "Redis is seen to be back")
        clock.advance(11)
        await eventually_async(lambda: "Tillwatch sees again" in thandi.titles()[2:], "its end is told")
        # It may have been over at the same time.
        await eventually_async(lambda: _well(watch, "pipeline_down") or not watch._watch.told, "a worker is seen")
        clock.advance(11)
        await eventually_async(lambda: down in thandi.titles()[2:], "that is over, too")
        await eventually_async(lambda: len(thandi.mails) == 4, "and by mail")
        assert sorted(thandi.titles()) == sorted([down, blind, "Tillwatch sees again", down])
        assert [one["kind"] for one in thandi.hooks].count("resolved") == 2
        assert len({one["key"] for one in thandi.hooks}) == 4
        stop.set()
        await asyncio.wait_for(running, 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await staff.close()


async def _shown(settings: Settings, clock: ManualClock) -> bool:
    parts = judge(await find(settings, clock), settings.names).parts
    [part] = [part for part in parts if part.kind == "notifier"]
    return part.state == "OK" and "1 open incident; last page sent 0 s ago" in part.detail


def _well(watch: Watcher, name: Any) -> bool:
    episode = watch._watch._episodes.get(name)
    return episode is not None and episode.well_ms is not None


async def incidents(settings: Settings) -> list[Incident]:
    async with redis_of(settings) as redis:
        return list((await Counter(redis, settings.names).all())[0])


# --- with a stand-in for it ---------------------------------------------------------------------------------------------


async def test_what_it_finds_in_redis_becomes_alerts_that_begin_and_end(here: Settings, tmp_path: Path) -> None:
    clock, beside = ManualClock(time.time()), Beside()
    now_ms = int(clock.now() * 1000)
    await lives(here, behind=True, end=500)
    kept = {"n": 1, "state": {"incident": {"step_at": now_ms - 55_000, "title": "x"}}, "event": None, "sent": True}
    other = {"n": 1, "state": {"silence": {"id": "s"}}, "event": None, "sent": True}
    async with at_home(tmp_path), watching(here, clock, beside) as (watch, _), redis_of(here) as redis:
        await redis.hset(here.names.notifier("incidents"), mapping={"i": json.dumps(kept), "silence/s": json.dumps(other)})
        await eventually_async(lambda: "pipeline_behind" in watch._watch._episodes, "it is seen to be behind")
        clock.advance(6)
        await eventually_async(lambda: "steps_overdue" in watch._watch._episodes, "a step is late")
        assert beside.told() == []
        clock.advance(11)
        await eventually_async(lambda: beside.told() == ["steps_overdue firing"], "the step is told")
        clock.advance(50)
        await eventually_async(lambda: beside.told()[1:] == ["pipeline_behind firing"], "so is the lag")
        status = (await eventually_async(lambda: said(here), "it says how it is"))[0]
        assert status["leader"] is True
        await eventually_async(lambda: _watches(here, ["pipeline_behind", "steps_overdue"]), "what it found is said")
        await lives(here)
        await redis.delete(here.names.notifier("incidents"))
        await eventually_async(lambda: _well(watch, "steps_overdue") and _well(watch, "pipeline_behind"), "all is well")
        clock.advance(61)
        await eventually_async(lambda: len(beside.raised) == 4, "both are over")
        assert sorted(beside.told()[2:]) == ["pipeline_behind resolved", "steps_overdue resolved"]
        # Whoever stands by told late, and of another step: the leader ends that as well, once, however long that takes.
        beside.quick, beside.state = False, replace(beside.state, firing={(PACK, "steps_overdue"): now_ms})
        await eventually_async(lambda: _well(watch, "steps_overdue"), "it is taken over")
        clock.advance(11)
        await eventually_async(lambda: beside.told()[4:] == ["steps_overdue resolved"], "and ended")
        await eventually_async(lambda: _well(watch, "steps_overdue"), "it is still there")
        beside.quick, beside.state = True, replace(beside.state, firing={})
        clock.advance(11)
        await eventually_async(lambda: "steps_overdue" not in watch._watch._episodes, "it is gone")
        # Who stands by tells what is overdue, with the same id, and leaves the rest to the leader.
        beside.state = replace(beside.state, leads=False, holder=False)
        await redis.hset(here.names.notifier("incidents"), mapping={"i": json.dumps(kept)})
        await redis.delete(here.names.worker("w"))
        await redis.hset(here.names.sources, "a", "1")
        await eventually_async(lambda: {"steps_overdue", "pipeline_down"} <= watch._watch._episodes.keys(), "it is seen")
        clock.advance(41)
        await eventually_async(lambda: beside.told()[5:] == ["steps_overdue firing"], "it is told")
        assert beside.raised[-1].id == beside.raised[0].id
        await redis.delete(here.names.notifier("incidents"))
        await eventually_async(lambda: _well(watch, "steps_overdue"), "it is well")
        clock.advance(11)
        await eventually_async(lambda: "steps_overdue" not in watch._watch._episodes, "it is over")
        assert len(beside.raised) == 6, "its end is the leader's to tell"
    assert beside.raised[0].data.first_bad_at == now_ms - 55_000
    assert await said(here) == [], "who has left says nothing"


async def _watches(settings: Settings, names: list[str]) -> bool:
    return any(sorted(one["name"] for one in status["watch"]) == names for status in await said(settings))


async def test_a_kafka_without_the_alerts_topic_is_of_no_use(here: Settings, tmp_path: Path) -> None:
    clock = ManualClock(time.time())
    gone = here.model_copy(update={"namespace": f"{here.namespace}-x"})
    async with at_home(tmp_path) as thandi, watching(gone, clock, Beside()) as (watch, _):
        await eventually_async(lambda: "blind" in watch._watch._episodes, "it is seen")
        clock.advance(31)
        await eventually_async(lambda: thandi.titles() == ["Tillwatch is blind: Kafka cannot be used"], "and told")


async def test_who_comes_on_call_is_told_once_whoever_looks(here: Settings, tmp_path: Path) -> None:
    clock, beside = ManualClock(MONDAY.timestamp()), Beside()
    beside.state = replace(beside.state, leads=False)
    folder = here.data / "outbox"
    async with at_home(tmp_path) as thandi, watching(here, clock, beside) as (first, _):
        await first.hand_over()
        clock.advance(2 * 3600 + 10)
        await first.hand_over()
        assert list(folder.glob("*")) == [], "an override that was just written may yet come into force"
        clock.advance(3590)
        await first.hand_over()  # at nine from Thandi to Sipho, and it is ten
        found = [json.loads(path.read_text()) for path in folder.glob("[0-9]*.json")]
        told, beside_thandi = sorted(found, key=lambda one: "lead" in one["text"])
        assert (told["channel"], told["recipient"], told["kind"]) == ("outbox", "Sipho", "handover")
        assert "You are on call for shop (lead)" in beside_thandi["text"] and thandi.titles() == []
        assert "You are on call for shop (secondary)" in told["text"]
        assert "From Mon 23 Nov 2026 11:00 until Tue 24 Nov 2026 11:00 (Africa/Johannesburg)" in told["text"]
        assert "Before you: Thandi" in told["text"]
        async with watching(here, clock, beside) as (second, _):
            await second.hand_over()
            clock.advance(23.5 * 3600)
            await second.hand_over()  # at nine to Thandi, and it is half past
        await first.hand_over()
        await eventually_async(lambda: bool(thandi.mails), "the mail is there")
        assert thandi.titles() == thandi.mails == ["You are on call for shop (secondary)"]
        clock.advance(3 * 86_400 + 2 * 3600)
        await first.hand_over()  # what is older than an hour is no news
        assert (len(thandi.titles()), len(list(folder.glob("[0-9]*.json")))) == (1, 2), "nobody hears twice"


async def test_the_switch_is_called_while_all_is_well_and_told_where_it_cannot_be(
    here: Settings, patient: KillableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watcher, "CALL_EVERY_S", 0.05)
    monkeypatch.setattr(watcher, "TURNED_WITHIN_S", 0.5)
    caplog.set_level(logging.INFO)
    clock, beside = ManualClock(time.time()), Beside()
    async with at_home(tmp_path), sink("500", "302", "200") as switch:
        settings = here.model_copy(update={"deadman": SecretStr(f"{switch.url}/a-secret")})
        async with watching(settings, clock, beside):
            await eventually_async(lambda: len(switch.requests) > 3, "it is called")
            assert switch.requests[0][1].startswith(b"POST /hook/a-secret HTTP/1.1")
            assert (await said(here))[0]["deadman"]["state"] == "ok"
            beside.state = replace(beside.state, turned_s=31.0)
            await quiet(switch, "its work does not go round")
            beside.state = replace(beside.state, turned_s=0.1, leads=False)
            await quiet(switch, "it stands by")
            beside.state = replace(beside.state, leads=True)
            count = len(switch.requests)
            await eventually_async(lambda: len(switch.requests) > count, "it is called again")
            patient.kill()
            await quiet(switch, "Redis is away")
            patient.start()
    text = [record.getMessage() for record in caplog.records if record.name == "notifier.deadman"]
    assert text == [
        "the dead man's switch at 127.0.0.1 cannot be called: answered 500",
        "the dead man's switch at 127.0.0.1 hears us again",
    ]
    assert "a-secret" not in caplog.text


async def quiet(switch: Any, why: str) -> None:
    """Nothing comes for a while, once what is under way has come."""

    async def still() -> bool:
        count = len(switch.requests)
        await pause(0.4)
        return len(switch.requests) == count

    await eventually_async(still, why)
