"""Calling what is registered: what a program and a webhook get, what is kept of their answers, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from notifier.actions import runner
from notifier.actions.calls import Ran
from notifier.actions.registered import Registered, Unfillable
from notifier.actions.runner import Runner
from notifier.channels.webhook import key_of, sign
from runtime.clock import ManualClock
from schemas.incident import Action, Incident
from schemas.masking import Masker
from tests.support.acts import Acting, registered
from tests.support.night import alert
from tests.support.sinks import Fault, sink

SECRET = SecretStr("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NOW = 1_790_000_000
CARD = "4111111111111111"


def begun(one: Registered, **more: Any) -> tuple[Incident, Action]:
    """An incident, and the call of the action that it has begun."""
    night = Acting(one)
    night.alert(alert("provider_down", **({"provider": "ozow", "component": "checkout"} | more)))
    night.begun()
    return night.incident(), night.call(name=one.name)


async def called(one: Registered, held: Registered | None = None, **more: Any) -> Ran:
    incident, call = begun(one, **more)
    found = held or one
    named = Runner(lambda: {found.name: found}, ManualClock(NOW), Masker(b"key").text)
    return await named.call(incident, call)


def program(text: str, *arguments: str, **more: Any) -> Registered:
    return registered("drain", command=(sys.executable, "-c", text, *arguments), **more)


class TestProgram:
    async def test_it_gets_the_incident_in_three_ways(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("TILLWATCH_LINK_KEY", "hidden"), ("KUBECONFIG", "k"), ("OTHER", "o")):
            monkeypatch.setenv(name, value)
        text = "import json, os, sys; json.dump([sys.argv[1:], json.load(sys.stdin), dict(os.environ)], open('got', 'w'))"
        one = program(text, "{provider}", "{number}", "{rule}", folder=tmp_path, environment=("KUBECONFIG", "NOT_SET"))
        assert (await called(one)).state == "done"
        arguments, said, variables = json.loads((tmp_path / "got").read_text())
        assert arguments == ["ozow", "1", "provider_down"]
        assert said["type"] == "tillwatch.action"
        assert (said["data"]["action"], said["data"]["why"]) == ("drain", "provider_down fires")
        assert said["data"]["incident"]["severity"] == "critical" and said["data"]["incident"]["providers"] == ["ozow"]
        assert len(said["data"]["key"]) == 64 and variables["TILLWATCH_ACTION_KEY"] == said["data"]["key"]
        assert variables["TILLWATCH_INCIDENT_PROVIDER"] == "ozow" and variables["TILLWATCH_INCIDENT_NUMBER"] == "1"
        assert variables["KUBECONFIG"] == "k" and not {"OTHER", "NOT_SET", "TILLWATCH_LINK_KEY"} & set(variables)

    async def test_what_it_writes_is_kept_within_bounds_without_card_numbers(self) -> None:
        ran = await called(program(f"print('\\x1b[31mcard {CARD}\\n' + 'x' * 1000 + ' the end')", output=20))
        assert ran.state == "done" and ran.detail.endswith(": …" + "x" * 12 + " the end")
        ran = await called(program(f"print('\\x1b[31mcard\\u202e {CARD} declined')"))
        assert "411111******1111 declined" in ran.detail and CARD not in ran.detail
        assert "\x1b" not in ran.detail and "\u202e" not in ran.detail
        assert (await called(program("print('x')", output=0))).detail.endswith(" s")
        ran = await called(program(f"print('card {CARD}')", output=10))
        assert ran.detail.endswith(": …******1111"), "what is cut off is masked before"

    async def test_how_it_ended_is_told(self) -> None:
        failed = await called(program("print('disk full'); exit(3)"))
        assert failed.state == "failed" and failed.detail.startswith("exit code 3 after ")
        assert failed.detail.endswith(": disk full")
        late = await called(program("import time; print('at it', flush=True); time.sleep(600)", time_limit_s=0.5))
        assert late.state == "timed_out" and "it had 0.5 s" in late.detail and late.detail.endswith(": at it")
        gone = await called(registered(command=("/nowhere/drain",)))
        assert (gone.state, gone.detail) == ("failed", "it cannot be started: No such file or directory")

    async def test_a_dry_run_runs_nothing(self, tmp_path: Path) -> None:
        text = f"open({str(tmp_path / 'ran')!r}, 'w')"
        ran = await called(program(text, "{provider}", dry_run=True))
        assert ran.state == "done" and ran.detail.startswith("dry run: it would call ") and ran.detail.endswith(" ozow")
        assert not (tmp_path / "ran").exists()

    async def test_what_is_not_in_the_file_or_was_changed_there_is_not_run(self, tmp_path: Path) -> None:
        text = f"open({str(tmp_path / 'ran')!r}, 'w')"
        one = program(text)
        other = await called(one, replace(one, name="other"))
        assert (other.state, other.detail) == ("failed", "no action of this name is registered any more")
        changed = await called(program("pass"), one)
        assert (changed.state, changed.detail) == ("failed", "what it calls is not what was registered when it was planned")
        assert not (tmp_path / "ran").exists()


class TestInjection:
    @pytest.mark.parametrize(
        "value",
        ["$(touch x)", "`touch x`", "a; touch x", "a\ntouch x", "{number}", "{{number}}", "%s ${PATH}", "' || touch x #"],
    )
    async def test_what_an_event_says_is_one_argument_and_nothing_else(self, tmp_path: Path, value: str) -> None:
        text = "import json, sys; json.dump(sys.argv[1:], open('got', 'w'))"
        ran = await called(program(text, "{provider}", "end", folder=tmp_path), provider=value)
        assert ran.state == "done"
        assert json.loads((tmp_path / "got").read_text()) == [" ".join(value.split()), "end"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["got"]

    @pytest.mark.parametrize("value", ["--force", "-rf", "-", "\u202e-rf", " -x"])
    def test_what_would_be_an_option_is_refused(self, value: str) -> None:
        night = Acting(registered())
        night.alert(alert("provider_down", provider=value))
        assert night.states() == ["failed"] and "begins with '-'" in night.call().detail

    def test_an_option_is_refused_also_where_it_was_planned(self) -> None:
        with pytest.raises(Unfillable, match="begins with '-'"):
            registered().arguments({"provider": "--force"})

    def test_the_values_are_bounded_texts_of_one_line(self) -> None:
        _, call = begun(registered(), provider="a\r\n\u2028" + "b" * 1000)
        assert call.about["provider"].startswith("a b") and len(call.about["provider"]) == 256


# --- webhooks ---------------------------------------------------------------------------------------------------------


class Receiver:
    """What takes webhooks here. answers: one after another, the last for ever."""

    def __init__(self) -> None:
        self.answers: list[Callable[[], web.Response]] = [lambda: web.Response(text="drained")]
        self.heard: list[tuple[str, dict[str, Any], bool]] = []
        self.url = ""

    async def hear(self, request: web.Request) -> web.Response:
        body, identity = await request.read(), request.headers["webhook-id"]
        signature = sign(key_of(SECRET), identity, int(request.headers["webhook-timestamp"]), body)
        self.heard.append((identity, json.loads(body), request.headers["webhook-signature"] == signature))
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    it, app = Receiver(), web.Application()
    app.router.add_post("/hook", it.hear)
    async with TestServer(app, host="127.0.0.1") as server:
        it.url = f"http://127.0.0.1:{server.port}/hook"
        yield it


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FIRST_WAIT_S", 0.001)


def hook(url: str, *allow: str, **more: Any) -> Registered:
    return registered("tell", webhook=url, secrets=(SECRET,), allow=tuple(map(ip_network, allow)), **more)


HERE = "127.0.0.0/8"


class TestWebhook:
    async def test_it_is_signed_and_has_the_incident(self, receiver: Receiver) -> None:
        ran = await called(hook(receiver.url, HERE))
        ((identity, body, signed),) = receiver.heard
        assert (ran.state, ran.detail) == ("done", "answered 200: drained")
        assert signed and identity == ran.key == body["data"]["key"]
        assert body["type"] == "tillwatch.action" and body["data"]["incident"]["number"] == 1

    async def test_every_attempt_has_the_same_key(self, receiver: Receiver) -> None:
        receiver.answers = [lambda: web.Response(status=503), lambda: web.Response(status=500), lambda: web.Response(text="ok")]
        ran = await called(hook(receiver.url, HERE))
        assert ran.state == "done" and [identity for identity, _, _ in receiver.heard] == [ran.key] * 3

    async def test_its_attempts_are_bounded(self, receiver: Receiver) -> None:
        receiver.answers = [lambda: web.Response(status=500)]
        ran = await called(hook(receiver.url, HERE))
        assert (ran.state, ran.detail) == ("failed", f"answered 500, after {runner.ATTEMPTS} attempts")
        assert len(receiver.heard) == runner.ATTEMPTS

    async def test_what_is_refused_is_not_tried_again(self, receiver: Receiver) -> None:
        receiver.answers = [lambda: web.Response(status=404)]
        ran = await called(hook(receiver.url, HERE))
        assert (ran.state, ran.detail, len(receiver.heard)) == ("failed", "answered 404", 1)

    async def test_a_retry_after_beyond_the_limit_ends_it_at_once(self, receiver: Receiver) -> None:
        receiver.answers = [lambda: web.Response(status=429, headers={"Retry-After": "3600"})]
        ran = await called(hook(receiver.url, HERE))
        assert (ran.state, ran.detail) == ("failed", "answered 429, after 1 attempt")

    @pytest.mark.parametrize(
        ("fault", "state"), [("hangs", "timed_out"), ("refuses", "failed"), ("garbage", "failed"), ("302", "failed")]
    )
    async def test_broken_ones_end_within_the_limit(self, fault: Fault, state: str) -> None:
        async with sink(fault) as one:
            ran = await called(hook(one.url, HERE, time_limit_s=0.5))
        assert ran.state == state

    async def test_a_private_address_is_refused_unless_it_is_allowed(self, receiver: Receiver) -> None:
        for url in (receiver.url, "https://169.254.169.254/latest/", "https://[::1]/", "https://10.0.0.1/", "http://8.8.8.8/"):
            ran = await called(hook(url))
            assert ran.state == "failed" and ("private network" in ran.detail or "use https" in ran.detail), url
        assert receiver.heard == []

    async def test_a_dry_run_posts_nothing_and_shows_the_host_alone(self, receiver: Receiver) -> None:
        ran = await called(hook(receiver.url, HERE, dry_run=True))
        assert (ran.state, ran.detail) == ("done", "dry run: it would call http://127.0.0.1/***") and receiver.heard == []

    async def test_what_it_answers_is_kept_within_bounds_on_one_line(self, receiver: Receiver) -> None:
        receiver.answers = [lambda: web.Response(text=f"card {CARD}\n" + "x" * 100_000)]
        ran = await called(hook(receiver.url, HERE, output=50))
        assert len(ran.detail) < 80 and "411111******1111" in ran.detail and "\n" not in ran.detail

    async def test_what_an_event_says_stays_a_value(self, receiver: Receiver) -> None:
        value = '", "by": "root", "x": "'
        await called(hook(receiver.url, HERE), provider=value)
        ((_, body, _),) = receiver.heard
        assert body["data"]["about"]["provider"] == value and body["data"]["by"] is None
