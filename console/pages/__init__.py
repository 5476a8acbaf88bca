"""The pages: templates whose blanks are filled here, so that a page has its verdict before any script runs."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from console.shapes import Page, Tile
from console.who import ASKING
from console.words import plain
from runtime.settings import duration_s

FOLDER = Path(__file__).parent
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_TO_PROVIDER = '<p><a class="btn main" href="/sign-in/oidc?next={}">Sign in with your organisation</a></p>'
_CHANGE = '<p><a href="/password">Change the password</a></p>'
_TOKEN = """\
<details><summary>Sign in with the installation's token</summary>
  <form method="post" action="/sign-in">
    <input type="hidden" name="next" value="{}">
    <label for="token">Token</label>
    <input class="field" id="token" name="token" type="password" autocomplete="off" required>
    <button class="btn">Sign in</button>
  </form>
  </details>"""
_BLANK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class File:
    """A file that a page loads. packed: in gzip; None for what is compressed as it is."""

    content: bytes
    packed: bytes | None
    type: str
    tag: str


@dataclass(frozen=True, slots=True)
class Place:
    """A page in the navigation: where it is, its icon, the digit that leads to it after `g`, and the lengths of time that it
    can show, the usual one first."""

    name: str
    title: str
    address: str
    icon: str
    key: str
    ranges: tuple[str, ...] = ()
    judges: bool = True
    """Whether it opens with a verdict."""
    within: str = ""
    """The page that stands for it in the navigation, where it has no place of its own there."""


PLACES = {
    place.name: place
    for place in (
        Place("overview", "Overview", "/", "overview", "1"),
        Place("payments", "Payments", "/payments", "card", "2", ("1h", "6h", "24h", "7d", "31d")),
        Place("incidents", "Incidents", "/incidents", "bell", "3"),
        Place("analyst", "Analyst", "/analyst", "sql", "4", judges=False),
        Place("system", "System", "/system", "system", "5", ("1h", "6h", "24h", "7d")),
        Place("security", "Security", "/security", "shield", "6", ("24h", "6h", "7d", "31d")),
        Place("rules", "Rules", "/rules", "flag", "7"),
        Place("pipeline", "Pipeline", "/pipeline", "deploy", "8", ("1h", "6h", "24h", "7d")),
        Place("checklists", "Checklists", "/checklists", "todo", "0"),
    )
}
ROOMS = {
    place.name: place
    for place in (
        Place("incident", "Incident", "", "bell", "", within="incidents"),
        Place("runbook", "Runbook", "", "bell", "", judges=False, within="incidents"),
    )
}
"""Pages that others lead to."""
STATUS = Place("status", "Status page", "/status", "globe", "9")
"""The public page, which has no navigation of its own."""
TABS = ("overview", "payments", "incidents", "system", "security")
"""Those that a phone has at its foot."""


@cache
def files() -> dict[str, File]:
    """Every file that pages load, by its name: nothing else can be asked for. `vendor` holds what is not ours."""
    found = {}
    for path in sorted((*(FOLDER / "static").iterdir(), *(FOLDER / "vendor").iterdir())):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            packed = None if path.suffix == ".woff2" else gzip.compress(content, mtime=0)
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.name] = File(content, packed, _TYPES[path.suffix], tag)
    return found


def page(name: str, told: Page, tiles: Iterable[Tile] = (), where: str = "") -> str:
    """A page as it is now. `tiles`: what it shows before its script runs; `where`: its name, where that is not its place's."""
    place = PLACES.get(name) or ROOMS[name]
    asking = ASKING.get()
    here = PLACES[place.within] if place.within else place
    sentence = plain(told.sentence)
    return _filled(
        "shell.html",
        page=name,
        title=escape(sentence if place.judges else where or place.title),
        where=escape(where or place.title),
        state=told.state,
        csrf=asking.csrf,
        who=f"{escape(asking.who.name)}, {asking.who.role}" if asking.who is not None else "Sign in",
        nav="\n    ".join(_link(one, one is here) for one in (*PLACES.values(), STATUS)),
        tabs="".join(_link(PLACES[one], one == here.name) for one in TABS if one in PLACES),
        ranges=" ".join(place.ranges),
        lengths=_lengths(place),
        verdict=_verdict(told) if place.judges else f'<h1 class="sr">{escape(where or place.title)}</h1>',
        body=f'<dl class="tiles n{len(shown)}">{"".join(map(_tile, shown))}</dl>' if (shown := list(tiles)) else "",
        json=told.encoded.decode().replace("<", "\\u003c"),
    )


def status_page(blanks: Mapping[str, str]) -> str:
    """The public status page."""
    return _filled("status.html", **blanks)


def sign_in_page(message: str, then: str, *, token: bool, provider: bool) -> str:
    """The page that asks who somebody is. then: the page to go on to. token, provider: whether there is one."""
    return _filled(
        "sign-in.html",
        message=escape(message),
        next=escape(then),
        provider=_TO_PROVIDER.format(quote(then, safe="")) if provider else "",
        token=_TOKEN.format(escape(then)) if token else "",
    )


def signed_in_page(name: str, role: str, csrf: str, message: str = "", *, password: bool) -> str:
    """Who is signed in, and the way out. password: whether they have one to change."""
    change = _CHANGE if password else ""
    return _filled("signed-in.html", who=escape(name), role=role, csrf=csrf, message=escape(message), password=change)


def password_page(name: str, csrf: str, message: str, least: int, most: int) -> str:
    """The page on which an account changes its password. least, most: how many characters it may have."""
    return _filled(
        "password.html",
        who=escape(name),
        csrf=csrf,
        message=escape(message),
        least=str(least),
        most=str(most),
    )


def landing_page(then: str) -> str:
    """Goes on by itself."""
    return _filled("landing.html", next=escape(then))


def _icon(name: str) -> str:
    return f'<svg class="i" aria-hidden="true"><use href="/static/icons.svg#{name}"/></svg>'


def _link(place: Place, here: bool) -> str:
    current = ' aria-current="page"' if here else ""
    return (
        f'<a class="to" href="{place.address}" data-page="{place.name}" data-key="{place.key}"{current} title="{place.title} '
        f'(g {place.key})">{_icon(place.icon)}{place.title}<span class="end" data-of="{place.name}"></span></a>'
    )


def _lengths(place: Place) -> str:
    if not place.ranges:
        return ""
    lengths = sorted(place.ranges, key=lambda one: float(str(duration_s(one))))
    buttons = "".join(f'<button data-range="{one}" aria-pressed="false">{one}</button>' for one in lengths)
    brushed = '<button class="btn plain" id="brushed" hidden aria-label="Show the usual time again"><span></span>×</button>'
    return f'<span class="seg" role="group" aria-label="Time shown">{buttons}</span>{brushed}'


def _verdict(told: Page) -> str:
    return (
        f'<section class="verdict" id="verdict" data-s="{told.state}" aria-label="Verdict">'
        f'<span class="mark">{_icon(told.state)}</span>'
        f'<h1 aria-live="polite">{escape(plain(told.sentence))}</h1><p class="why">{escape(plain(told.why))}</p></section>'
    )


def _tile(tile: Tile) -> str:
    unit = f"<small>{escape(tile.unit)}</small>" if tile.unit and tile.figure != "–" else ""
    return (
        f'<div class="tile" data-s="{tile.state}"><dt>{escape(tile.name)}</dt><dd class="fig num">{escape(tile.figure)}{unit}'
        f'</dd><dd class="spark"></dd><dd class="cmp num">{escape(tile.note)}</dd></div>'
    )


def _filled(name: str, **blanks: str) -> str:
    return _BLANK.sub(lambda blank: blanks[blank[1]], _template(name))


@cache
def _template(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
