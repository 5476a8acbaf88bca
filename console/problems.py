"""Errors as application/problem+json (RFC 9457): what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from fastapi.responses import Response

from console.shapes import Problem
from runtime.suggest import nearest, quoted

MEDIA_TYPE = "application/problem+json"


class Refused(Exception):
    """A request that is not answered as asked."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that tells it."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(told.model_dump_json(), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def unknown(what: str, name: str, known: Iterable[str], status: int = 400) -> Refused:
    """There is none of this name; the nearest, and all there are."""
    names = list(known)
    near = nearest(name, names)
    hint = f" (did you mean {near}?)" if near else ""
    return Refused(status, f"no {what} {quoted(name)}{hint}; there are {', '.join(names)}")
