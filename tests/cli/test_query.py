"""`tillwatch query` against a store that runs: JSON, CSV, a table, errors, and an end when it is asked for."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from rollups.cells import Cell, Stat
from rollups.sketch import bin_of
from rollups.tables import TableStore
from runtime.names import Names
from tests.cli.conftest import Run
from tests.support.store import KillableStore
from tests.support.wait import eventually

NOON_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def env(store: KillableStore, namespace: str) -> dict[str, str]:
    """An installation with a single failed payment."""

    async def fill() -> None:
        async with Redis.from_url(store.url) as redis:
            tables = TableStore(redis, Names(namespace))
            await tables.take("writer")
            stats = [Stat(1, 39_900, 39_900, 39_900), Stat(1, 1_840_500, 1_840_500, 1_840_500, {bin_of(1_840_500): 1})]
            key = ("failed", "ikhokha", "card", "ZAR", "technical", '[bold] ☂, "x"')
            await tables.write("payments", {NOON_MS: {key: Cell(count=1, stats=stats)}}, {})

    asyncio.run(fill())
    return {"TILLWATCH_REDIS": store.url, "TILLWATCH_NAMESPACE": namespace}


SQL = (
    "select bucket, outcome, reason, fault is null as blameless, count, amount_sum, latency_ms_sum, null as nothing "
    "from payments_1h"
)


def test_json_is_an_array_of_objects(run: Run, env: dict[str, str]) -> None:
    done = run("query", SQL, "--json", **env)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == [
        {
            "bucket": "2026-09-21T12:00:00Z",
            "outcome": "failed",
            "reason": '[bold] ☂, "x"',
            "blameless": False,
            "count": 1,
            "amount_sum": 39_900,
            "latency_ms_sum": 1_840.5,
            "nothing": None,
        }
    ]


def test_json_of_no_rows_is_an_empty_array(run: Run, env: dict[str, str]) -> None:
    done = run("query", "from webhooks_10s", "--json", **env)
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_csv_has_a_head_and_can_be_read_again(run: Run, env: dict[str, str]) -> None:
    done = run("query", SQL, "--csv", **env)
    assert done.exit_code == 0, done.stderr
    assert list(csv.DictReader(done.stdout.splitlines())) == [
        {
            "bucket": "2026-09-21T12:00:00Z",
            "outcome": "failed",
            "reason": '[bold] ☂, "x"',
            "blameless": "false",
            "count": "1",
            "amount_sum": "39900",
            "latency_ms_sum": "1840.5",
            "nothing": "",
        }
    ]


def test_a_table_for_people_tells_values_as_they_are(run: Run, env: dict[str, str]) -> None:
    done = run("query", "select outcome, reason, count from payments_1h", **env)
    assert done.exit_code == 0, done.stderr
    head, row = done.stdout.splitlines()
    assert head.split() == ["outcome", "reason", "count"]
    assert row.split() == ["failed", "[bold]", "☂,", '"x"', "1"]
    assert "1 row" in done.stderr


@pytest.mark.parametrize("how", ("--json", "--csv", None))
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select", "error: "),
        ("from payments", "did you mean payments_10s, payments_1m or payments_1h"),
        ("drop table payments_1h", "expected one SELECT statement"),
        ("from read_text('tillwatch.toml')", "only the rollup tables can be read"),
    ],
)
def test_an_error_goes_to_stderr_with_exit_code_2(
    run: Run, env: dict[str, str], sql: str, told: str, how: str | None
) -> None:
    done = run("query", sql, *([] if how is None else [how]), **env)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_json_and_csv_at_once_is_an_error(run: Run, env: dict[str, str]) -> None:
    assert run("query", "select 1", "--json", "--csv", **env).exit_code == 2


def test_a_store_that_is_away_is_an_error_that_tells_no_password(run: Run) -> None:
    done = run("query", "select 1", TILLWATCH_REDIS="redis://:hunter2@127.0.0.1:1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "hunter2" not in done.stderr


def test_an_interrupt_ends_a_query_and_its_process(env: dict[str, str], tmp_path: Path) -> None:
    forever = "select max(sin(r)) from range(1000000000000) t(r)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TILLWATCH_")}
    asking = subprocess.Popen(
        [sys.executable, "-m", "cli", "query", forever],
        cwd=tmp_path,
        env=kept | env | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        (child,) = eventually(lambda: _children(asking.pid), "the query runs in a process of its own")
        asking.send_signal(signal.SIGINT)
        out, _ = asking.communicate(timeout=10)
    finally:
        asking.kill()
        asking.wait()
    assert out == ""
    assert asking.returncode != 0
    assert not Path(f"/proc/{child}").exists()


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("name", ["payments.csv", "payments.parquet", "payments.arrow"])
def test_an_answer_is_written_as_the_file_is_named(run: Run, env: dict[str, str], tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    done = run("query", "-o", str(file), "select outcome, sum(count) as n from payments_10s group by all", **env)
    assert done.exit_code == 0 and done.stdout == ""
    assert "1 row in" in done.stderr
    beginning = {".csv": b"outcome,n\nfailed,1", ".parquet": b"PAR1", ".arrow": b"\xff\xff\xff\xff"}[file.suffix]
    assert file.read_bytes().startswith(beginning)


@pytest.mark.parametrize(
    ("args", "says"),
    [(("-o", "answer.xlsx"), "one that ends with .csv, .parquet, .arrow"), (("-o", "a.csv", "--json"), "not several"),
     (("-o", "nowhere/a.csv"), "No such file or directory")],
)  # fmt: skip
def test_a_file_that_cannot_be_written(run: Run, env: dict[str, str], args: tuple[str, ...], says: str) -> None:
    done = run("query", *args, "select 1", **env)
    assert done.exit_code == 2 and says in done.stderr.replace("\n", " ")
