"""A short notation for traffic: `ikhokha succeeded 10/s from 0s to 60s; ikhokha failed technical 5/s from 60s to 90s`.

Each part is a stream of one event type of a table, evenly spread. Of its words:

- `succeeded`, `auth.failed`: the event type, by its verb or in full; needed where the table has several;
- `technical`, `down`, `memory`: a value of a field with a closed set of values;
- `12s`, `250ms`: the latency (or lag, or time that it took); `95%`: the value of a sample;
- `ikhokha`: whom it is about (`ABOUT`);
- `name=value`: any field of the data;
- `10/s`, `20/min`, `6/h`, `every 5s`: how often, with `from A to B`; or how many: `12 from A to B`, `3 at 30s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, get_args

from runtime.suggest import nearest, quoted
from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF
from schemas.tables import TABLES, fields_of, kind_of
from schemas.time import rfc3339

Event = dict[str, Any]
TYPES: dict[str, tuple[str, ...]] = {
    table: tuple(name for name, model in DATA_OF.items() if table in model.tables and SUBJECT_OF[name] != EVERYWHERE)
    for table in TABLES
}
"""The event types that a table is made of."""
ABOUT = ("provider", "host", "actor", "course", "component")
"""The field that a plain name is the value of: the first of these that the event has."""
MOST = 200_000
"""Events of one test, at most."""
_LENGTHS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_MOMENT = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|min|m|h))+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|min|h)")
_DEFAULTS: dict[str, Any] = {
    "provider": "ikhokha", "method": "card", "currency": "ZAR", "fault": "technical", "amount": 10_000, "score": 5,
    "critical": False, "value": 50.0,
}  # fmt: skip
_USUAL_MS = 250.0


class NotationError(ValueError):
    """What cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Events of one type: `count` of them from `start_ms` on, `step_ms` apart."""

    event_type: str
    start_ms: int
    step_ms: Fraction
    count: int
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        return self.start_ms + int(self.step_ms * max(self.count - 1, 0))

    def events(self, number: int, origin_ms: int) -> Iterator[tuple[int, Event]]:
        """(epoch ms, event); `number` tells the ids of one stream from those of another."""
        for place in range(self.count):
            ms = origin_ms + self.start_ms + int(self.step_ms * place)
            yield ms, self._event(f"{number}-{place}", ms)

    def _event(self, name: str, ms: int) -> Event:
        data: dict[str, Any] = {}
        for item, info in fields_of(DATA_OF[self.event_type]).items():
            kind = kind_of(info)
            if item in self.data:
                data[item] = self.data[item]
            elif item == "initiated_at":
                data[item] = rfc3339(ms)
            elif item == "interval_s":
                data[item] = float(self.step_ms) / 1000
            elif item.endswith("_ms"):
                data[item] = _USUAL_MS
            elif item in _DEFAULTS and info.is_required():
                data[item] = _DEFAULTS[item]
            elif not info.is_required():
                continue
            elif item.endswith("_id"):
                data[item] = f"{item}-{name}"
            elif kind == "choice":
                data[item] = get_args(info.annotation)[0]
            else:
                data[item] = {"bool": True, "amount": 0, "duration": 0.0}.get(kind, item)
        return {
            "specversion": "1.0", "id": f"event-{name}", "source": "/test", "type": self.event_type, "time": rfc3339(ms),
            "data": data,
        }  # fmt: skip


def moment(text: str) -> int:
    """`90s`, `1m30s`, `2h` in milliseconds. Raises NotationError."""
    if not _MOMENT.fullmatch(text):
        raise NotationError(f"expected a time such as 90s or 1m30s, got {quoted(text)}")
    return int(sum(Fraction(number) * _LENGTHS[unit] for number, unit in _PIECE.findall(text)))


def streams(table: str, text: str) -> list[Stream]:
    """The streams that a text says. Raises NotationError."""
    if table not in TYPES or not TYPES[table]:
        known = [name for name, types in TYPES.items() if types]
        near = nearest(table, known)
        raise NotationError(f"no table {quoted(table)}" + (f" (did you mean {near}?)" if near else f"; {', '.join(known)}"))
    return [_Reader(table, part.split()).read() for part in text.split(";") if part.strip()]


class _Reader:
    """Reads one stream."""

    def __init__(self, table: str, words: list[str]) -> None:
        self._table, self._words = table, words
        self._names: list[str] = []
        self._step: Fraction | None = None
        self._count: int | None = None
        self._start: int | None = None
        self._end: int | None = None
        self._plain: list[str] = []

    def read(self) -> Stream:
        words = iter(self._words)
        for word in words:
            if word in ("from", "to", "at", "every"):
                value = next(words, "")
                ms = moment(value)
                if word == "every":
                    self._step = Fraction(ms)
                elif word == "to":
                    self._end = ms
                else:
                    self._start = ms
                    self._end = ms if word == "at" else self._end
            elif rate := _RATE.fullmatch(word):
                if not Fraction(rate[1]):
                    raise NotationError("a rate of nothing: leave the stream out")
                self._step = _LENGTHS[rate[2]] / Fraction(rate[1])
            elif word.isdigit():
                self._count = int(word)
            else:
                self._plain.append(word)
        event_type = self._type()
        data = self._data(event_type)
        start, step, count = self._times()
        return Stream(event_type, start, step, count, data)

    def _times(self) -> tuple[int, Fraction, int]:
        said = " ".join(self._words)
        if self._start is None or self._end is None:
            raise NotationError(f"when? 'from A to B', or 'at T': {quoted(said)}")
        length = self._end - self._start
        if length < 0 or (not length and self._step is not None):
            raise NotationError(f"it ends before it begins: {quoted(said)}")
        if self._step is not None and self._count is not None:
            raise NotationError(f"how many, or how often, but not both: {quoted(said)}")
        if self._step is not None:
            step, count = self._step, -(-length // self._step) if self._step else 0
        elif self._count is not None or not length:
            count = 1 if self._count is None else self._count
            step = Fraction(length, max(count, 1)) or Fraction(1)  # what happens in one millisecond has no order
        else:
            raise NotationError(f"how often? '10/s', 'every 5s', or a number: {quoted(said)}")
        if not step or count > MOST:
            raise NotationError(f"more than {MOST:,} events: {quoted(said)}")
        return self._start, step, int(count)

    def _type(self) -> str:
        types = TYPES[self._table]
        found = [name for word in self._plain for name in types if word in (name, name.partition(".")[2])]
        if len(found) == 1 or (not found and len(types) == 1):
            self._plain = [word for word in self._plain if word not in (*found, *(name.partition(".")[2] for name in found))]
            return found[0] if found else types[0]
        choices = ", ".join(found or (types if self._table == "security" else [one.partition(".")[2] for one in types]))
        raise NotationError(f"which event of {self._table}? {choices}")

    def _data(self, event_type: str) -> dict[str, Any]:
        fields = fields_of(DATA_OF[event_type])
        closed = {
            value: name for name, info in fields.items() if kind_of(info) == "choice" for value in get_args(info.annotation)
        }
        about = next((name for name in ABOUT if name in fields), None)
        times = [name for name in fields if name.endswith("_ms")]
        data: dict[str, Any] = {}
        for word in self._plain:
            name, equals, value = word.partition("=")
            if equals:
                if name not in fields:
                    near = nearest(name, list(fields))
                    hint = f" (did you mean {near}?)" if near else f"; it has {', '.join(fields)}"
                    raise NotationError(f"{event_type} has no {quoted(name)}{hint}")
                data[name] = _value(kind_of(fields[name]), value)
            elif word in closed:
                data[closed[word]] = word
            elif times and _MOMENT.fullmatch(word):
                data[times[0]] = float(moment(word))
            elif word.endswith("%") and "value" in fields:
                data["value"] = _value("duration", word[:-1])
            elif about is not None and about not in data and re.fullmatch(r"[\w./-]+", word):
                data[about] = word
            else:
                raise NotationError(f"what is {quoted(word)} of {event_type}? Write name=value, of {', '.join(fields)}")
        return data


def _value(kind: str, text: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text]
        if kind == "amount":
            return int(text)
        return float(text) if kind == "duration" else text
    except (ValueError, KeyError):
        wanted = {"bool": "true or false", "amount": "a whole number"}.get(kind, "a number")
        raise NotationError(f"expected {wanted}, got {quoted(text)}") from None
