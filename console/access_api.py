"""The routes about who may do what: who asks, what was done, accounts and tokens. To make either takes the command line."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from console.access import Access, caller_of
from console.audit import Written, audit
from console.problems import MEDIA_TYPE, Refused
from console.shapes import Problem
from console.who import Role, Who, needs
from schemas.time import rfc3339

AUDIT_MOST = 500
_PLACE = re.compile(r"\d{1,16}-\d{1,16}", re.ASCII)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "What is wrong with the request", "content": {MEDIA_TYPE: {}}},
    "503": {"model": Problem, "description": "The store is away", "content": {MEDIA_TYPE: {}}},
}

access_api = APIRouter(prefix="/api/v1", tags=["access"], responses=_PROBLEMS)
AnAdmin = Annotated[Who, Depends(needs("admin"))]


class Me(BaseModel):
    """Who asks."""

    name: str
    role: Role
    how: str = Field(description="anonymous, password, oidc, link, token (the installation's) or api_token")
    signed_in: bool


class Audited(BaseModel):
    """Something that was done, or was not."""

    at: str
    who: str
    role: str
    how: str
    action: str
    object: str
    outcome: str
    origin: str = Field(description="the address that it came from")


class AuditLog(BaseModel):
    """The latest first."""

    entries: list[Audited]
    next: str | None = Field(description="`before` of the next page; null where there is none")


class AccountShape(BaseModel):
    """Somebody who signs in with a password."""

    name: str
    role: Role
    made: str


class TokenShape(BaseModel):
    """An API token, without what opens anything."""

    id: str
    name: str
    role: Role
    only: list[str] = Field(description="beginnings of the paths that it opens; none: all")
    by: str
    made: str
    expires: str


def _access(request: Request) -> Access:
    found: Access = request.app.state.access
    return found


AtAccess = Annotated[Access, Depends(_access)]


@access_api.get("/me")
async def me(request: Request) -> Me:
    """Who asks, and in which role."""
    caller = caller_of(request.scope)
    return Me(name=caller.who.name, role=caller.who.role, how=caller.how, signed_in=caller.signed_in)


@access_api.get("/audit")
async def audit_log(
    access: AtAccess,
    who: AnAdmin,
    limit: Annotated[int, Query(ge=1, le=AUDIT_MOST)] = 100,
    before: Annotated[str | None, Query(max_length=40, description="the `next` of an answer")] = None,
) -> AuditLog:
    """Who did what, the latest first; an admin's. The latest 100,000 or so are kept."""
    if before is not None and not _PLACE.fullmatch(before):
        raise Refused(400, "before: expected the `next` of an answer")
    found = await access.audit.latest(limit + 1, before)
    more = found[limit - 1].place if len(found) > limit else None
    return AuditLog(entries=[_audited(one) for one in found[:limit]], next=more)


def _audited(one: Written) -> Audited:
    entry = one.entry
    return Audited(
        at=one.at,
        who=entry.who,
        role=entry.role,
        how=entry.how,
        action=entry.action,
        object=entry.object,
        outcome=entry.outcome,
        origin=entry.origin,
    )


@access_api.get("/users")
async def users(access: AtAccess, who: AnAdmin) -> list[AccountShape]:
    """Who can sign in with a password; an admin's."""
    return [AccountShape(name=one.name, role=one.role, made=rfc3339(one.made_ms)) for one in await access.accounts.all()]


@access_api.get("/tokens")
async def tokens(access: AtAccess, who: AnAdmin) -> list[TokenShape]:
    """The API tokens, also those that are over; an admin's."""
    return [
        TokenShape(
            id=one.id,
            name=one.name,
            role=one.role,
            only=list(one.only),
            by=one.by,
            made=rfc3339(one.made_ms),
            expires=rfc3339(one.expires_ms),
        )
        for one in await access.tokens.all()
    ]


@access_api.delete("/tokens/{ident}", status_code=204)
async def revoke(
    request: Request, access: AtAccess, who: AnAdmin, ident: Annotated[str, Path(pattern="^[0-9a-f]{8}$")]
) -> Response:
    """Ends an API token at once; an admin's."""
    done = await access.tokens.revoke(ident)
    await audit(request, "revoke_token", ident, "done" if done else "there is none")
    if not done:
        raise Refused(404, f"there is no token {ident}")
    return Response(status_code=204)
