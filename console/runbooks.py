"""Runbooks: Markdown in, a small tree out, of which pages make elements; no markup of a text reaches a page."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from console.incident_shapes import Node, Runbook
from rules.loader import PACKED

LARGEST = 256 * 1024
_TAGS = "h1 h2 h3 h4 h5 h6 p ul ol li blockquote hr strong em a table thead tbody tr th td"
TAGS = frozenset(_TAGS.split(" "))
"""Elements that may come of a text."""
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def runbook(named: str | None, folder: Path | None = None) -> Runbook | None:
    """The runbook that an alert names: a page in `runbooks/` of the folder of rules, or one that ships; else its address."""
    if named is None:
        return None
    if urlsplit(named).scheme in ("http", "https"):
        return Runbook(name=named, title=named, url=named)
    name = Path(named).stem
    if not name.isidentifier():
        return None
    for place in (*(() if folder is None else (folder / "runbooks",)), PACKED):
        page = place / f"{name}.md"
        try:
            if page.stat().st_size <= LARGEST:
                return parsed(name, page.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
    return None


@lru_cache(maxsize=100)
def parsed(name: str, text: str) -> Runbook:
    """A page as a tree."""
    nodes = [made for one in SyntaxTreeNode(_MARKDOWN.parse(text)).children for made in _nodes(one)]
    title = next((_plain(one) for one in nodes if one.tag == "h1"), name)
    return Runbook(name=name, title=title, text=text, nodes=tuple(one for one in nodes if one.tag != "h1"))


def _nodes(one: SyntaxTreeNode) -> list[Node]:
    if one.type in ("text", "html_inline", "html_block"):
        return [Node(text=one.content)]
    if one.type in ("softbreak", "hardbreak"):
        return [Node(text=" ")]
    if one.type in ("fence", "code_block"):
        return [Node(tag="pre", text=one.content.rstrip("\n"))]
    if one.type == "code_inline":
        return [Node(tag="code", text=one.content)]
    children = [made for child in one.children for made in _nodes(child)]
    if one.type == "image":
        return [Node(text=one.content)]
    if one.tag not in TAGS or (one.type == "paragraph" and one.hidden):
        return children
    if one.tag == "a":
        href = _address(str(one.attrs.get("href", "")))
        return children if href is None else [Node(tag="a", href=href, children=tuple(children))]
    return [Node(tag=one.tag, children=tuple(children))]


def _address(href: str) -> str | None:
    """Another runbook's page, or an address of the web; nothing else is followed."""
    parts = urlsplit(href)
    if parts.scheme in ("http", "https"):
        return href
    name = Path(parts.path)
    if not parts.scheme and not parts.netloc and name.suffix == ".md" and name.stem.isidentifier():
        return f"/runbooks/{name.stem}"
    return None


def _plain(node: Node) -> str:
    return node.text + "".join(map(_plain, node.children))
