"""Pages whose figures are old say so; nothing is green or zero that is not known; and everything comes back by itself."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser

from console.pages import PLACES
from tests.browser.conftest import Demo, Seen, see
from tests.browser.test_demo import settled
from tests.support.wait import eventually_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
PARTS = ("worker-1", "store", "broker")
STEADY_S = 15.0
"""For so long a worker that is gone may still be thought to work."""
PAGES = ("overview", "payments", "system", "security", "rules", "pipeline")
"""Those whose tiles rest on what the workers count. Incidents are as the notifier tells them; checklists have no tiles."""
STATUS = "status"
WATCH = """() => {
    const tiles = [...document.querySelectorAll('.tile')].map(tile => ({
        state: tile.dataset.s, figure: tile.querySelector('.fig').textContent, says: tile.querySelector('dt').textContent }));
    const verdict = document.querySelector('.pub .verdict')?.dataset.s;
    const old = tiles.length ? tiles.every(tile => tile.state === 'stale')
        : verdict === 'nodata' && !document.querySelector('.pub [data-s="ok"]');
    const fresh = tiles.length ? tiles.every(tile => tile.state !== 'stale') : verdict !== 'nodata';
    const told = window.told ??= {};
    if (old) told.old ??= Date.now();
    if (fresh) told.fresh ??= Date.now();
    const fresh_box = document.getElementById('fresh');
    if (fresh_box?.dataset.s === 'stale')
        for (const tile of tiles)
            if (tile.state === 'ok' || /^0([.]0+)?\\s?%?$/.test(tile.figure)) told.wrong = tile;
    return { tiles, old: told.old ?? null, fresh: told.fresh ?? null, wrong: told.wrong ?? null };
}"""
"""What stands on the tiles, when all of them said first that they are old, or that none is, and any that says too much. Of the
public page: when it said that nothing is known, and when it did not."""


def pid_of(demo: Demo, part: str) -> int:
    """The process that runs this part now."""
    found = re.findall(rf"{part} (?:is ready|is back) \(process (\d+)", demo.terminal.text)
    return int(found[-1])


class Tabs:
    """Every page, each in a window of its own; a profile has six connections to a server, and a stream takes one."""

    def __init__(self, demo: Demo, seen: Mapping[str, Seen]) -> None:
        self._demo, self.seen = demo, seen

    async def look(self) -> dict[str, dict[str, Any]]:
        return {name: await one.page.evaluate(WATCH) for name, one in self.seen.items()}

    async def forget(self) -> None:
        for one in self.seen.values():
            await one.page.evaluate("() => { window.told = {}; }")

    async def all(self, what: str, limit_s: float) -> dict[str, float]:
        """When each page was `old` or `fresh`, in epoch seconds, once all are."""

        async def are() -> dict[str, float] | None:
            found = await self.look()
            assert all(one[what] is not None for one in found.values()), {name: one[what] for name, one in found.items()}
            return {name: one[what] / 1000 for name, one in found.items()}

        told = await eventually_async(are, f"every page is {what}", limit_s)
        assert told is not None
        return told

    async def pipeline(self) -> str:
        """How the pipeline is, as the health endpoint tells."""
        answer = await self.seen["overview"].page.context.request.get(f"{self._demo.address}/api/health")
        return str(next(one["state"] for one in (await answer.json())["checks"] if one["name"] == "pipeline"))


@asynccontextmanager
async def tabs(demo: Demo, browser: Browser) -> AsyncIterator[Tabs]:
    seen = {name: await see(browser) for name in (*PAGES, STATUS)}
    try:
        for name, one in seen.items():
            await one.page.goto(demo.address + (PLACES[name].address if name in PLACES else "/status"))
            if name in PLACES:
                await settled(one)
        found = Tabs(demo, seen)
        await found.all("fresh", 60)
        yield found
    finally:
        for one in seen.values():
            await one.page.context.close()


def slowest(times: Mapping[str, float], since: float) -> str:
    name = max(times, key=lambda one: times[one])
    return f"{times[name] - since:.1f} s ({name})"


@pytest.mark.parametrize("part", PARTS)
async def test_what_is_old_says_its_age_and_comes_back(demo: Demo, browser: Browser, part: str) -> None:
    async with tabs(demo, browser) as pages:
        await pages.forget()
        pid, since = pid_of(demo, part), time.time()
        os.kill(pid, signal.SIGSTOP)
        try:
            unwell = asyncio.create_task(_when(pages.pipeline, lambda said: said != "healthy"))
            old = await pages.all("old", 60)
            for name, one in (await pages.look()).items():
                assert one["wrong"] is None, (name, one["wrong"])
                for tile in one["tiles"]:
                    assert tile["figure"] == "–" or re.search(r"\d+\s(s|min) old", tile["says"]), (name, tile)
                    assert not re.fullmatch(r"0(\.0+)?\s?%?", tile["figure"]), (name, tile)
            await pages.seen["overview"].shot(f"console-stale-{part}")
            health = await unwell - since
        finally:
            os.kill(pid, signal.SIGCONT)
        await pages.forget()
        woken = time.time()
        back = await pages.all("fresh", 90)
        print(f"{part} frozen: old after {slowest(old, since)}, health after {health:.1f} s, back after {slowest(back, woken)}")
        assert await pages.seen["overview"].page.get_attribute("#fresh", "data-s") == "ok"


async def _when(ask: Callable[[], Any], told: Callable[[str], bool]) -> float:
    """When it says so, in epoch seconds."""

    async def says() -> bool:
        return told(await ask())

    await eventually_async(says, "the health endpoint tells", 60)
    return time.time()


@pytest.mark.parametrize("part", PARTS)
async def test_what_is_killed_comes_back_and_nothing_is_told_meanwhile_that_is_not_known(
    demo: Demo, browser: Browser, part: str
) -> None:
    async with tabs(demo, browser) as pages:
        before, since = pid_of(demo, part), time.time()
        os.kill(before, signal.SIGKILL)
        await eventually_async(lambda: pid_of(demo, part) != before, f"{part} is there again", 60)

        unwell = since

        async def back() -> bool:
            nonlocal unwell
            await pages.forget()
            found = await pages.look()
            assert all(one["wrong"] is None for one in found.values()), found
            if any(one["fresh"] is None for one in found.values()) or await pages.pipeline() != "healthy":
                unwell = time.time()
            return time.time() - unwell > STEADY_S

        await eventually_async(back, "every page is fresh, and stays so", 120)
        print(f"{part} killed: everything is back after {unwell - since:.1f} s")
