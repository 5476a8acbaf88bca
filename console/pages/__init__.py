"""The pages: templates whose blanks are filled here, so that a page has its verdict before any script runs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from console.overview import plain
from console.shapes import Overview, Tile

FOLDER = Path(__file__).parent
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_BLANK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class File:
    """A file that a page loads."""

    content: bytes
    type: str
    tag: str


@cache
def files() -> dict[str, File]:
    """Every file that pages load, by its name: nothing else can be asked for."""
    found = {}
    for path in sorted((FOLDER / "static").iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            found[path.name] = File(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found


def overview_page(told: Overview) -> str:
    """The first page as it is now."""
    sentence = plain(told.sentence)
    return _filled(
        "overview.html",
        title=escape(sentence),
        state=told.state,
        sentence=escape(sentence),
        why=escape(plain(told.why)),
        tiles="".join(map(_tile, told.tiles)),
        json=told.model_dump_json().replace("<", "\\u003c"),
    )


def sign_in_page(message: str) -> str:
    """The page that asks for the token."""
    return _filled("sign-in.html", message=escape(message))


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
