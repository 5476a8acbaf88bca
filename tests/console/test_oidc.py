"""Signing in by the word of a provider: a real one on loopback, which lies where a test says so."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr, ValidationError

from console.access import Access
from console.desk import Desk
from console.gate import Gate
from console.oidc import KEYS_AGAIN_S, roles_of, secret_of
from runtime.clock import WallClock
from runtime.settings import Settings, SettingsError
from tests.console.conftest import APPLICATION
from tests.support.oidc import CLIENT, SECRET, Claims, Provider

ADDRESS = "http://console.example"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider().running() as found:
        yield found


@pytest.fixture
async def door(settings: Settings, provider: Provider, desk: Desk) -> AsyncIterator[Access]:
    """An installation whose people are the provider's."""
    chosen = {
        "oidc_issuer": provider.issuer,
        "oidc_client": CLIENT,
        "oidc_secret": SecretStr(SECRET),
        "oidc_roles": "sre=admin, oncall=responder",
        "console_url": ADDRESS,
    }
    found = Access(settings.model_copy(update=chosen), WallClock(), None)
    APPLICATION.state.desk, APPLICATION.state.access = desk, found
    yield found
    await found.close()


@pytest.fixture
async def browser(door: Access) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Gate(APPLICATION, door))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, headers={"Accept": "text/html"}) as found:
        yield found


async def consent(browser: httpx.AsyncClient, then: str = "/") -> str:
    """From the form to the provider, who signs somebody in: the address that it sends the browser back to."""
    sent = await browser.get("/sign-in/oidc", params={"next": then})
    assert sent.status_code == 303, sent.text
    async with httpx.AsyncClient() as outside:
        return (await outside.get(sent.headers["location"])).headers["location"]


async def test_whom_the_provider_signs_in_has_the_role_of_their_group(door: Access, browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/")).status_code == 303
    assert 'href="/sign-in/oidc?next=%2F"' in (await browser.get("/sign-in")).text
    back = await consent(browser, "/?range=24h")
    flow = next(cookie for cookie in browser.cookies.jar if cookie.name == "tillwatch_flow")
    assert flow.get_nonstandard_attr("SameSite") == "lax" and flow.path == "/sign-in/oidc"
    answer = await browser.get(back, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 200 and 'content="0;url=/?range=24h"' in answer.text
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert (await browser.get("/api/v1/me")).json() == {
        "name": "thandi", "role": "responder", "how": "oidc", "signed_in": True
    }  # fmt: skip
    [last] = await door.audit.latest(1)
    assert (last.entry.who, last.entry.how, last.entry.outcome) == ("thandi", "oidc", "done")


async def test_what_is_asked_of_the_provider(browser: httpx.AsyncClient, provider: Provider) -> None:
    first = parse_qs(urlsplit((await browser.get("/sign-in/oidc")).headers["location"]).query)
    second = parse_qs(urlsplit((await browser.get("/sign-in/oidc")).headers["location"]).query)
    assert first["redirect_uri"] == [f"{ADDRESS}/sign-in/oidc/callback"], "of the settings, whatever the request says"
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name] and len(first[name][0]) >= 43
    assert provider.asked == {"describe": 1}


def forged(provider: Provider) -> Callable[[Claims], str]:
    other = RSAKey.generate_key(2048, {"kid": "first"})
    return lambda claims: provider.sign(claims, other)


def unsigned(provider: Provider) -> Callable[[Claims], str]:
    return lambda claims: f"{_part({'alg': 'none'})}.{_part(claims)}."


def confused(provider: Provider) -> Callable[[Claims], str]:
    """Signed with the public key, which everybody has, as if it were a shared secret."""

    def made(claims: Claims) -> str:
        text = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(claims)}"
        signed = hmac.digest(provider.key.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"

    return made


def _part(what: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(what).encode()).rstrip(b"=").decode()


def but(**changes: Any) -> Callable[[Provider], Callable[[Claims], None]]:
    """Signed as it should be, with other claims."""

    def lie(claims: Claims) -> None:
        for name, value in changes.items():
            claims.pop(name)
            if value is not None:
                claims[name] = value

    return lambda provider: lie


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(forged, id="forged"),
        pytest.param(unsigned, id="unsigned"),
        pytest.param(confused, id="confused"),
        pytest.param(lambda provider: lambda claims: "not.a.token", id="garbage"),
        pytest.param(but(exp=1_000_000_000), id="expired"),
        pytest.param(but(exp="soon"), id="expiry is no number"),
        pytest.param(but(iat=99_999_999_999), id="of the future"),
        pytest.param(but(nonce="another"), id="another nonce"),
        pytest.param(but(nonce=None), id="no nonce"),
        pytest.param(but(aud="another"), id="for another client"),
        pytest.param(but(aud=[CLIENT, "another"]), id="for several, and no azp"),
        pytest.param(but(aud=None), id="for nobody"),
        pytest.param(but(iss="http://127.0.0.1:1"), id="of another issuer"),
        pytest.param(but(sub=None), id="about nobody"),
    ],
)
async def test_a_token_that_does_not_hold_signs_nobody_in(
    door: Access, browser: httpx.AsyncClient, provider: Provider, lie: Callable[[Provider], Callable[[Claims], str | None]]
) -> None:
    provider.lie = lie(provider)
    answer = await browser.get(await consent(browser))
    assert answer.status_code == 401 and "does not hold" in answer.text
    assert "tillwatch_session" not in browser.cookies
    [last] = await door.audit.latest(1)
    assert last.entry.outcome == "refused"


async def test_an_answer_that_was_not_asked_for_signs_nobody_in(browser: httpx.AsyncClient, provider: Provider) -> None:
    back = await consent(browser)
    code = parse_qs(urlsplit(back).query)["code"][0]
    for query in (f"code={code}&state=another", f"code={code}", ""):
        assert (await browser.get(f"/sign-in/oidc/callback?{query}")).status_code == 401
    assert (await browser.get(back)).status_code == 401, "what was begun is over with the first answer"
    back = await consent(browser)
    browser.cookies.clear()
    assert (await browser.get(back)).status_code == 401, "in another browser"
    back = await consent(browser)
    assert (await browser.get(back + "&iss=https://evil.example")).status_code == 401, "of another provider"
    refused = (await consent(browser)).replace("code=", "error=access_denied&was=")
    answer = await browser.get(refused)
    assert (answer.status_code, "has signed nobody in" in answer.text) == (401, True)
    assert "tillwatch_session" not in browser.cookies
    assert provider.asked.get("token") is None


async def test_each_answer_works_once(browser: httpx.AsyncClient, provider: Provider) -> None:
    back = await consent(browser)
    held = browser.cookies["tillwatch_flow"]
    assert (await browser.get(back)).status_code == 200
    browser.cookies.clear()
    again = await browser.get(back, headers={"Cookie": f"tillwatch_flow={held}"})
    assert again.status_code == 401 and "tillwatch_session" not in browser.cookies


async def test_who_has_no_role_is_not_let_in(browser: httpx.AsyncClient, provider: Provider) -> None:
    for groups in (["staff"], "staff", [], None, 7, {"oncall": True}, [["oncall"]]):
        provider.person["groups"] = groups
        answer = await browser.get(await consent(browser))
        assert answer.status_code == 401 and "thandi has no role here" in answer.text
    provider.person["groups"] = "sre"
    assert (await browser.get(await consent(browser))).status_code == 200
    assert (await browser.get("/api/v1/me")).json()["role"] == "admin"


async def test_a_provider_that_changes_its_key_is_asked_for_it_again_though_not_often(
    browser: httpx.AsyncClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await browser.get(await consent(browser))).status_code == 200
    provider.key = RSAKey.generate_key(2048, {"kid": "second"})
    assert (await browser.get(await consent(browser))).status_code == 401, f"within {KEYS_AGAIN_S:g} s"
    assert provider.asked["keys"] == 1
    monkeypatch.setattr("console.oidc.KEYS_AGAIN_S", 0.0)
    assert (await browser.get(await consent(browser))).status_code == 200
    assert (await browser.get(await consent(browser))).status_code == 200
    assert provider.asked["keys"] == 2


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"filler": "x" * 300_000},
    ],
)
async def test_a_provider_that_describes_itself_strangely_is_not_used(
    browser: httpx.AsyncClient, provider: Provider, metadata: Claims
) -> None:
    provider.metadata = metadata
    answer = await browser.get("/sign-in/oidc")
    assert answer.status_code == 502 and "provider" in answer.text


async def test_a_provider_that_is_away_is_told(settings: Settings, desk: Desk) -> None:
    chosen = {"oidc_issuer": "http://127.0.0.1:1", "oidc_client": "x", "oidc_roles": "*=viewer", "console_url": ADDRESS}
    access = Access(settings.model_copy(update=chosen), WallClock(), None)
    APPLICATION.state.access = access
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Gate(APPLICATION, access)), base_url=ADDRESS) as browser:
        answer = await browser.get("/sign-in/oidc")
    await access.close()
    assert answer.status_code == 502 and "does not answer as it should" in answer.text


def test_the_first_value_that_fits_gives_the_role() -> None:
    assert roles_of("sre=admin, a=b=responder,*=viewer") == (("sre", "admin"), ("a=b", "responder"), ("*", "viewer"))


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"oidc_issuer": "https://login.example"}, "oidc_issuer needs oidc_client, oidc_roles, console_url"),
        ({"oidc_issuer": "http://login.example"}, "begins with https://"),
        ({"oidc_roles": "sre=root"}, "expected VALUE=ROLE"),
        ({"oidc_roles": ""}, "expected VALUE=ROLE"),
        ({"console_url": "tillwatch.example"}, "begins with https://"),
    ],
)
def test_settings_that_cannot_work_are_told(chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(**chosen)


def test_the_secret_may_be_in_a_file(tmp_path: Any) -> None:
    file = tmp_path / "secret"
    file.write_text("hush\n")
    assert secret_of(Settings(oidc_secret_file=file)) == "hush"
    assert secret_of(Settings()) is None
    with pytest.raises(SettingsError, match="TILLWATCH_OIDC_SECRET_FILE"):
        secret_of(Settings(oidc_secret_file=tmp_path / "nothing"))
