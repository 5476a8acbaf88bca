"""What nobody should ask: it is refused with a reason, and the next question is answered."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.aside import Aside
from console.desk import Desk
from console.gate import BODY_MOST
from console.problems import Refused
from tests.console.conftest import app_of
from tests.support.wait import eventually_async

PROBLEM = "application/problem+json"


async def sql(client: httpx.AsyncClient, text: str) -> httpx.Response:
    return await client.post("/api/v1/sql", json={"sql": text})


async def test_sql_reaches_nothing_but_the_tables(client: httpx.AsyncClient) -> None:
    """What the sandbox refuses is tested with it (tests/rollups/test_query.py); here, that the API asks no other."""
    statements = (
        "from read_text('/etc/passwd')",
        "copy (select 1) to 'out.csv'",
        "from '/etc/passwd'",
        "from glob('/etc/*')",
        "from parquet_metadata('/etc/passwd')",
        "select * from query('from read_blob(''/etc/passwd'')')",
        "set enable_external_access = true",
        "set global memory_limit = '100GB'",
        "pragma database_list",
        "attach 'out.db' as other",
        "attach 'http://127.0.0.1:1/x.db' as other",
        "export database 'out'",
        "install httpfs",
        "load '/lib/x86_64-linux-gnu/libc.so.6'",
        "call enable_logging(storage => 'file', storage_path => 'out')",
        "call register_external_resource('a', 'b')",
        "create secret (type http, bearer_token 'x')",
        "select getenv('HOME')",
        "with x as (insert into payments_1m default values) select 1",
        "select 1; select 2",
        "explain analyze select 1",
        "\u0000select 1",
    )
    for statement in statements:
        answer = await sql(client, statement)
        assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM), f"{statement}: {answer.text}"
        assert "root:" not in answer.text
    assert not any(Path(name).exists() for name in ("out.csv", "out.db", "out"))


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("select length(repeat('x', 4000000000))", "memory"),
        ("select * from range(10001)", "more than 10000 rows"),
        ("select repeat('x', 1000000) from range(20)", "longer than 8 MB"),
    ],
)
async def test_sql_that_takes_too_much_is_ended(client: httpx.AsyncClient, statement: str, says: str) -> None:
    answer = await sql(client, statement)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"sql": "select 1"}', "text/plain", 415),
        (b'{"sql": "select 1"}', "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"sql": 1}', "application/json", 400),
        (b'{"sql": "select 1", "more": 1}', "application/json", 400),
        (b'["select 1"]', "application/json", 400),
        (b'{"sql": "\\ud800"}', "application/json", 400),
        (b'{"sql": "' + b"x" * 150_000 + b'"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"x" * (BODY_MOST + 1), "application/json", 413),
    ],
)
async def test_a_body_that_is_no_statement_is_refused(client: httpx.AsyncClient, body: bytes, kind: str, status: int) -> None:
    answer = await client.post("/api/v1/sql", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text


async def test_a_body_that_does_not_say_how_long_it_is_is_bounded(client: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        while True:
            yield b"x" * 65_536

    answer = await client.post("/api/v1/sql", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/static/..%2f..%2fconsole%2fapi.py", 404),
        ("GET", "/api/v1/rollups/payments%00", 404),
        ("GET", "/api/v1/rollups/" + "p" * 100, 400),
        ("GET", "/api/v1/rollups/payments?resolution=" + "1" * 50, 400),
        ("GET", "/api/v1/rollups/payments?from=%F0%9F%92%A9", 400),
        ("GET", "/api/v1/rollups/payments?from=0001-01-01T00:00:00%2B23:59", 400),
        ("GET", "/api/v1/rollups/payments?" + "&".join("by=provider" for _ in range(30)), 400),
        ("GET", "/api/v1/rollups/payments?where=" + "x" * 200, 400),
        ("GET", "/api/v1/alerts?limit=1e3", 400),
        ("GET", "/api/v1/alerts?before=log-%C2%B2", 400),
        ("GET", "/api/v1/sql", 405),
        ("DELETE", "/api/v1/rules", 405),
        ("TRACE", "/api/v1/rules", 405),
        ("GET", "/docs", 404),
        ("GET", "/?" + "x" * 10_000, 414),
    ],
)
async def test_an_address_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert "Traceback" not in answer.text


async def test_a_query_ends_when_nobody_waits_for_it_any_more(desk: Desk, client: httpx.AsyncClient) -> None:
    """The process that answers it is gone, too."""
    forever = "select max(sin(a.range * b.range)) from range(10000000) a, range(10000000) b"
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/sql", "raw_path": b"/api/v1/sql", "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")], "http_version": "1.1",
        "scheme": "http", "root_path": "", "server": ("localhost", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    received = [{"type": "http.request", "body": json.dumps({"sql": forever}).encode()}]
    gone = asyncio.Event()

    async def receive() -> Any:
        if received:
            return received.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    asking = asyncio.create_task(app_of(desk)(scope, receive, send))
    [child] = await eventually_async(_children, "it is asked in a process of its own")
    gone.set()
    await asyncio.wait_for(asking, 10)
    await eventually_async(lambda: not Path(f"/proc/{child}").exists(), "that process ends", 10)
    assert (await sql(client, "select 1")).status_code == 200


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    pids = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return [pid for pid in pids if b"sandbox.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_only_so_many_questions_wait() -> None:
    aside, going = Aside(at_once=1, waiting=1), asyncio.Event()
    aside.start()
    running = 0

    async def work() -> int:
        nonlocal running
        running += 1
        return running

    async def stuck() -> int:
        await asyncio.to_thread(lambda: None)
        while not going.is_set():
            await asyncio.sleep(0)
        return await work()

    try:
        asked = [asyncio.create_task(aside.run(stuck)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="too many questions") as refused:
            await aside.run(work)
        assert refused.value.status == 503
        going.set()
        assert sorted(await asyncio.gather(*asked)) == [1, 2]
        assert await aside.run(work) == 3
    finally:
        aside.stop()


async def test_while_a_question_is_worked_on_others_are_answered(desk: Desk, client: httpx.AsyncClient) -> None:
    def block() -> None:
        deadline = asyncio.get_running_loop().time() + 1.0
        while asyncio.get_running_loop().time() < deadline:
            pass

    async def blocking() -> None:
        block()

    working = asyncio.create_task(desk._aside.run(blocking))
    await asyncio.sleep(0)
    answer = await client.get("/livez")
    assert answer.status_code == 200 and not working.done()
    await working
