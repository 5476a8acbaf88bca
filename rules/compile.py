"""From a test as it is written to a judge: names, units, dimensions and spans are checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

from rules.condition import (
    And,
    Condition,
    Match,
    Not,
    OfBaseline,
    Quantity,
    Test,
    duration_text,
    nearest,
    seconds,
    tests,
)
from rules.judges.average import AverageJudge
from rules.judges.base import UPWARD, Judge
from rules.judges.compound import Combination, Leaf, Negation, Verdict
from rules.judges.count import BelowJudge, CountJudge, SpanlessJudge
from rules.judges.gauge import GaugeJudge
from rules.judges.hold import HoldJudge
from rules.judges.learning import LearningJudge
from rules.judges.ratio import RatioJudge
from rules.judges.streak import StreakJudge
from rules.rule import Part
from rules.series import Query, each_of
from rules.signals import Filter, Signal
from schemas.tables import TABLES, Table

LONGEST_WINDOW_MS = 4 * 3_600_000
"""Of the cells that are kept in memory; a whole day is for a baseline."""

Refuse = Callable[[int, str, str | None], None]
"""Notes an error: column of the condition, text, nearest known name."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a rule says beside its condition, as far as judging it is concerned. `resolve`: (comparison, threshold)."""

    by: tuple[str, ...] | None
    where: tuple[Match, ...]
    min_events: int
    confidence: float
    resolve: Test | None


class Compiler:
    """Puts together one rule's tests. `refuse` is told what is wrong."""

    def __init__(self, signals: Mapping[str, Signal], bucket_ms: int, options: Options, refuse: Refuse) -> None:
        self._signals, self._bucket_ms, self._options, self._refuse = signals, bucket_ms, options, refuse
        self.parts: list[Part] = []
        self.by: tuple[str, ...] = options.by or ()

    def compile(self, condition: Condition) -> Verdict | None:
        """The whole condition, None where something is wrong with it."""
        found = list(tests(condition))
        known = [self._signals.get(test.signal) for test in found]
        for test, signal in zip(found, known, strict=True):
            if signal is None:
                near = nearest(test.signal, self._signals)
                self._refuse(test.column, f"no signal {test.signal!r}", near)
        signals = [signal for signal in known if signal is not None]
        if len(signals) < len(found):
            return None
        if self._options.by is None:
            groups = {signal.by for signal in signals}
            if len(groups) > 1:
                text = f"its signals group by {' and '.join(', '.join(by) or 'nothing' for by in sorted(groups))}: say 'by'"
                self._refuse(1, text, None)
                return None
            (self.by,) = groups
        return self._verdict(condition)

    def _verdict(self, condition: Condition) -> Verdict | None:
        if isinstance(condition, Test):
            judged = self._test(condition)
            if judged is None:
                return None
            part, judge = judged
            self.parts.append(part)
            return Leaf(len(self.parts) - 1, judge)
        if isinstance(condition, Not):
            inner = self._verdict(condition.part)
            return None if inner is None else Negation(inner)
        parts = [self._verdict(part) for part in condition.parts]
        whole = tuple(part for part in parts if part is not None)
        return Combination(whole, every=isinstance(condition, And)) if len(whole) == len(parts) else None

    # --- one test ---------------------------------------------------------------------------------------------------

    def _test(self, test: Test) -> tuple[Part, Judge] | None:
        signal = self._signals[test.signal]
        matches = (*test.where, *self._options.where)
        table = self._table(test, signal, matches)
        if table is None:
            return None
        where = self._filter(signal.where, matches, table)
        if where is None:
            return None
        measure = signal.measured()[0] if signal.measure is not None else None
        query = Query(table.name, self.by, where, signal.of, measure)
        if isinstance(test.value, OfBaseline):
            judge = self._baseline(test, signal)
            return None if judge is None else (Part(test, signal, query, learning=True), judge)
        threshold = self._threshold(test.value, signal)
        if threshold is None:
            return None
        maker = {
            "count": self._count,
            "sum": self._average,
            "mean": self._average,
            "quantile": self._average,
            "ratio": self._ratio,
            "max": self._gauge,
            "streak": self._streak,
        }[signal.aggregate]
        judge = maker(test, signal, query, threshold)
        return None if judge is None else (Part(test, signal, query), judge)

    def _table(self, test: Test, signal: Signal, matches: Iterable[Match]) -> Table | None:
        wanted = {*self.by, *(match.dimension for match in matches)}
        table = signal.table(frozenset(wanted | {name for name, _ in (*signal.where, *signal.of)}))
        if table is not None:
            return table
        held = [name for tried in signal.tables for name in TABLES[tried].dimensions]
        unknown = next((match for match in matches if match.dimension not in held), None)
        name = unknown.dimension if unknown is not None else next((one for one in self.by if one not in held), None)
        column = unknown.column if unknown is not None and unknown in test.where else test.column
        if name is None:
            text = f"no table has {', '.join(sorted(wanted))} together for {signal.name}"
            self._refuse(column, text, None)
        else:
            text = f"{signal.name} has no dimension {name!r}; it has {', '.join(dict.fromkeys(held))}"
            self._refuse(column, text, nearest(name, held))
        return None

    def _filter(self, base: Filter, matches: Iterable[Match], table: Table) -> Filter | None:
        found = dict(base)
        for match in matches:
            kind = {"bool": bool, "int": int}.get(table.kinds[match.dimension], str)
            if not isinstance(match.value, kind) or (kind is int and isinstance(match.value, bool)):
                word = {bool: "true or false", int: "an integer"}.get(kind, "a text")
                self._refuse(match.column, f"{match.dimension} is {word}, not {match.value!r}", None)
                return None
            if match.dimension in found and match.value not in found[match.dimension]:
                choices = [str(value) for value in found[match.dimension]]
                text = f"{match.dimension} can only be {' or '.join(choices)} here, so this would never be true"
                self._refuse(match.column, text, nearest(str(match.value), choices))
                return None
            found[match.dimension] = (match.value,)
        return tuple(sorted(found.items(), key=lambda item: item[0]))

    def _threshold(self, value: Quantity, signal: Signal) -> Fraction | None:
        unit, number = value.unit, value.number
        if signal.unit in ("ratio", "percent"):
            if unit == "%":
                return number / 100 if signal.unit == "ratio" else number
            expected = "a percentage such as 5%"
        elif signal.unit == "s":
            in_seconds = seconds(value)
            if in_seconds is not None:
                return in_seconds
            expected = "a time such as 5 seconds"
        else:
            if unit is None:
                return number
            expected = "a plain number" + (" of minor units" if signal.unit == "minor" else "")
        self._refuse(value.column, f"{signal.name} is compared with {expected}, not with {value}", None)
        return None

    def _window(self, test: Test, signal: Signal) -> int | None:
        """The width of the sliding window, in whole buckets."""
        span = test.span
        if span is None or span.consecutive:
            got = "none" if span is None else "consecutive"
            self._refuse(
                test.column if span is None else span.column or test.column,
                f"{signal.name} needs a span such as 'over 5 minutes', got {got}",
                None,
            )
            return None
        window = span.window_ms if span.window_ms is not None else span.hold_ms
        assert window is not None
        if window % self._bucket_ms or window > LONGEST_WINDOW_MS:
            text = f"a window is a whole number of buckets of {duration_text(self._bucket_ms)}, up to 4 hours"
            self._refuse(span.column, text, None)
            return None
        return window

    def _held(self, test: Test, judge: Judge) -> Judge:
        """`over W for D`: the judge's verdict has to last for D."""
        span = test.span
        if span is None or span.window_ms is None or span.hold_ms is None:
            return judge
        return HoldJudge(judge, span.hold_ms)

    def _resolve(self, test: Test, signal: Signal, threshold: Fraction) -> tuple[str, Fraction]:
        """What it is compared with on the way down."""
        wanted = self._options.resolve
        if wanted is None or not isinstance(wanted.value, Quantity):
            return (test.comparison, threshold)
        found = self._threshold(wanted.value, signal)
        return (test.comparison, threshold if found is None else found)

    def _count(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        upward = test.comparison in UPWARD
        if test.span is None and upward:
            return SpanlessJudge(test.comparison, threshold)
        window = self._window(test, signal)
        if window is None:
            return None
        judge: Judge = (
            CountJudge(test.comparison, threshold, self._resolve(test, signal, threshold), window)
            if upward
            else BelowJudge(test.comparison, threshold, window)
        )
        return self._held(test, judge)

    def _ratio(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        window = self._window(test, signal)
        if window is None:
            return None
        confidence = self._options.confidence
        z = NormalDist().inv_cdf((1 + confidence) / 2) if confidence else 0.0
        resolve = self._resolve(test, signal, threshold)
        return self._held(
            test, RatioJudge(test.comparison, threshold, resolve, window, self._options.min_events, z)
        )

    def _average(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        window = self._window(test, signal)
        if window is None:
            return None
        place, measure = signal.measured()
        assert signal.aggregate in ("sum", "mean", "quantile")
        if signal.aggregate == "quantile" and not measure.sketch:
            self._refuse(test.column, f"{signal.name}: {measure.name} has no quantiles", None)
            return None
        total = signal.aggregate == "sum"
        if total and test.comparison not in UPWARD:
            return self._held(test, BelowJudge(test.comparison, threshold, window, place, signal.scale))
        return self._held(
            test,
            AverageJudge(
                signal.aggregate,
                test.comparison,
                threshold,
                self._resolve(test, signal, threshold),
                window,
                0 if total else self._options.min_events,
                place,
                signal.scale,
                signal.q,
            ),
        )

    def _gauge(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        span = test.span
        if span is not None and (span.consecutive or span.window_ms is not None):
            self._refuse(span.column or test.column, f"{signal.name} is a gauge: it takes 'for', as in 'for 5 minutes'", None)
            return None
        measures = [measure.name for measure in TABLES[query.table].measures]
        return GaugeJudge(
            test.comparison,
            threshold,
            self._resolve(test, signal, threshold),
            0 if span is None or span.hold_ms is None else span.hold_ms,
            signal.measured()[0],
            measures.index("interval_s"),
            signal.scale,
        )

    def _streak(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        if test.span is None or not test.span.consecutive:
            column = test.column if test.span is None else test.span.column
            self._refuse(column, f"{signal.name} counts in a row: it takes 'consecutive'", None)
            return None
        return StreakJudge(test.comparison, threshold, each_of(query, signal.each))

    def _baseline(self, test: Test, signal: Signal) -> Judge | None:
        assert isinstance(test.value, OfBaseline)
        if signal.aggregate not in ("count", "sum"):
            text = f"a baseline is learned of counts and totals; {signal.name} is a {signal.aggregate}"
            self._refuse(test.value.column, text, None)
            return None
        window = self._window(test, signal)
        return None if window is None else LearningJudge(window)
