"""How fast the console answers: with 13 months of history, a thousand cells a bucket, and a hundred tabs open.

    python -m bench.pages [--cells 1000] [--others 200] [--rounds 10] [--tabs 100] [--seconds 60] [--views 5] [--json FILE]

Fills a store of its own with 13 months of hours, three days of minutes and an hour of 10 s of payments, all of as many cells as
asked for, and of every other table that pages read as much as they show, with fewer cells; starts `tillwatch console` on it,
and goes on as a worker that leads would: each second the open row of payments, in turn those of the others. One provider fails
meanwhile, so that the page has to find out who is to blame. Then:

*first*: each page's data asked for once, of a console that has just been started; *again*: asked for again and again, as a
tab does, each time later than answers are shared; *tabs*: what open tabs do (a stream each, and the questions that their page
asks as often as it does), as CPU time of the console; *views*: in Chromium, where it is, with nothing in its cache: to the
first paint, which has the verdict, to the last chart, and what came over the wire. Leaves the figures in .cache/bench for
`bench.report`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from itertools import islice, product
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from redis.asyncio import Redis

from bench.describe import machine, versions
from bench.latency import quantile
from bench.measure import cpu_s, machine_s, peak_mb
from bench.redis_memory import Traffic
from bench.report import CACHE
from console.pages import PLACES
from console.span import SHARED_S
from local.machine import console
from local.process import free_port
from local.store import EmbeddedStore
from rollups.cells import Cell
from rollups.rows import COARSE_GRID, FINE_GRID, encode_rows
from rollups.tables import DAY, HOUR, RESOLUTIONS, TableStore
from runtime.settings import Settings
from runtime.tasks import end
from schemas.events import DATA_OF
from schemas.tables import EVENT, TABLES, Key, Table, Value
from tests.console.rows import status

FINE_MS, MINUTE_MS = 10_000, 60_000
ANSWER_WITHIN_S = 60.0
ROUND_S = SHARED_S + 0.1
"""An answer is given again for so long: a round waits longer."""
FIGURES = (
    "/api/v1/payments/live", "/api/v1/kpis/payments?window=1h", "/api/v1/kpis/performance?window=1h", "/api/v1/signals",
    "/api/health",
)  # fmt: skip
POLLED_S = {"overview": None, "analyst": 60.0, "checklists": 15.0}
"""How often an open tab asks for its page, 5 s unless said; None: the stream brings it."""
LIVE_S = 2.0
"""How often the page of payments asks for payments as they happen, while they are on the screen."""
TABS = (
    "overview", "payments", "incidents", "system", "security", "rules", "pipeline", "checklists", "analyst",
    "payments?range=6h",
)  # fmt: skip
BACK_MS = {"1h": (396 * DAY, 40 * DAY), "1m": (3 * DAY, 6 * HOUR), "10s": (HOUR, HOUR)}
"""How much there is of payments, and of what else pages read."""
ALSO = (
    "payment_cohorts", "enrollments", "webhooks", "health", "requests", "calls", "queries", "resources", "experience", "errors",
    "security", "pipeline",
)  # fmt: skip
WRITTEN_AT_ONCE = 200
SHOWN_WITHIN_S = 30.0


# --- what there is ------------------------------------------------------------------------------------------------------

_CHOICES: dict[str, tuple[Value, ...]] = {
    "outcome": ("ok", "error", "connection_failed"),
    "status": ("up", "down"),
    "category": ("application", "payment", "webhook", "configuration", "security"),
    "resource": ("cpu", "memory", "disk", "network"),
    "currency": ("ZAR", "USD", "EUR", "GBP", "NAD"),
    "method": ("card", "eft", "qr", "wallet"),
    "critical": (False, True),
    "passed": (True, False),
    "available": (True,),
    "score": (5, 4),
}
_PAYMENTS: tuple[tuple[dict[str, Value], float], ...] = (
    ({"outcome": "initiated"}, 0.3),
    ({"outcome": "redirected"}, 0.2),
    ({"outcome": "succeeded"}, 0.45),
    ({"outcome": "failed", "fault": "technical", "reason": "timeout"}, 0.001),
    ({"outcome": "failed", "fault": "business", "reason": "declined"}, 0.04),
)
FAILS, FAILS_TIMES = "provider-1", 200.0


def _kinds(table: Table) -> list[tuple[dict[str, Value], float]]:
    """What events of a table differ in beside names, and how many of them are so; None for what such events do not have."""
    if "fault" in table.dimensions:
        return list(_PAYMENTS)
    if table.name == "pipeline":
        return [({"kind": EVENT, "type": None}, 1.0), ({"kind": "dead_letter", "type": "invalid"}, 0.001)]
    found: list[tuple[dict[str, Value], float]] = []
    for event, model in DATA_OF.items():
        if table.name not in model.tables:
            continue
        verb, has = event.partition(".")[2], model.model_fields
        told: dict[str, Value] = dict.fromkeys(name for name in table.dimensions if name not in has)
        told |= {name: value for name, value in (("kind", event), ("step", verb), ("outcome", verb)) if name in told}
        chosen = {name: of for name, of in _CHOICES.items() if name in table.dimensions and name in has}
        for values in product(*chosen.values()):
            usual = all(value == of[0] for value, of in zip(values, chosen.values(), strict=True))
            found.append((told | dict(zip(chosen, values, strict=True)), 1.0 if usual else 0.02))
    return found


def keys(table: Table, cells: int, broken: bool) -> list[tuple[Key, float]]:
    """As many keys as asked for, and how busy each is: by Zipf's law over the names. broken: whether one provider fails."""
    kinds = _kinds(table)
    told = {name for kind, _ in kinds for name, value in kind.items() if value is not None}
    chosen = {name: of for name, of in _CHOICES.items() if name in table.dimensions and name not in told}
    names = [name for name in table.dimensions if name not in told and name not in chosen]
    each, found = 0, dict[Key, float]()
    while len(found) < cells:
        each += 1
        found.clear()
        parts = [[f"{name}-{at + 1}" for at in range(each)] for name in names]
        for named in product(*parts, *chosen.values()):
            for kind, share in kinds:
                row = dict(zip((*names, *chosen), named, strict=True)) | kind
                fails = broken and row.get("provider") == FAILS and row.get("fault") == "technical"
                key = tuple(row.get(name) for name in table.dimensions)
                found.setdefault(key, share * (FAILS_TIMES if fails else 1.0) / (len(found) + 10))
    return list(islice(found.items(), cells))


def traffic(table: Table, cells: int, broken: bool = True) -> Traffic:
    """One event a second and cell."""
    return Traffic(table, cells, float(cells), keys=keys(table, cells, broken))


def minute(source: Traffic) -> dict[Key, Cell]:
    """What a minute of it holds."""
    found: dict[Key, Cell] = {}
    for _ in range(MINUTE_MS // FINE_MS):
        for key, cell in source.bucket().items():
            found.setdefault(key, Cell()).add(cell)
    return found


def values(table: Table, cells: int) -> dict[str, bytes]:
    """A row of each resolution, as the store has it; nothing failed until the last hours."""
    return {
        "10s": encode_rows(table, traffic(table, cells).bucket()),
        "1m": encode_rows(table, minute(traffic(table, cells)), FINE_GRID),
        "1h": encode_rows(table, minute(traffic(table, cells, broken=False)), COARSE_GRID),
    }


def cells_of(table: str, cells: int, others: int) -> int:
    """How many cells a row of this table has: both that payments make as many."""
    return cells if "fault" in TABLES[table].dimensions else others


async def fill(redis: Redis, settings: Settings, cells: int, others: int, now_ms: int) -> dict[str, int]:
    """Writes the history as rows that are already made; returns how many of each resolution. One row is made and stands for
    all: what it costs to read does not depend on the numbers in it."""
    names, written = settings.names, dict.fromkeys(BACK_MS, 0)
    for table in ("payments", *ALSO):
        full = values(TABLES[table], cells_of(table, cells, others))
        for name, back in BACK_MS.items():
            resolution = RESOLUTIONS[name]
            first = resolution.start(now_ms - back[table != "payments"])
            asked = redis.pipeline(transaction=False)
            for start in range(first, resolution.start(now_ms), resolution.width_ms):
                group = resolution.group(start)
                asked.hset(names.table_rows(table, name, group), str(start), full[name])
                asked.sadd(names.table(table, "groups"), f"{name}:{group}")
                written[name] += 1
                if len(asked) >= WRITTEN_AT_ONCE:
                    await asked.execute()
            await asked.execute()
    return written


async def work(redis: Redis, settings: Settings, cells: int, others: int) -> None:
    """What a worker that leads does: it says each second that it is well, and writes the rows that are open or just over."""
    tables = TableStore(redis, settings.names)
    rows = {name: traffic(TABLES[name], cells_of(name, cells, others)).bucket() for name in ("payments", *ALSO)}
    await tables.take("bench")
    turn = list(ALSO)
    while True:
        now_ms = int(time.time() * 1000)
        told = status(time.time(), now_ms=now_ms)
        await redis.set(settings.names.worker("worker-a"), json.dumps(told), ex=15)
        for name in ("payments", *turn[: len(ALSO) // 5 + 1]):
            await tables.write(name, {now_ms - now_ms % FINE_MS: rows[name]}, {})
            await tables.materialise(name, now_ms - 30_000)
        turn = [*turn[len(ALSO) // 5 + 1 :], *turn[: len(ALSO) // 5 + 1]]
        await asyncio.sleep(1 - time.time() % 1)


# --- answers --------------------------------------------------------------------------------------------------------------


def addresses() -> list[str]:
    """Where every page's data is, of every length of time, and figures."""
    found = []
    for place in PLACES.values():
        path = "/api/v1/overview" if place.name == "overview" else f"/api/v1/pages/{place.name}"
        found += [path, *(f"{path}?range={length}" for length in place.ranges[1:])]
    return [*found, *FIGURES]


async def answer(client: httpx.AsyncClient, pid: int, address: str) -> tuple[float, float, int]:
    """Milliseconds to the whole answer, those of the console's CPU time, and bytes over the wire. Who is told that it takes too
    long asks again, as pages do. Raises RuntimeError."""
    begun, spent = time.perf_counter(), cpu_s(pid)
    while (got := await client.get(address, headers={"Accept": "application/json"})).status_code == 504:
        pass
    took = time.perf_counter() - begun
    if got.status_code not in (200, 503):
        raise RuntimeError(f"{address} answers {got.status_code}: {got.text[:300]}")
    return took * 1000, (cpu_s(pid) - spent) * 1000, got.num_bytes_downloaded


async def asked(base: str, pid: int, rounds: int) -> dict[str, dict[str, float]]:
    """Of each address the first time, and of the rounds after it, which come one after the other as a tab that stays open asks.
    What is known so far is told."""
    found: dict[str, dict[str, float]] = {}
    async with httpx.AsyncClient(base_url=base, timeout=ANSWER_WITHIN_S) as client:
        for address in addresses():
            ms, cpu_ms, size = await answer(client, pid, address)
            times = []
            for _ in range(rounds):
                await asyncio.sleep(ROUND_S)
                took, _, size = await answer(client, pid, address)
                times.append(took)
            found[address] = {"first": round(ms, 1), "first_cpu": round(cpu_ms), "bytes": size}
            found[address] |= {f"p{q}": round(quantile(times, q / 100), 1) for q in (50, 95)} if times else {}
            print(f"  {address}: {found[address]}", flush=True)
    return found


# --- tabs -----------------------------------------------------------------------------------------------------------------


class Connection:
    """A connection of a browser, as little of it as costs the machine least."""

    def __init__(self, address: str) -> None:
        self._place = urlsplit(address)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> int:
        """Asks, and reads the whole answer; its bytes."""
        reader = await self._send(path, "application/json")
        length = int(next(line for line in await _head(reader) if line.lower().startswith("content-length:")).partition(":")[2])
        return len(await reader.readexactly(length))

    async def listen(self, path: str) -> None:
        """Reads a stream until it ends."""
        reader = await self._send(path, "text/event-stream")
        while await reader.read(65_536):
            pass

    async def _send(self, path: str, accept: str) -> asyncio.StreamReader:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        lines = (f"GET {path} HTTP/1.1", f"Host: {self._place.netloc}", f"Accept: {accept}", "Accept-Encoding: gzip", "", "")
        self._writer.write("\r\n".join(lines).encode())
        await self._writer.drain()
        return self._reader

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


async def _head(reader: asyncio.StreamReader) -> list[str]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    if " 200 " not in f"{status} ":
        raise RuntimeError(status)
    return lines


async def tab(address: str, page: str, late_s: float, counted: list[int]) -> None:
    """What one open tab does, until it is cancelled. counted: how many questions were asked, and bytes of their answers."""
    name = page.partition("?")[0]

    async def ask(path: str, every_s: float | None) -> None:
        if every_s is None:
            return
        async with Connection(address) as asking:
            while True:
                counted[1] += await asking.get(path)
                counted[0] += 1
                await asyncio.sleep(every_s)

    async def listen() -> None:
        async with Connection(address) as listening:
            await listening.listen("/api/v1/events")

    await asyncio.sleep(late_s)
    async with asyncio.TaskGroup() as group:
        group.create_task(listen())
        group.create_task(ask(f"/api/v1/pages/{page}", POLLED_S.get(name, 5.0)))
        group.create_task(ask("/api/v1/payments/live", LIVE_S if name == "payments" else None))


async def opened(address: str, pid: int, tabs: int, seconds: float) -> dict[str, float]:
    """How much of a core the console takes while so many tabs are open, once all of them are."""
    counted = [0, 0]
    open_s = 5.0
    tasks = [
        asyncio.create_task(tab(address, TABS[at % len(TABS)], open_s * at / tabs, counted)) for at in range(tabs)
    ]
    await asyncio.sleep(open_s + 5)
    counted[:] = [0, 0]
    spent, whole, begun = cpu_s(pid), machine_s(), time.perf_counter()
    await asyncio.sleep(seconds)
    lasted = time.perf_counter() - begun
    found = {
        "core": round((cpu_s(pid) - spent) / lasted, 3),
        "machine_cores": round((machine_s() - whole) / lasted, 2),
        "requests_s": round(counted[0] / lasted, 1),
        "kb_s": round(counted[1] / lasted / 1000, 1),
        "seconds": round(lasted),
    }
    for one in tasks:
        if one.done():
            one.result()
    await end(tasks)
    return found


# --- in a browser -----------------------------------------------------------------------------------------------------------

# A page is drawn once its script has shown what is there, and each of its charts has a canvas with a frame after it.
_WATCH = """
const look = () => {
  const charts = document.querySelectorAll('#page .uplot canvas').length;
  const shown = document.getElementById('fresh')?.childNodes.length;
  if (shown && charts !== window.charts) { window.charts = charts; window.drawn = performance.now(); }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
_TOLD = """() => ({
  drawn: window.drawn, charts: window.charts,
  paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
  answered: performance.getEntriesByType('navigation')[0].responseEnd,
})"""
_SINCE = "() => window.drawn ? performance.now() - window.drawn : -1"
SETTLED_MS = 600


async def views(address: str, times: int) -> dict[str, dict[str, float]] | None:
    """Of each page in a window that has nothing of it yet: milliseconds since somebody went there; None without a browser."""
    from playwright.async_api import async_playwright

    from tests.browser.conftest import ALONE, PROGRAMS

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        return None
    found: dict[str, dict[str, float]] = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ALONE))
        for place in PLACES.values():
            told: list[dict[str, float]] = []
            for _ in range(times):
                context = await browser.new_context(viewport={"width": 1440, "height": 900})
                page, size = await context.new_page(), [0.0]
                wire = await context.new_cdp_session(page)
                await wire.send("Network.enable")
                wire.on("Network.loadingFinished", lambda one, size=size: size.append(one["encodedDataLength"]))
                await page.add_init_script(_WATCH)
                await page.goto(address + place.address, wait_until="load")
                async with asyncio.timeout(SHOWN_WITHIN_S):
                    while await page.evaluate(_SINCE) < SETTLED_MS:
                        await asyncio.sleep(0.1)
                told.append(await page.evaluate(_TOLD) | {"bytes": sum(size)})
                await context.close()
            found[place.address] = {name: round(statistics.median(one[name] for one in told)) for name in told[0]}
            found[place.address] |= {f"{name}_most": round(max(one[name] for one in told)) for name in ("paint", "drawn")}
            print(f"  {place.address} in a browser: {found[place.address]}", flush=True)
        await browser.close()
    return found


# --- the whole --------------------------------------------------------------------------------------------------------


async def run(
    cells: int, others: int, rounds: int, tabs: int, seconds: float, times: int, result: dict[str, Any]
) -> None:
    """Starts what it needs, measures, and stops it; what is known so far is in the result."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-bench-")))
        store = stack.enter_context(EmbeddedStore(None, folder))
        settings = Settings(
            kafka="127.0.0.1:1", redis=SecretStr(store.url), namespace="bench", data=folder / "data",
            console=f"127.0.0.1:{free_port()}",
        )  # fmt: skip
        redis = Redis.from_url(store.url)
        stack.push_async_callback(redis.aclose)
        begun = time.perf_counter()
        result |= {
            "machine": machine(), "versions": await versions(settings, False), "load": [os.getloadavg()[0]],
            "made": datetime.now(UTC).isoformat(), "cells": cells, "others": others,
            "rows": await fill(redis, settings, cells, others, int(time.time() * 1000)),
        }  # fmt: skip
        print(f"{result['rows']} rows written in {time.perf_counter() - begun:.0f} s", flush=True)
        working = asyncio.create_task(work(redis, settings, cells, others))
        stack.push_async_callback(end, [working])
        process = console(settings, folder)
        await asyncio.to_thread(process.start)
        stack.callback(process.stop)
        address = f"http://{settings.console}"
        result["answers"] = await asked(address, process.pid, rounds)
        result["tabs"] = {"tabs": tabs} | await opened(address, process.pid, tabs, seconds)
        print(f"  tabs: {result['tabs']}", flush=True)
        with suppress(ImportError):
            result["views"] = await views(address, times) if times else None
        result["peak_mb"] = round(peak_mb(process.pid))
        result["load"].append(os.getloadavg()[0])
        if working.done():
            working.result()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1_000, help="of each row of payments (1000)")
    parser.add_argument("--others", type=int, default=200, help="of each row of the tables beside payments (200)")
    parser.add_argument("--rounds", type=int, default=10, help="how often each page is asked for again (10)")
    parser.add_argument("--tabs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the tabs are looked at (60)")
    parser.add_argument("--views", type=int, default=5, help="of each page in a browser (5)")
    parser.add_argument("--json", type=Path, default=CACHE / "pages.json", help="where the figures go")
    given = parser.parse_args()
    result: dict[str, Any] = {"command": f"python -m bench.pages {' '.join(sys.argv[1:])}".strip()}
    try:
        asyncio.run(
            run(given.cells, given.others, given.rounds, given.tabs, given.seconds, given.views, result)
        )
    finally:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
