"""A page whose figures are old says so; nothing is green or zero that is not known; and everything comes back by itself."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import Demo, Seen, see
from tests.browser.test_demo import settled
from tests.support.wait import eventually_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
TILES = """() => [...document.querySelectorAll('.tile')].map(tile => ({
    state: tile.dataset.s, figure: tile.querySelector('.fig').textContent, says: tile.querySelector('dt').textContent }))"""
PARTS = ("worker-1", "store", "broker")


def pid_of(demo: Demo, part: str) -> int:
    """The process that runs this part now."""
    found = re.findall(rf"{part} (?:is ready|is back) \(process (\d+)", demo.terminal.text)
    return int(found[-1])


async def tiles(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await page.evaluate(TILES)
    return found


async def health(seen: Seen, demo: Demo) -> str:
    answer = await seen.page.context.request.get(f"{demo.address}/api/health")
    return str((await answer.json())["overall_health"])


@pytest.mark.parametrize("part", PARTS)
async def test_what_is_old_says_its_age_and_comes_back(demo: Demo, browser: Browser, part: str) -> None:
    seen = await see(browser)
    page = seen.page
    await page.goto(demo.address)
    await settled(seen)

    async def fresh() -> bool:
        return {one["state"] for one in await tiles(page)}.isdisjoint({"stale", "nodata"})

    await eventually_async(fresh, "every tile is fresh", 60)
    pid, since = pid_of(demo, part), time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:

        async def old() -> list[dict[str, Any]]:
            found = await tiles(page)
            return found if {one["state"] for one in found} == {"stale"} else []

        stale = await eventually_async(old, f"every tile is stale without {part}", 60)
        print(f"without {part}: stale after {time.monotonic() - since:.1f} s")
        for tile in stale:
            assert re.search(r"\d+\s(s|min) old", tile["says"]), tile
            assert not re.fullmatch(r"0(\.0)?\s?%?", tile["figure"]), "what was known last, or a dash; never a zero"
        assert await page.get_attribute("#fresh", "data-s") == "stale"

        async def degraded() -> bool:
            return await health(seen, demo) != "healthy"

        await eventually_async(degraded, "the health endpoint tells", 60)
        await seen.shot(f"console-stale-{part}")
    finally:
        os.kill(pid, signal.SIGCONT)
    await eventually_async(fresh, "every tile is fresh again", 90)
    assert await page.get_attribute("#fresh", "data-s") == "ok"
    await page.context.close()
