"""The trial of the channels against services that work."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from notifier.channels.settings import Around
from notifier.people.directory import builtin, read
from notifier.trial import on_call, run
from runtime.clock import ManualClock
from tests.support.providers import ACCOUNT, AUTH_TOKEN, ROUTING_KEY, PagerDuty, Twilio, running

DIRECTORY = read(
    "teams.toml",
    b"""
[people.thandi]
contacts = {sms = "+27820000001", outbox = "thandi"}
[people.sipho]
contacts = {sms = "+27820000002"}
[teams.shop]
primary = "thandi"
secondary = ["sipho", "thandi"]
[channels.sms]
""",
)
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_everybody_on_call_is_tried_once() -> None:
    assert [person.key for person in on_call(DIRECTORY, "shop", NOW)] == ["thandi", "sipho"]


async def test_proof_that_comes_later_is_not_waited_for(tmp_path: Path) -> None:
    twilio, around = Twilio(), Around(outbox=tmp_path, clock=ManualClock(NOW.timestamp()))
    async with running(twilio):
        table = {"account": ACCOUNT, "auth_token": SecretStr(AUTH_TOKEN), "sender": "+12025550100", "api": twilio.url}
        said = {"sms": table | {"confirm": "30s", "fallback": "outbox"}}
        trials = await run(DIRECTORY, said, around, channel="sms")
    assert [(one.recipient, one.delivered, one.last and one.last.result) for one in trials] == [
        ("thandi", True, "accepted"),
        ("sipho", True, "accepted"),
    ]
    assert [one["To"] for one in twilio.taken] == ["+27820000001", "+27820000002"]
    assert all(one["Body"].startswith("Test: ") for one in twilio.taken)


async def test_a_test_at_pagerduty_does_not_stay_open(tmp_path: Path) -> None:
    pagerduty, around = PagerDuty(), Around(outbox=tmp_path, clock=ManualClock(NOW.timestamp()))
    async with running(pagerduty):
        said = {"pagerduty": {"routing_key": SecretStr(ROUTING_KEY), "api": pagerduty.url}}
        trials = await run(builtin(), said, around, channel="pagerduty")
    assert [one.delivered for one in trials] == [True]
    assert [one["event_action"] for one in pagerduty.taken] == ["trigger", "resolve"]
    assert len({one["dedup_key"] for one in pagerduty.taken}) == 1
