"""Everything that the description of the API allows, and much that it does not, by everybody: no fault, no leak, and nobody who
may only read changes anything.

What others add to the API is asked, too: the committed description says what there is. Half a minute for all of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import Phase, settings
from pydantic import SecretStr
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from console.access import Access
from console.gate import OPEN
from console.openapi import FILE
from console.who import ROLES
from runtime.clock import WallClock
from runtime.redis import connect
from runtime.settings import Settings
from tests.console.conftest import TOKEN, Held
from tests.console.rows import paid
from tests.support.site import listening
from tests.support.store import KillableStore

DESCRIPTION = json.loads(FILE.read_text())
ENDLESS = "/api/v1/events"
ASKS = "/api/v1/sql"
EXAMPLES = 8
"""Of each operation, and each is asked by everybody."""
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
ROOT = Path(__file__).resolve().parents[2]
LEAKS = re.compile(
    "|".join(
        (
            "Traceback",
            r'File \\?"',
            r"\.py\b",
            re.escape(str(ROOT)),
            re.escape(sys.prefix),
            r"/site-packages/",
            re.escape(TOKEN),
            r"\$argon2",
            r"127\.0\.0\.1:1\b",  # where the broker should be
        )
    )
)


class Running:
    """A console that really listens, and somebody of each kind."""

    def __init__(self, address: str, store: str, callers: dict[str, dict[str, str]]) -> None:
        self.address, self.store, self.callers = address, store, callers
        self.leaks = re.compile(f"{LEAKS.pattern}|{re.escape(store)}")


@pytest.fixture(scope="module")
def console(store: KillableStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzzed")
    made = Settings(
        kafka="127.0.0.1:1",
        redis=SecretStr(store.url),
        namespace=f"t{secrets.token_hex(5)}",
        data=folder / "data",
    )
    callers = asyncio.run(_prepared(made))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("READS", "CHANGES"):  # those have tests of their own
            patch.setattr(f"console.gate.{name}", (10**9, 1.0))
        with listening(made, TOKEN) as address:
            yield Running(address, store.url, callers)


async def _prepared(made: Settings) -> dict[str, dict[str, str]]:
    """Something to be asked for; the headers of each caller."""
    access = Access(made, WallClock(), TOKEN)
    redis = connect(made)
    held = Held(redis, made)
    now_ms = int(WallClock().now() * 1000)
    await held.tell()
    await held.write("payments", {now_ms // 10_000 * 10_000: [paid(500)]})
    callers = {"nobody": {}, "somebody": {"Authorization": "Bearer tillwatch_00000000_" + "x" * 43}}
    for role in ROLES:
        _, text = await access.tokens.add(role, role, "a test", now_ms, now_ms + 3_600_000)
        callers[role] = {"Authorization": f"Bearer {text}"}
    await redis.aclose()
    await access.close()
    return callers


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A fault is in the log, whatever the answer was."""
    with caplog.at_level(logging.ERROR):
        yield
    faults = [one for one in caplog.records if one.exc_info and not one.name.startswith("aiokafka")]
    assert [one.getMessage() for one in faults] == []


@SCHEMA.exclude(path=ENDLESS).parametrize()
@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate], deadline=None)
def test_whatever_is_asked_there_is_no_fault_and_no_leak(case: schemathesis.Case, console: Running) -> None:
    for name, headers in console.callers.items():
        answer = case.call(base_url=console.address, headers=headers, timeout=60)
        assert answer.status_code != 500 and answer.status_code < 504, f"{name}: {answer.status_code} {answer.text[:300]}"
        leaked = console.leaks.search(answer.text + repr(answer.headers))
        assert leaked is None, f"{name}: {leaked and leaked[0]} in {answer.text[:300]}"
        opened = case.path in OPEN
        if name in ("nobody", "somebody") and not opened:
            assert answer.status_code in (400, 401, 405, 414), f"{name}: {answer.status_code} {answer.text[:300]}"
        elif name == "viewer" and case.method not in ("GET", "HEAD", "OPTIONS") and case.path != ASKS:
            assert answer.status_code in (400, 403, 405, 414), f"{name}: {answer.status_code} {answer.text[:300]}"
        elif name == "admin":
            case.validate_response(answer, checks=[content_type_conformance, response_schema_conformance])


def _changing() -> Iterator[tuple[str, str]]:
    for path, methods in DESCRIPTION["paths"].items():
        for method in methods:
            if method.upper() not in ("GET", "HEAD", "OPTIONS") and path not in (ASKS, *OPEN):
                yield method.upper(), re.sub(r"\{\w+\}", "1f09a3c4", path)


@pytest.mark.parametrize(("method", "path"), list(_changing()))
def test_who_may_only_read_changes_nothing(console: Running, method: str, path: str) -> None:
    for body in ({}, {"text": "x"}, []):
        statuses = {
            name: requests.request(method, console.address + path, headers=headers, json=body, timeout=30).status_code
            for name, headers in console.callers.items()
            if name in ("nobody", "somebody", "viewer")
        }
        assert statuses == {"nobody": 401, "somebody": 401, "viewer": 403}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "X" * 200])
@pytest.mark.parametrize("path", ["/", "/api/v1/rules", "/api/v1/nothing", "/static/app.js", "/metrics", "/%00", "/status"])
def test_no_other_method_does_anything(console: Running, method: str, path: str) -> None:
    answer = httpx.request(method, console.address + path, headers=console.callers["admin"], timeout=30)
    assert answer.status_code in (400, 404, 405), answer.text
    assert console.leaks.search(answer.text) is None


@pytest.mark.parametrize(
    "header",
    [
        ("Host", "evil.example"), ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "\u00ff"), ("Origin", "null"),
        ("Cookie", "=;" * 2000), ("Cookie", "tillwatch_session=" + "x" * 4000), ("If-None-Match", '"' * 1000),
        ("Accept", "text/html;q=" + "9" * 1000), ("Last-Event-ID", "\u00ff"), ("Accept-Encoding", "gzip;q=x, br"),
        ("Range", "bytes=0-1"), ("X-HTTP-Method-Override", "DELETE"), ("Authorization", "Bearer " + "tillwatch_" * 500),
        ("Sec-Fetch-Site", "cross-site"),
    ],
)  # fmt: skip
def test_no_header_is_a_fault_or_a_way_in(console: Running, header: tuple[str, str]) -> None:
    name, value = header
    for path in ("/", "/api/v1/rules", "/sign-in", "/livez"):
        answer = httpx.get(console.address + path, headers=[(name.encode(), value.encode("latin-1"))], timeout=30)
        inside = path in ("/", "/api/v1/rules") and answer.status_code == 200
        assert answer.status_code < 500 and not inside, f"{path}: {answer.text}"
        assert console.leaks.search(answer.text) is None


def test_everything_that_can_be_asked_was_asked() -> None:
    """The description has all routes but those of pages; the one that does not end is asked elsewhere."""
    asked: set[Any] = {operation.ok().path for operation in SCHEMA.exclude(path=ENDLESS).get_all_operations()}
    assert asked == set(DESCRIPTION["paths"]) - {ENDLESS}
    assert len(asked) >= 18


