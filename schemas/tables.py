"""The rollup tables: which dimensions and measures each has, and how an event is folded into them.

Everything but the order of dimensions comes from the event models. `kind` is the event type; `outcome` (payments,
webhooks) and `step` (enrollments) are the verb of the type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic.fields import FieldInfo

from schemas.annotations import Dimension, Kind
from schemas.annotations import Measure as MeasureMark
from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF, Data

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
    """How an event of one type adds to one table. `key`: which of the event's keys; `numbers`: which of the numbers of its
    `Item` is each of the table's measures, None where the type has none."""

    table: str
    key: int
    numbers: tuple[int | None, ...]
    by_cohort: bool
    """Whether the bucket goes by the cohort's time instead of the event's own."""


Item = tuple[Any, ...]
"""(offset, time, cohort's time, id, identity, *numbers): what is folded of an event, beside its dimensions. Times in epoch
ms; what has no cohort is its own."""
Itemize = Callable[[Any, int, int], Item]
"""Takes a decoded event, its offset and its time in epoch ms; returns its item."""


class Items(Protocol):
    """Takes items."""

    def append(self, item: Item, /) -> None: ...


Grouped = Mapping[int, Mapping[Key, Items]]
"""Where the items of a bucket and key go; whatever is asked for is there."""
Put = Callable[[Any, Item], None]
"""Takes a decoded event and its item, and puts that where it belongs."""
Putter = Callable[[int, Sequence[Grouped], Sequence[Grouped]], Put]
"""Takes the length of a bucket in ms, and for each key of an event where it goes by its own time, and by its cohort's."""


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
_PIPELINE, EVENT = "pipeline", "event"
"""Every event of a source is counted under that kind, so that it can be compared with what the source says it sent."""
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
    closed, kinds = {"kind", "step"} if name != _PIPELINE else {"kind", "type"}, {}
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


# Every event passes one of these functions. It is written out for its type, as a loop over names would cost more than all
# the rest of the fold.


def _key(table: Table, event_type: str) -> list[str]:
    """The dimensions of a table, as expressions over `event` and its `data`."""
    fields = fields_of(DATA_OF[event_type])
    verb = event_type.partition(".")[2]
    constants = dict.fromkeys(_VERBS, verb) | {"kind": event_type}

    def value(name: str) -> str:
        if table.name == _PIPELINE:
            kind = event_type if _PIPELINE in DATA_OF[event_type].tables else EVENT
            return "event.source" if name == "source" else repr(kind if name == "kind" else None)
        if name != "kind" and name in fields and mark(fields[name], Dimension) is not None:
            return f"data.{name}"
        return repr(constants.get(name))

    return [value(name) for name in table.dimensions]


def _numbers(model: type[Data]) -> list[Measure]:
    """The numbers that events of this model bring to any table."""
    found = {measure.name: measure for name in model.tables for measure in TABLES[name].measures}
    return [measure for name, measure in found.items() if name in fields_of(model)]


def _item(model: type[Data]) -> list[str]:
    """The item of an event, as expressions over the same and its `offset` and `ms`."""
    fields = fields_of(model)

    def value(name: str, absent: str = "None", whole: str = "{}") -> str:
        held = f"data.{name}"
        whole = whole.format(held)
        return whole if fields[name].is_required() else f"{absent} if {held} is None else {whole}"

    # What does not say when it was initiated is its own cohort.
    cohort = value("initiated_at", absent="ms") if "initiated_at" in fields else "ms"
    identity = value("transaction_id") if "payments" in model.tables else "event.id"
    numbers = [value(one.name, whole="round({} * 1000)" if one.thousandths else "{}") for one in _numbers(model)]
    return ["offset", "ms", cohort, "event.id", identity, *numbers]


def _tables(event_type: str) -> list[Table]:
    """The tables that events of this type are folded into."""
    model = DATA_OF[event_type]
    counted = () if not model.tables or _PIPELINE in model.tables else (_PIPELINE,)
    return [TABLES[name] for name in (*model.tables, *counted)]


def _shared(table: Table) -> object:
    """Tables that have this in common have a key in common, and are written together."""
    return table.dimensions, table.slow


def _written(code: str, name: str) -> Any:
    made: dict[str, Any] = {}
    exec(code, made)
    return made[name]


def _itemize(event_type: str) -> Itemize:
    item = _tuple(_item(DATA_OF[event_type]))
    made: Itemize = _written(f"def itemize(event, offset, ms):\n data = event.data\n return {item}", "itemize")
    return made


def _putter(event_type: str) -> Putter:
    keys = {_shared(table): _tuple(_key(table, event_type)) for table in _tables(event_type)}
    by_cohort = {fold.key for fold in FOLDS[event_type] if fold.by_cohort}
    names = [f"{whose}{place}" for whose in ("own", "cohort") for place in range(len(keys))]
    lines = ["data = event.data", "ms = item[1]", "bucket = ms - ms % bucket_ms"]
    lines += [
        f"own{place}[bucket][{key}].append(item)" for place, key in enumerate(keys.values()) if place not in by_cohort
    ]
    for place in sorted(by_cohort):
        lines += [f"key = {list(keys.values())[place]}", f"own{place}[bucket][key].append(item)"]
        lines += ["ms = item[2]", f"cohort{place}[ms - ms % bucket_ms][key].append(item)"]
    body = "\n  ".join(lines)
    head = f"def putter(bucket_ms, own, cohorts):\n {_tuple(names)} = *own, *cohorts\n def put(event, item):"
    made: Putter = _written(f"{head}\n  {body}\n return put", "putter")
    return made


def _tuple(values: Iterable[str]) -> str:
    return f"({''.join(f'{value}, ' for value in values)})"


def _folds(event_type: str) -> tuple[Fold, ...]:
    model, tables = DATA_OF[event_type], _tables(event_type)
    places = {measure.name: place for place, measure in enumerate(_numbers(model))}
    by_cohort = "initiated_at" in fields_of(model)
    keys = list(dict.fromkeys(map(_shared, tables)))
    return tuple(
        Fold(
            table.name,
            keys.index(_shared(table)),
            tuple(places.get(measure.name) for measure in table.measures),
            by_cohort and table.name == _COHORTS,
        )
        for table in tables
    )


FOLDS: dict[str, tuple[Fold, ...]] = {event_type: _folds(event_type) for event_type in DATA_OF}
"""How an event of each type is folded."""
ITEMIZE: dict[str, Itemize] = {event_type: _itemize(event_type) for event_type in DATA_OF}
"""What is folded of an event of each type."""
PUTTERS: dict[str, Putter] = {event_type: _putter(event_type) for event_type in DATA_OF}
"""Where it goes: each of its keys is for one table or several (`Fold.key`)."""
