"""The routes of the checklists."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from console.asking import AtDesk
from console.checklists import BY_KEY, NOTE_MOST, Checklists
from console.pages import page
from console.problems import unknown
from console.shapes import Shape
from console.who import Who, needs

checklists = APIRouter(tags=["checklists"])
pages = APIRouter(include_in_schema=False)


class Said(Shape):
    """What somebody says of an item, for this day, week or month."""

    done: bool = True
    note: str = Field("", max_length=NOTE_MOST)


@checklists.get("/checklists")
@checklists.get("/pages/checklists", include_in_schema=False)
async def all_checklists(desk: AtDesk) -> Checklists:
    """What is to be seen to each day, week and month: what Tillwatch found itself, and what people ticked."""
    return await desk.checklists.told()


@checklists.post("/checklists/{item}")
async def tick(
    desk: AtDesk,
    item: Annotated[str, Path(max_length=64)],
    said: Said,
    who: Annotated[Who, Depends(needs("responder"))],
) -> Checklists:
    """Ticks an item, or takes the tick back (`done: false`), with your name and the time."""
    if item not in BY_KEY:
        raise unknown("item", item, BY_KEY, 404)
    return await desk.checklists.tick(item, said.done, who.name, said.note.strip())


@pages.get("/checklists")
async def checklists_page(desk: AtDesk) -> Response:
    return HTMLResponse(page("checklists", await desk.checklists.told()))
