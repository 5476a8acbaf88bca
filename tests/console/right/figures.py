"""Every number of an answer, each held against what it must be: one that nobody compares is told, too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any

LABELS = (
    "name",
    "provider",
    "signal",
    "rule",
    "reason",
    "currency",
    "key",
    "source",
    "topic",
    "component",
    "title",
    "kind",
)
"""What an item of a list is called by, the first of these that it has."""
SENTENCES = ("sentence", "why")
"""Texts among which stand times that each reader sees in their own zone."""


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """What an answer says, by its path: `providers/ozow/figure`. A list of plain values is one leaf."""
    if isinstance(tree, Mapping):
        return {
            at: leaf for name, part in tree.items() for at, leaf in leaves(part, f"{path}/{name}".lstrip("/")).items()
        }
    if not isinstance(tree, list):
        return {path: tree}
    if path.rpartition("/")[2] in SENTENCES:
        return {path: "".join(one for one in tree if isinstance(one, str))}
    if any(isinstance(one, Mapping | list) for one in tree):
        named = zip(called(tree), tree, strict=True)
        return {at: leaf for name, one in named for at, leaf in leaves(one, f"{path}/{name}").items()}
    return {path: tree}


def called(items: Sequence[Any]) -> list[str]:
    """What the items of a list are called: the second of a name has a number to it."""
    names: list[str] = []
    for nth, one in enumerate(items):
        known = one if isinstance(one, Mapping) else {}
        name = next((str(known[label]) for label in LABELS if isinstance(known.get(label), str)), str(nth))
        names.append(name if name not in names else f"{name} {nth}")
    return names


def numeric(leaf: Any) -> bool:
    """Whether somebody reads a number there."""
    if isinstance(leaf, list):
        return any(map(numeric, leaf))
    return not isinstance(leaf, bool) and (
        isinstance(leaf, int | float) or (isinstance(leaf, str) and re.search(r"\d", leaf) is not None)
    )


def same(found: Any, expected: Any) -> bool:
    """Whether two leaves say the same, but for the last digits that sums of floats have in another order."""
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, int | float) and isinstance(expected, int | float):
        return isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    return bool(expected == found)


@dataclass
class Figures:
    """The numbers of one answer. `wrong`: what is not as it must be, in words."""

    told: Mapping[str, Any]
    wrong: list[str] = field(default_factory=list)
    _compared: set[str] = field(default_factory=set)

    def are(self, expected: Mapping[str, Any], whose: str = "SQL") -> None:
        """Compares a part of the answer, in its own shape (of a list: by the names of its items) or by paths."""
        held = leaves(self.told)
        for path, wanted in leaves(expected).items():
            self._compared.add(path)
            if path not in held:
                self.wrong.append(f"{path}: not there, {whose}: {wanted}")
            elif not same(held[path], wanted):
                self.wrong.append(f"{path}: {held[path]}, {whose}: {wanted}")

    def says(self, path: str, *words: str) -> None:
        """Compares the numbers of a text: none stands there beside these words."""
        text = str(leaves(self.told)[path])
        self._compared.add(path)
        for word in sorted(words, key=len, reverse=True):
            text = text.replace(word, "")
        if numeric(text):
            self.wrong.append(f"{path}: {leaves(self.told)[path]!r} has {text!r} beside {words}")

    def left(self, no_figures: Iterable[str]) -> list[str]:
        """Numbers that were compared with nothing, but for those whose path is like one of these expressions."""
        known = re.compile("|".join(f"(?:{one})" for one in no_figures))
        numbers = (path for path, leaf in leaves(self.told).items() if numeric(leaf))
        return [path for path in numbers if path not in self._compared and not known.fullmatch(path)]
