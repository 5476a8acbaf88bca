"""The alert event of a transition: the verdict, how it was reached, who is guilty, and where the evidence lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from rules.judges.base import Reading
from rules.lifecycle import Move, Track
from rules.rule import Part
from rules.series import Slots
from rules.words import arithmetic, summary, threshold
from runtime.names import Source
from schemas.alert import AlertData, AlertEvent, Evidence, JudgedAt, OffsetRange, Slice, Status, Window, alert_event
from schemas.tables import TABLES, Value

SILENT = "nothing has come from its source"
SAMPLES = 8
SLICES = 4
NOTABLE = 0.5
"""Share of what is wrong from which a part of the group stands out."""
_STATUS: dict[str, Status] = {"firing": "firing", "resolved": "resolved", "inactive": "inactive", "no_data": "no_data"}
_SAID = frozenset({"outcome", "fault"})
"""Dimensions that say what is counted, not where."""

Spans = Callable[[int, int], Mapping[Source, tuple[int, int]]]
"""The offsets (first, last) of the records in the buckets of [start, end), by source."""


class Teller:
    """Makes the alert events of one installation."""

    def __init__(self, namespace: str, bucket_ms: int, spans: Spans) -> None:
        self._namespace, self._bucket_ms, self._spans = namespace, bucket_ms, spans

    def tell(self, track: Track, move: Move, many: Sequence[Slots], now_ms: int, offset: int) -> AlertEvent:
        """The event that announces a move; the track's state is what it is after it. Times in epoch ms; `offset`: of the
        rollups topic."""
        rule, state, reading, group = track.rule, track.state, move.reading, track.named_group
        place = 0 if reading is None else reading.place
        part, slots = rule.parts[place], many[place]
        over = move.kind in ("resolved", "retracted")
        start, end = (move.at, move.at + 1) if reading is None else (reading.start, reading.end)
        words = move.words or (SILENT if move.kind == "no_data" else arithmetic(part, reading, over=over))
        wrong = reading is not None and not over
        data = AlertData(
            fingerprint=track.fingerprint,
            rule=rule.name,
            pack=rule.pack,
            rule_version=rule.version,
            severity=track.severity,
            status=_STATUS[state.status],
            group=group,
            value=_number(part, reading.value) if reading is not None else self._held(part, track, move),
            threshold=None if (limit := _threshold(part, reading)) is None else _number(part, limit),
            unit=_unit(part, group),
            window=Window(start=start, end=end),
            first_bad_at=state.since,
            detected_at=now_ms,
            late=move.late,
            historical=state.historical,
            flapping=state.flapping,
            summary=summary(rule, group, words, over=over),
            arithmetic=words,
            slice=self._slices(part, slots, start, end) if wrong else (),
            evidence=self._evidence(part, slots, start, end),
            channels=rule.channels,
            owner=rule.owner,
            runbook=rule.runbook,
            inhibited_by=state.inhibited_by,
            judged_at=JudgedAt(offset=offset),
        )
        n = state.updates if move.kind == "updated" else state.again
        episode = state.episode
        if move.kind == "no_data" and state.silent is not None:  # an alert that fires may be silent more than once
            episode = state.silent - state.silent % self._bucket_ms
        return alert_event(self._namespace, move.kind, data, episode_ms=episode, n=n, time_ms=now_ms)

    @staticmethod
    def _held(part: Part, track: Track, move: Move) -> int | float | None:
        """The value that an update without a reading goes on with."""
        held = track.state.value
        return None if held is None or move.kind != "updated" else _number(part, Fraction(held))

    def _evidence(self, part: Part, slots: Slots, start: int, end: int) -> Evidence:
        home = TABLES[part.query.table].home
        ranges = [
            OffsetRange(topic=source.topic, partition=source.partition, from_=first, to=last)
            for source, (first, last) in sorted(self._spans(start, end).items())
            if home is None or source.topic.endswith(f".{home}.v1")
        ]
        low = start - start % self._bucket_ms
        found = slots.samples(low, end, marked=True) or slots.samples(low, end, marked=False)
        return Evidence(offsets=tuple(ranges), samples=tuple(sample[1] for sample in found[:SAMPLES]))

    def _slices(self, part: Part, slots: Slots, start: int, end: int) -> tuple[Slice, ...]:
        """The values of dimensions that most of what is wrong has, and that not everything has."""
        ratio = part.signal.aggregate == "ratio"
        if part.baseline is not None or (not ratio and part.signal.aggregate != "count"):
            return ()  # of a volume that is missing, what is there tells nothing
        marked_fail = not ratio or part.test.comparison in (">", ">=")
        fixed = _SAID | {*part.query.by} | {name for name, values in part.query.where if len(values) == 1}
        wrong: Counter[tuple[str, Value]] = Counter()
        everything: Counter[tuple[str, Value]] = Counter()
        wrongs = total = 0
        names = TABLES[part.query.table].dimensions
        for slot in slots.between(start - start % self._bucket_ms, end):
            for key, (marked, cell) in slot.cells.items():
                is_wrong = not ratio or marked is marked_fail
                total += cell.count
                wrongs += cell.count if is_wrong else 0
                for name, value in zip(names, key, strict=True):
                    if name not in fixed and value is not None:
                        everything[name, value] += cell.count
                        if is_wrong:
                            wrong[name, value] += cell.count
        found = [
            Slice(dimensions={name: value}, share=round(count / wrongs, 4))
            for (name, value), count in wrong.most_common()
            if count >= NOTABLE * wrongs and (not ratio or count * total > everything[name, value] * wrongs)
        ]
        return tuple(found[:SLICES])


def _threshold(part: Part, reading: Reading | None) -> Fraction | None:
    return reading.limit if reading is not None and reading.limit is not None else threshold(part)


def _number(part: Part, value: Fraction) -> int | float:
    if part.signal.unit == "percent":
        value = value / 100
    return int(value) if part.signal.unit == "count" and value.denominator == 1 else float(value)


def _unit(part: Part, group: Mapping[str, Value]) -> str:
    unit = part.signal.unit
    if unit in ("ratio", "percent"):
        return "ratio"
    if unit == "minor":
        return f"minor/{group.get('currency') or dict(part.query.where).get('currency', ('?',))[0]}"
    return unit


def value_of(reading: Reading | None, held: float | None) -> float | None:
    """What is kept as the value of an alert."""
    return held if reading is None else float(reading.value)
