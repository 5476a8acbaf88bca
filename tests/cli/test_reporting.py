"""`tillwatch report`, `metrics`, `payment` and `setup dashboards`, against a store that runs."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from cli.payment import first_event
from console.reports.periods import period_of
from local.broker import EmbeddedBroker
from rollups.tables import HOUR, TableStore
from runtime.names import Names
from schemas.decode import Decoder
from tests.cli.conftest import Run
from tests.console.rows import cells, failed, paid
from tests.support.store import KillableStore

FRIDAY = period_of("daily", date(2026, 11, 27), ZoneInfo("Africa/Johannesburg"))
MORNING_S = FRIDAY.end_ms // 1000 + 8 * 3_600


@pytest.fixture
def env(store: KillableStore, namespace: str, folder: Path) -> dict[str, str]:
    """An installation with payments on Friday, and of the last minutes of the morning after."""

    async def fill() -> None:
        async with Redis.from_url(store.url) as redis:
            tables = TableStore(redis, Names(namespace))
            await tables.take("writer")
            rows = {FRIDAY.start_ms + hour * HOUR: [paid(98), failed(2)] for hour in range(24)}
            rows[MORNING_S * 1000 - 60_000] = [paid(9), failed(1, provider="[bold]odd")]
            await tables.write("payments", {at: cells("payments", some) for at, some in rows.items()}, {})
            event = cells("pipeline", [{"kind": "event", "type": None, "source": "s"}])
            await tables.write("pipeline", {at: event for at in rows}, {})

    asyncio.run(fill())
    (folder / "clock").write_text(str(MORNING_S))
    return {"TILLWATCH_REDIS": store.url, "TILLWATCH_NAMESPACE": namespace, "TILLWATCH_CLOCK": f"file:{folder / 'clock'}"}


# --- report -----------------------------------------------------------------------------------------------------------


def test_a_report_is_text_of_the_last_day_that_is_over(run: Run, env: dict[str, str]) -> None:
    done = run("report", "daily", **env)
    assert done.exit_code == 0, done.stderr
    told = done.stdout.replace("\u00a0", " ")
    assert told.startswith("Daily report, Fri 27 Nov 2026\nCustomers could pay. Success 98.0 %")
    assert "Note: The period before (Thu 26 Nov 2026) is not in the tables." in told


def test_a_report_in_json_is_what_sql_says(run: Run, env: dict[str, str]) -> None:
    told = json.loads(run("report", "daily", "--date", "2026-11-27", "--json", **env).stdout)
    volume = next(one["value"] for one in told["payments"] if one["signal"] == "payment_volume")
    sql = (
        "select sum(count)::bigint as n, sum(amount_sum) filter (outcome = 'succeeded') as amount from payments_1h "
        f"where bucket >= '{told['period']['start']}' and bucket < '{told['period']['end']}'"
    )
    (row,) = json.loads(run("query", sql, "--json", **env).stdout)
    assert volume == row["n"] == 2_400
    assert told["revenue"] == [{"currency": "ZAR", "amount": int(row["amount"]), "before": None}]


def test_a_report_is_a_page_in_a_file(run: Run, env: dict[str, str], folder: Path) -> None:
    done = run("report", "weekly", "--date", "2026-11-27", "-o", "week.html", **env)
    assert done.exit_code == 0, done.stderr
    assert (folder / "week.html").read_text().startswith("<!doctype html>")
    assert done.stdout == ""
    assert "Weekly report, Mon 23 to Sun 29 Nov 2026" in done.stderr
    assert run("report", "weekly", "--text", "-o", "week.txt", **env).exit_code == 0
    assert (folder / "week.txt").read_text().startswith("Weekly report")


def test_the_payment_report_is_the_report(run: Run, env: dict[str, str]) -> None:
    assert run("payment", "report", **env).stdout == run("report", "daily", **env).stdout
    month = run("payment", "report", "--kind", "monthly", "--date", "2026-11-02", **env)
    assert month.stdout.startswith("Monthly report, November 2026")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("dayly",), "no report 'dayly': there are daily, weekly, monthly (did you mean daily?)"),
        (("daily", "--date", "yesterday"), "expected a day such as 2026-11-29"),
        (("daily", "--date", "2027-01-01"), "Fri 1 Jan 2027 has not begun"),
        (("daily", "--json", "--text"), "--json or --text, not both"),
    ],
)
def test_what_cannot_be_reported_is_told(run: Run, env: dict[str, str], args: tuple[str, ...], told: str) -> None:
    done = run("report", *args, **env)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told.replace("'", '"') in done.stderr.replace("'", '"')


def test_a_file_that_cannot_be_written_is_told(run: Run, env: dict[str, str]) -> None:
    done = run("report", "daily", "-o", "nowhere/day.html", **env)
    assert done.exit_code == 1
    assert "nowhere/day.html cannot be written" in done.stderr


def test_a_store_that_is_away_is_told(run: Run) -> None:
    assert run("report", "daily", TILLWATCH_REDIS="redis://127.0.0.1:1").exit_code == 1
    assert run("metrics", TILLWATCH_REDIS="redis://127.0.0.1:1").exit_code == 1


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_are_told_with_target_state_and_age(run: Run, env: dict[str, str]) -> None:
    done = run("metrics", "--signal", "payment_success_rate", "--signal", "conversion_rate", **env)
    assert done.exit_code == 0, done.stderr
    lines = [line.replace("\u00a0", " ").split() for line in done.stdout.splitlines()]
    assert lines[1] == ["payment_success_rate", "90.0", "%", "above", "95.0", "%", "missed", "50", "s"]
    assert ["provider=[bold]odd", "0.0", "%"] in lines
    assert "no worker keeps the tables up to date" in done.stderr


def test_metrics_in_json_are_all_signals(run: Run, env: dict[str, str]) -> None:
    told = json.loads(run("metrics", "--json", **env).stdout)
    assert len(told["signals"]) > 40
    assert told["stale"] is True


def test_a_signal_that_there_is_not_is_told(run: Run, env: dict[str, str]) -> None:
    done = run("metrics", "--signal", "payment_sucess_rate", **env)
    assert done.exit_code == 2
    assert "did you mean payment_success_rate?" in done.stderr


# --- payment and dashboards -------------------------------------------------------------------------------------------


def test_the_first_event_is_one_that_counts() -> None:
    event = first_event(MORNING_S)
    decoded, at_ms, notes = Decoder("payments", b"key").decode(json.dumps(event).encode(), None, [])
    assert (type(decoded).__name__, at_ms, notes) == ("Event_payment.succeeded", MORNING_S * 1000, None)


def test_the_address_of_the_payments_page(run: Run) -> None:
    assert run("payment", "dashboard").stdout == "http://127.0.0.1:8321/payments\n"
    assert run("payment", "dashboard", TILLWATCH_CONSOLE="0.0.0.0:9000").stdout == "http://127.0.0.1:9000/payments\n"
    assert run("payment", "dashboard", TILLWATCH_CONSOLE="127.0.0.1:0").exit_code == 1


def test_dashboards_are_written_once_and_what_was_changed_is_kept(run: Run, folder: Path) -> None:
    assert run("setup", "dashboards", "-o", "g").stdout.count("written") == 5
    assert run("setup", "dashboards", "-o", "g").stdout.count("same") == 5
    changed = folder / "g" / "tillwatch-payments.json"
    changed.write_text("{}")
    done = run("setup", "dashboards", "-o", "g")
    assert done.stdout.count("same") == 4
    assert "kept" in done.stdout and changed.read_text() == "{}"
    assert "replaced" in run("setup", "dashboards", "-o", "g", "--force").stdout
    assert json.loads(changed.read_text())["uid"] == "tillwatch-payments"


def test_it_is_said_where_signals_are_not_told(run: Run) -> None:
    assert "TILLWATCH_METRICS=signals" in run("setup", "dashboards").stderr
    assert "stay empty" not in run("setup", "dashboards", TILLWATCH_METRICS="signals").stderr


def test_payments_are_enabled_again_and_again_and_topics_keep_their_partitions(
    run: Run, env: dict[str, str], folder: Path
) -> None:
    with EmbeddedBroker(None, folder) as broker:
        env |= {"TILLWATCH_KAFKA": broker.bootstrap}
        assert run("setup", "topics", "--partitions", "3", **env).exit_code == 0
        for _ in range(2):
            done = run("payment", "enable", **env)
            assert done.exit_code == 0, done.stderr
            assert f"exists   {env['TILLWATCH_NAMESPACE']}.payments.v1 (3 partitions)" in done.stdout
        told = json.loads(run("payment", "enable", "--json", **env).stdout)
        assert "payment_processing_failure" in told["rules"]
        assert told["payments_last_hour"] == 10
        (folder / "first.jsonl").write_text(json.dumps(told["first_event"]) + "\n")
        assert run("produce", "first.jsonl", **env).exit_code == 0
