"""Whoever asks in SQL: files, statements with a name, and the page."""

from __future__ import annotations

import io
import json

import httpx
import pytest

from console import saved as module
from console.who import ROLES, Who
from tests.console.conftest import Held
from tests.console.rows import OPEN_MS, paid

SQL = "select provider, sum(count) as payments from payments_10s group by all order by all"


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
async def test_an_answer_is_a_file_of_the_same_rows(client: httpx.AsyncClient, held: Held, form: str) -> None:
    await held.write("payments", {OPEN_MS: [paid(5, provider="ozow"), paid(7, provider="peach, the other")]})
    told = (await client.post("/api/v1/sql", json={"sql": SQL})).json()
    answer = await client.post(f"/api/v1/sql?format={form}", json={"sql": SQL})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="tillwatch.{form}"'
    if form == "csv":
        assert answer.text == 'provider,payments\nozow,5\n"peach, the other",7\n'
        return
    from arro3.io import read_ipc_stream, read_parquet

    file = io.BytesIO(answer.content)
    read = read_parquet(file) if form == "parquet" else read_ipc_stream(file)
    table = read.read_all()
    columns = [table.column(at).to_pylist() for at in range(table.num_columns)]
    assert [list(row) for row in zip(*columns, strict=True)] == told["rows"]


async def test_what_is_no_statement_is_no_file(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/sql?format=parquet", json={"sql": "select 1 from nowhere"})
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert (await client.post("/api/v1/sql?format=xlsx", json={"sql": SQL})).status_code == 400


async def test_a_statement_is_saved_found_replaced_and_deleted(client: httpx.AsyncClient) -> None:
    name = "Ozow, “today”/100 %"
    for sql in ("select 1", SQL):
        made = await client.post("/api/v1/sql/saved", json={"name": name, "sql": sql})
        assert made.status_code == 201 and made.json()["by"] == "this machine"
    assert [(one["name"], one["sql"]) for one in (await client.get("/api/v1/sql/saved")).json()] == [(name, SQL)]
    assert (await client.get("/api/v1/pages/analyst")).json()["saved"][0]["name"] == name


@pytest.mark.parametrize("named", [{"name": "", "sql": "x"}, {"name": " ", "sql": "x"}, {"name": "a\nb", "sql": "x"},
                                   {"name": "a" * 81, "sql": "x"}, {"name": "a", "sql": ""}, {"name": "a"},
                                   {"name": "a", "sql": "x", "by": "else"}])  # fmt: skip
async def test_what_cannot_be_saved(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    assert (await client.post("/api/v1/sql/saved", json=named)).status_code == 400


async def test_there_are_only_so_many_and_deleting_makes_room(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    assert (await client.post("/api/v1/sql/saved", json={"name": "a", "sql": "x"})).status_code == 201
    assert (await client.post("/api/v1/sql/saved", json={"name": "b", "sql": "x"})).status_code == 409
    assert (await client.delete("/api/v1/sql/saved/a")).status_code == 204
    assert (await client.delete("/api/v1/sql/saved/a")).status_code == 404
    assert (await client.post("/api/v1/sql/saved", json={"name": "b", "sql": "x"})).status_code == 201


async def test_who_may_only_look_saves_nothing(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.who.who_of", lambda request: Who("somebody", ROLES[0]))
    refused = await client.post("/api/v1/sql/saved", json={"name": "a", "sql": "x"})
    assert refused.status_code == 403 and "takes a responder" in refused.json()["detail"]
    assert json.loads((await client.get("/api/v1/sql/saved")).content) == []


async def test_there_is_everything_to_ask(client: httpx.AsyncClient) -> None:
    tables = {one["name"]: one for one in (await client.get("/api/v1/sql/tables")).json()}
    assert {"payments_10s", "payments_1m", "payments_1h"} <= tables.keys()
    assert {"name": "provider", "type": "VARCHAR"} in tables["payments_1m"]["columns"]
