"""What each signal is now: in the API, on a terminal, for Prometheus, and in Grafana's dashboards."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from console import signals
from console.desk import Desk
from console.grafana import dashboards
from console.readings import Pulse
from console.signals import EVENT_BY_EVENT, GROUPS_MOST, Seen, SignalNow, groupings, span_of
from rules.signals import shipped
from runtime.clock import ManualClock
from runtime.settings import Settings
from tests.console.conftest import RULES, Held, client_of
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid, status
from tests.support.desk import rules
from tests.support.store import KillableStore

MINUTE = 60_000
EXPRESSION = re.compile(r"\btillwatch_\w+")


def seen(name: str, pulse: Pulse | None = None, **tables: list[dict[str, Any]]) -> Seen:
    """What the windows hold that this signal looks at."""
    needed = signals.wanted([name])
    held = {window: {table: cells(table, tables.get(table, [])) for table in of} for window, of in needed.items()}
    return Seen(NOW_MS, pulse or Pulse("live", "", NOW_MS), held, {table: OPEN_MS - MINUTE for table in tables})


def now(name: str, pulse: Pulse | None = None, pack: str | None = None, **tables: list[dict[str, Any]]) -> SignalNow:
    in_force = () if pack is None else rules(pack).rules
    (one,) = signals.signals(seen(name, pulse, **tables), [name], in_force).signals
    return one


def told(one: SignalNow) -> dict[str, float | None]:
    return {",".join(f"{name}={value}" for name, value in part.group.items()): part.value for part in one.values}


def test_a_ratio_is_told_as_a_whole_and_by_provider() -> None:
    one = now("payment_success_rate", payments=[paid(8), failed(2), paid(1, provider="ikhokha")])
    assert told(one) == {"": 9 / 11, "provider=ozow": 0.8, "provider=ikhokha": 1.0}
    assert one.target is not None and one.target.met is False
    assert (one.state, one.age_s) == ("missed", 55.0)


def test_a_gauge_has_a_value_for_each_host_and_a_sum_one_for_each_currency() -> None:
    some = [{"host": "a", "resource": "cpu", "value": 20.0}, {"host": "b", "resource": "cpu", "value": 70.0}]
    assert told(now("cpu_usage", resources=some)) == {"host=a": 20.0, "host=b": 70.0}
    assert told(now("revenue", payments=[paid(2), paid(1, currency="NAD", amount=5)])) == {
        "currency=ZAR": 20_000,
        "currency=NAD": 5,
    }


def test_a_quantile_is_that_of_all_its_cells() -> None:
    one = now("p95_payment_latency", payments=[paid(90), paid(10, provider="slow", latency_ms=9_000.0)])
    assert told(one)[""] == pytest.approx(9.0, rel=0.01)
    assert told(one)["provider=ozow"] == pytest.approx(2.0, rel=0.01)


def test_nothing_to_judge_is_null_and_a_count_is_zero() -> None:
    assert told(now("payment_success_rate")) == {"": None}
    assert told(now("security_violations")) == {"": 0}
    assert now("payment_success_rate").state == "unknown"


def test_groups_are_bounded_and_those_with_the_most_events_are_told() -> None:
    many = [paid(n + 1, provider=f"p{n:03}") for n in range(GROUPS_MOST + 7)]
    one = now("payment_volume", payments=many)
    assert (len(one.values), one.groups_more) == (GROUPS_MOST + 1, 7)
    assert "provider=p000" not in told(one)
    assert f"provider=p{GROUPS_MOST + 6:03}" in told(one)


def test_the_state_is_that_of_the_rules_that_compare_it() -> None:
    one = '{condition: "payment_success_rate < 90% over 5 minutes", severity: high}'
    other = '{condition: "cpu_usage > 9%", severity: low}'
    pack = f"p: {{low: {one}, other: {other}}}"
    states = [{"rule": "low", "group": {}, "state": "firing", "since": None}]
    leads = status(NOW_MS / 1000, rules={"count": 2, "states": states})
    pulse = Pulse("live", "", NOW_MS, (leads,), leads)
    firing = now("payment_success_rate", pulse, pack, payments=[paid(1)])
    assert (firing.state, firing.rules) == ("firing", ["low"])
    assert now("cpu_usage", pulse, pack).state == "ok"
    assert now("cpu_usage", Pulse("down", "", None), pack).state == "unknown", "nobody judges"


@pytest.mark.parametrize("name", shipped())
def test_every_signal_can_be_told(name: str) -> None:
    one = now(name)
    assert one.signal == name
    assert one.window.end - one.window.start >= signals.NOW_MS
    assert bool(one.values) <= (shipped()[name].aggregate not in EVENT_BY_EVENT)
    assert all(shipped()[name].delay_ms == back for _, back in [span_of(shipped()[name])])


# --- asked ------------------------------------------------------------------------------------------------------------


async def test_the_api_tells_what_sql_tells(client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS - MINUTE: [paid(30), failed(10)], OPEN_MS - 10 * MINUTE: [failed(999)]})
    answer = (await client.get("/api/v1/signals")).json()
    one = next(one for one in answer["signals"] if one["signal"] == "payment_success_rate")
    assert one["values"][0] == {"group": {}, "value": 0.75}
    start, end = one["window"]["start"], one["window"]["end"]
    sql = (
        "select sum(count) filter (outcome = 'succeeded') / sum(count) from payments_10s "
        f"where bucket >= '{start}' and bucket < '{end}'"
    )
    assert (await client.post("/api/v1/sql", json={"sql": sql})).json()["rows"] == [[0.75]]
    assert answer["stale"] is False


async def _metrics(client: httpx.AsyncClient) -> dict[str, dict[tuple[str, ...], float]]:
    text = (await client.get("/metrics")).text
    return {
        family.name: {
            tuple(value for name, value in sample.labels.items() if name != "namespace"): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


async def test_prometheus_is_told_of_signals_only_where_asked_for(client: httpx.AsyncClient) -> None:
    found = await _metrics(client)
    assert "tillwatch_pipeline_state" in found
    assert not any("payment" in name for name in found)


@pytest.fixture
def telling(settings: Settings) -> Settings:
    return settings.model_copy(update={"metrics": "signals"})


async def test_prometheus_is_told_of_signals(telling: Settings, desk: Desk, client: httpx.AsyncClient, held: Held) -> None:
    desk.settings = telling
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(30), failed(10, provider='odd "{}\\ one')]})
    await held.write("resources", {OPEN_MS: [{"host": "a", "resource": "cpu", "value": 40.0}]})
    found = await _metrics(client)
    assert found["tillwatch_signal_payment_success_rate_ratio"] == {(): 0.75}
    assert found["tillwatch_provider_payment_success_rate_ratio"] == {("ozow",): 1.0, ('odd "{}\\ one',): 0.0}
    assert found["tillwatch_host_cpu_usage_ratio"] == {("a",): 0.4}, "a percent is a fraction"
    assert found["tillwatch_signal_conversion_rate_ratio"] == {}, "what is not known is absent"
    assert found["tillwatch_signal_security_violations"] == {(): 0}


async def test_dashboards_name_metrics_that_there_are(telling: Settings, desk: Desk, client: httpx.AsyncClient) -> None:
    desk.settings = telling
    known = {*await _metrics(client)} | {f"{name}_total" for name in await _metrics(client)}
    for name, dashboard in dashboards().items():
        named = {*EXPRESSION.findall(" ".join(_expressions(dashboard)))}
        assert named, name
        assert named <= known, f"{name}: {named - known}"


async def test_prometheus_is_answered_where_the_store_is_away(
    telling: Settings, clock: ManualClock, patient: KillableStore
) -> None:
    lost = Desk(telling.model_copy(update={"redis": SecretStr(patient.url)}), clock, RULES)
    async with lost.running(), client_of(lost) as client:
        patient.kill()
        found = await _metrics(client)
        patient.start()
    assert found["tillwatch_pipeline_state"]["blind",] == 1
    assert not any("payment" in name for name in found)


# --- Grafana's model --------------------------------------------------------------------------------------------------


def _expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_dashboards_have_what_grafana_reads() -> None:
    assert {*dashboards()} == {"overview", "payments", "system", "security", "pipeline"}
    assert len({one["uid"] for one in dashboards().values()}) == 5
    for dashboard in dashboards().values():
        assert json.loads(json.dumps(dashboard)) == dashboard
        assert dashboard["schemaVersion"] >= 36, "from which on a data source is named by its uid"
        assert [one["name"] for one in dashboard["templating"]["list"]] == ["datasource", "namespace"]
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for panel in dashboard["panels"]:
            assert panel["type"] in ("stat", "timeseries", "table")
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[0]["value"] is None
            assert [one["value"] for one in steps[1:]] == sorted(one["value"] for one in steps[1:])
            for target in panel["targets"]:
                assert target["instant"] is not target["range"]
                assert 'namespace=~"$namespace"' in target["expr"]


def test_no_panel_lies_upon_another() -> None:
    for name, dashboard in dashboards().items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            covers = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert max(x for x, _ in covers) < 24, name
            assert not covers & taken, (name, panel["title"])
            taken |= covers


def test_groupings_are_dimensions_of_the_tables() -> None:
    assert groupings(shipped()["payment_success_rate"]) == [(), ("provider",)]
    assert groupings(shipped()["revenue"]) == [("currency",)]
    assert groupings(shipped()["enrollment_rate"]) == [()], "enrollments have no provider"
