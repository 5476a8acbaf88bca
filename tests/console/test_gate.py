"""Who may ask, what, how much, how often and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from console.access import COOKIE, Access, is_local
from console.audit import TOLD
from console.gate import BODY_MOST, Gate
from console.service import CannotListen, address_of, check_way_in, listen, token_of
from console.sessions import IDLE_S, LONGEST_S, csrf
from console.who import ASKING, SCOPE_KEY, Role
from runtime.clock import ManualClock
from runtime.settings import Settings, SettingsError
from tests.console.conftest import TOKEN
from tests.support.store import KillableStore
from tests.support.wait import eventually_async

HTML = {"Accept": "text/html,*/*"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells who asks."""
    while (await receive()).get("more_body"):
        pass
    who = scope[SCOPE_KEY]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{who.role} {who.name} {ASKING.get().csrf}".encode()})


def ask(
    access: Access, app: Any = echo, host: str = "localhost:8321", origin: str = "127.0.0.1", **how: Any
) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Gate(app, access, **how), client=(origin, 4711))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


@pytest.fixture
async def guarded(settings: Settings, clock: ManualClock) -> AsyncIterator[Access]:
    """An installation with a token."""
    found = Access(settings, clock, TOKEN)
    yield found
    await found.close()


@pytest.fixture
async def alone(access: Access) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody who has signed in, on the machine itself."""
    async with ask(access) as client:
        yield client


async def account(access: Access, name: str, role: Role) -> str:
    """The secret of a session of an account of its own."""
    await access.accounts.add(name, role, "its password is not needed here", 0)
    made = await access.accounts.get(name)
    assert made is not None
    return await access.sessions.begin(name, role, "password", made.version)


# --- tokens -----------------------------------------------------------------------------------------------------------


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
        ({"Cookie": f"{COOKIE}={TOKEN}"}, 401),
        ({"Cookie": f"{COOKIE}=\xff"}, 401),
        ({"Cookie": f"{COOKIE}={'x' * 43}"}, 401),
        ({"Cookie": "=;;= ="}, 401),
    ],
)
async def test_who_does_not_show_the_token_is_told_how(guarded: Access, headers: dict[str, str], status: int) -> None:
    async with ask(guarded) as client:
        answer = await client.get("/api/v1/rules", headers={name: value.encode("latin-1") for name, value in headers.items()})  # type: ignore[misc]
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert TOKEN not in answer.text


async def test_an_api_token_opens_what_its_role_and_its_paths_say_until_it_expires(guarded: Access, clock: ManualClock) -> None:
    now_ms = int(clock.now() * 1000)
    token, text = await guarded.tokens.add("prometheus", "viewer", "thandi", now_ms, now_ms + 90_000, ("/metrics",))
    _, other = await guarded.tokens.add("bot", "responder", "thandi", now_ms, now_ms + 90_000)
    async with ask(guarded) as client:

        async def status(token: str, method: str, path: str) -> int:
            return (await client.request(method, path, headers={"Authorization": f"Bearer {token}"})).status_code

        assert await status(text, "GET", "/metrics") == 200
        assert await status(text, "GET", "/api/v1/rules") == 403
        assert await status(other, "POST", "/api/v1/incidents/1/ack") == 200, "no page is needed to act with a token"
        assert await status(text[:-1] + ("A" if text[-1] != "A" else "B"), "GET", "/metrics") == 401
        clock.advance(91)
        assert await status(text, "GET", "/metrics") == 401
        clock.advance(-2)
        assert await status(text, "GET", "/metrics") == 200
        assert await guarded.tokens.revoke(token.id)
        assert await status(text, "GET", "/metrics") == 401


async def test_what_is_kept_of_a_token_or_a_session_opens_nothing(guarded: Access, store: KillableStore) -> None:
    _, text = await guarded.tokens.add("bot", "admin", "thandi", 0, 2**53)
    secret = await guarded.sessions.begin("thandi", "admin", "link")
    once = await guarded.sessions.offer("thandi")
    with store.client() as client:
        keys = client.keys(f"{guarded.names.namespace}:*")
        held = b" ".join([*keys, *(client.dump(key) for key in keys)])
    assert len(keys) == 3
    assert not any(one.encode() in held for one in (text.rpartition("_")[2], secret, once))


# --- one machine ------------------------------------------------------------------------------------------------------


async def test_on_one_machine_everybody_may_read_and_ask_and_nobody_act(alone: httpx.AsyncClient) -> None:
    assert (await alone.get("/api/v1/rules")).text == "viewer this machine "
    assert (await alone.post("/api/v1/sql", content=b"{}")).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await alone.request(method, "/api/v1/incidents/1/ack")
        assert answer.status_code == 401
        assert "tillwatch console link" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0:8321", ""])
async def test_without_signing_in_only_this_machine_is_answered(alone: httpx.AsyncClient, host: str) -> None:
    assert (await alone.get("/", headers={"Host": host})).status_code == 421


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host"])
async def test_whom_a_proxy_brings_is_not_this_machine(alone: httpx.AsyncClient, header: str) -> None:
    assert (await alone.get("/api/v1/rules", headers={header: "203.0.113.9"})).status_code == 401


async def test_who_comes_from_elsewhere_is_not_this_machine(access: Access) -> None:
    async with ask(access, origin="203.0.113.9") as client:
        assert (await client.get("/api/v1/rules")).status_code == 401


async def test_with_the_first_account_everybody_has_to_sign_in(access: Access, alone: httpx.AsyncClient) -> None:
    assert (await alone.get("/")).status_code == 200
    await account(access, "thandi", "viewer")
    assert (await alone.get("/")).status_code == 401
    assert (await alone.get("/", headers=HTML)).headers["location"] == "/sign-in?next=%2F"


async def test_a_browser_is_led_to_sign_in_and_back_to_where_it_wanted(guarded: Access) -> None:
    async with ask(guarded) as client:
        answer = await client.get("/payments?from=2026-11-23T08:00:00Z&x=%22", headers=HTML)
        evil = await client.get("http://localhost:8321//evil.example/x", headers=HTML)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fpayments%3Ffrom%3D2026-11-23T08%3A00%3A00Z%26x%3D%2522"
    assert evil.headers["location"] == "/sign-in?next=%2Fevil.example%2Fx"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/sign-in", "/static/tokens.css", "/status"])
async def test_whether_it_lives_is_told_to_everybody(guarded: Access, path: str) -> None:
    async with ask(guarded) as client:
        assert (await client.get(path)).status_code == 200


async def test_with_a_token_any_name_of_the_machine_is_answered(guarded: Access) -> None:
    async with ask(guarded, host="console.example:80") as client:
        assert (await client.get("/", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


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


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_session_acts_only_from_a_page_of_the_console(access: Access) -> None:
    secret = await access.sessions.begin("thandi", "responder", "link")
    good = {"Cookie": f"{COOKIE}={secret}", "X-Tillwatch-CSRF": csrf(secret)}
    async with ask(access) as client:

        async def status(**headers: str) -> int:
            sent = good | {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.post("/api/v1/incidents/1/ack", headers=sent)).status_code

        assert await status() == 200
        assert await status(Origin="http://localhost:8321", Sec_Fetch_Site="same-origin") == 200
        assert await status(Origin="http://evil.example") == 403
        assert await status(Origin="null") == 403
        assert await status(Origin="http://[") == 403
        assert await status(Origin="http://localhost:9999") == 403, "another program's page on this machine"
        assert await status(Sec_Fetch_Site="cross-site") == 403
        assert await status(Sec_Fetch_Site="same-site") == 403
        assert await status(X_Tillwatch_CSRF="") == 403
        assert await status(X_Tillwatch_CSRF=csrf(secret)[:-1]) == 403
        assert await status(X_Tillwatch_CSRF=csrf("x" * 43)) == 403, "that of another session"
        beside = f'other={{"a": [1, "x"]}}; {good["Cookie"]}; more=(1)'
        for cookie in (good["Cookie"], beside):
            assert (await client.get("/", headers={"Cookie": cookie})).text == f"responder thandi {csrf(secret)}"


async def test_behind_a_proxy_a_page_has_the_address_of_the_settings(settings: Settings, clock: ManualClock) -> None:
    behind = Access(settings.model_copy(update={"console_url": "https://tillwatch.example"}), clock, TOKEN)
    secret = await behind.sessions.begin("thandi", "responder", "link")
    shown = {"Cookie": f"{COOKIE}={secret}", "X-Tillwatch-CSRF": csrf(secret)}
    async with ask(behind, host="127.0.0.1:8321") as client:
        statuses = [
            (await client.post("/x", headers=shown | {"Origin": origin})).status_code
            for origin in ("https://tillwatch.example", "https://tillwatch.example.evil", "https://evil.example")
        ]
    await behind.close()
    assert statuses == [200, 403, 403]


@pytest.mark.parametrize("what", ["its password", "its role", "its account", "time", "disuse", "sign-out"])
async def test_a_session_ends_with(access: Access, clock: ManualClock, what: str) -> None:
    secret = await account(access, "thandi", "responder")
    async with ask(access) as client:
        shown = {"Cookie": f"{COOKIE}={secret}"}

        async def role() -> str:
            return (await client.get("/x", headers=shown)).text.partition(" ")[0]

        assert await role() == "responder"
        if what == "its password":
            assert await access.accounts.change("thandi", password="another")
        elif what == "its role":
            assert await access.accounts.change("thandi", role="viewer")
        elif what == "its account":
            assert await access.accounts.remove("thandi")
            await account(access, "thandi", "admin")  # of the same name
        elif what == "disuse":
            clock.advance(IDLE_S - 61)
            assert await role() == "responder"
            clock.advance(IDLE_S - 61)
            assert await role() == "responder", "it was used meanwhile"
            clock.advance(IDLE_S + 1)
        elif what == "time":
            for _ in range(LONGEST_S // (IDLE_S - 1)):
                clock.advance(IDLE_S - 1)
                assert await role() == "responder"
            clock.advance(IDLE_S - 1)
        else:
            await access.sessions.end(secret)
        answer = await client.get("/x", headers=shown)
        assert answer.status_code == 401


async def test_a_session_of_the_installations_token_ends_with_that_token(
    guarded: Access, settings: Settings, clock: ManualClock
) -> None:
    secret = await guarded.sessions.begin("installation token", "admin", "token", guarded.token_version)
    other = Access(settings, clock, "another-token-only-for-tests")
    shown = {"Cookie": f"{COOKIE}={secret}"}
    async with ask(guarded) as before, ask(other) as after:
        assert (await before.get("/x", headers=shown)).status_code == 200
        assert (await after.get("/x", headers=shown)).status_code == 401
    await other.close()


async def test_a_link_from_another_site_shows_the_page_after_all(access: Access) -> None:
    """Browsers do not send the cookie with such a request; a page of ours that goes on by itself makes them."""
    await account(access, "thandi", "viewer")
    crossing = HTML | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with ask(access) as client:
        answer = await client.get('/payments?x="><script>', headers=crossing)
        inside = await client.get("/payments", headers=crossing | {"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200
    assert 'content="0;url=/payments?x=' in answer.text and "<script>" not in answer.text
    assert inside.headers["location"] == "/sign-in?next=%2Fpayments", "and does not go round in circles"


@pytest.mark.parametrize(
    ("role", "changes", "asks"), [("viewer", 403, 200), ("responder", 200, 200), ("admin", 200, 200)]
)
async def test_whatever_a_route_says_a_viewer_changes_nothing(access: Access, role: Role, changes: int, asks: int) -> None:
    secret = await access.sessions.begin("thandi", role, "link")
    shown = {"Cookie": f"{COOKIE}={secret}", "X-Tillwatch-CSRF": csrf(secret)}
    async with ask(access) as client:
        for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
            assert (await client.request(method, "/api/v1/anything", headers=shown)).status_code == changes
        assert (await client.post("/api/v1/sql", headers=shown)).status_code == asks
        assert (await client.post("/api/v1/sqlx", headers=shown)).status_code == changes


# --- when the store is away -------------------------------------------------------------------------------------------


async def test_while_the_store_is_away_who_was_known_goes_on_reading(
    settings: Settings, clock: ManualClock, patient: KillableStore
) -> None:
    time = 0.0
    access = Access(settings.model_copy(update={"redis": SecretStr(patient.url)}), clock, None, lambda: time)
    secret = await access.sessions.begin("thandi", "admin", "link")
    shown = {"Cookie": f"{COOKIE}={secret}"}
    async with ask(access) as client:
        assert (await client.get("/x", headers=shown)).text.startswith("admin thandi")
        patient.kill()
        assert (await client.get("/x", headers=shown)).text.startswith("viewer thandi")
        unknown = await client.get("/x", headers={"Cookie": f"{COOKIE}={'x' * 43}"})
        assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")
        time = 1000.0
        assert (await client.get("/x", headers=shown)).status_code == 503, "not for long"
        patient.start()
        time = 1003.0
        assert (await client.get("/x", headers=shown)).text.startswith("admin thandi")
    await access.close()


async def test_where_it_is_not_known_whether_there_are_accounts_only_health_is_told(
    settings: Settings, clock: ManualClock
) -> None:
    blind = Access(settings.model_copy(update={"redis": SecretStr("redis://127.0.0.1:1")}), clock, None)
    async with ask(blind) as client:
        statuses = [(await client.get(path)).status_code for path in ("/", "/api/v1/rules", "/api/health", "/livez")]
    await blind.close()
    assert statuses == [503, 503, 200, 200]


async def test_a_stream_ends_when_its_session_does(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.gate.LOOK_AGAIN_S", 0.01)
    ended = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    secret = await account(access, "thandi", "viewer")
    async with ask(access, endless) as client:
        asking = asyncio.create_task(client.get("/api/v1/events", headers={"Cookie": f"{COOKIE}={secret}"}))
        await eventually_async(lambda: access._known, "it is known who asks")
        assert not ended.is_set()
        await access.accounts.change("thandi", password="another")
        answer = await asyncio.wait_for(asking, 10)
    assert answer.status_code == 200 and ended.is_set()


# --- what is written down ---------------------------------------------------------------------------------------------


async def test_what_was_changed_and_what_was_refused_is_written_down(access: Access) -> None:
    secret = await access.sessions.begin("thandi", "viewer", "link")
    boss = await access.sessions.begin("sipho", "admin", "link")
    async with ask(access, origin="127.0.0.9") as client:
        for one in (secret, boss):
            shown = {"Cookie": f"{COOKIE}={one}", "X-Tillwatch-CSRF": csrf(one)}
            await client.delete("/api/v1/silences/7", headers=shown)
            await client.get("/api/v1/rules", headers=shown)
            await client.post("/api/v1/sql", headers=shown)
        await client.delete("/api/v1/silences/8")
    told = [(one.entry.who, one.entry.action, one.entry.object, one.entry.outcome) for one in await access.audit.latest(10)]
    assert told == [
        ("sipho", "delete", "/api/v1/silences/7", "done (200)"),
        ("thandi", "delete", "/api/v1/silences/7", "refused (403)"),
    ]
    [last, *_] = await access.audit.latest(1)
    assert (last.entry.origin, last.entry.how, last.entry.role) == ("127.0.0.9", "link", "admin")


async def test_what_a_route_has_told_is_not_told_twice(guarded: Access) -> None:
    async def tells(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TOLD] = True
        await echo(scope, receive, send)

    async with ask(guarded, tells) as client:
        await client.post("/x", headers={"Authorization": f"Bearer {TOKEN}"})
    assert await guarded.audit.latest(1) == []


# --- how much, how often, and how long --------------------------------------------------------------------------------


async def test_who_asks_too_often_is_told_to_wait(
    guarded: Access, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.gate.READS", (20, 0.001))
    monkeypatch.setattr("console.gate.CHANGES", (5, 0.001))
    now_ms = int(clock.now() * 1000)
    _, other = await guarded.tokens.add("other", "viewer", "thandi", now_ms, now_ms + 90_000)
    async with ask(guarded) as client:
        shown = {"Authorization": f"Bearer {TOKEN}"}
        answers = [await client.post("/x", headers=shown) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert 900 < int(answers[-1].headers["retry-after"]) <= 1000
        assert [(await client.get("/x", headers=shown)).status_code for _ in range(15)] == [200] * 14 + [429], "reading goes on"
        assert (await client.get("/x", headers={"Authorization": f"Bearer {other}"})).status_code == 200, "others go on"
        assert [(await client.get("/x")).status_code for _ in range(21)] == [401] * 20 + [429], "strangers, too"
        assert (await client.get("/static/app.js")).status_code == 200
        assert (await client.get("/livez")).status_code == 200


async def test_what_is_too_long_is_refused(guarded: Access) -> None:
    async def parts() -> Any:
        for _ in range(BODY_MOST // 1024 + 1):
            yield b"x" * 1024

    async with ask(guarded) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert (await client.post("/", content=b"x" * BODY_MOST)).status_code == 200
        assert (await client.post("/", content=b"x" * (BODY_MOST + 1))).status_code == 413
        assert (await client.post("/", content=parts())).status_code == 413
        assert (await client.post("/", headers={"Content-Length": "²".encode("latin-1")})).status_code == 413
        assert (await client.get("/?" + "x" * 9_000)).status_code == 414
        assert (await client.get("/" + "x" * 2_000)).status_code == 414


async def test_what_takes_too_long_ends_with_504_and_is_cancelled(access: Access) -> None:
    cancelled = False

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async with ask(access, slow, answer_within_s=0.01) as client:
        answer = await client.get("/")
    assert (answer.status_code, cancelled) == (504, True)
    assert "ask for less" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/nothing"])
async def test_every_answer_tells_browsers_to_be_strict(alone: httpx.AsyncClient, path: str) -> None:
    headers = (await alone.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers, "plain HTTP"


# --- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["0.0.0.0:8321", "[::]:8321", "192.168.1.7:8321", "tillwatch.example:80"])
async def test_where_others_can_ask_there_must_be_a_way_to_sign_in(settings: Settings, clock: ManualClock, place: str) -> None:
    public = settings.model_copy(update={"console": place})
    access = Access(public, clock, None)
    with pytest.raises(SettingsError, match="TILLWATCH_CONSOLE_TOKEN"):
        await check_way_in(access)
    async with ask(access, host=place) as client:
        assert (await client.get("/api/v1/rules")).status_code == 401, "nor is anybody let in"
    await account(access, "thandi", "admin")
    await check_way_in(access)
    await access.close()
    guarded = Access(public, clock, TOKEN)
    await check_way_in(guarded)
    await guarded.close()


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
