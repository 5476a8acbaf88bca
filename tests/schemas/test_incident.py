"""The lifecycle event of an incident: the shape of the contract, and ids that anyone would find again."""

from __future__ import annotations

import json
from itertools import product

import msgspec

from schemas.incident import Incident, Silence, digest, incident_event, incident_id, page_key, silence_event
from tests.support.night import Night, alert


def opened() -> Incident:
    night = Night()
    night.alert(alert("provider_down", provider="ozow", component="checkout", runbook="provider_down"))
    night.until("2:00")
    night.tell("ack")
    return night.incident()


def test_it_has_the_shape_of_the_contract() -> None:
    one = opened()
    event = json.loads(incident_event("tillwatch", "acknowledged", one, one.timeline[-1:]).model_dump_json())
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": digest("lifecycle", one.id, one.version),
        "source": "/tillwatch/tillwatch",
        "type": "tillwatch.incident.acknowledged",
        "time": "2026-11-24T00:02:00.000Z",
        "subject": one.id,
        "datacontenttype": "application/json",
    }
    assert data["entries"] == [
        {"at": "2026-11-24T00:02:00.000Z", "kind": "acknowledged", "text": "thandi acknowledged", "author": "thandi"}
    ]
    assert (data["number"], data["severity"], data["level"], data["status"]) == (1, "critical", "P0", "acknowledged")
    assert (data["components"], data["providers"], data["rules"]) == (["checkout"], ["ozow"], ["provider_down"])
    assert (data["escalation"], data["assignee"], data["team"]) == ("primary", "thandi", "everybody")
    assert (data["opened_at"], data["acknowledged_at"]) == ("2026-11-24T00:00:00.000Z", "2026-11-24T00:02:00.000Z")
    assert data["resolved_at"] is data["impact"] is None
    assert data["runbook"] == "provider_down"


def test_what_is_kept_is_read_as_it_was_written() -> None:
    one = opened()
    assert msgspec.json.decode(msgspec.json.encode(one), type=Incident) == one


def test_no_address_of_anybody_is_in_it() -> None:
    kept = msgspec.json.encode(opened()).decode()
    assert "example.org" not in kept
    assert "+27" not in kept


def test_a_silence_is_told_as_people_write_it() -> None:
    matchers = (("component", True, "checkout"), ("rule", False, "slow*"))
    silence = Silence("ab" * 32, "maintenance", matchers, 0, 60_000, "t", "works")
    event = json.loads(silence_event("tillwatch", "added", silence, 0).model_dump_json())
    assert event["type"] == "tillwatch.silence.added"
    assert event["data"]["matchers"] == ["component=checkout", "rule!=slow*"]
    assert (event["data"]["start"], event["data"]["end"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:01:00.000Z")


def test_ids_are_those_that_anybody_would_find() -> None:
    assert incident_id("tillwatch", "a") == incident_id("tillwatch", "a") != incident_id("other", "a")
    keys = {page_key(*parts) for parts in product("ab", (1, 2), ("x", None), ("sms", "email"))}
    assert len(keys) == 16
