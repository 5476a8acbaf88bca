"""YAML with positions: every value knows where it stands, and what is wrong is told as file:line:column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import AliasEvent, Event
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError
from yaml.scanner import Scanner

from runtime.suggest import nearest, quoted

LARGEST = 256 * 1024
"""Characters of a file, at most: some thousand rules."""
DEEPEST = 20
MOST_VALUES = 100_000
"""Values of a file, at most, each alias being as many as it stands for."""
NULL = "tag:yaml.org,2002:null"
"""The tag of what is absent."""
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_BREAKS = "\n\x85\u2028\u2029"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One error of a file; line and column are 1-based. `near`: the known name that is probably meant."""

    file: str
    line: int
    column: int
    text: str
    near: str | None = None

    def __str__(self) -> str:
        hint = f" (did you mean {self.near}?)" if self.near else ""
        return f"{self.file}:{self.line}:{self.column}: error: {self.text}{hint}"


class _Refused(yaml.MarkedYAMLError):
    """What is YAML, but no file of ours."""


class _Loader(yaml.SafeLoader):
    """Composes within limits: of depth, and of what aliases multiply. `open_quote`: the last quote over several lines."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        """By a node's id: how many values it is, and how deep they are nested, with what its aliases stand for."""
        self.open_quote: tuple[yaml.Mark, yaml.Mark] | None = None

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._check(1, self._depth + 1, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if isinstance(event, AliasEvent):
            if id(node) not in self._sizes:
                mark: Any = event.start_mark
                raise _Refused(problem=f"*{event.anchor} stands inside of itself", problem_mark=mark)
        else:
            parts = [self._sizes[id(part)] for part in _parts(node)]
            self._sizes[id(node)] = (1 + sum(size for size, _ in parts), 1 + max((deep for _, deep in parts), default=0))
        self._check(*self._sizes[id(node)], event.start_mark)
        return node

    @staticmethod
    def _check(values: int, deep: int, mark: Any) -> None:
        if deep > DEEPEST:
            raise _Refused(problem=f"nested more than {DEEPEST} deep", problem_mark=mark)
        if values > MOST_VALUES:
            raise _Refused(problem=f"more than {MOST_VALUES:,} values", problem_mark=mark)

    def scan_flow_scalar(self, style: str) -> Any:
        token = super().scan_flow_scalar(style)
        if token.start_mark.line != token.end_mark.line:
            self.open_quote = (token.start_mark, token.end_mark)
        return token


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, SequenceNode):
        yield from node.value


class Document:
    """One file that is read; `problems` gathers what is wrong with it. `root` is None where it is empty or no YAML.

    content: what is in it, or why it could not be read.
    """

    def __init__(self, file: str, content: str | bytes | OSError) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._text = ""
        if isinstance(content, OSError):
            self._note(0, 0, f"cannot be read: {content.strerror}")
            return
        try:
            if isinstance(content, str):
                self._text = content
            elif len(content) <= 4 * LARGEST:
                self._text = content.decode()
            if len(content) > 4 * LARGEST or len(self._text) > LARGEST:
                self._note(0, 0, f"longer than {LARGEST:,} characters: make several files of it")
            else:
                self.root = self._composed()
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode()
            self._note(*_moved(0, 0, before), f"not UTF-8: byte 0x{error.object[error.start]:02x}")

    @property
    def readable(self) -> bool:
        """Whether it is YAML, or empty."""
        return self.root is not None or not self.problems

    def _composed(self) -> Node | None:
        loader: _Loader | None = None
        try:
            loader = _Loader(self._text)
            return loader.get_single_node()
        except ReaderError as error:
            char = error.character if isinstance(error.character, int) else ord(error.character)
            self._note(*_moved(0, 0, self._text[: error.position]), f"not YAML: the character U+{char:04X}")
        except yaml.MarkedYAMLError as error:
            self._unusable(error, None if loader is None else loader.open_quote)
        except (ValueError, OverflowError):  # what an escape beyond Unicode ends in
            line, column = (0, 2) if loader is None else (loader.line, loader.column)
            self._note(line, column - 2, "not YAML: there is no such character")
        return None

    def _unusable(self, error: yaml.MarkedYAMLError, quote: tuple[yaml.Mark, yaml.Mark] | None) -> None:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        if mark is None:
            self._note(0, 0, f"not YAML: {words}")
        elif isinstance(error, _Refused):
            self._note(mark.line, mark.column, words)
        elif error.context == "while scanning a quoted scalar" and error.context_mark is not None and mark.index >= len(
            self._text
        ):
            self._note(error.context_mark.line, error.context_mark.column, "not YAML: a quote that is never closed")
        elif quote is not None and quote[1].line == mark.line:
            # What opened here swallowed lines up to the next quote, and what is left of that line is no YAML.
            text = f"not YAML: a quote that is closed in line {mark.line + 1} only: is one missing here?"
            self._note(quote[0].line, quote[0].column, text)
        else:
            tab = "; YAML is indented with blanks, not with tabs" if self._text[mark.index : mark.index + 1] == "\t" else ""
            self._note(mark.line, mark.column, f"not YAML: {words}{tab}")

    def _note(self, line: int, column: int, text: str, near: str | None = None) -> None:
        self.problems.append(Problem(self.file, line + 1, column + 1, text, near))

    def wrong(self, node: Node, text: str, near: str | None = None) -> None:
        """Notes an error at a node."""
        self._note(*self._at(node, self._begin(node)), text, near)

    def wrong_in(self, node: Node, column: int, text: str, near: str | None = None) -> None:
        """Notes an error at a 1-based column of a scalar's text, wherever in the file that character stands."""
        if not isinstance(node, ScalarNode):
            self.wrong(node, text, near)
            return
        places = self._places(node)
        self._note(*self._at(node, places[min(column, len(places)) - 1]), text, near)

    # --- where the characters of a value stand ------------------------------------------------------------------------

    def _at(self, node: Node, index: int) -> tuple[int, int]:
        mark = node.start_mark
        return _moved(mark.line, mark.column, self._text[mark.index : index])

    def _begin(self, node: Node) -> int:
        """Where a node begins, behind its anchor and tag."""
        at = node.start_mark.index
        while at < node.end_mark.index and self._text[at] in "&!":
            while at < node.end_mark.index and not self._text[at].isspace():
                at += 1
            while at < node.end_mark.index and self._text[at].isspace():
                at += 1
        return at

    def _places(self, node: ScalarNode) -> list[int]:
        """The index in the file of each character of a scalar's value, and of its end.

        Blanks and line breaks may be folded; all else of a value stands in the file in the same order. So the two are
        walked together, and blanks stand behind what is before them.
        """
        written = self._written(node)
        found, after = [], self._begin(node) + (node.style in ("'", '"'))
        for char in node.value:
            if char.isspace():
                found.append(after)
                after += 1
            else:
                at, after = next(written, (after, after))
                found.append(at)
        return [min(index, node.end_mark.index) for index in (*found, after)]

    def _written(self, node: ScalarNode) -> Iterator[tuple[int, int]]:
        """Begin and end of what stands in the file for each character of a scalar that is no blank."""
        at, end, style = self._begin(node), node.end_mark.index, node.style
        if style in ("'", '"'):
            at, end = at + 1, end - 1
        elif style in ("|", ">"):
            while at < end and self._text[at] not in "\r\n":
                at += 1
        while at < end:
            char, width = self._text[at], 1
            if style == '"' and char == "\\":
                code = self._text[at + 1]
                width = 2 + Scanner.ESCAPE_CODES.get(code, 0)
                if code in Scanner.ESCAPE_CODES:
                    char = chr(int(self._text[at + 2 : at + width], 16))
                else:
                    char = Scanner.ESCAPE_REPLACEMENTS.get(code, " ")
            elif style == "'" and char == "'":
                width = 2
            if not char.isspace():
                yield at, at + width
            at += width

    # --- shapes: each returns None, and notes why, where the value has another shape ----------------------------------

    def items(self, node: Node, what: str) -> dict[str, tuple[Node, Node]]:
        """{key: (its node, the value's node)} of a mapping and of what is merged into it (`<<`); a key that stands twice
        counts once."""
        return {key.value: (key, value) for key, value, again in self.pairs(node, what) if not again}

    def pairs(self, node: Node, what: str) -> Iterator[tuple[ScalarNode, Node, bool]]:
        """The same with what stands twice, which is noted and marked."""
        if not isinstance(node, MappingNode):
            self.wrong(node, f"expected {what}, got {shown(node)}")
            return
        found: set[str] = set()
        merged: list[Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += self.each(value)
            elif not isinstance(key, ScalarNode) or not key.value:
                self.wrong(key, f"expected a name, got {shown(key)}")
            elif self._legible(key, "a name"):
                again = key.value in found
                if again:
                    self.wrong(key, f"{key.value} is given twice")
                found.add(key.value)
                yield key, value, again
        for one in merged:
            for key, value in self.items(one, "a mapping to merge").values():
                assert isinstance(key, ScalarNode)
                if key.value not in found:
                    found.add(key.value)
                    yield key, value, False

    def text(self, node: Node, what: str) -> str | None:
        if isinstance(node, ScalarNode) and node.tag == _TEXT and node.value.strip():
            return str(node.value) if self._legible(node, what) else None
        hint = ""
        if isinstance(node, ScalarNode) and node.tag != _TEXT and node.value and node.style is None:
            hint = ": put it in quotes"
        self.wrong(node, f"expected {what}, got {shown(node)}{hint}")
        return None

    def _legible(self, node: ScalarNode, what: str) -> bool:
        for place, char in enumerate(node.value):
            # Surrogates cannot be written as UTF-8, and control characters are commands to a terminal.
            if ("\x7f" <= char <= "\x9f" or char < " " or "\ud800" <= char <= "\udfff") and char not in "\t\n":
                self.wrong_in(node, place + 1, f"{what} may not hold the character U+{ord(char):04X}")
                return False
        return True

    def number(self, node: Node, what: str, low: float, high: float, *, whole: bool = False) -> float | None:
        value = plain(node)
        if isinstance(value, int if whole else int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.wrong(node, f"expected {what} from {low:.10g} to {high:.10g}, got {shown(node)}")
        return None

    def flag(self, node: Node) -> bool | None:
        value = plain(node)
        if isinstance(value, bool):
            return value
        self.wrong(node, f"expected true or false, got {shown(node)}")
        return None

    def each(self, node: Node) -> Iterator[Node]:
        """The items of a list; a single value is a list of one."""
        if isinstance(node, SequenceNode):
            yield from node.value
        else:
            yield node

    def names(self, node: Node, what: str, known: Iterable[str] | None = None) -> tuple[str, ...]:
        """Texts, each once and each known."""
        found: list[str] = []
        choices = None if known is None else list(known)
        for item in self.each(node):
            name = self.text(item, what)
            if name is None:
                continue
            if choices is not None and name not in choices:
                text = f"no {_bare(what)} {quoted(name)}; there are {', '.join(choices)}"
                self.wrong_in(item, 1, text, nearest(name, choices))
            elif name in found:
                self.wrong(item, f"{name} is given twice")
            else:
                found.append(name)
        return tuple(found)


def _bare(what: str) -> str:
    return what.removeprefix("an ").removeprefix("a ")


def _moved(line: int, column: int, text: str) -> tuple[int, int]:
    """Where one is after this text. Lines end as in YAML 1.1; a byte order mark has no width."""
    for place, char in enumerate(text):
        if char in _BREAKS or (char == "\r" and text[place + 1 : place + 2] != "\n"):
            line, column = line + 1, 0
        elif char != "\ufeff":
            column += 1
    return line, column


def plain(node: Node) -> Any:
    """The value of a scalar as YAML reads it; None for what is no scalar, or not what its tag says."""
    if not isinstance(node, ScalarNode):
        return None
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError):
        return None


def shown(node: Node) -> str:
    """A value for people to read."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if node.tag == NULL:
        return "nothing"
    return quoted(str(node.value))
