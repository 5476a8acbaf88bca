"""History for a baseline: a series from a file or a table, and how it is handed to a guard."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import gcd, isfinite

from rules.baseline.guard import Guard, slot_ms
from schemas.time import epoch_ms, rfc3339

Row = tuple[int, float | None]
"""Start (epoch ms) and value of a step; None: it is not known."""
_NAMES = {"time": "time", "timestamp": "time", "value": "value", "label": "label"}
_LEAST_MS = 10**11
"""Plain numbers from here on are milliseconds: as seconds they would be after the year 5000."""


@dataclass(frozen=True, slots=True)
class History:
    """An even series. labels: for each row whether somebody called it abnormal, None where the file does not say. remarks:
    what is odd about it."""

    step_ms: int
    rows: list[Row]
    labels: list[bool] | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether the values look like numbers of events."""
        return all(value is None or (value >= 0 and value == int(value)) for _, value in self.rows)


def read(lines: Iterable[str]) -> History:
    """The series of a CSV file: `time,value[,label]`, the time in RFC 3339 or epoch seconds or milliseconds.

    A header may name the columns in another order (`timestamp` is fine too). Steps of 1 minute to 1 hour; one that is missing
    or has no value is not known. Raises ValueError, which names the line.
    """
    columns = {"time": 0, "value": 1, "label": 2}
    found: dict[int, tuple[float | None, bool]] = {}
    labelled = False
    remarks: list[str] = []
    last: int | None = None
    reader = csv.reader(lines)
    for record in reader:
        line = reader.line_num
        if not record or not any(cell.strip() for cell in record):
            continue
        if not found and _is_header(record):
            columns = _columns(record, line)
            continue
        time = _time(_cell(record, columns["time"]), line)
        value = _value(_cell(record, columns["value"]), line)
        label = _cell(record, columns["label"]) if "label" in columns else ""
        labelled = labelled or bool(label)
        if last is not None and time < last:
            raise ValueError(f"line {line}: {rfc3339(time)} comes after {rfc3339(last)}; the rows must be in order")
        if time in found:
            remarks.append(f"line {line}: {rfc3339(time)} stands there twice; the later row counts")
        found[time] = (value, _label(label, line))
        last = time
    return _even(found, labelled, remarks)


def _is_header(record: Sequence[str]) -> bool:
    return any(cell.strip().lower() in _NAMES for cell in record)


def _columns(record: Sequence[str], line: int) -> dict[str, int]:
    names = {_NAMES.get(cell.strip().lower(), cell.strip()): place for place, cell in enumerate(record)}
    for name in ("time", "value"):
        if name not in names:
            raise ValueError(f"line {line}: expected a column {name}; the header names {', '.join(names)}")
    return names


def _cell(record: Sequence[str], place: int) -> str:
    return record[place].strip() if place < len(record) else ""


def _time(text: str, line: int) -> int:
    try:
        number = float(text)
    except ValueError:
        try:
            return epoch_ms(text)
        except ValueError as error:
            raise ValueError(f"line {line}: {text!r}: {error}, or epoch seconds") from None
    if not 0 <= number < 10**15:
        raise ValueError(f"line {line}: {text} is no time in epoch seconds or milliseconds")
    return round(number if number >= _LEAST_MS else number * 1000)


def _value(text: str, line: int) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise ValueError(f"line {line}: expected a number, not {text!r}")
    return number


def _label(text: str, line: int) -> bool:
    if text not in ("", "0", "1", "0.0", "1.0", "true", "false", "True", "False"):
        raise ValueError(f"line {line}: expected a label 0 or 1, not {text!r}")
    return text in ("1", "1.0", "true", "True")


def _even(found: dict[int, tuple[float | None, bool]], labelled: bool, remarks: list[str]) -> History:
    times = list(found)
    if len(times) < 2:
        raise ValueError("expected at least two rows")
    steps = Counter(later - earlier for earlier, later in pairwise(times))
    step, _ = min(steps.items(), key=lambda one: (-one[1], one[0]))
    slot_ms(step)  # a step that cannot be used is told here
    for earlier, later in pairwise(times):
        if (later - earlier) % step:
            raise ValueError(
                f"{rfc3339(later)} does not fit the steps of {step // 60_000} min from {rfc3339(earlier)} on"
            )
        if later - earlier > step:
            missing = (later - earlier) // step - 1
            remarks.append(f"{missing} step{'' if missing == 1 else 's'} missing before {rfc3339(later)}")
    rows: list[Row] = [(time, value) for time, (value, _) in found.items()]
    labels = [label for _, label in found.values()] if labelled else None
    return History(step, rows, labels, remarks)


def warm(guard: Guard, rows: Sequence[Row], width_ms: int) -> None:
    """Hands history to a guard that has seen nothing later. Rows are in order; a step that is left out is not known.

    width_ms: what a row stands for; a count is what it held. Rows of the guard's own step are judged as they are learned, so
    an outage in them is no example. Longer ones are spread over the slots (`spread`). Raises ValueError for shorter ones.
    """
    if width_ms == guard.step_ms:
        for start, value in rows:
            guard.step(start, value)
        return
    if width_ms < guard.step_ms:
        raise ValueError(f"history in steps of {width_ms} ms is finer than the {guard.step_ms} ms of the baseline")
    slot_ms(width_ms)
    n = width_ms // gcd(width_ms, guard.slot_ms)
    for at, (start, value) in enumerate(rows):
        if value is None:
            continue
        before = _beside(rows, at, -1, width_ms)
        after = _beside(rows, at, +1, width_ms)
        pieces = spread(before, value, after, n)
        guard.learn(start, value, width_ms, [piece / n for piece in pieces] if guard.counts else pieces)


def _beside(rows: Sequence[Row], at: int, step: int, width_ms: int) -> float | None:
    place = at + step
    if 0 <= place < len(rows) and rows[place][0] == rows[at][0] + step * width_ms:
        return rows[place][1]
    return None


def spread(before: float | None, value: float, after: float | None, n: int) -> list[float]:
    """The rates of the n equal parts of a step whose rate is `value`, between those of its neighbours.

    A straight line of which the mean is the value, no steeper than the neighbours allow, so that it is never below 0 and makes
    no new peak: B. van Leer, "Towards the Ultimate Conservative Difference Scheme IV", J. Comput. Phys. 23 (1977).
    """
    if before is None or after is None:
        return [value] * n
    left, right = value - before, after - value
    steepest = 2 * min(abs(left), abs(right)) if left * right > 0 else 0.0
    slope = max(-steepest, min(steepest, (after - before) / 2))
    return [value + slope * ((2 * part + 1 - n) / (2 * n)) for part in range(n)]
