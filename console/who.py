"""Who asks, and what they may do. The gate finds out; routes that change something ask here."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from console.problems import Refused

Role = Literal["viewer", "responder", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "responder", "admin")
"""Each may do what those before it may."""
A: dict[Role, str] = {"viewer": "a viewer", "responder": "a responder", "admin": "an admin"}
SCOPE_KEY = "tillwatch.who"


@dataclass(frozen=True, slots=True)
class Who:
    """A caller: a name as it is written into records, and a role."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a page shows of whoever asks for it. who: None for nobody who has signed in. csrf: what it must show to act."""

    who: Who | None = None
    csrf: str = ""


NOBODY = Asking()
ASKING: ContextVar[Asking] = ContextVar("asking", default=NOBODY)
"""Of the request that is being answered: set by the gate, so that every page has it without being handed it."""


def who_of(request: Request) -> Who:
    """Who asks: the gate has let them through, so there is somebody."""
    found: Who = request.scope[SCOPE_KEY]
    return found


def needs(role: Role) -> Callable[[Request], Who]:
    """A dependency of routes: who asks, if they may. Raises Refused with 403."""

    def allowed(request: Request) -> Who:
        who = who_of(request)
        if not who.may(role):
            raise Refused(403, f"{who.name} is {who.role} here; this takes {A[role]}")
        return who

    return allowed
