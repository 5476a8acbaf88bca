"""PagerDuty's Events API v2 against its published format.

https://github.com/PagerDuty/developer-docs/blob/main/docs/events-API-v2/01-Overview.md (answers and when to try again) and
02-Trigger-Events.md (fields, lengths, what each action does).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from notifier.channels import pagerduty
from notifier.channels.base import Refused, Unreachable
from notifier.channels.settings import Around
from tests.support.messages import INCIDENT, MESSAGE, message
from tests.support.providers import ROUTING_KEY, PagerDuty, running


@pytest.fixture
async def service() -> AsyncIterator[PagerDuty]:
    it = PagerDuty()
    async with running(it):
        yield it


@pytest.fixture
async def channel(service: PagerDuty) -> AsyncIterator[pagerduty.PagerDuty]:
    it = made(service)
    yield it
    await it.close()


def made(service: PagerDuty, **keys: Any) -> pagerduty.PagerDuty:
    table = {"kind": "pagerduty", "routing_key": ROUTING_KEY, "api": service.url, **keys}
    return pagerduty.PagerDuty("pagerduty", pagerduty.Settings.model_validate(table), Around())


async def test_an_incident_is_one_alert_from_its_first_event_to_its_last(
    service: PagerDuty, channel: pagerduty.PagerDuty
) -> None:
    states = []
    for changes in (
        {},
        {"kind": "update", "status": "acknowledged"},
        {"kind": "resolved", "status": "resolved"},
    ):
        receipt = await channel.send(message(**changes), "service")
        assert receipt.id == INCIDENT and receipt.confirmed is None
        states.append(service.alerts)
        service.alerts = dict(service.alerts)
    assert [state[INCIDENT] for state in states] == ["trigger", "acknowledge", "resolve"]
    first = service.taken[0]
    assert first["payload"]["severity"] == "critical" and first["payload"]["source"] == "tillwatch"
    assert first["links"][0] == {"href": MESSAGE.url, "text": "Incident"}


@pytest.mark.parametrize(
    ("severity", "theirs"), [("critical", "critical"), ("high", "error"), ("medium", "warning"), ("low", "info")]
)
def test_severities_are_theirs(severity: str, theirs: str) -> None:
    assert pagerduty.event(message(severity=severity))["payload"]["severity"] == theirs


async def test_a_hand_over_is_a_change_and_pages_nobody(service: PagerDuty, channel: pagerduty.PagerDuty) -> None:
    await channel.send(message(kind="handover", number=0, title="You are on call until Monday"), "service")
    assert service.alerts == {} and service.taken[0]["payload"]["summary"].startswith("You are on call")


async def test_a_long_title_is_cut_and_a_script_is_no_link(service: PagerDuty, channel: pagerduty.PagerDuty) -> None:
    await channel.send(message(title="t" * 3_000, runbook="javascript:alert(1)"), "service")
    assert len(service.taken[0]["payload"]["summary"]) == 1_024 and len(service.taken[0]["links"]) == 1


async def test_a_wrong_key_is_refused_and_not_shown(service: PagerDuty) -> None:
    channel = made(service, routing_key="another-key-of-a-test")
    with pytest.raises(Refused, match="answered 400") as told:
        await channel.send(MESSAGE, "service")
    await channel.close()
    assert "another-key" not in str(told.value)


@pytest.mark.parametrize(("status", "maybe_sent"), [(429, False), (500, True), (503, False)])
async def test_what_passes_is_tried_again_with_the_same_key(
    service: PagerDuty, channel: pagerduty.PagerDuty, status: int, maybe_sent: bool
) -> None:
    service.answers = [web.Response(status=status)]
    with pytest.raises(Unreachable) as told:
        await channel.send(MESSAGE, "service")
    assert told.value.maybe_sent is maybe_sent
    await channel.send(MESSAGE, "service")
    assert [event["dedup_key"] for event in service.taken] == [INCIDENT]
