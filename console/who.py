"""Who asks, and what they may do. The gate finds out; routes that change something ask here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from console.problems import Refused

Role = Literal["viewer", "responder", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "responder", "admin")
"""Each may do what those before it may."""
SCOPE_KEY = "tillwatch.who"


@dataclass(frozen=True, slots=True)
class Who:
    """A caller: a name as it is written into records, and a role."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


def who_of(request: Request) -> Who:
    """Who asks: the gate has let them through, so there is somebody."""
    found: Who = request.scope[SCOPE_KEY]
    return found


def needs(role: Role) -> Callable[[Request], Who]:
    """A dependency of routes: who asks, if they may. Raises Refused with 403."""

    def allowed(request: Request) -> Who:
        who = who_of(request)
        if not who.may(role):
            raise Refused(403, f"{who.name} is {who.role} here; this takes a {role}")
        return who

    return allowed
