"""Who has an account signs in by the form, changes the password and reads the reports, at a console without a broker."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page
from pydantic import SecretStr

from console.access import Access
from console.reports.periods import period_of
from console.reports.shelf import FOLDER, keep
from runtime.clock import WallClock
from runtime.settings import Settings
from tests.browser.conftest import chromium, see
from tests.browser.test_demo import faults
from tests.support.site import listening
from tests.support.store import KillableStore

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
TOKEN = "not-a-real-token-only-for-tests"
PASSWORD, ANOTHER = "correct horse battery", "staple your own battery"


@pytest.fixture(scope="module")
def made(store: KillableStore, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data = tmp_path_factory.mktemp("data")
    return Settings(kafka="127.0.0.1:1", redis=SecretStr(store.url), namespace=f"t{secrets.token_hex(5)}", data=data)


@pytest.fixture(scope="module")
def address(made: Settings) -> Iterator[str]:
    """Where a console listens that has a way to sign in."""
    chromium()
    with listening(made, TOKEN) as found:
        yield found


async def account(made: Settings, name: str) -> None:
    access = Access(made, WallClock(), TOKEN)
    await access.accounts.add(name, "viewer", access.passwords.hash(PASSWORD), 0)
    await access.close()


async def sign_in(page: Page, address: str, name: str, password: str = PASSWORD) -> None:
    await page.goto(f"{address}/sign-in")
    await page.fill("[name=name]", name)
    await page.fill("[name=password]", password)
    await page.click(".btn.main")
    await page.wait_for_url(f"{address}/")


async def change(page: Page, old: str, new: str) -> str:
    """Sends the form; what the page then says."""
    for name, value in (("old", old), ("new", new), ("again", new)):
        await page.fill(f"[name={name}]", value)
    await page.click(".btn.main")
    return await page.inner_text("[role=status]")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
async def test_a_password_is_changed_by_whom_it_belongs_to(
    made: Settings, address: str, browser: Browser, width: int, theme: str
) -> None:
    name = f"thandi.{width}.{theme}"
    await account(made, name)
    seen, elsewhere = await see(browser, width=width, theme=theme), await see(browser)
    page = seen.page
    await sign_in(page, address, name)
    await sign_in(elsewhere.page, address, name)
    await page.goto(f"{address}/sign-in")
    await page.click("a[href='/password']")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the window"
    assert await faults(page) == []
    await seen.shot(f"console-password-{width}-{theme}")
    assert "not the password until now" in await change(page, "wrong and long enough", ANOTHER)
    assert "Your password is changed." in await change(page, PASSWORD, ANOTHER)
    assert await faults(page) == []
    await page.click("a[href='/']")
    await page.wait_for_url(f"{address}/")
    await elsewhere.page.goto(f"{address}/rules")
    await elsewhere.page.wait_for_url("**/sign-in?next=*")
    await page.goto(f"{address}/sign-in")
    await page.click("text=Sign out")
    await page.wait_for_url(f"{address}/sign-in")
    await sign_in(page, address, name, ANOTHER)
    for one in (seen, elsewhere):
        await one.page.context.close()


async def test_reports_are_opened_from_the_checklists(made: Settings, address: str, browser: Browser) -> None:
    await account(made, "finance")
    seen = await see(browser)
    page = seen.page
    await sign_in(page, address, "finance")
    fresh = await page.context.request.get(f"{address}/api/v1/reports/daily?format=html")
    yesterday = period_of("daily", date(2026, 11, 29), ZoneInfo("Africa/Johannesburg"))
    await asyncio.to_thread(keep, made.data / FOLDER, yesterday, await fresh.text())
    await page.goto(f"{address}/checklists")
    await page.click("section[aria-label=Reports] tbody a:has-text('Sun 29 Nov 2026')")
    await page.wait_for_url("**/reports/kept/daily-2026-11-29.html")
    assert "Payments by the hour" in await page.inner_text("main")
    assert await page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none", "in its own style"
    assert [said for said in seen.complaints if "Content Security Policy" in said] == []
    await seen.shot("console-report")
    await page.go_back()
    await page.click("section[aria-label=Reports] a:has-text('the last week')")
    await page.wait_for_url("**/reports/weekly")
    assert "Payments by six hours" in await page.inner_text("main")
    await page.context.close()
