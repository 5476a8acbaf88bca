"""The routes of whoever asks in SQL: one statement, what there is to ask, and statements that have a name."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from console.asking import AtDesk, while_connected
from console.audit import audit
from console.desk import SQL_TABLES
from console.problems import Refused
from console.saved import NAME_CHARS, SQL_CHARS
from console.shapes import AnalystPage, Column, SavedQuery, SqlTable, Statement, Table
from console.who import Who, needs
from rollups.export import MEDIA_TYPES, Form, exported
from rollups.query import QueryError

analyst = APIRouter(tags=["tables"])
_JSON = "application/json"


class _Statement(msgspec.Struct, forbid_unknown_fields=True):
    sql: str


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
    sql: str = Field(min_length=1, max_length=SQL_CHARS)


@analyst.post(
    "/sql",
    response_model=Table,
    responses={200: {"content": {media: {} for media in MEDIA_TYPES.values()}}},
    openapi_extra={"requestBody": {"required": True, "content": {_JSON: {"schema": Statement.model_json_schema()}}}},
)
async def sql(
    request: Request,
    desk: AtDesk,
    form: Annotated[Form | None, Query(alias="format", description="a file in place of JSON")] = None,
) -> Response:
    """Answers one SELECT (DuckDB's SQL) over `<subject>_10s`, `_1m` and `_1h`: at most 10,000 rows and 8 MB. Who goes away
    before the answer comes ends it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise Refused(415, 'send application/json: {"sql": "select …"}')
    try:
        statement = msgspec.json.decode(await request.body(), type=_Statement)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f'expected {{"sql": "select …"}}: {error}') from None
    try:
        answer = await while_connected(request, desk.sql(statement.sql))
        if form is not None:
            return Response(
                exported(answer, form),
                media_type=MEDIA_TYPES[form],
                headers={"Content-Disposition": f'attachment; filename="tillwatch.{form}"'},
            )
    except (QueryError, ValueError) as error:
        raise Refused(400, str(error)) from None
    columns = [Column(name=column.name, type=column.type).model_dump() for column in answer.columns]
    return Response(msgspec.json.encode({"columns": columns, "rows": answer.rows}), media_type=_JSON)


@analyst.get("/sql/tables")
async def tables() -> list[SqlTable]:
    """What a statement can name."""
    return SQL_TABLES


@analyst.get("/sql/saved")
async def saved(desk: AtDesk) -> list[SavedQuery]:
    """Statements that have a name."""
    return await desk.saved.all()


@analyst.post("/sql/saved", status_code=201)
async def save(
    request: Request, desk: AtDesk, named: _Named, who: Annotated[Who, Depends(needs("responder"))]
) -> SavedQuery:
    """Gives a statement a name, in place of what had it before."""
    query = SavedQuery(name=named.name.strip(), sql=named.sql, by=who.name, at=desk.readings.now_ms())
    await desk.saved.put(query)
    await audit(request, "save_query", query.name)
    return query


@analyst.delete("/sql/saved/{name}", status_code=204, dependencies=[Depends(needs("responder"))])
async def forget(request: Request, desk: AtDesk, name: Annotated[str, Path(max_length=NAME_CHARS)]) -> Response:
    """Takes a name away."""
    await desk.saved.delete(name)
    await audit(request, "forget_query", name)
    return Response(status_code=204)


@analyst.get("/pages/analyst", tags=["pages"])
async def page(desk: AtDesk) -> AnalystPage:
    """What the page of SQL shows before somebody asks."""
    return await desk.analyst()
