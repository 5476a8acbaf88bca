"""The pages as they are sent: with their verdict, without anything from elsewhere, and without markup from data."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import pytest

from console.desk import Desk
from console.pages import FOLDER, files
from console.readings import KEPT_S, Pulse
from console.series import Series
from console.shapes import Page
from console.span import PAST_S, SHARED_S, view_of
from rollups.tables import HOUR
from tests.console.conftest import Held
from tests.console.rows import NOW_MS, OPEN_MS, paid
from tests.console.test_board import post

OURS = [path for pattern in ("*.html", "static/*") for path in FOLDER.glob(pattern) if path.suffix in (".html", ".js", ".css")]

async def test_the_page_has_its_verdict_before_any_script_runs(desk: Desk, client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(500)]})
    answer = await client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.text.replace("\u00a0", " ")
    assert "<title>Customers can pay. Success 100.0 %, 100 payments a minute. · Tillwatch</title>" in page
    assert '<h1 aria-live="polite">Customers can pay.' in page
    assert 'data-s="ok"' in page and "icons.svg#ok" in page
    assert not re.findall(r"\{[a-z]+\}", answer.text.partition('<script type="application/json"')[0])


async def test_what_data_say_is_text_and_never_markup(desk: Desk, client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(500, provider="</script><script>alert(1)</script>")]})
    post(desk.board, 1, summary="<img src=x onerror=alert(1)>: bad", rule="provider_down")
    page = (await client.get("/")).text
    assert "<img" not in page and "alert(1)</script>" not in page
    first = re.search(r'<script type="application/json" id="first">(.*?)</script>', page, re.DOTALL)
    assert first is not None
    assert json.loads(first[1])["providers"][0]["name"] == "</script><script>alert(1)</script>"


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    for path in OURS:
        text = path.read_text()
        if path.suffix in (".html", ".js", ".css"):
            assert not re.search(r"(?:https?:)?//[\w-]+\.\w", text.replace("http://www.w3.org/2000/svg", "")), path
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), path
        if path.suffix == ".html":
            assert not re.search(r"<script(?! src| type)|<style|\sstyle=|\son\w+=|javascript:", text), path


def test_every_file_that_a_page_names_is_there() -> None:
    named = set()
    for path in (*FOLDER.glob("*.html"), *FOLDER.glob("static/*.js"), *FOLDER.glob("static/*.css")):
        text = re.sub(r"/\*\* @import .*", "", path.read_text())  # of types, which no browser loads
        named |= set(re.findall(r"/static/([\w.-]+\.\w+)|from '\./([\w.-]+)'|url\(([\w.-]+)\)", text))
    wanted = {name for group in named for name in group if name}
    assert len(wanted) >= 7
    assert wanted <= files().keys()
    icons = (FOLDER / "static/icons.svg").read_text()
    for state in ("ok", "degraded", "failing", "behind", "nodata", "stale", "brand", "overview"):
        assert f'id="{state}"' in icons


def test_no_colour_or_size_is_outside_of_the_tokens() -> None:
    text = (FOLDER / "static/components.css").read_text()
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", text) == []
    used = set(re.findall(r"var\((--[\w-]+)", text))
    defined = set(re.findall(r"(--[\w-]+):", (FOLDER / "static/tokens.css").read_text() + text))
    assert used <= defined | set(re.findall(r"setProperty\('(--[\w-]+)'", (FOLDER / "static/parts.js").read_text()))


@pytest.mark.parametrize(
    ("name", "kind"), [("tokens.css", "text/css; charset=utf-8"), ("overview.js", "text/javascript; charset=utf-8"),
                       ("icons.svg", "image/svg+xml"), ("inter.woff2", "font/woff2")]
)  # fmt: skip
async def test_files_have_a_type_and_a_tag(client: httpx.AsyncClient, name: str, kind: str) -> None:
    answer = await client.get(f"/static/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    again = await client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_what_is_compressed_beforehand_is_the_same(client: httpx.AsyncClient) -> None:
    for name in files():
        plain = await client.get(f"/static/{name}", headers={"Accept-Encoding": "identity"})
        answer = await client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"})
        packed = answer.headers.get("content-encoding") == "gzip"
        assert packed == (name.rpartition(".")[2] != "woff2" and len(plain.content) >= 1_000)
        assert answer.content == plain.content and answer.headers["etag"] == plain.headers["etag"]
        assert int(answer.headers["content-length"]) <= len(plain.content)


async def test_who_ask_at_once_are_told_the_same(client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(500)]})
    for place in ("payments", "rules", "system"):
        address = f"/api/v1/pages/{place}"
        answers = await asyncio.gather(
            *(client.get(address, headers={"Accept-Encoding": how}) for how in ("gzip", "identity", "gzip"))
        )
        assert [answer.headers.get("content-encoding") for answer in answers] == ["gzip", None, "gzip"]
        assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("name", ["shell.html", "__init__.py", "..%2fshell.html", "nothing.css"])
async def test_no_other_file_can_be_asked_for(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/static/{name}")).status_code == 404


async def test_an_answer_is_shared_for_a_moment_that_an_alert_ends(desk: Desk) -> None:
    made = 0

    async def read(series: Series, now_ms: int) -> int:
        nonlocal made
        made += 1
        return made

    def shown(now_ms: int, pulse: Pulse, held: int) -> Page:
        return Page(state="ok", sentence=[], why=[], as_of=None, now=held)

    async def ask(shared_s: float) -> int:
        return (await desk.page("this", read, 0, shown, shared_s)).now

    assert [await ask(60) for _ in range(3)] == [1, 1, 1]
    post(desk.board, 1)
    assert [await ask(60) for _ in range(3)] == [2, 2, 2]
    await desk.tick()
    assert [await ask(60) for _ in range(3)] == [3, 3, 3]


@pytest.mark.parametrize(("length", "shared_s"), [("10m", KEPT_S), ("1h", SHARED_S), ("31d", SHARED_S)])
def test_of_a_short_time_nothing_is_shared_for_long(length: str, shared_s: float) -> None:
    assert view_of(length, None, None, "1h", NOW_MS).shared_s == shared_s
    assert view_of(length, None, None, "1h", NOW_MS).before(HOUR).shared_s == (shared_s if length == "10m" else PAST_S)
