"""The storm of bench.paging, and how its figures are told."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from bench.paging import STORM_ALERTS, STORM_S, Blow, storm
from bench.report import paging
from notifier.grouping import ENTITIES
from notifier.policy import STORM_ALL, STORM_RULE

HEAD = {
    "command": "python -m bench.paging",
    "made": "2026-11-30T22:00:00+00:00",
    "machine": {"cores": 2, "processor": "A processor", "memory_gib": 24, "system": "Linux"},
    "versions": {"Python": "3.11"},
}


@pytest.fixture(scope="module")
def found() -> list[Blow]:
    return list(storm(1))


def test_a_storm_is_ten_thousand_alerts_within_a_minute_in_order(found: list[Blow]) -> None:
    moments = [one.at for one in found]
    assert abs(len(found) - STORM_ALERTS) <= 10 and moments == sorted(moments)
    assert moments[0] >= 0 and moments[-1] <= STORM_S
    assert found == list(storm(1)) != list(storm(2))


def test_what_one_cause_tells_is_about_one_thing_or_by_one_rule(found: list[Blow]) -> None:
    things, rules = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for one in found:
        things[one.cause] |= {f"{name}={value}" for name, value in one.group.items() if name in ENTITIES}
        rules[one.cause].add(one.rule)
    assert all(len(things[name]) == 1 or (not things[name] and len(rules[name]) == 1) for name in things)
    plain = sum(not some for some in things.values())
    assert len(things) - plain + plain * (STORM_RULE + 1) < STORM_ALL, "else they are one storm together"


def test_an_alert_begins_before_it_goes_on_or_ends(found: list[Blow]) -> None:
    firing, said = set[str](), Counter[str]()
    for one in found:
        mark = f"{one.rule} {one.group}"
        assert (one.says == "firing") == (mark not in firing)
        said[one.says] += 1
        firing.discard(mark) if one.says == "resolved" else firing.add(mark)
    assert min(said["firing"], said["updated"], said["resolved"]) > 500


def test_the_table_tells_what_was_measured() -> None:
    result: dict[str, Any] = HEAD | {
        "load": [0.04, 2.3],
        "latency": {
            **{"alerts": 300, "p50_ms": 24, "p95_ms": 48, "p99_ms": 71, "max_ms": 72},
            **{"cpu_ms_an_alert": 23.2, "busy_cores": 1.5},
        },
        "storms": [
            {
                **{
                    "seed": 1,
                    "alerts": 10_000,
                    "causes": 3,
                    "incidents": {"a": 1, "b": 1, "c": 4},
                    "unpaged": [7],
                    "sent_late_s": 0.2,
                },
                **{"first_page_s": [0.5, 1.0, 1.5], "messages": {"page by email": 6}, "cpu_s": 5.0, "peak_mb": 99.4},
            }
        ],
        "failover": {"trials": 2, "session_timeout_s": 6.0, "timers_s": [6.0, 8.0], "alerts_s": [7.0, 7.5]},
    }
    text = "\n".join(paging(result))
    assert "p50 24 ms, p95 48 ms, p99 71 ms, most 72 ms | 300 alerts" in text
    assert (
        "p50 1.00 s, p99 1.49 s, most 1.50 s; not paged: [7]" in text
        and "2 × 1, 1 × 4" in text
        and "the last 0.2 s late" in text
    )
    assert "load was 0.0 when it began, 2.3 when it ended" in text
    assert "p50 7.00 s, p95 7.90 s, most 8.00 s" in text and "session timeout 6 s" in text
