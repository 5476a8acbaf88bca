"""Reading TOML so that everything that is wrong with it is told at once, each fault with its line, table and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from runtime.suggest import nearest, quoted

T = TypeVar("T")

Where = tuple[str | int, ...]
"""The way to a value: keys, and numbers of what stands in a list, from 0."""
_MOST_LINES = 500
"""Lines of one value, up to which what stands behind it is still found."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a file. `line`: from 1, 0 where it is not known. `where`: table and key, what stands in lists numbered from
    1. `near`: the known name that is probably meant."""

    file: str
    line: int
    where: str
    text: str
    near: str | None = None

    def __str__(self) -> str:
        at = f"{self.file}:{self.line}" if self.line else self.file
        hint = f" (did you mean {self.near}?)" if self.near else ""
        return f"{at}: error: {self.where}: {self.text}{hint}" if self.where else f"{at}: error: {self.text}{hint}"


class DirectoryError(ValueError):
    """What is wrong with the directory: every fault, in the order of the file."""

    def __init__(self, faults: Collection[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class Faults:
    """Gathers what is wrong with a file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[tuple[Where, str, str | None]] = []

    def add(self, where: Where, text: str, near: str | None = None) -> None:
        self._found.append((where, text, near))

    def end(self, text: str) -> None:
        """Raises DirectoryError where there are any; `text` is what the file holds."""
        if self._found:
            lines = lines_of(text)
            faults = (
                Fault(self._file, _line(lines, where), shown(where), said, near) for where, said, near in self._found
            )
            raise DirectoryError(sorted(faults, key=lambda fault: fault.line))


def shown(where: Where) -> str:
    """`teams.payments.primary[2].every`."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")


def parse(file: str, content: bytes, largest: int) -> tuple[dict[str, Any], str]:
    """What a TOML file says, and its text. Raises DirectoryError."""
    if len(content) > largest:
        raise DirectoryError([Fault(file, 0, "", f"longer than {largest:,} bytes")])
    try:
        text = content.decode("utf-8-sig")
        return tomllib.loads(text), text
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fault = Fault(file, line, "", f"not UTF-8: byte 0x{content[error.start]:02x}")
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$", said)
        fault = Fault(file, int(at[1]) if at else 0, "", f"not TOML: {said}")
    except RecursionError:
        fault = Fault(file, 0, "", "not usable: nested too deep")
    raise DirectoryError([fault])


def lines_of(text: str) -> dict[Where, int]:
    """The line, from 1, at which each table and key of a TOML text is written first.

    tomllib does not tell, so each statement (a header, or a key with its value) is parsed by itself.
    """
    found: dict[Where, int] = {}
    table: Where = ()
    lists: dict[Where, int] = {}
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        begin, statement = at, ""
        while True:
            statement += lines[at]
            at += 1
            try:
                said = tomllib.loads(statement)
                break
            except tomllib.TOMLDecodeError:
                if at == len(lines) or at - begin > _MOST_LINES:
                    return found
        if statement.lstrip().startswith("["):
            table = ()
            while said:
                [(key, inner)] = said.items()
                table = (*table, key)
                if isinstance(inner, list):
                    lists[table] = lists.get(table, -1) + 1
                    inner = inner[0]
                found.setdefault(table, begin + 1)
                if table in lists:
                    table = (*table, lists[table])
                    found.setdefault(table, begin + 1)
                said = inner
        else:
            for way in _ways(said):
                found.setdefault((*table, *way), begin + 1)
    return found


def _ways(said: Mapping[str, Any]) -> Iterator[Where]:
    for key, value in said.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *way) for way in _ways(value))


def _line(lines: Mapping[Where, int], where: Where) -> int:
    """The line of a way, or of the nearest that is written on the way to it."""
    return next((lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in lines), 0)


class Table:
    """One table that is read. Keys that nobody asked for are faults, once `end` is called."""

    def __init__(self, held: Mapping[str, Any], where: Where, faults: Faults) -> None:
        self._held, self.where, self._faults = held, where, faults
        self._asked: list[str] = []

    def has(self, key: str) -> bool:
        """Whether a key is there; asking makes it known."""
        self._asked.append(key)
        return key in self._held

    def wrong(self, key: str, text: str, near: str | None = None) -> None:
        self._faults.add((*self.where, key) if key else self.where, text, near)

    def is_texts(self, key: str) -> bool:
        """Whether a key says a text, or a list without tables in it."""
        value = self._held[key]
        return isinstance(value, str) or (isinstance(value, list) and not any(isinstance(item, dict) for item in value))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every key and what it says; all are known then."""
        self._asked += self._held
        yield from self._held.items()

    def value(self, key: str, kind: type[T], expected: str, *, required: bool = False) -> T | None:
        """What a key says; None where it is not there, or is another kind of thing, which is a fault."""
        if not self.has(key):
            if required:
                self.wrong(key, f"is missing; expected {expected}")
            return None
        value = self._held[key]
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return value
        self.wrong(key, f"expected {expected}, got {written(value)}")
        return None

    def text(self, key: str, expected: str, *, required: bool = False) -> str | None:
        """A text that is not empty."""
        found = self.value(key, str, expected, required=required)
        if found is not None and not found.strip():
            self.wrong(key, f"expected {expected}, got an empty text")
            return None
        return found

    def text_as(self, key: str, expected: str, parser: Callable[[str], T]) -> T | None:
        """What a parser makes of a text, as `parsed`."""
        return None if self.text(key, expected) is None else self.parsed(key, parser)

    def parsed(self, key: str, parser: Callable[[Any], T]) -> T | None:
        """What a parser makes of a value: its ValueError tells what was expected. None, where that is so or it is not there."""
        if self.has(key):
            try:
                return parser(self._held[key])
            except ValueError as error:
                self.wrong(key, str(error))
        return None

    def texts(self, key: str, expected: str) -> tuple[str, ...]:
        """A list of texts, none of them empty; a text is a list of one."""
        found = self._held[key] if self.has(key) else []
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, list):
            self.wrong(key, f"expected {expected}, got {written(found)}")
            return ()
        for number, item in enumerate(found):
            if not isinstance(item, str) or not item.strip():
                self._faults.add((*self.where, key, number), f"expected a text, got {written(item)}")
        return tuple(item for item in found if isinstance(item, str) and item.strip())

    def names(self, key: str, known: Collection[str], what: str) -> tuple[str, ...]:
        """At least one name, all of them known: `what` is what they name."""
        expected = f'names such as ["{next(iter(known), "thandi")}"]'
        found = self.texts(key, expected)
        if key not in self._held:
            self.wrong(key, f"is missing; expected {expected}")
        elif self._held[key] == []:
            self.wrong(key, f"expected {expected}, got an empty list")
        return tuple(name for name in found if self.known(key, name, known, what))

    def known(self, key: str, name: str, known: Collection[str], what: str) -> bool:
        """Whether a name is known; one that is not is a fault."""
        if name in known:
            return True
        self.wrong(key, f"no {what} {quoted(name)}; there are {_listed(known)}", nearest(name, known))
        return False

    def tables(self, key: str, expected: str, *, required: bool = False) -> list[tuple[str, Table]]:
        """The tables in a table, by their names."""
        if required and self._held.get(key, {}) == {}:
            self.wrong(key, f"nothing is there; expected {expected}")
        found: dict[str, Any] = self.value(key, dict, expected) or {}
        within = ((name, self._table(held, (*self.where, key, name), expected)) for name, held in found.items())
        return [(name, table) for name, table in within if table is not None]

    def entries(self, key: str, expected: str) -> list[Table]:
        """The tables in a list of tables; a single table is a list of one."""
        if not self.has(key):
            return []
        found = self._held[key]
        if not isinstance(found, list) or not found:
            table = self._table(found, (*self.where, key), expected)
            return [] if table is None else [table]
        within = (self._table(held, (*self.where, key, number), expected) for number, held in enumerate(found))
        return [table for table in within if table is not None]

    def _table(self, held: object, where: Where, expected: str) -> Table | None:
        if isinstance(held, dict):
            return Table(held, where, self._faults)
        self._faults.add(where, f"expected {expected}, got {written(held)}")
        return None

    def end(self) -> None:
        """Nobody asks for anything else."""
        for key in self._held:
            if key not in self._asked:
                known = list(dict.fromkeys(self._asked))
                self.wrong(key, f"there is no such key; there are {_listed(known)}", nearest(key, known))


def _listed(names: Collection[str]) -> str:
    shown, more = list(names)[:12], len(names) - 12
    return (", ".join(shown) or "none") + (f" and {more} more" if more > 0 else "")


def written(value: object) -> str:
    """A value as a person knows it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    return str(value).lower() if isinstance(value, bool) else str(value)
