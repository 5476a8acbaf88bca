"""The demonstration in a real browser: Chromium, driven by Playwright, where both are here."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright

from tests.local.terminal import Terminal, run

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ALONE = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""It runs as root in a container, and asks nobody on the network for anything."""
SHOTS = os.environ.get("SCREENSHOTS")
"""Where screenshots are kept; nowhere unless said."""


def chromium() -> str:
    """The browser's program. Skips the test where there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    return found


@dataclass
class Demo:
    """The running demonstration, and where its console is."""

    terminal: Terminal
    address: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demonstration whose shop is open."""
    chromium()
    with Terminal(tmp_path_factory.mktemp("demo"), "demo", "--workers", "1") as terminal:
        found = re.search(r"http://127\.0\.0\.1:\d+/", terminal.shows("open http://"))
        assert found is not None
        yield Demo(terminal, found[0].rstrip("/"))
        terminal.press_ctrl_c()
        terminal.ends(30)  # how soon is tested elsewhere


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = chromium()
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=program, args=list(ALONE))
        yield found
        await found.close()


@dataclass
class Seen:
    """A page in a window of its own, and what it complained of. bytes: what came over the wire."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0

    async def shows(self, selector: str, limit_s: float = 30.0) -> None:
        """Waits until something is there to be seen."""
        await self.page.wait_for_selector(selector, timeout=limit_s * 1000)

    async def text(self, selector: str) -> str:
        return (await self.page.inner_text(selector)).replace("\u00a0", " ")

    async def shot(self, name: str, *, whole: bool = False) -> None:
        """Keeps a picture where somebody asked for them."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=whole)


async def see(browser: Browser, *, width: int = 1440, theme: str = "light", **how: Any) -> Seen:
    """An empty window. What the page logs as an error, and what fails to load, is kept."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": width, "height": 900 if width > 760 else 844},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        **how,
    )
    seen = Seen(await context.new_page())
    page = seen.page
    page.on("console", lambda said: seen.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))

    def failed(asked: Request) -> None:
        if asked.failure != "net::ERR_ABORTED":  # a page that asks anew takes its last question back
            seen.complaints.append(f"{asked.url}: {asked.failure}")

    page.on("requestfailed", failed)
    wire = await context.new_cdp_session(page)
    await wire.send("Network.enable")

    def count(told: dict[str, Any]) -> None:
        seen.bytes += round(told["encodedDataLength"])

    wire.on("Network.loadingFinished", count)
    return seen


async def sign_in(seen: Seen, demo: Demo) -> None:
    """As whoever runs the demonstration: by a link that works once."""
    made = await asyncio.to_thread(run, demo.terminal.folder, "console", "link")
    await seen.page.goto(made.stdout.strip())
    await seen.page.wait_for_url(f"{demo.address}/")
