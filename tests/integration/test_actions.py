"""Actions through a notifier that runs: on timeline and topic, never run twice, through kills and a store that forgets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notifier.store import Counter
from runtime.settings import Settings
from schemas.alert import AlertEvent
from schemas.incident import Command, Incident, IncidentEvent
from tests.integration.tables import redis_of
from tests.support.night import alert
from tests.support.store import KillableStore
from tests.support.topics import read_all, send
from tests.support.wait import eventually_async
from tests.support.worker import Worker as Process

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DOWN = alert("provider_down", provider="ozow")
ACTIONS = """
[actions.drain]
on = {{rules = ["provider_down"]}}
command = ["{python}", "{folder}/drain.py", "{folder}", "{{provider}}"]
cool_down = "1h"
{more}

[actions.tell]
on = {{incident = ["triggered"]}}
webhook = "{url}"
secret_env = "HOOK_SECRET"
allow = ["127.0.0.0/8"]
"""
DRAIN = """
import os, sys, time
folder, provider = sys.argv[1:]
with open(f"{folder}/runs", "a") as file:
    file.write(f"{os.getpid()} {provider} {os.environ['TILLWATCH_ACTION_KEY']}\\n")
until = time.monotonic() + 60
while not os.path.exists(f"{folder}/go") and time.monotonic() < until:
    time.sleep(0.02)
print("drained")
"""


async def publish(settings: Settings, *alerts: AlertEvent) -> None:
    assert settings.kafka is not None
    records = [
        (settings.names.alerts, one.data.fingerprint.encode(), one.model_dump_json(exclude_none=False).encode())
        for one in alerts
    ]
    await send(settings.kafka, records)


async def incident(settings: Settings) -> Incident | None:
    async with redis_of(settings) as redis:
        return next(iter((await Counter(redis, settings.names).all())[0]), None)


async def tell(settings: Settings, kind: str, text: str) -> str:
    async with redis_of(settings) as redis:
        command = Command(os.urandom(16).hex(), kind, "thandi", "#1", text)  # type: ignore[arg-type]
        answer = await Counter(redis, settings.names).send(command, 20.0)
    assert answer is not None
    return answer.text


async def stands(settings: Settings, **wanted: str) -> Incident | None:
    """The incident, once the latest calls of these actions are so."""
    one = await incident(settings)
    states = {} if one is None else {call.name: call.state for call in one.actions}
    return one if wanted.items() <= states.items() else None


class Site:
    """An installation with actions, and what they did. keys: of the webhooks that came."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self.keys: list[str] = []
        self.settings = settings.model_copy(update={"session_timeout": 1.5, "actions": folder / "actions.toml"})
        self.processes: list[Process] = []
        (folder / "drain.py").write_text(DRAIN)

    def register(self, more: str = "") -> None:
        text = ACTIONS.format(python=sys.executable, folder=self.folder, url=self.url, more=more)
        beside = self.folder / "actions.new"
        beside.write_text(text)
        beside.replace(self.folder / "actions.toml")

    async def start(self, fault: str = "") -> Process:
        more = {"HOOK_SECRET": SECRET} | ({"TILLWATCH_FAULT": f"{fault}:1"} if fault else {})
        one = Process(self.settings, self.folder, f"notifier-{len(self.processes)}", command="notifier", **more)
        self.processes.append(one)
        await asyncio.to_thread(one.start)
        return one

    async def hear(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["webhook-id"])
        return web.Response(text="heard")

    @property
    def runs(self) -> list[list[str]]:
        path = self.folder / "runs"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def go(self) -> None:
        """The program may end."""
        (self.folder / "go").touch()


@pytest.fixture
async def site(fragile: Settings, tmp_path: Path) -> AsyncIterator[Site]:
    it, app = Site(fragile, tmp_path), web.Application()
    app.router.add_post("/hook", it.hear)
    async with TestServer(app, host="127.0.0.1") as server:
        it.url = f"http://127.0.0.1:{server.port}/hook"
        it.register()
        yield it
        it.go()
        for one in it.processes:
            if one.running:
                one.kill()
            print(f"--- {one.name}\n{one.output}")


async def test_it_is_called_and_all_of_it_is_on_the_timeline_and_the_topic(site: Site) -> None:
    process = await site.start()
    await publish(site.settings, DOWN)
    await eventually_async(lambda: stands(site.settings, drain="running", tell="done"), "both are called")
    await eventually_async(lambda: site.runs, "the program runs")
    site.go()
    one = await eventually_async(lambda: stands(site.settings, drain="done"), "it is done")
    assert isinstance(one, Incident)
    keys = {call.name: call.key for call in one.actions}
    assert [run[1:] for run in site.runs] == [["ozow", keys["drain"]]] and site.keys == [keys["tell"]]
    said = [entry.text.partition(" after ")[0] for entry in one.timeline if entry.kind == "action"]
    assert [text for text in said if text.startswith("drain")] == [
        f"drain is to be called (provider_down fires): {sys.executable} {site.folder}/drain.py {site.folder} ozow",
        "drain runs",
        "drain is done: exit code 0",
    ]
    assert site.settings.kafka is not None
    records = await read_all(site.settings.kafka, site.settings.names.incidents)
    events = [IncidentEvent.model_validate_json(record.value) for record in records]
    told = [call.state for event in events for call in event.data.actions if call.name == "drain"]
    assert list(dict.fromkeys(told)) == ["approved", "running", "done"]
    assert SECRET.removeprefix("whsec_") not in process.output and process.term() == 0


async def test_it_waits_for_approval_and_a_change_of_the_file_is_in_force(site: Site) -> None:
    site.go()
    site.register('approval = "responder"')
    process = await site.start()
    await publish(site.settings, DOWN)
    await eventually_async(lambda: stands(site.settings, drain="waiting"), "it waits")
    assert await tell(site.settings, "approve", "tell") == (
        "#1 has no action 'tell' that waits: 'tillwatch actions list' shows what does"
    )
    assert await tell(site.settings, "approve", "drain") == "#1 has your approval of drain"
    await eventually_async(lambda: stands(site.settings, drain="done"), "it is done")
    assert "cannot be called now: it was called" in await tell(site.settings, "run", "drain")
    site.register('dry_run = true\ncommand_ = "x"')
    await eventually_async(lambda: "cannot be used; what was in force before stays so" in process.output, "a bad file is told")
    assert "cools down" in await tell(site.settings, "run", "drain"), "what was in force stays so"
    assert len(site.runs) == 1 and process.term() == 0


@pytest.mark.fault
@pytest.mark.parametrize(
    ("fault", "forgets"), [("before_action", True), ("after_action", False), ("while it runs", True)]
)
async def test_a_notifier_that_dies_leaves_nothing_that_is_run_twice(
    site: Site, patient: KillableStore, fault: str, forgets: bool
) -> None:
    crash = "" if fault == "while it runs" else fault
    if crash:
        site.go()
    first = await site.start(crash)
    patient.mark()
    await publish(site.settings, DOWN)
    if crash:
        await eventually_async(_over(first), f"it dies {fault}")
    else:
        await eventually_async(lambda: site.runs and site.keys, "both are called")
        first.kill()
    if forgets:
        patient.fall_back()
    await site.start()
    one = await eventually_async(lambda: stands(site.settings, drain="unknown", tell="done"), "another leads")
    assert isinstance(one, Incident)
    keys = {call.name: call.key for call in one.actions}
    assert len(one.actions) == 2, "nothing was planned twice"
    assert [run[2] for run in site.runs] == [keys["drain"]] * (fault != "before_action"), "it was not run again"
    assert site.keys and set(site.keys) == {keys["tell"]}, "it may have come twice, with the same key"
    said = [entry.text for entry in one.timeline if entry.kind == "action"]
    assert sum("whether drain was done is not known" in text for text in said) == 1
    for pid, *_ in site.runs:
        if not crash:
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.fault
async def test_one_that_is_told_to_end_ends_its_command_and_says_so_later(site: Site) -> None:
    first = await site.start()
    await publish(site.settings, DOWN)
    await eventually_async(lambda: site.runs, "the program runs")
    assert first.term() == 0
    ((pid, *_),) = site.runs
    await eventually_async(lambda: not _lives(int(pid)), "the program was ended")
    await site.start()
    await eventually_async(lambda: stands(site.settings, drain="unknown"), "that is told")
    assert len(site.runs) == 1


def _over(process: Process) -> Callable[[], bool]:
    return lambda: not process.running


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
