"""The API over a real store."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from console import openapi
from console.desk import Desk
from console.gate import Gate
from rollups.query import query
from runtime.clock import ManualClock
from runtime.settings import Settings
from schemas.time import rfc3339
from tests.console.conftest import RULES, Held, app_of, client_of
from tests.console.rows import NOW_MS, OPEN_MS, failed, paid
from tests.console.test_board import event, post
from tests.support.night import Night, alert
from tests.support.store import KillableStore
from tests.support.wait import eventually_async

SQL = {"content-type": "application/json"}


async def got(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# --- figures ----------------------------------------------------------------------------------------------------------


def busy(rng: random.Random, kind: str) -> dict[str, Any]:
    count, took = rng.randint(1, 40), rng.uniform(1, 20_000)
    if kind == "payments":
        outcome = rng.choice(["initiated", "succeeded", "succeeded", "failed"])
        fault = rng.choice(["business", "technical", "unknown", "fraud"]) if outcome == "failed" else None
        return paid(
            count, outcome=outcome, fault=fault, currency=rng.choice(["ZAR", "USD"]), amount=rng.randint(0, 10**6),
            latency_ms=None if outcome == "initiated" else took, provider=rng.choice(["ozow", "peach"]),
        )  # fmt: skip
    if kind == "errors":
        return {
            "kind": rng.choice(["error.raised", "error.resolved"]), "category": rng.choice(["payment", "application"]),
            "component": "checkout", "critical": rng.random() < 0.3, "count": count,
        }  # fmt: skip
    outcome = rng.choice(["ok", "ok", "error", "connection_failed"])
    return {"component": "checkout", "target": "t", "outcome": outcome, "latency_ms": took, "count": count}


PAYMENTS = """
with w as (from {payments} where bucket >= '{start}' and bucket < '{end}'),
  c as (from {payment_cohorts} where bucket >= '{start}' and bucket < '{end}')
select sum(count) filter (outcome = 'succeeded') / sum(count) filter (outcome in ('succeeded', 'failed')) as success_rate,
  sum(count) filter (outcome = 'failed' and fault in ('technical', 'unknown'))
    / sum(count) filter (outcome in ('succeeded', 'failed')) as failure_rate,
  sum(count) filter (outcome = 'failed' and fault = 'business')
    / sum(count) filter (outcome in ('succeeded', 'failed')) as decline_rate,
  sum(latency_ms_sum) filter (outcome in ('succeeded', 'failed'))
    / sum(count) filter (outcome in ('succeeded', 'failed') and latency_ms_sum is not null) / 1000 as average_latency,
  sum(amount_sum) filter (outcome = 'succeeded' and currency = 'ZAR')::bigint as zar,
  (select sum(count) filter (outcome = 'succeeded') / sum(count) filter (outcome = 'initiated') from c) as conversion_rate,
  (select sum(count)::bigint from payments_10s where outcome in ('succeeded', 'failed')) as volume
from w
"""
ERRORS = """
select (select sum(count) filter (outcome != 'ok') / sum(count) from {requests} where bucket >= '{start}' and bucket < '{end}')
    as error_rate,
  sum(count) filter (kind = 'error.raised')::bigint as error_count,
  sum(count) filter (kind = 'error.raised' and critical)::bigint as critical_errors,
  sum(count) filter (kind = 'error.resolved')::bigint as resolved_errors,
  sum(count) filter (kind = 'error.raised' and category = 'payment')::bigint as payment
from {errors} where bucket >= '{start}' and bucket < '{end}'
"""


async def by_sql(held: Held, sql: str, window: dict[str, str], resolution: str) -> dict[str, Any]:
    tables = ("payments", "payment_cohorts", "errors", "requests")
    names = {table: f"{table}_{resolution}" for table in tables}
    [row] = (await query(held.tables, sql.format(**window, **names), NOW_MS / 1000)).objects()
    return row


@pytest.mark.parametrize(("length", "resolution"), [("1h", "10s"), ("20h", "1m")])
async def test_figures_are_those_of_sql_over_the_same_window(
    client: httpx.AsyncClient, held: Held, length: str, resolution: str
) -> None:
    rng = random.Random(length)
    for table in ("payments", "payment_cohorts", "errors", "requests"):
        kind = {"payment_cohorts": "payments"}.get(table, table)
        starts = {OPEN_MS - rng.randrange(6 * 360) * 10_000 for _ in range(150)}
        await held.write(table, {start: [busy(rng, kind) for _ in range(4)] for start in starts})
        await held.tables.materialise(table, OPEN_MS - 2_000_000)
    found = await got(client, f"/api/v1/kpis/payments?window={length}")
    sql = await by_sql(held, PAYMENTS, found["window"], resolution)
    for name in ("success_rate", "failure_rate", "decline_rate", "average_latency", "conversion_rate"):
        assert found[name] == pytest.approx(sql[name], rel=1e-12), name
    assert (found["revenue"]["ZAR"], found["daily_volume"]) == (sql["zar"], sql["volume"])
    errors = await got(client, f"/api/v1/kpis/errors?window={length}")
    sql = await by_sql(held, ERRORS, errors["window"], resolution)
    assert errors["error_rate"] == pytest.approx(sql["error_rate"], rel=1e-12)
    assert errors["error_categories"]["payment"] == sql["payment"]
    assert {name: errors[name] for name in sql if name in errors and name != "error_rate"} == {
        name: value for name, value in sql.items() if name in errors and name != "error_rate"
    }


async def test_figures_of_an_empty_installation_are_null_and_say_that_nothing_is_known(client: httpx.AsyncClient) -> None:
    found = await got(client, "/api/v1/kpis/payments")
    assert found["success_rate"] is None and found["as_of"] is None and found["stale"] is True
    assert await got(client, "/api/v1/kpis/security")
    assert (await got(client, "/api/v1/kpis/performance"))["cpu"]["state"] == "unknown"


async def test_figures_are_as_of_when_the_leader_spoke(client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    found = await got(client, "/api/v1/kpis/errors")
    assert found["stale"] is False
    assert "2026-09-21T11:59:5" < found["as_of"] <= "2026-09-21T12:00:05.000Z"


@pytest.mark.parametrize("window", ["", "1", "h", "0s", "15s", "32d", "-1h", "1e9d", "inf s", "9" * 18 + "d", "1 h; drop"])
async def test_a_window_that_is_none_is_refused(client: httpx.AsyncClient, window: str) -> None:
    answer = await client.get("/api/v1/kpis/payments", params={"window": window})
    assert answer.status_code == 400
    assert "window" in answer.json()["detail"]


# --- health -----------------------------------------------------------------------------------------------------------


async def test_health_is_as_the_contract_has_it(client: httpx.AsyncClient, held: Held, clock: ManualClock) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(9), failed(1)]})
    await held.write("queries", {OPEN_MS: [{"component": "c", "target": "t", "outcome": "ok", "count": 4}]})
    await held.write("health", {OPEN_MS: [{"component": "shop", "instance": "a", "status": "up", "count": 3}]})
    found = await got(client, "/api/health")
    assert set(found) == {
        "overall_health", "api_connectivity", "database_connectivity", "webhook_processing", "payment_system",
        "response_time", "uptime_percentage", "checks", "as_of",
    }  # fmt: skip
    assert (found["overall_health"], found["payment_system"], found["database_connectivity"]) == ("degraded", True, True)
    assert (found["webhook_processing"], found["api_connectivity"]) == (False, False), "nothing is known of them"
    assert found["uptime_percentage"] == 100
    assert all(set(check) == {"name", "state", "age_s", "detail"} for check in found["checks"])
    assert (await got(client, "/api/health/payment"))["overall_health"] == "healthy"
    assert (await client.get("/api/health/webhook")).status_code == 503
    clock.advance(70)
    await held.tell(last_flush_at=clock.now())
    later = await client.get("/api/health/payment")
    assert (later.status_code, later.json()["payment_system"]) == (503, False)


async def test_a_part_that_there_is_not_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/health/paymnt")
    assert answer.status_code == 400
    assert "payment" in answer.json()["detail"]


@pytest.mark.fault
async def test_a_store_that_goes_away_or_freezes_is_told_within_seconds(
    patient: KillableStore, clock: ManualClock, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.readings.ANSWER_WITHIN_S", 1.0)
    settings = Settings(kafka="127.0.0.1:1", redis=SecretStr(patient.url), namespace=namespace)
    desk = Desk(settings, clock, RULES)
    async with desk.running(), client_of(desk) as client:
        assert (await client.get("/api/v1/kpis/payments")).status_code == 200
        patient.kill()

        async def told() -> bool:
            answer = await client.get("/api/health")
            return answer.status_code == 503 and "the store does not answer" in answer.text

        assert await eventually_async(told, "health says so", 15)
        assert await eventually_async(lambda: _refuses(client), "figures are not told from memory", 5)
        for path in ("/api/v1/rollups/payments", "/livez", "/readyz", "/metrics", "/api/v1/rules", "/api/v1/alerts"):
            assert (await client.get(path)).status_code == (503 if "rollups" in path else 200)
        patient.start()
        assert await eventually_async(lambda: _answers(client), "it is read again", 15)
        patient.freeze()
        async with asyncio.timeout(15):
            assert await told()
        patient.thaw()


async def _answers(client: httpx.AsyncClient) -> bool:
    return (await client.get("/api/v1/kpis/payments")).status_code == 200


async def _refuses(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/api/v1/kpis/payments")
    return (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


async def test_it_is_ready_while_it_runs(desk: Desk, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200
    desk.ready = False
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


# --- tables -----------------------------------------------------------------------------------------------------------


async def test_rows_of_a_table_and_their_tag(client: httpx.AsyncClient, held: Held) -> None:
    await held.write("payments", {OPEN_MS: [paid(3), failed(1)], OPEN_MS - 10_000: [paid(2, provider="peach")]})
    path = "/api/v1/rollups/payments?resolution=10s&by=provider&where=outcome=succeeded&to=2026-09-21T12:00:10Z"
    answer = await client.get(path)
    assert [(row["bucket"], row["provider"], row["count"]) for row in answer.json()["rows"]] == [
        ("2026-09-21T11:59:50.000Z", "peach", 2), ("2026-09-21T12:00:00.000Z", "ozow", 3)
    ]  # fmt: skip
    tag = answer.headers["etag"]
    again = await client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    await held.write("payments", {OPEN_MS: [paid(4)]})
    assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_sql_is_answered(client: httpx.AsyncClient, held: Held) -> None:
    await held.write("payments", {OPEN_MS: [paid(3), failed(1)]})
    sql = "select outcome, sum(count)::int as n, now() as t from payments_10s group by all order by all"
    answer = await client.post("/api/v1/sql", json={"sql": sql})
    assert answer.json() == {
        "columns": [{"name": "outcome", "type": "VARCHAR"}, {"name": "n", "type": "INTEGER"},
                    {"name": "t", "type": "TIMESTAMP WITH TIME ZONE"}],
        "rows": [["failed", 1, "2026-09-21T12:00:05Z"], ["succeeded", 3, "2026-09-21T12:00:05Z"]],
    }  # fmt: skip


# --- rules, alerts, integration ---------------------------------------------------------------------------------------


async def test_rules_say_what_they_mean_and_how_they_stand(client: httpx.AsyncClient, held: Held) -> None:
    found = {one["rule"]: one for one in (await got(client, "/api/v1/rules"))["rules"]}
    assert found["provider_down"]["state"] == "unknown", "nobody judges"
    assert found["payment_processing_failure"]["explanation"].startswith("Fires (critical) when more than 5 %")
    states = [
        {"rule": "provider_down", "group": {"provider": "ozow"}, "state": "pending", "since": None},
        {"rule": "provider_down", "group": {"provider": "peach"}, "state": "firing", "since": NOW_MS},
    ]
    await held.redis.delete(held.settings.names.worker("worker-a"))
    await held.tell(rules={"count": 30, "states": states})
    await eventually_async(lambda: _stands(client, "firing"), "the leader's word is read")
    found = {one["rule"]: one for one in (await got(client, "/api/v1/rules"))["rules"]}
    assert len(found["provider_down"]["states"]) == 2
    assert found["payment_failing"]["state"] == "ok"


async def test_one_rule_tells_its_history_and_its_record_and_since_when_they_are_known(
    desk: Desk, client: httpx.AsyncClient, held: Held
) -> None:
    night = Night()
    pack = next(one.pack for one in RULES.rules if one.name == "provider_down")
    night.alert(alert("provider_down", provider="ozow", pack=pack))
    incident = msgspec.structs.replace(night.incident(), opened_ms=NOW_MS - 60_000)
    await held.keep(incident)
    await desk.incidents.following.look()
    post(desk.board, 1, rule="provider_down")
    found = await got(client, "/api/v1/rules/provider_down")
    assert found["rule"]["rule"] == "provider_down"
    assert found["history"]["episodes"] == 1
    assert (found["record"]["month"]["incidents"], found["record"]["latest"]) == (1, [1])
    assert found["record_since"] == rfc3339(incident.opened_ms)
    quiet = await got(client, "/api/v1/rules/payment_failing")
    assert (quiet["history"], quiet["record"]) == (None, None)
    answer = await client.get("/api/v1/rules/provider_dwn")
    assert answer.status_code == 404
    assert "did you mean provider_down" in answer.json()["detail"]


async def _stands(client: httpx.AsyncClient, state: str) -> bool:
    rules = (await got(client, "/api/v1/rules"))["rules"]
    return any(one["rule"] == "provider_down" and one["state"] == state for one in rules)


async def test_alerts_page_by_page(desk: Desk, client: httpx.AsyncClient) -> None:
    for at in range(5):
        post(desk.board, at, rule="provider_down" if at % 2 else "system_down", severity="critical" if at else "low")
    first = await got(client, "/api/v1/alerts?limit=3")
    assert [one["place"] for one in first["alerts"]] == ["log-4", "log-3", "log-2"]
    assert first["followed"] is False, "the broker is away"
    rest = await got(client, f"/api/v1/alerts?limit=3&before={first['next']}")
    assert ([one["place"] for one in rest["alerts"]], rest["next"]) == (["log-1", "log-0"], None)
    assert [one["place"] for one in (await got(client, "/api/v1/alerts?rule=provider_down"))["alerts"]] == ["log-3", "log-1"]
    assert [one["place"] for one in (await got(client, "/api/v1/alerts?severity=low"))["alerts"]] == ["log-0"]
    firing = (await got(client, "/api/v1/alerts?firing=true"))["alerts"]
    assert sorted(one["event"]["data"]["rule"] for one in firing) == ["provider_down", "system_down"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("rule=provider_dwn", "did you mean provider_down?"),
        ("severity=hgh", "did you mean high?"),
        ("before=x", "no place of an alert"),
        ("limit=0", "greater than or equal to 1"),
        ("limit=100000", "less than or equal to 200"),
        ("firing=perhaps", "valid boolean"),
    ],
)
async def test_what_is_wrong_with_a_question_about_alerts(client: httpx.AsyncClient, query: str, says: str) -> None:
    answer = await client.get(f"/api/v1/alerts?{query}")
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


async def test_where_other_systems_plug_in(client: httpx.AsyncClient) -> None:
    found = await got(client, "/api/v1/integration")
    assert set(found) == {"metrics_endpoint", "log_aggregation", "alert_webhook", "dashboard_url", "incident_api"}
    assert found["metrics_endpoint"] == "http://localhost:8321/metrics"


async def test_metrics_are_what_prometheus_reads_and_begin_with_the_namespace(
    desk: Desk, client: httpx.AsyncClient, held: Held, namespace: str
) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    await held.tell(rules={"count": 3, "states": [{"rule": "provider_down", "group": {}, "state": "firing", "since": None}]})
    post(desk.board, 1)
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]
    assert all(next(iter(one.labels.items())) == ("namespace", namespace) for one in samples)
    found = {(one.name, *list(one.labels.values())[1:]): one.value for one in samples}
    assert found["tillwatch_pipeline_state", "live"] == 1
    assert found["tillwatch_pipeline_state", "down"] == 0
    assert found["tillwatch_lag_records", "t.payments.v1"] == 10
    assert found["tillwatch_watermark_age_seconds", "payments"] == 30
    assert found["tillwatch_rules",] == len(desk.rules.rules)
    assert found["tillwatch_rule_groups", "provider_down", "firing"] == 1
    assert found["tillwatch_alerts_sent_total", "provider_down", "firing"] == 1
    assert found["tillwatch_alerts_firing", "critical"] == 1


# --- events -----------------------------------------------------------------------------------------------------------


class Stream:
    """A listener, as a server has it: what is sent, until it goes away."""

    def __init__(self, app: Gate, after: str | None = None) -> None:
        headers = [(b"host", b"localhost"), *([(b"last-event-id", after.encode())] if after is not None else [])]
        self._scope = {
            "type": "http", "method": "GET", "path": "/api/v1/events", "raw_path": b"/api/v1/events", "query_string": b"",
            "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
        }  # fmt: skip
        self._app, self._gone, self.takes = app, asyncio.Event(), True
        self.text, self.status, self.ended = "", 0, False

    async def __aenter__(self) -> Stream:
        self.task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await asyncio.wait_for(self.task, 5)

    async def _receive(self) -> dict[str, Any]:
        if self._scope.pop("client", None):
            return {"type": "http.request", "body": b""}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message["body"].decode()
            self.ended = not message.get("more_body")
        if not self.takes:
            await asyncio.Event().wait()


@pytest.fixture
def app(desk: Desk) -> Gate:
    return app_of(desk)


@pytest.fixture
async def stream(app: Gate) -> AsyncIterator[Stream]:
    async with Stream(app) as found:
        await eventually_async(lambda: "event: tick" in found.text, "it begins with how things are")
        yield found


async def test_alerts_and_ticks_are_streamed(desk: Desk, stream: Stream) -> None:
    post(desk.board, 7)
    await eventually_async(lambda: "event: alert" in stream.text, "the alert is told")
    await eventually_async(lambda: stream.text.count("event: tick") == 2, "it ticks")
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in stream.text.strip().split("\n\n")]
    assert (stream.status, blocks[0]) == (200, {"retry": "2000"})
    alert = next(block for block in blocks if block.get("event") == "alert")
    assert alert["id"] == "log-7"
    assert json.loads(alert["data"]) == event()
    tick = json.loads(blocks[1]["data"])
    assert (tick["state"], tick["as_of"], tick["firing"]) == ("down", None, 0)


async def test_an_alert_is_on_the_first_page_without_waiting_for_the_next_tick(
    desk: Desk, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.desk.TICK_S", 600.0)
    await eventually_async(lambda: stream.text.count("event: overview") >= 1, "the page is told")
    told = stream.text.count("event: overview")
    post(desk.board, 1, rule="provider_down")
    await eventually_async(lambda: stream.text.count("event: overview") > told, "the page is told again")
    assert "provider_down" in stream.text.rpartition("event: overview")[2]


async def test_who_comes_back_is_told_what_it_missed(desk: Desk, app: Gate) -> None:
    for at in range(4):
        post(desk.board, at)
    async with Stream(app, "log-1") as stream:
        await eventually_async(lambda: "id: log-3" in stream.text, "both are told")
    assert "id: log-2" in stream.text and "id: log-1" not in stream.text


async def test_a_hundred_tabs_are_one_reader(desk: Desk, app: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    ask = desk.readings._ask_statuses

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await ask()

    monkeypatch.setattr(desk.readings, "_ask_statuses", counted)
    streams = [Stream(app) for _ in range(100)]
    for one in streams:
        await one.__aenter__()
    await eventually_async(lambda: all(one.text.count("event: tick") >= 2 for one in streams), "all are told")
    for one in streams:
        await one.__aexit__()
    assert asked < 10
    assert desk.board.listeners == 0


async def test_streams_end_when_the_console_does(desk: Desk, stream: Stream) -> None:
    desk.board.close()
    await eventually_async(lambda: stream.ended, "the stream ends")


async def test_who_takes_nothing_is_let_go(desk: Desk, app: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.events.TAKEN_WITHIN_S", 0.05)
    stream = Stream(app)
    await stream.__aenter__()
    await eventually_async(lambda: desk.board.listeners == 1, "it listens")
    stream.takes = False
    post(desk.board, 1)
    await eventually_async(lambda: desk.board.listeners == 0, "it is let go")
    await asyncio.wait_for(stream.task, 5)


# --- its description --------------------------------------------------------------------------------------------------


def test_the_description_in_the_repository_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert openapi.main(["--check"]) == 0, "run 'python -m console.openapi'"
    other = tmp_path / "openapi.json"
    other.write_text(openapi.FILE.read_text().replace("/livez", "/livid", 1))
    assert any("+" in line and "livez" in line for line in openapi.difference(other, openapi.documents()[openapi.FILE]))


async def test_it_is_served_and_every_route_says_what_it_does(client: httpx.AsyncClient) -> None:
    found = await got(client, "/api/openapi.json")
    assert found == json.loads(openapi.FILE.read_text())
    for path, methods in found["paths"].items():
        for method, one in methods.items():
            assert one.get("description"), f"{method} {path}"


async def test_what_follows_the_others_goes_on_after_a_fault(
    desk: Desk, stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tick, faults = desk.tick, iter([True])

    async def faulty() -> Any:
        if next(faults, False):
            raise KeyError("a fault of ours")
        return await tick()

    monkeypatch.setattr("console.desk.AGAIN_AFTER_S", 0.01)
    monkeypatch.setattr(desk, "tick", faulty)
    before = stream.text.count("event: tick")
    await eventually_async(lambda: stream.text.count("event: tick") > before, "it ticks again")
    assert "_tick failed" in caplog.text
