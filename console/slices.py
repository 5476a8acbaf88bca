"""Slices of payments: those that share provider, method or currency, and which of them is to blame. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from console import kpis
from console.health import BROKEN, ENOUGH, WORSE
from console.shapes import Mark
from rollups.cells import Cell
from schemas.tables import TABLES, Key

SLICED = ("provider", "method", "currency")
FINISHED = ("succeeded", "failed")
OURS = ("technical", "unknown")
"""Faults of a payment that failed and was not declined."""
CARRIES = 0.9
"""Share of the excess failures that a slice must hold to be named."""
NARROWS = 0.8
"""What a dimension must leave of the payments at the most to be worth its word."""
AT = {name: place for place, name in enumerate(TABLES["payments"].dimensions)}

Cells = Mapping[Key, Cell]


def figure_of(signal: str, cells: Cells) -> float | None:
    """A signal of the table of payments, over these cells."""
    return kpis.value(signal, {"payments": dict(cells)})


def count_of(cells: Cells, outcomes: Collection[str] = FINISHED, faults: Collection[str] | None = None) -> int:
    outcome, fault = AT["outcome"], AT["fault"]
    if faults is None:
        return sum([cell.count for key, cell in cells.items() if key[outcome] in outcomes])
    return sum([cell.count for key, cell in cells.items() if key[outcome] in outcomes and key[fault] in faults])


def failed_of(cells: Cells) -> int:
    """Payments that failed on our side or theirs."""
    return count_of(cells, ("failed",), OURS)


class Sliced:
    """Cells by the values that they share, for who asks for many slices of the same cells, which do not change meanwhile."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, tuple[str, ...]], tuple[Cells, dict[Key, dict[Key, Cell]]]] = {}

    def where(self, cells: Cells, **named: str) -> Mapping[Key, Cell]:
        """The cells that have these values."""
        return self.groups(cells, tuple(named)).get(tuple(named.values()), {}) if named else cells

    def groups(self, cells: Cells, names: tuple[str, ...]) -> Mapping[Key, Mapping[Key, Cell]]:
        """By the values of these dimensions, the cells that have them."""
        held = self._groups.get((id(cells), names))
        if held is None:
            held = self._groups[id(cells), names] = cells, {}  # as long as they are held, nothing else has their id
            at = [AT[name] for name in names]
            for key, cell in cells.items():
                held[1].setdefault(tuple([key[one] for one in at]), {})[key] = cell
        return held[1]


def where(cells: Cells, **named: str) -> Mapping[Key, Cell]:
    """The cells that have these values."""
    found = cells.items()
    for name, value in named.items():
        at = AT[name]
        found = {one: cell for one, cell in found if one[at] == value}.items()
    return dict(found)


def values_of(cells: Cells, name: str) -> list[str]:
    """The values of a dimension, that of the most payments first."""
    return values_of_all((cells,), name)


def values_of_all(held: Iterable[Cells], name: str) -> list[str]:
    """The same of several together."""
    counts: dict[str, int] = {}
    at = AT[name]
    for cells in held:
        for key, cell in cells.items():
            value = str(key[at])
            counts[value] = counts.get(value, 0) + cell.count
    return sorted(counts, key=lambda one: (-counts[one], one))


def state_of(finished: int, failed: int) -> Mark:
    """How payments are of which so many failed: a few failures are no verdict."""
    if not finished:
        return "nodata"
    if failed < ENOUGH or failed <= WORSE * finished:
        return "ok"
    return "failing" if failed > BROKEN * finished else "degraded"


@dataclass(frozen=True, slots=True)
class Slice:
    """Payments that share some values, how many failed, and how many of these beyond what is usual."""

    named: Mapping[str, str]
    finished: int
    failed: int
    excess: float

    @property
    def name(self) -> str:
        """`ozow eft`; nothing for all payments."""
        return " ".join(self.named.values())

    @property
    def state(self) -> Mark:
        return state_of(self.finished, self.failed)


def all_of(cells: Cells, usual: Callable[[Mapping[str, str]], float | None]) -> list[Slice]:
    """Every slice that holds a payment. usual: the share that usually fails of one, None where that is not known: then the
    target counts."""
    found: list[Slice] = []
    counts: dict[tuple[str, ...], tuple[int, int]] = {}
    for values, held in Sliced().groups(cells, SLICED).items():
        counts[tuple(map(str, values))] = count_of(held), failed_of(held)
    for n in range(len(SLICED) + 1):
        for places in combinations(range(len(SLICED)), n):
            names = [SLICED[place] for place in places]
            sums: dict[tuple[str, ...], tuple[int, int]] = {}
            for every, (finished, failed) in counts.items():
                shared = tuple([every[place] for place in places])
                before = sums.get(shared, (0, 0))
                sums[shared] = before[0] + finished, before[1] + failed
            for values, (finished, failed) in sums.items():
                if finished:
                    named = dict(zip(names, values, strict=True))
                    share = usual(named) if failed >= ENOUGH else None
                    found.append(
                        Slice(named, finished, failed, failed - (WORSE if share is None else share) * finished)
                    )
    return found


def guilty(found: Sequence[Slice]) -> Slice | None:
    """The smallest slice that holds 90 % of the excess failures of all, by as few words as tell it; None where hardly any
    fail beyond what is usual."""
    excess = sum(one.excess for one in found if len(one.named) == len(SLICED) and one.excess > 0)
    carrying = [one for one in found if one.failed >= ENOUGH and one.excess >= CARRIES * excess]
    if excess < ENOUGH or not carrying:
        return next((one for one in found if not one.named and one.excess >= ENOUGH), None)
    named = min(carrying, key=lambda one: (one.finished, len(one.named)))
    while wider := [one for one in carrying if _widens(one, named)]:
        named = min(wider, key=lambda one: (one.finished, len(one.named)))
    return named


def _widens(one: Slice, other: Slice) -> bool:
    """Whether it says the same in a word less, and holds hardly more."""
    fewer = len(one.named) < len(other.named) and one.named.items() <= other.named.items()
    return fewer and other.finished > NARROWS * one.finished
