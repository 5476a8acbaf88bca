"""The rollup tables: which dimensions and measures each has, and how an event is folded into them.

Everything but the order of dimensions comes from the event models. `kind` is the event type; `outcome` (payments,
webhooks) and `step` (enrollments) are the verb of the type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from schemas.annotations import Dimension, Kind
from schemas.annotations import Measure as MeasureMark
from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF, Data
from schemas.time import epoch_ms

Value = str | bool | int | None
Key = tuple[Value, ...]
"""Dimension values in the order of the table; a JSON array on the wire."""

OTHER = "other"

Mark = TypeVar("Mark")


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that a table adds up. `thousandths`: declared as a number, kept as round(value × 1000)."""

    name: str
    thousandths: bool
    sketch: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A rollup table. `home`: the subject whose topic feeds it, None if every topic may. `slow`: of high cardinality,
    written every 5 s. `closed`: dimensions with a closed set of values."""

    name: str
    dimensions: tuple[str, ...]
    measures: tuple[Measure, ...]
    home: str | None
    slow: bool = False
    keeps_recent: bool = False
    max_cells: int = 1_000
    closed: frozenset[str] = frozenset()
    kinds: dict[str, str] = field(default_factory=dict)

    def overflow(self, key: Key) -> Key:
        """Where a key goes once the table is full: its open dimensions become `other`."""
        return tuple(
            value if value is None or name in self.closed else OTHER
            for name, value in zip(self.dimensions, key, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """How an event of one type adds to one table. Each callable takes the decoded event."""

    table: str
    key: Callable[[Any], Key]
    measures: Callable[[Any], tuple[int | None, ...]] | None
    identity: Callable[[Any], str]
    at: Callable[[Any], int] | None
    """The bucket's time in epoch ms, where it is not the event's own."""


_PAYMENT = ("outcome", "provider", "method", "currency", "fault", "reason")
_CALL = ("component", "target", "outcome")
_LAYOUT: dict[str, tuple[str, ...]] = {
    "payments": _PAYMENT,
    "payment_cohorts": _PAYMENT,
    "merchants": ("outcome", "merchant", "currency"),
    "reconciliations": ("provider", "outcome", "currency"),
    "enrollments": ("step", "course"),
    "webhooks": ("outcome", "provider", "reason"),
    "health": ("component", "instance", "place", "status"),
    "requests": _CALL,
    "calls": _CALL,
    "queries": _CALL,
    "resources": ("host", "resource"),
    "experience": ("kind", "component", "feature", "available", "score"),
    "errors": ("kind", "category", "component", "critical"),
    "security": ("kind", "component", "reason", "policy", "passed"),
    "actors": ("kind", "actor"),
    "changes": ("kind", "component", "version"),
    "pipeline": ("kind", "type", "source"),
}
_MEASURES = {"payment_cohorts": ("amount", "latency_ms"), "merchants": ("amount",)}
_SLOW = frozenset({"merchants", "actors"})
_RECENT = frozenset({"health"})
_VERBS = frozenset({"outcome", "step"})
_COHORTS = "payment_cohorts"


def fields_of(model: type[Data]) -> dict[str, FieldInfo]:
    """The fields of a model."""
    return model.model_fields


def mark(info: FieldInfo, wanted: type[Mark]) -> Mark | None:
    """The mark of this class on a field, or None."""
    for item in info.metadata:
        if isinstance(item, wanted):
            return item
    return None


def kind_of(info: FieldInfo) -> str:
    """What a field holds; see `Kind`."""
    kind = mark(info, Kind)
    assert kind is not None, "every field of an event has a kind"
    return kind.name


def _table(name: str) -> Table:
    dimensions = _LAYOUT[name]
    measures: dict[str, Measure] = {}
    closed, kinds = {"kind", "step"} if name != "pipeline" else {"kind", "type"}, {}
    homes = set()
    for event_type, model in DATA_OF.items():
        if name not in model.tables:
            continue
        homes.add(SUBJECT_OF[event_type])
        for field_name, info in fields_of(model).items():
            kind = kind_of(info)
            marked = mark(info, MeasureMark)
            if marked is not None and field_name in _MEASURES.get(name, (field_name,)):
                measures[field_name] = Measure(field_name, kind == "duration", marked.sketch)
            if mark(info, Dimension) is not None:
                kinds[field_name] = {"bool": "bool", "amount": "int"}.get(kind, "text")
                if kind != "text":
                    closed.add(field_name)
    if "outcome" in dimensions:
        closed.add("outcome")
    (home,) = homes
    return Table(
        name,
        dimensions,
        tuple(measures.values()),
        None if home == EVERYWHERE else home,
        slow=name in _SLOW,
        keeps_recent=name in _RECENT,
        max_cells=10_000 if name in _SLOW else 1_000,
        closed=frozenset(closed & set(dimensions)),
        kinds={dimension: kinds.get(dimension, "text") for dimension in dimensions},
    )


TABLES: dict[str, Table] = {name: _table(name) for name in _LAYOUT}


def _key(table: Table, model: type[Data]) -> Callable[[Any], Key]:
    paths = []
    for name in table.dimensions:
        if table.name == "pipeline":
            paths.append({"kind": "TYPE", "type": "NONE", "source": "source"}[name])
        elif name == "kind":
            paths.append("TYPE")
        elif name in fields_of(model) and mark(fields_of(model)[name], Dimension) is not None:
            paths.append(f"data.{name}")
        else:
            paths.append("VERB" if name in _VERBS else "NONE")
    return attrgetter(*paths)  # of two or more names: a tuple, made in C


def _measures(table: Table, model: type[Data]) -> Callable[[Any], tuple[int | None, ...]] | None:
    """A function that was written out for the table: a loop over measures would cost more than the fold."""
    if not table.measures:
        return None
    items = []
    for measure in table.measures:
        info = fields_of(model).get(measure.name)
        if info is None:
            items.append("None")
            continue
        value = f"data.{measure.name}"
        whole = f"round({value} * 1000)" if measure.thousandths else value
        items.append(whole if info.is_required() else f"(None if {value} is None else {whole})")
    source = f"def measures(event):\n data = event.data\n return ({', '.join(items)},)"
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    made: Callable[[Any], tuple[int | None, ...]] = namespace["measures"]
    return made


def _cohort_at(model: type[Data]) -> Callable[[Any], int] | None:
    if "initiated_at" not in fields_of(model):
        return None

    def at(event: Any) -> int:
        initiated = event.data.initiated_at
        return epoch_ms(event.time if initiated is None else initiated)

    return at


def _folds(model: type[Data]) -> tuple[Fold, ...]:
    identity = attrgetter("data.transaction_id") if "payments" in model.tables else attrgetter("id")
    return tuple(
        Fold(
            name,
            _key(TABLES[name], model),
            _measures(TABLES[name], model),
            identity,
            _cohort_at(model) if name == _COHORTS else None,
        )
        for name in model.tables
    )


FOLDS: dict[str, tuple[Fold, ...]] = {event_type: _folds(model) for event_type, model in DATA_OF.items()}
"""How an event of each type is folded."""
