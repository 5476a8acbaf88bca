"""Proof of delivery that comes to a notifier which stands by, and gets to the one that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession
from pydantic import SecretStr
from redis.asyncio import Redis

from local.process import free_port
from notifier.callbacks import Answered
from notifier.channels import twilio
from notifier.channels.base import Delivery
from notifier.channels.settings import Around
from notifier.links import Links
from notifier.proofs import Proofs
from notifier.staff import Hearing, Staff
from runtime.clock import ManualClock
from runtime.names import Names
from tests.support.night import Night, alert
from tests.support.providers import ACCOUNT, AUTH_TOKEN, Twilio, running
from tests.support.store import KillableStore
from tests.support.wait import eventually_async

pytestmark = pytest.mark.integration

PUBLIC = "https://pages.example"
TEAMS = f"""
[people.thandi]
contacts = {{{{sms = "+27821234567"}}}}
[teams.shop]
primary = "thandi"
[channels.sms]
account = "{ACCOUNT}"
auth_token = "{AUTH_TOKEN}"
sender = "+12025550100"
api = "{{api}}"
confirm = "25s"
timeout = "5s"
attempts = 1
"""


class Two:
    """Two notifiers of one installation, the proxy before which leads to the second; the first has sent a page."""

    def __init__(self, folder: Path, api: str, proofs: tuple[Proofs, Proofs]) -> None:
        (folder / "teams.toml").write_text(TEAMS.format(api=api))
        self.clock = ManualClock(1_790_000_000)
        self.links = Links(PUBLIC, [SecretStr("a-key-of-a-test-that-is-long-enough-1")], self.clock)
        self.ports = (free_port(), free_port())
        self.staffs = tuple(
            Staff(
                folder / "teams.toml",
                Around(PUBLIC, folder / "outbox", self.clock),
                self.clock,
                Hearing(self.links, "127.0.0.1", port, self.do, own.tell),
            )
            for port, own in zip(self.ports, proofs, strict=True)
        )

    async def do(self, told: Answered) -> str:
        return "Incident #1 is acknowledged."

    async def posts(self, path: str, params: dict[str, str]) -> int:
        """What comes in by the proxy."""
        signed = twilio.signature(AUTH_TOKEN, PUBLIC + path, list(params.items()))
        headers = {"X-Twilio-Signature": signed, "Content-Type": "application/x-www-form-urlencoded"}
        url = f"http://127.0.0.1:{self.ports[1]}{path}"
        async with ClientSession() as session, session.post(url, data=urlencode(params), headers=headers) as answer:
            return answer.status


@asynccontextmanager
async def following(proofs: Proofs, staff: Staff) -> AsyncIterator[None]:
    task = asyncio.create_task(proofs.follow(staff.proven))
    await eventually_async(lambda: proofs._after is not None, "it follows")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("how", ["delivered", "undelivered", "answered"])
async def test_it_gets_to_the_one_that_waits(store: KillableStore, namespace: str, tmp_path: Path, how: str) -> None:
    redis, service = Redis.from_url(store.url), Twilio()
    proofs = (Proofs(redis, Names(namespace)), Proofs(redis, Names(namespace)))
    await proofs[1].tell(Delivery("0" * 64, "sms", "old", False, "of long ago"))
    async with running(service):
        two = Two(tmp_path, service.url, proofs)
        night = Night(deliver=False)
        night.desk.duty = await two.staffs[0].load()
        await two.staffs[1].load()
        night.alert(alert("provider_down", provider="ozow", channels=("sms",)))
        ((incident, page),) = night.desk.unsent()
        async with following(proofs[0], two.staffs[0]), following(proofs[1], two.staffs[1]):
            await redis.xadd(Names(namespace).notifier("proofs"), {"proof": b"garbage"})
            sending = asyncio.create_task(two.staffs[0].deliver(incident, page))
            await eventually_async(lambda: bool(service.taken), "Twilio has it")
            if how == "answered":
                token = two.links.token(incident.id, "ack", "thandi", page.key)
                status = await two.posts(f"/answer/{token}", {})
            else:
                status = await two.posts(f"/twilio/sms/status/{page.key}", {"MessageSid": "SM1", "MessageStatus": how})
            result = await asyncio.wait_for(sending, 15)
        assert status in (200, 204)
        wanted = {
            "delivered": "Twilio: delivered", "answered": "it was answered", "undelivered": "by outbox instead: in the outbox"
        }[how]  # fmt: skip
        assert (result.sent, result.detail) == (True, wanted)
        for staff in two.staffs:
            await staff.close()
    await redis.aclose()


async def test_a_step_on_the_way_and_a_decision_are_no_proof_and_are_not_passed_on() -> None:
    passed: list[Delivery] = []

    async def pass_on(proof: Delivery) -> None:
        passed.append(proof)

    async def do(told: Answered) -> str:
        return ""

    clock = ManualClock(0)
    links = Links(PUBLIC, [SecretStr("a-key-of-a-test-that-is-long-enough-1")], clock)
    staff = Staff(None, Around(PUBLIC), clock, Hearing(links, "127.0.0.1", 0, do, pass_on))
    await staff.load()
    await staff._heard(Delivery("1" * 64, "sms", "s", None, "sent"))
    assert passed == []
    await staff._heard(Answered("i", "1" * 64, "approve/drain", "2" * 64, "thandi", "", "link"))
    assert passed == [], "the key of an action's call is no page's"
    await staff._heard(Delivery("1" * 64, "sms", "s", True, "delivered"))
    assert [one.detail for one in passed] == ["delivered"]
    await staff.close()
