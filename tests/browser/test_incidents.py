"""What a responder does in the room of an incident, and what customers then read on the public page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import Demo, Seen, see, sign_in
from tests.browser.test_demo import WEIGHT_MOST, faults, settled, true
from tests.support.wait import eventually_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
NEXT_INCIDENT_S = 200.0
"""The demonstration has another every minute or two; those that began before the page was opened are not announced."""


async def api(seen: Seen, demo: Demo, path: str) -> Any:
    answer = await seen.page.context.request.get(f"{demo.address}{path}")
    return await answer.json()


async def told(seen: Seen, what: str) -> None:
    """Waits until the notifier's answer is on the page."""
    await seen.shows(f".said:has-text({json.dumps(what)})")


async def pressed(page: Page, action: str) -> bool:
    """Presses an action of the incident, where the page offers it now."""
    found = "[...document.querySelectorAll('.acts button')].find(one => one.textContent.startsWith(action))"
    return bool(
        await page.evaluate(f"action => {{ const found = {found}; found?.click(); return Boolean(found); }}", action)
    )


async def judging(seen: Seen) -> None:
    """Is asked whether it was right, as what is over is. In the demonstration it may have fired again: then it is resolved."""
    page = seen.page

    async def asked() -> bool:
        if await pressed(page, "Resolve"):
            await page.fill("dialog[open] textarea", "the provider answers again")
            await page.click("dialog[open] .btn.main")
            await page.wait_for_selector(".acts button:has-text('Resolve')", state="detached")
        return await pressed(page, "Right or wrong")

    await eventually_async(asked, "it is over, and can be judged", 60.0)


async def test_a_new_incident_is_announced_on_every_page_with_a_way_to_it(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    await seen.page.goto(f"{demo.address}/rules")
    await settled(seen)
    await seen.shows("[role=alert] a[href^='/incidents/']", NEXT_INCIDENT_S)
    await true(seen.page, "document.querySelector('nav [data-of=incidents]').textContent.includes('open')")
    await seen.page.click("[role=alert] a")
    await seen.page.wait_for_url(re.compile(r"/incidents/\d+"))
    await settled(seen)
    assert seen.complaints == []
    await seen.page.context.close()


async def test_from_the_note_to_the_public_page_and_the_end(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    await sign_in(seen, demo)
    page = seen.page
    await page.goto(f"{demo.address}/incidents/1")
    await settled(seen)
    await page.keyboard.press("n")
    await page.keyboard.type("the provider confirms it")
    await page.keyboard.press("Enter")
    await told(seen, "your note")
    assert "the provider confirms it" in await seen.text(".tl blockquote")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("p")
    await page.fill("dialog[open] [name=title]", "Card payments fail for some customers. EFT works.")
    await page.fill("dialog[open] [name=text]", "If your card fails, please pay by EFT.")
    await page.click("dialog[open] .btn.main")
    await told(seen, "status page")
    await seen.shot("console-room")
    customer = await see(browser)

    async def published() -> bool:
        await customer.page.goto(f"{demo.address}/status")
        return "Card payments fail for some customers." in await customer.text("h1")

    await eventually_async(published, "customers read it")
    assert "please pay by EFT" in await customer.text(".verdict .why")
    assert "ikhokha" not in (await customer.page.content()).lower()
    await customer.page.context.close()
    await page.keyboard.press("r")
    await page.fill("dialog[open] textarea", "the provider restarted its gateway")
    await page.click("dialog[open] .btn.main")
    await told(seen, "is resolved")
    await seen.shows("#verdict h1:has-text('over')")
    assert (await api(seen, demo, "/api/v1/incidents/1"))["status"] == "resolved"
    assert seen.complaints == []
    await page.context.close()


async def test_what_changes_something_asks_first_and_can_be_left(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    await sign_in(seen, demo)
    page = seen.page
    before = (await api(seen, demo, "/api/v1/incidents/1"))["version"]
    await page.goto(f"{demo.address}/incidents/1")
    await settled(seen)
    await page.keyboard.press("p")
    await seen.shows("dialog[open]")
    await page.keyboard.press("Escape")
    await true(page, "document.querySelector('dialog[open]') === null")
    assert (await api(seen, demo, "/api/v1/incidents/1"))["version"] >= before
    assert len((await api(seen, demo, "/api/v1/incidents/1"))["updates"]) == 1
    await page.context.close()


async def test_what_people_judged_is_in_the_score_of_the_rule(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    await sign_in(seen, demo)
    page = seen.page
    await page.goto(f"{demo.address}/incidents/1")
    await settled(seen)
    rule = (await api(seen, demo, "/api/v1/incidents/1"))["evidence"]["rule"]
    await judging(seen)
    await page.click("dialog[open] .btn.main")
    await told(seen, "is judged: right")
    await page.goto(f"{demo.address}/rules?rule={rule}")
    await settled(seen)
    row = "section .detail tr:has-text('Judged right')"
    await seen.shows(f"{row} td:nth-child(2):has-text('100')")
    assert "1 of 1" in await seen.text(f"{row} td:nth-child(2)")
    assert await page.locator(".detail .bars rect").count() >= 1
    assert "Incidents are known since" in await seen.text(f"section[aria-label={rule}]")
    assert (await api(seen, demo, f"/api/v1/rules/{rule}"))["record"]["month"]["right"] == 1
    await page.click(".detail .say a")
    await page.wait_for_url(re.compile(r"/incidents/\d+"))
    assert seen.complaints == []
    await page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("room", "/incidents/1"),
        ("rule", "/rules?rule=provider_down"),
        ("runbook", "/runbooks/provider_down"),
        ("status", "/status"),
    ],
)
async def test_every_room_is_whole_and_can_be_used_by_everybody(
    demo: Demo, browser: Browser, name: str, path: str, width: int, theme: str
) -> None:
    seen = await see(browser, width=width, theme=theme)
    page = seen.page
    await page.goto(demo.address + path)
    if name != "status":
        await settled(seen)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the window"
    assert await faults(page) == []
    assert 0 < seen.bytes < WEIGHT_MOST
    await seen.shot(f"console-{name}-{width}-{theme}", whole=True)
    assert seen.complaints == []
    await page.context.close()
