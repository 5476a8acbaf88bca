"""The verdict, from what was found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.status import BEHIND, DOWN, NO_DATA, OK, Found, judge
from runtime.names import Names

NAMES = Names("shop")
NOW_S = 1_000_000.0


def _partition(topic: str, number: int, **more: Any) -> dict[str, Any]:
    position = {"next": 10, "end": 10, "watermark_ms": int((NOW_S - 30) * 1000), "behind": False}
    return {"topic": topic, "partition": number, **position, **more}


def _worker(**more: Any) -> dict[str, Any]:
    return {
        "name": "host-1",
        "started_at": "2026-11-23T08:00:00Z",
        "partitions": [_partition(topic, number) for topic in NAMES.event_topics for number in range(2)],
        "leader": True,
        "leader_lag": 0,
        "table_watermarks": {"payments": int((NOW_S - 30) * 1000)},
        "last_flush_at": NOW_S - 0.2,
        **more,
    }


def _found(*workers: dict[str, Any], **more: Any) -> Found:
    ends = {(topic, number): 10 for topic in NAMES.event_topics for number in range(2)}
    return Found(**{"now_s": NOW_S, "workers": workers, "ends": ends, "unowned_next": {}, **more})


def _alert(status: str, **more: Any) -> dict[str, Any]:
    return {
        "time": "2026-11-23T08:00:00Z",
        "data": {"rule": "payment_volume_drop", "status": status, "historical": False} | more,
    }


def test_all_is_well() -> None:
    report = judge(_found(_worker()), NAMES)
    assert report.verdict == OK
    payments = next(part for part in report.parts if part.name == "payments")
    assert (payments.lag, payments.watermark_age_s) == (0, 30.0)


def test_no_worker_is_down_and_the_waiting_records_are_counted() -> None:
    report = judge(_found(unowned_next={(NAMES.events("payments"), 0): 7}), NAMES)
    assert report.verdict == DOWN
    assert next(part for part in report.parts if part.name == "payments").lag == 3 + 10


@pytest.mark.parametrize(
    ("worker", "culprit"),
    [
        (_worker(leader=False), "evaluate"),
        (_worker(last_flush_at=NOW_S - 60), "host-1"),
        (_worker(partitions=[]), "payments"),
        (_worker(partitions=[_partition(t, n, behind=True) for t in NAMES.event_topics for n in range(2)]), "payments"),
    ],
    ids=["nobody leads", "a server is away", "partitions of nobody", "records wait"],
)
def test_what_makes_verdicts_late_is_behind(worker: dict[str, Any], culprit: str) -> None:
    report = judge(_found(worker), NAMES)
    assert report.verdict == BEHIND
    assert culprit in report.sentence


def test_a_topic_that_is_missing_is_down_and_says_what_to_do() -> None:
    report = judge(_found(_worker(), missing_topics=[NAMES.events("errors")]), NAMES)
    assert report.verdict == DOWN
    assert "setup topics" in report.sentence


def test_a_silent_source_is_no_data() -> None:
    report = judge(_found(_worker(), alerts=[_alert("no_data")]), NAMES)
    assert report.verdict == NO_DATA
    assert "payment_volume_drop" in report.sentence


def test_a_silence_of_the_past_is_not_the_present() -> None:
    assert judge(_found(_worker(), alerts=[_alert("no_data", historical=True)]), NAMES).verdict == OK


def test_an_alert_that_fires_does_not_make_the_pipeline_unwell() -> None:
    report = judge(_found(_worker(), alerts=[_alert("firing"), _alert("resolved")]), NAMES)
    assert report.verdict == OK
    assert "1 alert firing" in report.sentence


def test_behind_goes_before_no_data_because_late_data_look_like_none() -> None:
    assert judge(_found(_worker(leader=False), alerts=[_alert("no_data")]), NAMES).verdict == BEHIND


def test_every_part_has_the_shape_of_the_contract() -> None:
    for part in judge(_found(_worker()), NAMES).parts:
        assert {"name", "lag", "watermark_age_s"} <= json.loads(json.dumps(part.as_json())).keys()


def test_how_the_rules_stand_is_told() -> None:
    states = [
        {"rule": "provider_down", "group": {"provider": "ozow"}, "state": "firing", "since": 1},
        {"rule": "payment_volume_drop", "group": {}, "state": "learning", "since": None},
    ]
    report = judge(_found(_worker(rules={"count": 38, "states": states})), NAMES)
    rules = next(part for part in report.parts if part.kind == "rules")
    assert rules.detail == "38 rules; 1 firing: provider_down (ozow); 1 LEARNING: payment_volume_drop"
    assert rules.as_json()["states"] == states


def test_what_a_baseline_knows_is_told() -> None:
    told = [{"rule": "payment_volume_drop", "group": {}, "state": "learning", "says": "LEARNING, 4 of 24 hours"}]
    report = judge(_found(_worker(baselines=told)), NAMES)
    part = next(part for part in report.parts if part.kind == "baseline")
    assert (part.state, part.detail, report.verdict) == ("LEARNING", "LEARNING, 4 of 24 hours", OK)


def _notifier(**more: Any) -> dict[str, Any]:
    return {
        "name": "host-9",
        "leader": True,
        "lag": 3,
        "open_incidents": 1,
        "turned_age_s": 0.1,
        "last_page_at": NOW_S - 60,
        "watch": [],
        "channels": {"email": {"failures": 0, "resting_s": 0.0, "last_ok_at": NOW_S - 60, "last_failure": None}},
        "deadman": None,
        **more,
    }


def _parts(*notifiers: dict[str, Any], **more: Any) -> tuple[str, list[Any]]:
    report = judge(_found(_worker(), notifiers=notifiers, **more), NAMES)
    return report.verdict, [part for part in report.parts if part.kind in ("notifier", "channel", "deadman", "actions")]


def test_the_notifier_and_its_last_page() -> None:
    verdict, [part] = _parts(_notifier(), _notifier(name="host-8", leader=False), notifier_ran=True)
    assert (verdict, part.state, part.lag) == (OK, OK, 3)
    assert part.detail == "led by host-9; 1 open incident; last page sent 60 s ago"
    assert (part.as_json()["last_page_at"], part.as_json()["standing_by"]) == (NOW_S - 60, 1)
    assert "no page sent" in _parts(_notifier(last_page_at=None))[1][0].detail


def test_where_no_notifier_ever_ran_none_is_missed() -> None:
    assert _parts() == (OK, [])


@pytest.mark.parametrize(
    ("notifiers", "verdict", "says"),
    [
        ([], DOWN, "none runs, though one did"),
        ([_notifier(leader=False)], BEHIND, "1 notifier and none leads"),
        ([_notifier(turned_age_s=42.0)], BEHIND, "has not gone round for 42 s"),
        ([_notifier(watch=[{"name": "steps_overdue", "says": "the oldest was due"}])], BEHIND, "overdue: the oldest was due"),
    ],
)
def test_where_pages_may_not_come_all_is_not_well(notifiers: list[dict[str, Any]], verdict: str, says: str) -> None:
    report = judge(_found(_worker(), notifiers=notifiers, notifier_ran=True), NAMES)
    assert report.verdict == verdict and says in report.sentence
    assert any(part.kind == "notifier" for part in judge(_found(notifiers=notifiers, notifier_ran=True), NAMES).parts)


def test_channels_that_failed_last_and_a_switch_that_cannot_be_called_are_told() -> None:
    failure = {"at": NOW_S - 30, "result": "unreachable", "detail": "no connection to the mail server"}
    channels = {
        "email": {"failures": 4, "resting_s": 12.0, "last_ok_at": NOW_S - 60, "last_failure": failure},
        "sms": {"failures": 0, "resting_s": 0.0, "last_ok_at": NOW_S - 10, "last_failure": failure},
        "phone": {"failures": 1, "resting_s": 0.0, "last_ok_at": None, "last_failure": failure},
    }
    deadman = {"state": "failing", "ok_at": None, "detail": "answered 404"}
    verdict, parts = _parts(_notifier(channels=channels, deadman=deadman))
    assert verdict == OK
    assert [(part.name, part.state, part.detail) for part in parts[1:]] == [
        ("email", "FAILED", "unreachable 30 s ago: no connection to the mail server"),
        ("phone", "FAILED", "unreachable 30 s ago: no connection to the mail server"),
        ("dead man's switch", "FAILED", "it cannot be called: answered 404"),
    ]
    _, parts = _parts(_notifier(actions="actions.toml:3: error: what is wrong; no action is called"))
    assert [(part.name, part.state) for part in parts[1:]] == [("actions", "FAILED")]
    assert parts[1].detail == "actions.toml:3: error: what is wrong; no action is called"
