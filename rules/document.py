"""YAML with positions: every value knows where it stands, and what is wrong is told as file:line:column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.condition import nearest

LARGEST = 1024 * 1024
DEEPEST = 20


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


class Document:
    """One file that is read; `problems` gathers what is wrong with it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Node | None = None
        try:
            if len(text) > LARGEST:
                raise yaml.YAMLError(f"longer than {LARGEST} characters")
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
            found = mark is not None and mark.buffer is not None and mark.buffer[mark.pointer : mark.pointer + 1]
            tab = "; YAML is indented with blanks, not with tabs" if found == "\t" else ""
            words = " ".join(part for part in (error.context, error.problem) if part)
            self.problems.append(Problem(file, line, column, f"not YAML: {words}{tab}"))
        except (yaml.YAMLError, RecursionError) as error:
            self.problems.append(Problem(file, 1, 1, f"not YAML: {str(error) or 'nested too deeply'}"))

    def wrong(self, node: Node, text: str, near: str | None = None, *, column: int = 0) -> None:
        """Notes an error at a node, or `column` characters into it."""
        mark = node.start_mark
        self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1 + column, text, near))

    def wrong_in(self, node: Node, column: int, text: str, near: str | None = None) -> None:
        """Notes an error at a 1-based column of a scalar's text."""
        quoted = isinstance(node, ScalarNode) and node.style in ("'", '"')
        same_line = node.start_mark.line == node.end_mark.line
        self.wrong(node, text, near, column=column - 1 + quoted if same_line else 0)

    # --- shapes: each returns None, and notes why, where the value has another shape --------------------------------

    def items(self, node: Node, what: str) -> dict[str, tuple[Node, Node]]:
        """{key: (its node, the value's node)} of a mapping; a key that stands twice counts once."""
        if not isinstance(node, MappingNode):
            self.wrong(node, f"expected {what}, got {shown(node)}")
            return {}
        found: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not key.value:
                self.wrong(key, f"expected a name, got {shown(key)}")
            elif key.value in found:
                self.wrong(key, f"{key.value} is given twice")
            else:
                found[key.value] = (key, value)
        return found

    def text(self, node: Node, what: str) -> str | None:
        if isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:str" and node.value:
            return str(node.value)
        self.wrong(node, f"expected {what}, got {shown(node)}")
        return None

    def number(self, node: Node, what: str, low: float, high: float) -> float | None:
        value = plain(node)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.wrong(node, f"expected {what} from {low:g} to {high:g}, got {shown(node)}")
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
                self.wrong(item, f"no {what} {name!r}; there are {', '.join(choices)}", nearest(name, choices))
            elif name in found:
                self.wrong(item, f"{name} is given twice")
            else:
                found.append(name)
        return tuple(found)


def plain(node: Node) -> Any:
    """The value of a scalar as YAML reads it; None for what is no scalar."""
    if not isinstance(node, ScalarNode):
        return None
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        return None


def shown(node: Node) -> str:
    """A value for people to read."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if node.tag == "tag:yaml.org,2002:null":
        return "nothing"
    text = str(node.value)
    return repr(text if len(text) <= 40 else text[:40] + "…")
