"""The page of system health: what is up, what is not known, and what a machine holds."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from console import health, system
from console.readings import MINUTE_MS, Pulse
from console.span import view_of
from console.system import NOTHING, Facts, Held, SystemPage
from console.words import plain
from rollups.query import query
from rollups.tables import HOUR
from tests.console.conftest import Held as Store
from tests.console.rows import NOW_MS, OPEN_MS, cells
from tests.console.test_api import got

LIVE = Pulse("live", "", NOW_MS - 1_000)
VIEW = view_of("1h", None, None, "6h", NOW_MS)
MINUTE = NOW_MS - NOW_MS % MINUTE_MS
THIS_HOUR = NOW_MS - NOW_MS % HOUR
Row = dict[str, Any]


def probe(component: str, status: str = "up", instance: str = "a", count: int = 1, **more: Any) -> Row:
    return {"component": component, "instance": instance, "status": status, "count": count} | more


def call(target: str, outcome: str = "ok", count: int = 1) -> Row:
    return {"component": "checkout", "target": target, "outcome": outcome, "latency_ms": 200.0, "count": count}


def load(host: str, resource: str, value: float) -> Row:
    return {"host": host, "resource": resource, "value": value, "interval_s": 5.0}


UP = [probe("shop"), probe("api"), probe("database")]


def page(
    probes: list[Row] | None = None,
    checks: dict[int, list[Row]] | None = None,
    calls: list[Row] | None = None,
    loads: list[Row] | None = None,
    pulse: Pulse = LIVE,
    **more: Any,
) -> SystemPage:
    rows = {OPEN_MS: cells("health", UP if probes is None else probes)}
    seen = {MINUTE: UP} if checks is None else checks
    minute = {table: {} for table in health.TABLES_READ} | {"health": rows}
    held = Held(
        probes=rows, checks={start: cells("health", some) for start, some in seen.items()},
        responses=cells("health", [row for some in seen.values() for row in some]),
        targets=cells("calls", calls or []), targets_known=cells("calls", calls or []),
        load=cells("resources", loads or []), load_known=cells("resources", loads or []), **more,
    )  # fmt: skip
    return system.system(Facts(NOW_MS, VIEW, pulse, held, health.overall(NOW_MS, pulse, minute, {})))


def says(found: SystemPage) -> tuple[str, str]:
    return found.state, plain(found.sentence).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("how", "state", "sentence"),
    [
        ({}, "ok", "Everything that is checked is up."),
        ({"probes": [*UP, probe("ozow", "down")]}, "failing", "ozow is down."),
        ({"probes": [*UP, probe("ozow", "down"), probe("ozow", instance="b")]}, "degraded", "ozow is partly down."),
        ({"checks": {MINUTE - 20 * MINUTE_MS: [probe("mail")], MINUTE: UP}}, "nodata", "mail is no longer checked."),
        ({"calls": [call("ozow", "connection_failed", 60), call("ozow", count=40)]}, "failing", "ozow does not answer."),
        ({"calls": [call("ozow", "connection_failed", 10), call("ozow", count=90)]}, "degraded", "ozow answers badly."),
        ({"calls": [call("ozow", "connection_failed", 4), call("ozow", count=2)]}, "ok", "Everything that is checked is up."),
        ({"loads": [load("db-1", "memory", 97.0)]}, "failing", "Machines are loaded: db-1 memory 97 %, critical."),
        ({"loads": [load("db-1", "cpu", 71.0)]}, "degraded", "Machines are loaded: db-1 cpu 71 %, over the warning."),
        ({"loads": [load("db-1", "network", 99.0)]}, "ok", "Everything that is checked is up."),
        ({"probes": [], "checks": {}}, "nodata", "Nothing is probed, so it is not known what is up."),
        ({"pulse": Pulse("down", "no worker", NOW_MS - 65_000)}, "stale", "Nothing is known since 11:59 UTC."),
    ],
)  # fmt: skip
def test_one_sentence_says_how_the_system_is(how: dict[str, Any], state: str, sentence: str) -> None:
    assert says(page(**how)) == (state, sentence)


def test_the_worst_component_stands_first_and_what_is_not_probed_now_is_neither_up_nor_down() -> None:
    found = page(
        [probe("b"), probe("a", "down"), probe("a", instance="2"), probe("z", "down")],
        {
            MINUTE - 30 * MINUTE_MS: [probe("lost", "down", count=3, response_ms=None)],
            MINUTE: [probe("b", response_ms=40.0)],
        },
        month={THIS_HOUR: (held := cells("health", [probe("b", count=99), probe("b", "down")]))},
        whole_month=held,
    ).components
    assert [(one.name, one.state, one.word) for one in found] == [
        ("z", "failing", "Down"), ("a", "degraded", "Partly down"), ("lost", "stale", "Not known"), ("b", "ok", "Up")
    ]  # fmt: skip
    assert (found[1].note, found[0].checked_s) == ("1 of 2 probes down", 5.0)
    assert found[2].checked_s == 29 * 60 + 5, "its last probe is in the minute that ended then"
    assert (found[3].day, found[3].month, found[3].errors) == (0.99, 0.99, None)
    assert found[3].p95_ms == pytest.approx(40, rel=0.02) and found[3].trend[-1] == 40.0
    assert found[2].day is None


def test_machines_stand_by_how_near_they_are_to_a_limit_and_one_without_samples_is_not_known() -> None:
    now = [load("calm", "cpu", 10.0), load("calm", "network", 99.0), load("busy", "cpu", 75.0)]
    hosts = page(loads=now).hosts
    assert [host.name for host in hosts] == ["busy", "calm"]
    assert (hosts[0].loads["cpu"].state, hosts[0].loads["cpu"].warning) == ("degraded", 70.0)
    assert hosts[1].loads["network"].critical is None and hosts[1].loads["network"].state == "ok"
    assert (hosts[0].loads["network"].value, hosts[0].loads["network"].state) == (None, "nodata")


def test_errors_are_told_by_component_and_category() -> None:
    def error(
        component: str, count: int, category: str = "payment", critical: bool = False, kind: str = "raised"
    ) -> Row:
        return {
            "kind": f"error.{kind}", "category": category, "component": component, "critical": critical, "count": count
        }  # fmt: skip

    mail = [error("mail", 1, "webhook"), error("mail", 9, kind="resolved")]
    rows = [error("checkout", 5), error("checkout", 2, critical=True), *mail]
    held = cells("errors", rows)
    found = page(errors={THIS_HOUR - 2 * HOUR: held, THIS_HOUR: held}, last_errors=held)
    assert found.categories == {"payment": 14, "webhook": 2}
    checkout, other = found.faults
    assert (checkout.component, checkout.hour, checkout.critical) == ("checkout", 7, 2)
    assert checkout.hours == [None] * 21 + [7, 0, 7] and (other.hour, other.critical) == (1, 0)


def test_where_nothing_could_be_read_nothing_is_up_or_zero() -> None:
    blind = Pulse("blind", "the store does not answer", None)
    found = system.system(Facts(NOW_MS, VIEW, blind, NOTHING, health.unread(health.NAMES, NOW_MS, blind)))
    assert found.state == "nodata" and not found.known
    assert {(tile.figure, tile.state) for tile in found.tiles} == {("–", "nodata")}
    assert not found.components and not found.dependencies and not found.hosts and not found.faults
    assert {one for line in found.latency.lines.values() for one in line} == {None}
    assert found.health.overall_health == "unhealthy"


def test_while_tillwatch_is_behind_what_others_answer_is_not_called_fine() -> None:
    found = page(calls=[call("ozow", count=50)], pulse=Pulse("behind", "2 partitions wait", NOW_MS - 90_000))
    assert found.dependencies[0].state == "behind"
    assert {tile.state for tile in found.tiles} <= {"behind", "nodata"}


@pytest.mark.integration
async def test_its_numbers_are_those_of_sql_and_of_the_health_endpoint(client: httpx.AsyncClient, held: Store) -> None:
    starts = [OPEN_MS - at * 10_000 for at in range(90)]
    status = ("up", "up", "up", "down", "up", "up", "up")
    await held.write("health", {start: [probe("shop", status[at % 7], count=3)] for at, start in enumerate(starts)})
    outcome = ("error", "ok", "ok", "ok", "ok")
    await held.write("requests", {start: [call("GET /", outcome[at % 5], 10)] for at, start in enumerate(starts)})
    await held.tell()
    found = await got(client, "/api/v1/pages/system?range=1h")
    sql = "select sum(count) filter (status = 'up') / sum(count) as up from health_10s"
    [row] = (await query(held.tables, sql, NOW_MS / 1000)).objects()
    assert found["components"][0]["day"] == found["components"][0]["month"] == pytest.approx(row["up"])
    at = 55
    start = found["start"] + at * found["step"]
    sql = (
        "select sum(count) filter (outcome != 'ok') / sum(count) as failed from requests_10s "
        f"where bucket >= epoch_ms({start}) and bucket < epoch_ms({start + found['step']})"
    )
    [row] = (await query(held.tables, sql, NOW_MS / 1000)).objects()
    assert found["failing"]["lines"]["Requests"][at] == pytest.approx(row["failed"], abs=1e-4)
    answered = (await client.get("/api/health")).json()
    for name in ("database_connectivity", "api_connectivity", "response_time", "uptime_percentage"):
        assert found["health"][name] == answered[name], name
    checks = [
        {one["name"]: one["state"] for one in of["checks"] if one["name"] != "pipeline"}
        for of in (found["health"], answered)
    ]
    assert checks[0] == checks[1]
    text = (await client.get("/system")).text
    assert 'src="/static/system.js"' in text and "<title>" in text
