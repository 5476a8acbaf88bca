"""What whoever opens the console sees: every page, and an outage from its alert to its end."""

from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, Page

from console.pages import PLACES
from tests.browser.conftest import Demo, Seen, see
from tests.support.wait import eventually_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
WEIGHT_MOST = 250_000
"""Bytes that a page may take over the wire, with everything that it loads."""
AXE = AXE_FILE_PATH.read_text(encoding="utf-8")
FIRST_ALERT_S = 120.0
STORY = """
    window.story = { loaded: performance.timeOrigin };
    new EventSource('/api/v1/events').addEventListener('alert', event => {
        const alert = JSON.parse(event.data);
        if (alert.type.endsWith('.firing') && alert.data.severity === 'critical') window.story.alert ??= performance.now();
    });
    new MutationObserver(() => {
        if (document.getElementById('verdict')?.dataset.s === 'failing') window.story.seen ??= performance.now();
    }).observe(document, { attributes: true, subtree: true, attributeFilter: ['data-s'] });
"""
"""When the first critical alert reached the browser, and when the page said so."""


async def faults(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    await page.evaluate(AXE)
    found = await page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


async def true(page: Page, expression: str) -> None:
    """Waits until it is. (Playwright's own way of waiting is refused by the pages' content security policy.)"""
    await eventually_async(lambda: page.evaluate(f"() => Boolean({expression})"), expression)


async def settled(seen: Seen) -> None:
    """The page has shown what it was sent, and how fresh it is."""
    await seen.shows("#page > *")
    await true(seen.page, "document.getElementById('fresh').textContent.includes('old')")


# --- the story, in the order in which it happens ---------------------------------------------------------------------------


async def test_an_outage_is_on_the_first_page_with_its_alert_and_without_a_reload(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    page = seen.page
    await page.add_init_script(STORY)
    await page.goto(demo.address)
    await settled(seen)
    await seen.shows("#verdict[data-s=failing]", FIRST_ALERT_S)
    await true(page, "window.story.alert !== undefined")
    story = await page.evaluate("() => ({ ...window.story, now: performance.timeOrigin })")
    assert story["now"] == story["loaded"], "the same document as before"
    print(f"on the first page {story['seen'] - story['alert']:.0f} ms after the alert reached the browser")
    tick_ms = 2_000
    assert story["seen"] - story["alert"] < tick_ms, "sooner than the next tick would have told it"
    assert "fail" in (await page.title()).lower()
    assert await page.locator("section[aria-label='What fires now'] tbody tr").count() >= 1
    await seen.shot("console-outage")
    assert seen.complaints == []
    await page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", list(PLACES))
async def test_every_page_is_whole_and_can_be_used_by_everybody(
    demo: Demo, browser: Browser, name: str, width: int, theme: str
) -> None:
    seen = await see(browser, width=width, theme=theme)
    page, place = seen.page, PLACES[name]
    await page.goto(demo.address + place.address)
    await settled(seen)
    weight = seen.bytes
    assert await page.evaluate("document.documentElement.dataset.theme") == theme
    assert await page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the window"
    if place.judges:
        sentence, title = await page.inner_text("#verdict h1"), await page.title()
        assert title.split()[:3] == sentence.split()[:3]
    assert await faults(page) == []
    assert 0 < weight < WEIGHT_MOST
    await seen.shot(f"console-{name}-{width}-{theme}")
    assert seen.complaints == []
    await page.context.close()


async def test_a_statement_becomes_a_chart_and_its_address_shows_it_to_somebody_else(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    page = seen.page
    await page.goto(f"{demo.address}/analyst")
    await settled(seen)
    sql = "select bucket, provider, sum(count) as payments from payments_10s group by all order by all"
    await page.fill("#sql", sql)
    await page.press("#sql", "Control+Enter")
    await seen.shows("section[aria-label=payments] .uplot", 60)
    rows = await seen.text("#sql-help")
    assert re.match(r"[1-9][\d ]* rows in", rows)
    await seen.shot("console-sql")
    other = await see(browser)
    await other.page.goto(page.url)
    await other.shows("section[aria-label=payments] .uplot", 60)
    assert await other.page.input_value("#sql") == sql
    assert seen.complaints == other.complaints == []
    await other.page.context.close()
    await page.context.close()


async def test_a_time_that_is_brushed_is_in_the_address_and_goes_along(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    page = seen.page
    await page.goto(f"{demo.address}/pipeline")
    await settled(seen)
    box = await page.locator(".u-over").first.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40, steps=5)
    await page.mouse.up()
    await page.wait_for_url(re.compile(r"from=.*&to="))
    await seen.shows("#brushed")
    assert "/rules?from=" in str(await page.get_attribute("nav a[data-page=rules]", "href"))
    await page.click("#brushed")
    await true(page, "!location.search.includes('from=')")
    await page.go_back()
    await true(page, "location.search.includes('from=')")
    assert seen.complaints == []
    await page.context.close()


async def test_everything_can_be_done_with_a_keyboard(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    page = seen.page
    await page.goto(demo.address)
    await settled(seen)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
    await page.keyboard.press("?")
    await seen.shows("dialog#keys[open]")
    await page.keyboard.press("Escape")
    before = await page.evaluate("document.documentElement.dataset.theme")
    await page.keyboard.press("t")
    assert await page.evaluate("document.documentElement.dataset.theme") != before
    await page.focus(".plot")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("v")
    await seen.shows(".twin tbody tr")
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press(PLACES["pipeline"].key)
    await page.wait_for_url(re.compile("/pipeline"))
    assert seen.complaints == []
    await page.context.close()


async def test_at_twice_the_size_nothing_is_lost(demo: Demo, browser: Browser) -> None:
    # 200 % zoom of a window of 1440 px is a window of 720 px with twice the density.
    seen = await see(browser, width=720, device_scale_factor=2)
    page = seen.page
    for place in PLACES.values():
        await page.goto(demo.address + place.address)
        await settled(seen)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 720, place.name
    assert seen.complaints == []
    await page.context.close()


async def test_numbers_on_the_page_are_those_of_sql(demo: Demo, browser: Browser) -> None:
    seen = await see(browser)
    page = seen.page
    await page.goto(f"{demo.address}/pipeline?range=1h")
    await settled(seen)
    told = json.loads(await page.inner_text("#first"))
    source = told["sources"][0]
    start, end = told["events"]["ends"] - told["events"]["step"], told["events"]["ends"] + 58 * told["events"]["step"]
    sql = f"""select sum(count) from pipeline_10s where kind = 'event' and source = '{source["source"]}'
        and bucket >= make_timestamptz({start} * 1000) and bucket < make_timestamptz({end} * 1000)"""
    asked = await page.context.request.post(f"{demo.address}/api/v1/sql", data={"sql": sql})
    answer = (await asked.json())["rows"][0][0]
    shown = sum(value for value in source["per_minute"] if value is not None)
    assert shown == pytest.approx(answer, rel=0.01), "but for what came between the two questions"
    await page.context.close()
