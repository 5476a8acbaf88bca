"""SQL over real tables on a real store: exact answers, only what is named is read, and nothing else can be reached."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import duckdb
import pytest
from redis.asyncio import Redis

from rollups import query as querying
from rollups import sandbox
from rollups.cells import Cell, Stat
from rollups.query import CATALOG, Answer, QueryError, query, run
from rollups.sketch import bin_of, value_of
from rollups.tables import RESOLUTIONS, TableStore
from runtime.names import Names
from schemas.tables import TABLES, Key
from tests.support.store import KillableStore

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
NOON = 1_790_000_000_000 // (24 * HOUR) * 24 * HOUR + 12 * HOUR  # 2026-09-21T12:00:00Z
FAILED: Key = ("failed", "ikhokha", "card", "ZAR", "technical", "issuer_timeout")
SUCCEEDED: Key = ("succeeded", "ozow", "eft", "ZAR", None, None)
Ask = Callable[[str], Awaitable[list[dict[str, object]]]]


def paid(*latencies_ms: float, amount: int = 39_900) -> Cell:
    values = [round(1_000 * one) for one in latencies_ms]
    bins: dict[int, int] = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    n = len(values)
    stats = [Stat(n, n * amount, amount, amount), Stat(n, sum(values), min(values), max(values), bins)]
    return Cell(count=n, times=None, stats=stats)


@pytest.fixture
async def tables(store: KillableStore, namespace: str) -> AsyncIterator[TableStore]:
    async with Redis.from_url(store.url) as redis:
        tables = TableStore(redis, Names(namespace))
        await tables.take("writer")
        yield tables


@pytest.fixture
def ask(tables: TableStore) -> Ask:
    """Asks a quarter past twelve."""

    async def _ask(sql: str) -> list[dict[str, object]]:
        return (await query(tables, sql, (NOON + 15 * MINUTE) / 1_000)).objects()

    return _ask


async def nothing(*_: object) -> AsyncIterator[dict[int, dict[Key, Cell]]]:
    """Empty tables."""
    for rows in ():
        yield rows


async def alone(sql: str) -> Answer:
    """Asks where there are no rows."""
    return await run(sql, nothing, NOON / 1_000)


# --- tables and columns -----------------------------------------------------------------------------------------------


async def test_a_row_has_its_bucket_dimensions_count_and_measures(tables: TableStore, ask: Ask) -> None:
    await tables.write("payments", {NOON: {FAILED: paid(1_840.5, 200.25), SUCCEEDED: paid(10)}}, {})
    first, second = await ask("select * from payments_10s order by outcome")
    assert first == {
        "bucket": "2026-09-21T12:00:00Z",
        "outcome": "failed",
        "provider": "ikhokha",
        "method": "card",
        "currency": "ZAR",
        "fault": "technical",
        "reason": "issuer_timeout",
        "count": 2,
        "amount_sum": 79_800,
        "amount_min": 39_900,
        "amount_max": 39_900,
        "amount_p50": None,
        "amount_p95": None,
        "amount_p99": None,
        "latency_ms_sum": 2_040.75,
        "latency_ms_min": 200.25,
        "latency_ms_max": 1_840.5,
        "latency_ms_p50": value_of(bin_of(200_250)) / 1_000,
        "latency_ms_p95": value_of(bin_of(200_250)) / 1_000,
        "latency_ms_p99": value_of(bin_of(200_250)) / 1_000,
    }
    assert isinstance(first["amount_sum"], int)
    assert (second["fault"], second["reason"]) == (None, None)


async def test_every_table_exists_though_it_is_empty_with_its_columns_and_types() -> None:
    answer = await alone(
        "select table_name, column_name, data_type from information_schema.columns order by ordinal_position"
    )
    types: dict[str, dict[str, str]] = {}
    for name, column, kind in answer.rows:
        types.setdefault(str(name), {})[str(column)] = str(kind)
    assert set(types) == set(CATALOG)
    for name, columns in types.items():
        table = TABLES[name.rpartition("_")[0]]
        assert list(columns) == [
            "bucket",
            *table.dimensions,
            "count",
            *(f"{one.name}_{part}" for one in table.measures for part in ("sum", "min", "max", "p50", "p95", "p99")),
        ]
        assert columns["bucket"] == "TIMESTAMP WITH TIME ZONE"
        assert columns["count"] == "BIGINT"
        for dimension in table.dimensions:
            assert columns[dimension] == {"text": "VARCHAR", "bool": "BOOLEAN", "int": "BIGINT"}[table.kinds[dimension]]
        for measure in table.measures:
            assert columns[f"{measure.name}_sum"] == ("DOUBLE" if measure.thousandths else "HUGEINT")
            assert columns[f"{measure.name}_max"] == ("DOUBLE" if measure.thousandths else "BIGINT")
            assert columns[f"{measure.name}_p95"] == "DOUBLE"


async def test_an_empty_table_gives_no_rows_and_its_columns() -> None:
    answer = await alone("select * from actors_1h")
    assert answer.rows == []
    assert [column.name for column in answer.columns] == ["bucket", "kind", "actor", "count"]


def test_every_subject_has_every_resolution() -> None:
    assert set(CATALOG) == {f"{subject}_{resolution}" for subject in TABLES for resolution in RESOLUTIONS}


async def test_open_buckets_are_in_every_resolution(tables: TableStore, ask: Ask) -> None:
    await tables.write("payments", {NOON: {FAILED: paid(5)}, NOON + 50 * SECOND: {FAILED: paid(6)}}, {})
    for resolution, counts in (("10s", [1, 1]), ("1m", [2]), ("1h", [2])):
        rows = await ask(f"select count from payments_{resolution} order by bucket")
        assert [row["count"] for row in rows] == counts


async def test_an_amended_row_is_answered_as_it_is_now(tables: TableStore, ask: Ask) -> None:
    await tables.write("payments", {NOON: {FAILED: paid(5)}}, {})
    while await tables.materialise("payments", NOON + HOUR):
        pass
    await tables.write("payments", {NOON: {FAILED: paid(5, 6)}}, {})
    assert await ask("select count, latency_ms_max from payments_1h") == [{"count": 2, "latency_ms_max": 6}]


async def test_dimensions_that_are_no_text_come_as_what_they_are(tables: TableStore, ask: Ask) -> None:
    key: Key = ("feedback.given", "shop", None, None, 4)
    await tables.write("experience", {NOON: {key: Cell(count=1, times=None, stats=[Stat()])}}, {})
    assert await ask("select score, available from experience_1m where score >= 4") == [{"score": 4, "available": None}]


async def test_sums_beyond_a_machine_word_are_exact(tables: TableStore, ask: Ask) -> None:
    huge = 2**63 + 1
    cell = Cell(count=10**7, times=None, stats=[Stat(10**7, huge, 1, 10**12), Stat()])
    await tables.write("payments", {NOON: {FAILED: cell, SUCCEEDED: cell}}, {})
    [row] = await ask(
        "select max(amount_sum) as one, sum(amount_sum) as two, max(latency_ms_sum) as none from payments_10s"
    )
    assert row == {"one": huge, "two": 2 * huge, "none": None}


async def test_text_of_any_kind_comes_back_as_it_was(tables: TableStore, ask: Ask) -> None:
    odd = "☂🙂'\"\\ \u2028 bucket >= '2030-01-01 00:00:00+00'::TIMESTAMP WITH TIME ZONE"
    await tables.write("payments", {NOON: {(*FAILED[:-1], odd): paid(5)}}, {})
    quoted = odd.replace("'", "''")
    assert await ask(f"select reason from payments_10s where reason = '{quoted}'") == [{"reason": odd}]


async def test_the_present_is_the_one_that_was_handed_in(ask: Ask) -> None:
    [row] = await ask("select now() as now, current_timestamp as same, today() as day")
    assert row == {"now": "2026-09-21T12:15:00Z", "same": "2026-09-21T12:15:00Z", "day": "2026-09-21"}


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("timestamptz '2026-11-23 10:00:00.125+02'", "2026-11-23T08:00:00.125000Z"),
        ("timestamptz 'infinity'", None),
        ("'nan'::double", None),
        ("interval 90 seconds", 90),
        ("1.50::decimal(10, 2)", 1.5),
        ("2.00::decimal(10, 2)", 2),
        ("{'a': [timestamptz '2026-11-23', null]}", {"a": ["2026-11-23T00:00:00Z", None]}),
        ("170141183460469231731687303715884105727", 2**127 - 1),
        ("'a\0b☂🙂'", "a\0b☂🙂"),
    ],
)
async def test_a_value_is_told_as_json_has_it(sql: str, value: object) -> None:
    assert (await alone(f"select {sql}")).rows == [[value]]


async def test_columns_of_the_same_name_are_all_told() -> None:
    assert (await alone("select 1 as a, 2 as a, 3 as a_1")).objects() == [{"a": 1, "a_1": 2, "a_1_1": 3}]


# --- only what is named -----------------------------------------------------------------------------------------------

FROM, TO = NOON, NOON + HOUR
LATER = "timestamptz '2026-09-21 13:00:00Z'"
BOUNDED = "timestamptz '2026-09-21 12:00:00Z'"


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("select 1", set()),
        ("select sum(count) from payments_1m", {("payments", "1m", None, None, False)}),
        ("select max(latency_ms_p95) from PAYMENTS_1h", {("payments", "1h", None, None, True)}),
        (f"from payments_10s where bucket >= {BOUNDED}", {("payments", "10s", FROM, None, True)}),
        (f"select count from payments_10s where bucket = {BOUNDED}", {("payments", "10s", FROM, FROM + 1, False)}),
        (
            f"select count from payments_10s where bucket >= {BOUNDED} and bucket < {LATER} and outcome = 'failed'",
            {("payments", "10s", FROM, TO + 1, False)},
        ),
        (
            "select count from payments_10s where bucket > now() - interval 1 hour",
            {("payments", "10s", FROM - HOUR, None, False)},
        ),
        (
            f"select count from payments_10s where bucket < {BOUNDED} or count > 3",
            {("payments", "10s", None, None, False)},
        ),
        (
            f"select a.count from payments_10s a join webhooks_1m b on a.bucket = b.bucket where b.bucket >= {BOUNDED}",
            {("payments", "10s", FROM, None, False), ("webhooks", "1m", FROM, None, False)},
        ),
        (
            f"select count from payments_1m where bucket < {BOUNDED} "
            f"union all select count from payments_1m where bucket >= {LATER}",
            {("payments", "1m", None, None, False)},
        ),
    ],
)
async def test_only_tables_times_and_sketches_that_the_statement_names_are_read(sql: str, read: set[object]) -> None:
    asked: set[object] = set()

    async def load(*what: object) -> AsyncIterator[dict[int, dict[Key, Cell]]]:
        asked.add(what)
        for rows in ():
            yield rows

    await run(sql, load, NOON / 1_000)
    assert asked == read


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from payments_10s",
        "select count(*) as n from payments_10s where reason like 'issuer%' or latency_ms_max > 5",
        "select max(count) over (partition by outcome) from payments_10s where bucket >= timestamptz '2026-09-21 12:01:00Z'",
        "select * from payments_10s order by latency_ms_p99 desc, bucket limit 3",
        "select distinct on (provider) amount_sum from payments_10s order by provider, bucket desc",
        "with recursive r as (select bucket b from payments_1m union select bucket from payments_10s, r where bucket > b) "
        "from r",
        "select p.count from payments_10s p where exists (from payments_1m m where m.bucket = p.bucket and m.fault is null)",
        "select (select max(u.latency_ms_sum) from payments_1m u where u.outcome = t.outcome), bucket from payments_10s t",
        "select payments_10s as whole from payments_10s order by bucket, outcome limit 2",
        "select columns('latency_ms_.*') from payments_1h",
        "summarize payments_10s",
        "select bucket, outcome, count from payments_10s where bucket in (select bucket from payments_1m) order by all",
        "pivot payments_1m on outcome in ('failed', 'succeeded') using sum(count) group by bucket order by bucket",
    ],
)
async def test_reading_less_changes_no_answer(tables: TableStore, ask: Ask, sql: str) -> None:
    """The same statement in a plain database that has all rows with all their columns."""
    rows = {
        NOON + at * 10 * SECOND: {FAILED: paid(at + 1, at + 2), **({SUCCEEDED: paid(at + 0.5)} if at % 3 else {})}
        for at in range(20)
    }
    await tables.write("payments", rows, {})
    with duckdb.connect() as plain:
        plain.execute("SET TimeZone = 'UTC'")
        for resolution in RESOLUTIONS:
            name = f"payments_{resolution}"
            listed = [column for column, _ in CATALOG[name]]
            plain.execute(f"CREATE TABLE {name} ({', '.join(' '.join(column) for column in CATALOG[name])})")
            held = (await tables.read("payments", resolution)).items()
            cells = [(bucket, key, cell) for bucket, of_it in held for key, cell in of_it.items()]
            values = ", ".join("make_timestamptz(? * 1000)" if column == "bucket" else "?" for column in listed)
            given = list(zip(*querying.columns_of(TABLES["payments"], cells, listed), strict=True))
            plain.executemany(f"INSERT INTO {name} VALUES ({values})", given)
        expected = [[sandbox._plain(value) for value in row] for row in plain.execute(sql).fetchall()]
    answer = [list(row.values()) for row in await ask(sql)]
    assert sorted(answer, key=repr) == sorted(expected, key=repr)
    assert answer


# --- as an attacker would ---------------------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.csv"
    path.write_text("a,b\nhunter2,1\n")
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "from read_csv('{path}')",
        "from read_text('{path}')",
        "from read_blob('{path}')",
        "from read_json('{path}')",
        "from read_parquet('{path}')",
        "from sniff_csv('{path}')",
        "from glob('{folder}/*')",
        "from parquet_metadata('{path}')",
        "from '{path}'",
        'select * from "{path}"',
        "from query('from read_text(''{path}'')')",
        "from query_table('{path}')",
        "from read_csv('http://127.0.0.1:9/x.csv')",
        "from read_csv('s3://bucket/x.csv')",
        "from sqlite_scan('{path}', 't')",
        "from duckdb_secrets()",
        "from which_secret('s3://x', 's3')",
        "from duckdb_extensions()",
        "select getenv('PATH')",
        "select 1 where exists (from read_text('{path}'))",
    ],
)
async def test_no_file_server_or_environment_can_be_read(sql: str, secret: Path) -> None:
    with pytest.raises(QueryError) as error:
        await alone(sql.format(path=secret, folder=secret.parent))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{folder}/out.csv'",
        "copy payments_10s from '{path}'",
        "attach '{folder}/out.db' as other",
        "detach memory",
        "export database '{folder}/out'",
        "import database '{folder}/out'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set global memory_limit = '100GB'",
        "reset enable_external_access",
        "pragma enable_external_access",
        "pragma database_list",
        "call pragma_version()",
        "create table mine as select 1",
        "create macro now() as 1",
        "create secret (type s3)",
        "insert into payments_10s (count) values (1)",
        "update payments_10s set count = 0",
        "delete from payments_10s",
        "drop table payments_10s",
        "truncate payments_10s",
        "alter table payments_10s add column x int",
        "begin",
        "checkpoint",
        "vacuum",
        "use system",
        "prepare x as select 1",
        "execute x",
        "explain analyze select 1",
        "select 1; select 2",
        "select 1; drop table payments_10s",
        "select 1; copy (select 1) to '{folder}/out.csv'",
        "with x as (delete from payments_10s returning 1) from x",
        "with x as (insert into payments_10s (count) values (1)) select 1",
        "with x as (copy (select 1) to '{folder}/out.csv') from x",
        "",
        ";",
        "-- nothing",
        "/* unfinished",
    ],
)
async def test_a_statement_that_is_not_one_select_is_refused(sql: str, secret: Path) -> None:
    with pytest.raises(QueryError):
        await alone(sql.format(path=secret, folder=secret.parent))
    assert os.listdir(secret.parent) == [secret.name]


async def test_the_environment_of_the_process_holds_no_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of which the process' own list of variables is the proof, since SQL has no way to ask."""
    monkeypatch.setenv("TILLWATCH_REDIS", "redis://:hunter2@127.0.0.1")
    given: dict[str, object] = {}
    start = asyncio.create_subprocess_exec

    async def watched(*command: str, **options: object) -> object:
        given.update(options)
        return await start(*command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    await alone("select 1")
    assert isinstance(given["env"], dict)
    assert set(given["env"]) <= {"PATH", "LANG", "LC_ALL"}


async def test_system_tables_tell_no_path_of_this_machine() -> None:
    told = str((await alone("from duckdb_settings()")).rows) + str((await alone("from duckdb_databases()")).rows)
    for path in (os.getcwd(), str(Path.home()), str(Path(querying.__file__).parents[1])):
        assert len(path) < 2 or path not in told


@pytest.mark.parametrize(
    "sql",
    [
        "select range(1000000000)",
        "select length(repeat('x', 4000000000))",
        "select list(r) from range(1000000000) t(r)",
        "select string_agg(repeat('x', 100000), '') from range(100000)",
        "select a.range, b.range from range(1000000) a, range(1000000) b order by random()",
    ],
)
async def test_a_memory_bomb_ends_with_advice(sql: str) -> None:
    with pytest.raises(QueryError, match=r"more (than 1GB of )?memory"):
        await alone(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "with recursive t as (select 1 x union all select x + 1 from t) select max(x) from t",
        "select max(sin(r)) from range(1000000000000) t(r)",
        "select count(*) from range(10000000) a, range(10000000) b where a.range % 7 = b.range % 11",
    ],
)
async def test_a_time_bomb_ends_with_advice(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "ANSWER_WITHIN_S", 2.0)
    with pytest.raises(QueryError, match="ask for less time or a coarser table"):
        await alone(sql)


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("from range(1000000000000)", "more than 100000 rows: add a LIMIT"),
        ("select repeat('x', 1000) from range(100000)", "longer than 64 MB: add a LIMIT"),
        ("select 1" + " " * 100_000, "longer than 100000 characters"),
        ("select '\ud800'", "not Unicode"),
        ("select " + "(" * 40_000 + "1" + ")" * 40_000, "depth"),
        ("select " + "+".join("1" * 40_000), "depth"),
        ("select ?", "parameter"),
        ("select * from payments", "did you mean payments_10s, payments_1m or payments_1h"),
        ("select * from paymets_10s", 'Did you mean "payments_10s"'),
        ("select cuont from payments_10s", "LINE 1: select cuont"),
        ("pivot payments_10s on outcome using sum(count)", "PIVOT needs to be told its values"),
        ("from sqlite_scan('x', 'y')", "no extension can be loaded"),
        ("from read_text('x')", "only the rollup tables can be read"),
    ],
)
async def test_what_cannot_be_answered_is_told_with_what_to_do(sql: str, advice: str) -> None:
    with pytest.raises(QueryError) as error:
        await alone(sql)
    assert advice in str(error.value)
    assert "EXPLAIN" not in str(error.value)
    assert "SET " not in str(error.value)


async def test_too_many_rows_to_read_is_an_error(tables: TableStore, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "LOADED_MOST", 3)
    await tables.write("payments", {NOON + at * 10_000: {FAILED: paid(5)} for at in range(4)}, {})
    with pytest.raises(QueryError, match="reads more than 3 rows"):
        await ask("select sum(count) from payments_10s")


async def test_whoever_gives_up_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def watched(*command: str, **options: object) -> asyncio.subprocess.Process:
        begun.append(await start(*command, **options))  # type: ignore[arg-type]
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await alone("select max(sin(r)) from range(1000000000000) t(r)")
    assert [process.returncode is not None for process in begun] == [True]


# --- docs/querying.md -------------------------------------------------------------------------------------------------

DOCS = (Path(__file__).parents[2] / "docs" / "querying.md").read_text()
EXAMPLES = [
    *re.findall(r"^```sql\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL),
    *re.findall(r'^tillwatch query (?:--\w+ )?"(.*?)"', DOCS, re.MULTILINE),
]


@pytest.mark.parametrize("sql", [one for one in EXAMPLES if "health" not in one])
async def test_an_example_of_the_docs_has_an_answer(tables: TableStore, ask: Ask, sql: str) -> None:
    await tables.write("payments", {NOON: {FAILED: paid(5), SUCCEEDED: paid(6, 7, 8)}}, {})
    await tables.write("merchants", {NOON: {("succeeded", "m1", "ZAR"): Cell(count=1, stats=[Stat(1, 5, 5, 5)])}}, {})
    assert await ask(sql)


async def test_the_examples_answers_are_right(tables: TableStore, ask: Ask) -> None:
    await tables.write("payments", {NOON: {FAILED: paid(5), SUCCEEDED: paid(6, 7, 8)}}, {})
    rate, slowest, revenue, side_by_side = EXAMPLES[:4]
    assert await ask(rate) == [
        {"provider": "ikhokha", "failure_rate": 1.0},
        {"provider": "ozow", "failure_rate": None},
    ]
    assert [row["count"] for row in await ask(slowest)] == [3]
    assert await ask(revenue) == [{"day": "2026-09-21T00:00:00Z", "currency": "ZAR", "revenue": 1_197.0}]
    assert await ask(side_by_side) == [
        {"bucket": "2026-09-21T12:00:00Z", "initiated": None, "succeeded": 3, "failed": 1}
    ]


def test_the_docs_list_every_subject_with_its_dimensions_and_measures() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (`.*?) \| (.*?) \|$", DOCS, re.MULTILINE)
    assert [
        (name, tuple(re.findall(r"`(\w+)`", dimensions)), tuple(re.findall(r"`(\w+)`", measures)))
        for name, dimensions, measures in listed
        if name in TABLES
    ] == [(name, table.dimensions, tuple(one.name for one in table.measures)) for name, table in TABLES.items()]


def test_the_docs_say_which_measures_are_integers_and_which_have_no_percentiles() -> None:
    measures = [measure for table in TABLES.values() for measure in table.measures]
    whole = {one.name for one in measures if not one.thousandths}
    unsketched = {one.name for one in measures if not one.sketch}
    (integers,) = re.findall(r"\| integer for (.*), double for the rest", DOCS)
    (without,) = re.findall(r"within 1 %; NULL for (.*), which have no sketch", DOCS)
    assert set(re.findall(r"`(\w+)`", integers)) == whole
    assert set(re.findall(r"`(\w+)`", without)) == unsketched


def test_the_docs_tell_every_limit_as_it_is() -> None:
    for told in (
        f"{querying.ANSWER_WITHIN_S:g} s for planning",
        f"{querying.LOADED_MOST:,} rows read",
        f"{querying.ROWS_MOST:,} rows or {querying.ANSWER_BYTES / 1e6:g} MB",
        f"{querying.SQL_MOST:,} characters",
    ):
        assert told in DOCS
