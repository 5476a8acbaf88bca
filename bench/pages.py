"""How fast the console answers: with 13 months of history, a thousand cells in each 10 s, and a hundred tabs open.

    python -m bench.pages [--cells 1000] [--tabs 100] [--seconds 30]

Fills a store of its own with 13 months of hours and three days of minutes of a shop's daily shape, and with as many cells as
asked for in every minute of the last six hours and every 10 s of the last one, starts `tillwatch console` on it, and writes a
10 s row a second meanwhile, as a worker would. Then: each page and figure from the first question on, and again and again; the
weight of each page over the wire; how much of a core many tabs take that look at all pages; and, where Chromium is, how soon a
page shows its figures in a browser that has nothing of it yet. Leaves the figures in .cache/bench for `bench.report`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from redis.asyncio import Redis

from bench.describe import machine, versions
from bench.measure import cpu_s
from bench.redis_memory import Traffic
from bench.report import CACHE
from console.pages import PLACES
from local.machine import console
from local.process import free_port
from local.simulator import daily_shape
from local.store import EmbeddedStore
from rollups.rows import encode_rows
from rollups.tables import RESOLUTIONS, TableStore
from runtime.settings import Settings
from runtime.tasks import end
from schemas.tables import TABLES, Key
from tests.console.rows import cells as named
from tests.console.rows import failed, paid, status

SECOND, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000
QUESTIONS = 60
FIRST_WITHIN_S = 60.0
FIGURES = ("/api/v1/kpis/payments?window=1h", "/api/v1/kpis/performance?window=1h", "/api/health")
_PROVIDERS = (("ikhokha", "card"), ("ozow", "eft"), ("peach", "card"), ("payfast", "qr"), ("stitch", "eft"))


# --- the history --------------------------------------------------------------------------------------------------------


def shop(start_ms: int, width_ms: int) -> dict[Key, Any]:
    """What a shop of ten payments a second does in a bucket, by its daily shape."""
    share = daily_shape(start_ms / 1000) * width_ms / 1000 * 10 / len(_PROVIDERS)
    rows = []
    for provider, method in _PROVIDERS:
        rows.append(paid(max(1, round(share * 0.9)), provider=provider, method=method))
        rows.append(failed(max(1, round(share * 0.008)), provider=provider, method=method))
        rows.append(failed(max(1, round(share * 0.09)), "business", provider=provider, method=method, reason="declined"))
    return named("payments", rows)


async def fill(redis: Redis, settings: Settings, cells: int, now_ms: int) -> dict[str, int]:
    """Writes the history as rows that are already made; returns how many of each resolution. A bucket of many cells is made
    once and stands for all: what it costs to read does not depend on what is in it."""
    names, table = settings.names, TABLES["payments"]
    full = encode_rows(table, Traffic(table, cells, max(100.0, cells / 5)).bucket())
    written: dict[str, int] = {}
    for name, back_ms in (("1h", 396 * DAY_MS), ("1m", 3 * DAY_MS), ("10s", HOUR_MS)):
        resolution = RESOLUTIONS[name]
        first = resolution.start(now_ms - back_ms)
        asked = redis.pipeline(transaction=False)
        for start in range(first, resolution.start(now_ms), resolution.width_ms):
            crowded = name == "10s" or (name == "1m" and start >= now_ms - 6 * HOUR_MS)
            value = full if crowded else encode_rows(table, shop(start, resolution.width_ms))
            group = resolution.group(start)
            asked.hset(names.table_rows("payments", name, group), str(start), value)
            asked.sadd(names.table("payments", "groups"), f"{name}:{group}")
            written[name] = written.get(name, 0) + 1
            if written[name] % 500 == 0:
                await asked.execute()
        await asked.execute()
    return written


async def work(redis: Redis, settings: Settings, cells: int) -> None:
    """What a worker that leads does once a second: says that it is well, and writes the open row."""
    tables, traffic = TableStore(redis, settings.names), Traffic(TABLES["payments"], cells, max(100.0, cells / 5))
    await tables.take("bench")
    open_row = traffic.bucket()
    while True:
        now_ms = int(time.time() * 1000)
        told = status(time.time(), now_ms=now_ms)
        await redis.set(settings.names.worker("worker-a"), json.dumps(told), ex=15)
        await tables.write("payments", {now_ms - now_ms % (10 * SECOND): open_row}, {})
        await asyncio.sleep(1)


# --- what is measured -----------------------------------------------------------------------------------------------------


async def answers(client: httpx.AsyncClient, address: str) -> dict[str, float]:
    """Milliseconds until the whole answer is here: the first time, and of many times afterwards."""
    took = []
    for _ in range(QUESTIONS + 1):
        begun = time.perf_counter()
        answer = await client.get(address, headers={"Accept": "text/html" if "/api/" not in address else "application/json"})
        took.append((time.perf_counter() - begun) * 1000)
        if answer.status_code not in (200, 503):
            raise RuntimeError(f"{address} answers {answer.status_code}: {answer.text[:300]}")
        await asyncio.sleep(0.2)  # a row is written each second meanwhile
    again = took[1:]
    return {"first": round(took[0], 1), "p50": round(statistics.median(again), 1),
            "p95": round(statistics.quantiles(again, n=20)[-1], 1), "bytes": int(answer.num_bytes_downloaded)}  # fmt: skip


async def tab(address: str, path: str, until: float) -> None:
    """What one open tab does: a stream, and its page every 5 seconds."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        async def listen() -> None:
            with suppress(httpx.HTTPError):
                async with client.stream("GET", "/api/v1/events") as stream:
                    async for _ in stream.aiter_bytes():
                        pass

        listening = asyncio.create_task(listen())
        try:
            while time.perf_counter() < until:
                await asyncio.sleep(5)
                if path != "overview":
                    await client.get(f"/api/v1/pages/{path}")
        finally:
            await end([listening])


async def browsed(address: str, paths: Sequence[str]) -> dict[str, float] | None:
    """Milliseconds until a page shows its figures in a window that has nothing of it yet; None without a browser."""
    try:
        from tests.browser.conftest import ALONE, PROGRAMS
    except ImportError:
        return None
    import shutil

    from playwright.async_api import async_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        return None
    found: dict[str, float] = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ALONE))
        for path in paths:
            took = []
            for _ in range(5):
                context = await browser.new_context(viewport={"width": 1440, "height": 900})
                page = await context.new_page()
                await page.add_init_script(
                    "new MutationObserver(() => { if (document.querySelector('#fresh b')) window.shown ??= performance.now() })"
                    ".observe(document, { childList: true, subtree: true });"
                )
                await page.goto(address + path)
                await page.wait_for_selector("#fresh b")
                took.append(float(await page.evaluate("window.shown")))
                await context.close()
            found[path] = round(statistics.median(took), 1)
        await browser.close()
    return found


# --- the whole --------------------------------------------------------------------------------------------------------


async def run(cells: int, tabs: int, seconds: float) -> dict[str, Any]:
    """Starts what it needs, measures, and stops it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-bench-")))
        store = stack.enter_context(EmbeddedStore(None, folder))
        settings = Settings(
            kafka="127.0.0.1:1", redis=SecretStr(store.url), namespace="bench", data=folder / "data",
            console=f"127.0.0.1:{free_port()}",
        )  # fmt: skip
        redis = Redis.from_url(store.url)
        begun = time.perf_counter()
        written = await fill(redis, settings, cells, int(time.time() * 1000))
        print(f"{written} rows written in {time.perf_counter() - begun:.0f} s", flush=True)
        working = asyncio.create_task(work(redis, settings, cells))
        process = console(settings, folder)
        await asyncio.to_thread(process.start)
        stack.callback(process.stop)
        address = f"http://{settings.console}"
        result: dict[str, Any] = {
            "machine": machine(), "versions": await versions(settings, False), "cells": cells, "rows": written,
            "date": time.strftime("%Y-%m-%d", time.gmtime()), "answers": {}, "tabs": tabs,
        }  # fmt: skip
        places = [place for place in PLACES.values() if place.name not in ("status", "incidents", "checklists")]
        asked = [place.address for place in places]
        asked += [f"{place.address}?range={length}" for place in places for length in place.ranges[1:]]
        async with httpx.AsyncClient(base_url=address, timeout=FIRST_WITHIN_S) as client:
            for one in (*asked, *FIGURES):
                result["answers"][one] = await answers(client, one)
                print(f"  {one}: {result['answers'][one]}", flush=True)
        before, until = cpu_s(process.pid), time.perf_counter() + seconds
        paths = [place.name for place in places]
        await asyncio.gather(*(tab(address, paths[at % len(paths)], until) for at in range(tabs)))
        result["tabs_core"] = round((cpu_s(process.pid) - before) / seconds, 3)
        print(f"  {tabs} tabs: {result['tabs_core']:.1%} of a core", flush=True)
        result["browser_ms"] = await browsed(address, [place.address for place in places])
        print(f"  in a browser: {result['browser_ms']}", flush=True)
        await end([working])
        await redis.aclose()
        return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1_000, help="in each 10 s of the table of payments (1000)")
    parser.add_argument("--tabs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the tabs stay open (30)")
    given = parser.parse_args()
    result = asyncio.run(run(given.cells, given.tabs, given.seconds))
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "pages.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
