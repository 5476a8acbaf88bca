"""Who did what, to what, from where, and what came of it: a line of the log, and an entry of a stream that only grows.

The stream keeps the latest 100,000 or so; the log has all of them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis
from starlette.requests import Request

from console.readings import AWAY
from runtime.names import Names
from schemas.time import rfc3339

log = logging.getLogger(__name__)
KEPT = 100_000
CHARS = 512
"""Of a field; what is longer is cut."""
TOLD = "tillwatch.audited"
"""The scope of a request whose route has said what was done."""


@dataclass(frozen=True, slots=True)
class Entry:
    """who, and in which role; how: anonymous, password, oidc, link, token, api_token or command; action: a verb, such as ack or
    sign_in; object: what it was done to; outcome: done, refused, failed, or what else came of it; origin: an address."""

    who: str
    role: str
    how: str
    action: str
    object: str
    outcome: str
    origin: str


@dataclass(frozen=True, slots=True)
class Written:
    """An entry with its place in the stream and its time."""

    place: str
    at: str
    entry: Entry


class Audit:
    """Methods raise what redis raises when it is away; the line of the log is written first."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._key = redis, names.console("audit")

    async def write(self, entry: Entry) -> None:
        fields = {name: _plain(value) for name, value in asdict(entry).items()}
        log.info("audit: %s", " ".join(f"{name}={value!r}" for name, value in fields.items()))
        await self._redis.xadd(self._key, fields, maxlen=KEPT, approximate=True)  # type: ignore[arg-type]

    async def latest(self, count: int, before: str | None = None) -> Sequence[Written]:
        """The latest first; `before`: the place of an entry, for those that are older."""
        held: Any = await self._redis.xrevrange(self._key, f"({before}" if before else "+", "-", count=count)
        return [_written(mark.decode(), fields) for mark, fields in held]


def _written(place: str, fields: dict[bytes, bytes]) -> Written:
    told = {name.decode(): value.decode(errors="replace") for name, value in fields.items()}
    entry = Entry(**{name: told.get(name, "") for name in Entry.__slots__})
    return Written(place, rfc3339(int(place.partition("-")[0])), entry)


def _plain(text: str) -> str:
    """Without what could make two lines of one, or end a terminal's."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:CHARS])


async def audit(request: Request, action: str, object: str, outcome: str = "done") -> None:
    """For routes: writes down what whoever asks has done, or tried to. Where the store is away, the log alone has it: what was
    done is done."""
    from console.access import Access, caller_of

    request.scope[TOLD] = True
    access: Access = request.app.state.access
    caller = caller_of(request.scope)
    with contextlib.suppress(*AWAY):
        await access.audit.write(
            Entry(caller.who.name, caller.who.role, caller.how, action, object, outcome, caller.origin)
        )
