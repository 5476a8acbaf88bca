"""Who may ask, how much and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from console.gate import BODY_MOST, COOKIE, Gate, Keys, is_local
from console.service import CannotListen, address_of, listen, token_of
from runtime.settings import Settings, SettingsError

TOKEN = "not-a-real-token-only-for-tests"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


def ask(token: str | None = TOKEN, app: Any = echo, host: str = "localhost:8321", **how: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(Gate(app, None if token is None else Keys(token), **how)), base_url=f"http://{host}")


# --- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"bearer  {TOKEN} "}, 200),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer \xff\xfe"}, 401),
        ({"Cookie": f"{COOKIE}={Keys(TOKEN).cookie()}"}, 200),
        ({"Cookie": f"{COOKIE}={TOKEN}"}, 401),
        ({"Cookie": f"{COOKIE}=\xff"}, 401),
        ({"Cookie": "=;;= ="}, 401),
    ],
)
async def test_who_does_not_show_the_token_is_told_how(headers: dict[str, str], status: int) -> None:
    async with ask() as client:
        answer = await client.get("/api/v1/rules", headers={name: value.encode("latin-1") for name, value in headers.items()})  # type: ignore[misc]
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert TOKEN not in answer.text


async def test_a_browser_without_it_is_led_to_the_page_that_asks_for_it() -> None:
    async with ask() as client:
        answer = await client.get("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/sign-in", "/static/tokens.css"])
async def test_whether_it_lives_is_told_without_a_token(path: str) -> None:
    async with ask() as client:
        assert (await client.get(path)).status_code == 200


async def test_with_a_token_any_name_of_the_machine_is_answered() -> None:
    async with ask(host="console.example:80") as client:
        assert (await client.get("/", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0:8321", ""])
async def test_without_a_token_only_this_machine_is_answered(host: str) -> None:
    async with ask(None) as client:
        assert (await client.get("/", headers={"Host": host})).status_code == 421


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost:8321", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.8.8.8:1", True), ("[::1]:8321", True),
        ("::1", True), ("[::1", True), ("0.0.0.0", False), ("::", False), ("192.168.1.1:80", False), ("localhost.", False),
        ("127.0.0.1.evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_which_names_are_this_machines_own(host: str, local: bool) -> None:
    assert is_local(host) is local


# --- how much, and how long -------------------------------------------------------------------------------------------


async def test_what_is_too_long_is_refused() -> None:
    async def parts() -> Any:
        for _ in range(BODY_MOST // 1024 + 1):
            yield b"x" * 1024

    async with ask(None) as client:
        assert (await client.post("/", content=b"x" * BODY_MOST)).status_code == 200
        assert (await client.post("/", content=b"x" * (BODY_MOST + 1))).status_code == 413
        assert (await client.post("/", content=parts())).status_code == 413
        assert (await client.post("/", headers={"Content-Length": "²".encode("latin-1")})).status_code == 413
        assert (await client.get("/?" + "x" * 9_000)).status_code == 414
        assert (await client.get("/" + "x" * 2_000)).status_code == 414


async def test_what_takes_too_long_ends_with_504_and_is_cancelled() -> None:
    cancelled = False

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async with ask(None, slow, answer_within_s=0.01) as client:
        answer = await client.get("/")
    assert (answer.status_code, cancelled) == (504, True)
    assert "ask for less" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/nothing"])
async def test_every_answer_tells_browsers_to_be_strict(path: str) -> None:
    async with ask(None) as client:
        headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


# --- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["0.0.0.0:8321", "[::]:8321", "192.168.1.7:8321", "tillwatch.example:80"])
def test_where_others_can_ask_there_must_be_a_token(place: str) -> None:
    with pytest.raises(SettingsError, match="TILLWATCH_CONSOLE_TOKEN"):
        token_of(Settings(console=place))
    assert token_of(Settings(console=place, console_token=SecretStr(TOKEN))) == TOKEN


def test_a_token_may_be_in_a_file_and_a_short_one_is_none(tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert token_of(Settings(console_token_file=file)) == TOKEN
    with pytest.raises(SettingsError, match="No such file"):
        token_of(Settings(console_token_file=tmp_path / "nothing"))
    file.write_text("hunter2")
    with pytest.raises(SettingsError, match="too short") as short:
        token_of(Settings(console_token_file=file))
    assert "hunter2" not in str(short.value)
    assert token_of(Settings()) is None


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with listen(Settings(console="127.0.0.1:0")) as first:
        address = address_of(first)
        port = first.getsockname()[1]
        assert address == f"http://127.0.0.1:{port}/"
        with pytest.raises(CannotListen, match="set TILLWATCH_CONSOLE to another port"):
            listen(Settings(console=f"127.0.0.1:{port}"))
    with pytest.raises(CannotListen, match="is no address of this machine"):
        listen(Settings(console="nowhere.invalid:1"))
