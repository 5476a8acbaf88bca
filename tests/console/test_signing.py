"""The way in and out of the console, as a browser goes it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from argon2 import PasswordHasher

from console.access import COOKIE, Access
from console.accounts import Passwords
from console.desk import Desk
from console.gate import Gate
from console.sessions import csrf
from runtime.clock import ManualClock
from runtime.settings import Settings
from tests.console.conftest import APPLICATION, TOKEN

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}


class Monotonic:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def seconds() -> Monotonic:
    return Monotonic()


@pytest.fixture
async def door(settings: Settings, clock: ManualClock, seconds: Monotonic, desk: Desk) -> AsyncIterator[Access]:
    """An installation with a token, and an account of thandi, a responder; its hashes are weak, and quick."""
    found = Access(settings, clock, TOKEN, seconds)
    found.passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    await found.accounts.add("thandi", "responder", found.passwords.hash(PASSWORD), 0)
    APPLICATION.state.desk, APPLICATION.state.access = desk, found
    yield found
    await found.close()


def browser_of(access: Access, address: str = "http://localhost:8321", origin: str = "127.0.0.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Gate(APPLICATION, access), client=(origin, 1))
    return httpx.AsyncClient(transport=transport, base_url=address, headers=HTML)


@pytest.fixture
async def browser(door: Access) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(door) as found:
        yield found


async def test_a_form_of_ours_is_known_by_its_origin(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/sign-in")
    assert page.headers["referrer-policy"] == "same-origin", "else browsers send Origin: null"
    refused = await browser.post("/sign-in", data={"name": "thandi", "password": PASSWORD}, headers={"Origin": "null"})
    assert refused.status_code == 403


async def test_a_name_and_its_password_begin_a_session_and_signing_out_ends_it(
    door: Access, browser: httpx.AsyncClient
) -> None:
    led = await browser.get("/?range=24h", follow_redirects=True)
    assert (led.status_code, led.url.path) == (200, "/sign-in")
    assert '<input type="hidden" name="next" value="/?range=24h">' in led.text
    right = await browser.post("/sign-in", data={"name": " Thandi ", "password": PASSWORD, "next": "/?range=24h"})
    assert right.status_code == 200 and 'content="0;url=/?range=24h"' in right.text
    cookie = right.headers["set-cookie"]
    assert all(one in cookie for one in (f"{COOKIE}=", "HttpOnly", "SameSite=strict", "Path=/"))
    assert "Secure" not in cookie, "plain HTTP"
    page = (await browser.get("/")).text
    shown = re.search(r'<meta name="csrf" content="([0-9a-f]{64})">', page)
    assert shown is not None and shown[1] == csrf(browser.cookies[COOKIE])
    assert ">thandi, responder</a>" in page
    me = (await browser.get("/api/v1/me")).json()
    assert me == {"name": "thandi", "role": "responder", "how": "password", "signed_in": True}

    held = browser.cookies[COOKIE]
    assert (await browser.post("/sign-out", data={"csrf": "x" * 64})).status_code == 403
    assert "/sign-out" in (await browser.get("/sign-in")).text
    out = await browser.post("/sign-out", data={"csrf": shown[1]})
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert COOKIE not in browser.cookies
    assert (await browser.get("/api/v1/me", headers={"Cookie": f"{COOKIE}={held}"})).status_code == 401
    told = [(one.entry.who, one.entry.action, one.entry.outcome) for one in await door.audit.latest(5)]
    assert told == [
        ("thandi", "sign_out", "done"),
        ("thandi", "post", "refused (403)"),
        ("thandi", "sign_in", "done"),
    ]


async def test_behind_tls_the_cookie_is_for_tls_alone(door: Access) -> None:
    async with browser_of(door, "https://tillwatch.example") as browser:
        answer = await browser.post("/sign-in", data={"name": "thandi", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(
    "given",
    [
        {"name": "thandi", "password": "wrong"},
        {"name": "nobody", "password": PASSWORD},
        {"name": "", "password": ""},
        {"name": "thandi"},
        {"name": "<script>alert(1)</script>", "password": PASSWORD},
        {"token": "<b>wrong"},
        {"token": TOKEN[:-1]},
        {"name": "thandi\x00", "password": PASSWORD},
        {},
    ],
)
async def test_what_is_not_right_is_told_in_one_way(door: Access, browser: httpx.AsyncClient, given: dict[str, str]) -> None:
    answer = await browser.post("/sign-in", data=given)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "That is not right." in answer.text
    assert "wrong" not in answer.text and "alert" not in answer.text
    [last] = await door.audit.latest(1)
    assert (last.entry.action, last.entry.outcome) == ("sign_in", "refused")
    assert "wrong" not in str(last) and PASSWORD not in str(last), "what was typed is nowhere"


async def test_a_name_that_nobody_has_takes_as_long_as_one_that_somebody_has(door: Access) -> None:
    """With the parameters of an installation. The hash is most of it, so a missing one would be seen."""
    door.passwords = Passwords()
    kept = door.passwords.hash(PASSWORD)
    await door.passwords.matches(kept, "the first also makes the decoy")

    async def cost(of: str | None) -> float:
        began = time.process_time()
        assert not await door.passwords.matches(of, "wrong")
        return time.process_time() - began

    known = [await cost(kept) for _ in range(5)]
    unknown = [await cost(None) for _ in range(5)]
    assert 0.5 < statistics.median(unknown) / statistics.median(known) < 2


async def test_who_guesses_has_to_wait_and_the_owner_elsewhere_does_not(door: Access, seconds: Monotonic) -> None:
    async with browser_of(door, origin="203.0.113.9") as thief, browser_of(door, origin="198.51.100.7") as owner:

        async def status(who: httpx.AsyncClient, password: str, name: str = "thandi") -> int:
            return (await who.post("/sign-in", data={"name": name, "password": password})).status_code

        assert [await status(thief, f"guess {n}") for n in range(6)] == [401] * 5 + [429]
        assert await status(thief, PASSWORD) == 429, "not even with the right one"
        assert await status(owner, PASSWORD) == 200
        seconds.s = 31.0
        assert await status(thief, "another guess") == 401
        told = await thief.post("/sign-in", data={"name": "thandi", "password": "x"})
        assert 0 < int(told.headers["retry-after"]) <= 30
        statuses = [await status(thief, "x", f"name{n}") for n in range(60)]
        assert 429 in statuses, "nor with ever other names"


async def test_the_installations_token_signs_in_too(door: Access, browser: httpx.AsyncClient) -> None:
    assert "installation's token" in (await browser.get("/sign-in")).text
    assert (await browser.post("/sign-in", data={"token": TOKEN})).status_code == 200
    assert (await browser.get("/api/v1/me")).json()["role"] == "admin"
    assert TOKEN not in browser.cookies[COOKIE]


async def test_a_link_works_once_and_not_for_who_only_looks_ahead(door: Access, browser: httpx.AsyncClient) -> None:
    once = await door.sessions.offer("sipho")
    ahead = await browser.get(f"/sign-in?once={once}", headers={"Sec-Purpose": "prefetch;prerender"})
    assert ahead.status_code == 503 and "set-cookie" not in ahead.headers
    assert (await browser.get(f"/sign-in?once={once}")).status_code == 200
    assert (await browser.get("/api/v1/me")).json() == {"name": "sipho", "role": "admin", "how": "link", "signed_in": True}
    async with browser_of(door) as second:
        again = await second.get(f"/sign-in?once={once}")
        assert again.status_code == 401 and "used before" in again.text and "set-cookie" not in again.headers
        assert (await second.get("/sign-in?once=" + "x" * 500)).status_code == 401


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/\nx"])
async def test_nobody_is_led_to_another_site(browser: httpx.AsyncClient, to: str) -> None:
    form = await browser.get("/sign-in", params={"next": to})
    assert '<input type="hidden" name="next" value="/">' in form.text
    answer = await browser.post("/sign-in", data={"name": "thandi", "password": PASSWORD, "next": to})
    assert 'content="0;url=/"' in answer.text


async def test_a_page_of_another_site_signs_nobody_in(browser: httpx.AsyncClient) -> None:
    given = {"name": "thandi", "password": PASSWORD}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await browser.post("/sign-in", data=given, headers=headers)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers


async def test_what_an_admin_sees_of_accounts_tokens_and_deeds(door: Access, desk: Desk) -> None:
    token, text = await door.tokens.add("bot", "viewer", "thandi", 0, 2**41)
    async with browser_of(door) as admin, browser_of(door) as viewer:
        admin.headers["Authorization"], viewer.headers["Authorization"] = f"Bearer {TOKEN}", f"Bearer {text}"
        for path in ("/api/v1/users", "/api/v1/tokens", "/api/v1/audit"):
            assert (await viewer.get(path)).status_code == 403
        users, tokens = (await admin.get("/api/v1/users")).text, (await admin.get("/api/v1/tokens")).text
        assert '"thandi"' in users and "argon2" not in users
        assert token.id in tokens and token.digest not in tokens and text not in tokens
        assert (await viewer.delete(f"/api/v1/tokens/{token.id}")).status_code == 403
        assert (await admin.delete(f"/api/v1/tokens/{token.id}")).status_code == 204
        assert (await admin.delete(f"/api/v1/tokens/{token.id}")).status_code == 404
        assert (await viewer.get("/api/v1/me")).status_code == 401
        first = (await admin.get("/api/v1/audit", params={"limit": 1})).json()
        rest = (await admin.get("/api/v1/audit", params={"before": first["next"]})).json()
        assert (await admin.get("/api/v1/audit", params={"before": "yesterday"})).status_code == 400
    told = [(one["who"], one["action"], one["object"], one["outcome"]) for one in first["entries"] + rest["entries"]]
    assert told == [
        ("installation token", "revoke_token", token.id, "there is none"),
        ("installation token", "revoke_token", token.id, "done"),
        ("bot", "delete", f"/api/v1/tokens/{token.id}", "refused (403)"),
    ]
    assert rest["next"] is None


# --- one's own password -----------------------------------------------------------------------------------------------

ANOTHER = "staple your own battery"


async def signed_in(browser: httpx.AsyncClient, password: str = PASSWORD) -> str:
    """Signs thandi in; what her page shows beside the cookie."""
    assert (await browser.post("/sign-in", data={"name": "thandi", "password": password})).status_code == 200
    return csrf(browser.cookies[COOKIE])


def changing(shown: str, old: str = PASSWORD, new: str = ANOTHER, again: str | None = None) -> dict[str, str]:
    return {"csrf": shown, "old": old, "new": new, "again": new if again is None else again}


async def deeds(door: Access, action: str = "change_password") -> list[tuple[str, str, str]]:
    found = [one.entry for one in await door.audit.latest(20)]
    return [(one.who, one.object, one.outcome) for one in found if one.action == action]


async def test_who_shows_the_old_password_has_another_and_every_other_session_ends(
    door: Access, browser: httpx.AsyncClient
) -> None:
    await door.accounts.change("thandi", role="viewer")
    shown, held = await signed_in(browser), browser.cookies[COOKIE]
    async with browser_of(door, origin="198.51.100.7") as elsewhere:
        await signed_in(elsewhere)
        assert '<a href="/password">' in (await browser.get("/sign-in")).text
        assert shown in (await browser.get("/password")).text
        answer = await browser.post("/password", data=changing(shown))
        assert answer.status_code == 200 and "Your password is changed." in answer.text
        assert (await elsewhere.get("/api/v1/me")).status_code == 401
    assert browser.cookies[COOKIE] != held
    assert (await browser.get("/api/v1/me")).json()["name"] == "thandi", "here it goes on"
    assert (await browser.get("/api/v1/me", headers={"Cookie": f"{COOKIE}={held}"})).status_code == 401
    assert csrf(browser.cookies[COOKIE]) in answer.text, "the way out of the new session"
    assert await deeds(door) == [("thandi", "thandi", "done")]
    assert PASSWORD not in str(await door.audit.latest(20)) and ANOTHER not in str(await door.audit.latest(20))
    async with browser_of(door) as fresh:
        assert (await fresh.post("/sign-in", data={"name": "thandi", "password": PASSWORD})).status_code == 401
        await signed_in(fresh, ANOTHER)


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({"old": "wrong"}, 401, "not the password until now"),
        ({"old": ""}, 401, "not the password until now"),
        ({"again": "something else"}, 400, "not the same both times"),
        ({"new": "short"}, 400, "12 to 256 characters"),
        ({"new": "x" * 257}, 400, "12 to 256 characters"),
        ({"new": PASSWORD}, 400, "is the one until now"),
    ],
)
async def test_what_cannot_be_done_changes_nothing(
    door: Access, browser: httpx.AsyncClient, given: dict[str, str], status: int, says: str
) -> None:
    shown = await signed_in(browser)
    answer = await browser.post("/password", data=changing(shown, **given))
    assert (answer.status_code, says in answer.text) == (status, True)
    assert "set-cookie" not in answer.headers
    assert await deeds(door) == [("thandi", "thandi", "refused")]
    assert (await browser.get("/api/v1/me")).status_code == 200
    await signed_in(browser)


async def test_who_guesses_the_old_password_has_to_wait(door: Access, browser: httpx.AsyncClient, seconds: Monotonic) -> None:
    shown = await signed_in(browser)
    statuses = [(await browser.post("/password", data=changing(shown, old=f"guess {n}"))).status_code for n in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = await browser.post("/password", data=changing(shown))
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1, "nor does the right one tell"
    seconds.s += 31
    assert (await browser.post("/password", data=changing(shown))).status_code == 200


async def test_a_page_that_does_not_show_the_token_or_is_somebody_elses_changes_nothing(
    door: Access, browser: httpx.AsyncClient
) -> None:
    shown = await signed_in(browser)
    assert (await browser.post("/password", data=changing("x" * 64))).status_code == 403
    other = await browser.post("/password", data=changing(shown), headers={"Origin": "https://evil.example"})
    assert other.status_code == 403
    await signed_in(browser)


async def test_who_has_no_password_changes_none(door: Access) -> None:
    async with browser_of(door) as browser:
        once = await door.sessions.offer("this machine")
        await browser.get(f"/sign-in?once={once}")
        assert "/password" not in (await browser.get("/sign-in")).text
        assert (await browser.get("/password")).status_code == 403
        assert (await browser.post("/password", data=changing(csrf(browser.cookies[COOKIE])))).status_code == 403
    async with browser_of(door) as program:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await program.post("/password", data=changing(""), headers=bearer)).status_code == 403
    async with browser_of(door) as nobody:
        assert (await nobody.get("/password")).headers["location"] == "/sign-in?next=%2Fpassword"
        assert (await nobody.post("/password", data=changing(""))).status_code == 401


async def test_what_an_admin_has_changed_meanwhile_is_not_undone(
    door: Access, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, hashed = await signed_in(browser), door.passwords.hashed

    async def meanwhile(password: str) -> str:
        await door.accounts.change("thandi", password="by an admin")
        return await hashed(password)

    monkeypatch.setattr(door.passwords, "hashed", meanwhile)
    assert (await browser.post("/password", data=changing(shown))).status_code == 409
    account = await door.accounts.get("thandi")
    assert account is not None and account.password == "by an admin"
