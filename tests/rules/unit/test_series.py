"""The notation for traffic: what it says, and what is said of what it does not say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.unit.desk import START_S
from rules.unit.series import TYPES, NotationError, moment, streams
from schemas.decode import Decoder
from schemas.events import SUBJECT_OF


def events(table: str, text: str) -> list[tuple[int, dict[str, Any]]]:
    """(ms from the begin, event)."""
    found = [one for number, stream in enumerate(streams(table, text)) for one in stream.events(number, 0)]
    return sorted(found, key=lambda one: one[0])


def test_a_rate_is_evenly_spread_and_ends_before_its_end() -> None:
    times = [ms for ms, _ in events("payments", "succeeded 4/s from 10s to 11s")]
    assert times == [10_000, 10_250, 10_500, 10_750]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("every 5s from 0s to 15s", [0, 5_000, 10_000]),
        ("6/min from 1m to 1m20s", [60_000, 70_000]),
        ("4 from 0s to 60s", [0, 15_000, 30_000, 45_000]),
        ("3 at 30s", [30_000, 30_001, 30_002]),
        ("at 2s", [2_000]),
    ],
)
def test_how_often(text: str, times: list[int]) -> None:
    assert [ms for ms, _ in events("payments", f"succeeded {text}")] == times


@pytest.mark.parametrize(
    ("table", "text", "event_type", "data"),
    [
        ("payments", "ozow succeeded 12s", "payment.succeeded", {"provider": "ozow", "latency_ms": 12_000.0}),
        ("payments", "failed business", "payment.failed", {"fault": "business"}),
        ("payments", "failed", "payment.failed", {"fault": "technical"}),
        ("health", "checkout down place=jnb", "health.checked", {"component": "checkout", "status": "down", "place": "jnb"}),
        ("resources", "db-1 memory 95%", "resource.sampled", {"host": "db-1", "resource": "memory", "value": 95.0}),
        ("security", "mallory auth.failed", "auth.failed", {"actor": "mallory"}),
        ("queries", "connection_failed", "query.run", {"outcome": "connection_failed"}),
        ("errors", "raised critical=true", "error.raised", {"critical": True}),
        ("enrollments", "access_granted welding", "enrollment.access_granted", {"course": "welding"}),
    ],
)
def test_what_the_words_mean(table: str, text: str, event_type: str, data: dict[str, Any]) -> None:
    ((_, event),) = events(table, f"{text} at 1s")
    assert event["type"] == event_type
    assert event["data"] | data == event["data"]


@pytest.mark.parametrize("table", [name for name, types in TYPES.items() if types])
def test_every_event_type_can_be_made_and_is_valid(table: str) -> None:
    for event_type in TYPES[table]:
        (stream,) = streams(table, f"{event_type} 2 at 1s")
        for ms, event in stream.events(1, int(START_S * 1000)):
            _, at, notes = Decoder(SUBJECT_OF[event_type], b"key").decode(json.dumps(event).encode(), None, [])
            assert (at, notes) == (ms, None)


@pytest.mark.parametrize(
    ("table", "text", "why"),
    [
        ("paymnts", "succeeded at 1s", "did you mean payments?"),
        ("payments", "ikhokha 1/s from 0s to 5s", "which event of payments? initiated, redirected, succeeded"),
        ("payments", "succeeded 1/s", "when?"),
        ("payments", "succeeded from 0s to 5s", "how often?"),
        ("payments", "succeeded 1/s from 5s to 0s", "ends before it begins"),
        ("payments", "succeeded 5 1/s from 0s to 9s", "but not both"),
        ("payments", "succeeded at noon", "expected a time such as 90s"),
        ("payments", "succeeded at 1s a b", "what is 'b' of payment.succeeded?"),
        ("payments", "succeeded at 1s providr=x", "did you mean provider?"),
        ("errors", "raised at 1s critical=perhaps", "expected true or false, got 'perhaps'"),
        ("payments", "succeeded 0/s from 0s to 9s", "a rate of nothing"),
        ("payments", "succeeded 100000/s from 0s to 9s", "more than 200,000 events"),
    ],
)
def test_what_cannot_be_read_is_told(table: str, text: str, why: str) -> None:
    with pytest.raises(NotationError, match=why.replace("?", r"\?")):
        streams(table, text)


@pytest.mark.parametrize(("text", "ms"), [("90s", 90_000), ("1m30s", 90_000), ("250ms", 250), ("1.5h", 5_400_000)])
def test_a_time(text: str, ms: int) -> None:
    assert moment(text) == ms
