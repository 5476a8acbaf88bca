"""From a test as it is written to a judge: names, units, dimensions and spans are checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist

from rules.baseline.calendar import DAY_MS
from rules.baseline.guard import MINUTE_MS
from rules.condition import (
    OPPOSITE,
    And,
    Condition,
    Match,
    Not,
    OfBaseline,
    Quantity,
    Span,
    Test,
    duration_text,
    seconds,
    tests,
)
from rules.judges.average import AverageJudge
from rules.judges.base import UPWARD, Judge
from rules.judges.baseline import BaselineJudge
from rules.judges.completeness import CompletenessJudge
from rules.judges.compound import Combination, Leaf, Negation, Verdict
from rules.judges.count import QUIET_MS, BelowJudge, CountJudge, SpanlessJudge
from rules.judges.gauge import GaugeJudge
from rules.judges.hold import HoldJudge
from rules.judges.ratio import RatioJudge
from rules.judges.share import ShareVerdict
from rules.judges.silence import SilenceJudge
from rules.judges.streak import StreakJudge
from rules.rule import Part
from rules.series import Query, each_of
from rules.signals import Filter, Signal, Unit, shown_value, wrong_kind
from runtime.suggest import nearest, quoted
from schemas.tables import TABLES, Table

LONGEST_MS = 4 * 3_600_000
"""How far a verdict looks back: the cells of that time are kept in memory. A whole day is for a baseline."""

Refuse = Callable[[str, int | str, str, str | None], None]
"""Notes an error: the rule's key, where in it (a 1-based column of its text, or one of its names), text, nearest known name."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a rule says beside its condition, as far as judging it is concerned. `resolve`: when it is over."""

    by: tuple[str, ...] | None
    where: tuple[Match, ...]
    min_events: int
    confidence: float
    resolve: Test | None


class Compiler:
    """Puts together one rule's tests. `refuse` is told what is wrong."""

    def __init__(self, signals: Mapping[str, Signal | None], bucket_ms: int, options: Options, refuse: Refuse) -> None:
        self._signals, self._bucket_ms, self._options, self._refuse = signals, bucket_ms, options, refuse
        self.parts: list[Part] = []
        self.by: tuple[str, ...] = options.by or ()
        self._known: dict[str, Signal] = {}

    def compile(self, condition: Condition) -> Verdict | None:
        """The whole condition, None where something is wrong with it."""
        found = list(tests(condition))
        known: dict[str, Signal] = {}
        for test in found:
            signal = self._signals.get(test.signal)
            if signal is not None:
                known[test.signal] = signal
            elif test.signal in self._signals:
                self._refuse("condition", test.column, f"the signal {test.signal} is itself wrong", None)
            else:
                near = nearest(test.signal, self._signals)
                self._refuse("condition", test.column, f"no signal {quoted(test.signal)}", near)
        if any(test.signal not in known for test in found):
            return None
        if self._options.by is None:
            self.by = known[found[0].signal].by
            for test in found[1:]:
                if known[test.signal].by != self.by:
                    both = " and ".join(", ".join(by) or "nothing" for by in (self.by, known[test.signal].by))
                    self._refuse("condition", test.column, f"its signals group by {both}: say which with 'by'", None)
                    return None
        self._known = known
        return self._verdict(condition)

    def _verdict(self, condition: Condition) -> Verdict | None:
        if isinstance(condition, Test):
            if self._known[condition.signal].aggregate == "share":
                return self._share(condition)
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
        signal = self._known[test.signal]
        asked = self._asked(test)
        table = self._table(signal, asked)
        if table is None:
            return None
        where = self._filter(signal, asked, table)
        threshold = None if isinstance(test.value, OfBaseline) else self._threshold(test, signal, "condition")
        if where is None:
            return None
        measure = signal.measured(table)[0] if signal.measure is not None else None
        query = Query(table.name, self.by, where, signal.of, measure, signal.aggregate == "quantile")
        if isinstance(test.value, OfBaseline):
            learned = self._baseline(test, signal)
            return None if learned is None else (Part(test, signal, query, baseline=learned), self._held(test, learned))
        if threshold is None:
            return None
        if signal.aggregate == "daily":
            daily = self._daily(test, signal, threshold)
            return None if daily is None else (Part(test, signal, query, baseline=daily), daily)
        maker = {
            "count": self._count,
            "sum": self._average,
            "mean": self._average,
            "quantile": self._average,
            "ratio": self._ratio,
            "max": self._gauge,
            "last": self._gauge,
            "streak": self._streak,
            "silence": self._silence,
            "completeness": self._completeness,
        }[signal.aggregate]
        judge = maker(test, signal, query, threshold)
        return None if judge is None else (Part(test, signal, query, resolve=self._options.resolve), judge)

    def _asked(self, test: Test) -> list[tuple[Match, str, int | str]]:
        return [
            *((match, "where", match.dimension) for match in self._options.where),
            *((match, "condition", match.column) for match in test.where),
        ]

    def _share(self, test: Test) -> Verdict | None:
        """A share is two parts: what is counted below, and what is counted above it."""
        signal, asked = self._known[test.signal], self._asked(test)
        below = replace(signal, of=())
        above = replace(signal, tables=(signal.of_table,) if signal.of_table else signal.tables, where=signal.of, of=())
        queries = []
        for side in (below, above):
            table = self._table(side, asked)
            where = None if table is None else self._filter(side, asked, table)
            if table is None or where is None:
                return None
            queries.append(Query(table.name, self.by, where, ()))
        threshold = self._threshold(test, signal, "condition")
        window = self._window(test, signal)
        if threshold is None or window is None:
            return None
        span = test.span
        if span is not None and span.lasts:
            self._refuse("condition", span.hold_column, f"{signal.name} takes 'over' or 'for', not both", None)
            return None
        delay, lag = (-(-ms // self._bucket_ms) * self._bucket_ms for ms in (signal.delay_ms, signal.lag_ms))
        if window + delay + lag > LONGEST_MS:
            more = duration_text(delay + lag)
            text = f"a rule looks back over {duration_text(LONGEST_MS)} at most, the {more} of delay included"
            self._refuse("condition", test.column, text, None)
            return None
        place = len(self.parts)
        self.parts += [
            Part(test, signal, query, resolve=self._options.resolve, above=at > 0) for at, query in enumerate(queries)
        ]
        return ShareVerdict(
            place,
            place + 1,
            test.comparison,
            threshold,
            self._resolve(test, signal, threshold),
            window,
            delay,
            lag,
            self._options.min_events,
            self._z,
            apart=queries[0].table != queries[1].table,
        )

    @property
    def _z(self) -> float:
        confidence = self._options.confidence
        return NormalDist().inv_cdf((1 + confidence) / 2) if confidence else 0.0

    def _table(self, signal: Signal, asked: Iterable[tuple[Match, str, int | str]]) -> Table | None:
        """The table that has every dimension that the signal and the rule name."""
        held = list(dict.fromkeys(name for tried in signal.tables for name in TABLES[tried].dimensions))
        so_far = signal.needed if self._options.by is not None else signal.needed | set(signal.by)
        own = () if self._options.by is None else self.by
        wanted: list[tuple[str, str, int | str]] = [(name, "by", name) for name in own]
        wanted += [(match.dimension, key, place) for match, key, place in asked]
        fine = True
        for name, key, place in wanted:
            if name not in held:
                text = f"{signal.name} has no dimension {quoted(name)}; it has {', '.join(held)}"
                self._refuse(key, place, text, nearest(name, held))
                fine = False
            elif signal.table(so_far | {name}) is None:
                text = f"no table has {name} together with {', '.join(sorted(so_far))} for {signal.name}"
                self._refuse(key, place, text, None)
                fine = False
            else:
                so_far = so_far | {name}
        return signal.table(so_far) if fine else None

    def _filter(self, signal: Signal, asked: Iterable[tuple[Match, str, int | str]], table: Table) -> Filter | None:
        found, marked = dict(signal.where), dict(signal.of)
        for match, key, place in asked:
            wrong = wrong_kind(table.kinds[match.dimension], match.value)
            if wrong is not None:
                text = f"{match.dimension} is {wrong}, not {quoted(shown_value(match.value))}"
                self._refuse(key, place, text, None)
                return None
            for allowed in (found.get(match.dimension), marked.get(match.dimension)):
                if allowed is not None and match.value not in allowed:
                    choices = [shown_value(value) for value in allowed]
                    text = f"{match.dimension} can only be {' or '.join(choices)} here, so this would never be true"
                    self._refuse(key, place, text, nearest(shown_value(match.value), choices))
                    return None
            found[match.dimension] = (match.value,)
        return tuple(sorted(found.items(), key=lambda item: item[0]))

    def _threshold(self, test: Test, signal: Signal, key: str) -> Fraction | None:
        """The number that it is compared with, in the signal's unit."""
        value = test.value
        if isinstance(value, OfBaseline):
            self._refuse(key, value.column, f"expected a threshold, not a share of a baseline: {value}", None)
            return None
        found, expected = in_unit(value, signal.unit)
        if found is None:
            self._refuse(key, value.column, f"{signal.name} is compared with {expected}, not with {value}", None)
            return None
        outcome = _foregone(test.comparison, found, {"ratio": Fraction(1), "percent": Fraction(100)}.get(signal.unit))
        if outcome is not None and key == "condition":
            text = f"{signal.name} {test.comparison} {value} is {outcome}: it is {_RANGES.get(signal.unit, 'never below 0')}"
            self._refuse(key, value.column, text, None)
            return None
        return found

    def _window(self, test: Test, signal: Signal) -> int | None:
        """The width of the sliding window, in whole buckets."""
        span = test.span
        if span is None or span.consecutive:
            got = "none" if span is None else "'consecutive'"
            column = test.column if span is None else span.column
            self._refuse("condition", column, f"{signal.name} needs a span such as 'over 5 minutes', got {got}", None)
            return None
        window, column = span.window_ms, span.window_column
        if window is None:
            window, column = span.hold_ms or 0, span.hold_column
        bucket = self._bucket_ms
        if window % bucket:
            text = f"a window is a whole number of buckets of {duration_text(bucket)}, not {duration_text(window)}"
            self._refuse("condition", column, text, duration_text(max(round(window / bucket), 1) * bucket))
            return None
        return window if self._in_memory(window, column, span) else None

    def _in_memory(self, window: int, column: int, span: Span) -> bool:
        both = window + (span.hold_ms or 0 if span.window_ms is not None else 0)
        if both <= LONGEST_MS:
            return True
        column = column if window > LONGEST_MS else span.hold_column
        self._refuse("condition", column, f"a rule looks back over {duration_text(LONGEST_MS)} at most", None)
        return False

    def _held(self, test: Test, judge: Judge) -> Judge:
        """`over W for D`: the judge's verdict has to last for D."""
        span = test.span
        if span is None or span.window_ms is None or span.hold_ms is None:
            return judge
        return HoldJudge(judge, span.hold_ms)

    def _resolve(self, test: Test, signal: Signal, threshold: Fraction) -> tuple[str, Fraction]:
        """What it is compared with on the way down: it is over once this is no longer true."""
        wanted = self._options.resolve
        if wanted is None:
            return (test.comparison, threshold)
        comparison, up = OPPOSITE[wanted.comparison], test.comparison in UPWARD
        if test.comparison in ("==", "!=") or (comparison in UPWARD) is not up or comparison in ("==", "!="):
            text = f"what began with {test.comparison} is not over with {wanted.comparison}"
            self._refuse("resolve", wanted.comparison_column, text, OPPOSITE[test.comparison])
            return (test.comparison, threshold)
        found = self._threshold(wanted, signal, "resolve")
        if found is not None and (found > threshold if up else found < threshold):
            side = "above" if up else "below"
            text = f"{wanted.value} is {side} the threshold, so it would be over before it began"
            self._refuse("resolve", wanted.value.column, text, None)
        return (comparison, threshold if found is None else found)

    def _no_resolve(self, signal: Signal, why: str) -> None:
        if self._options.resolve is not None:
            self._refuse("resolve", 1, f"{signal.name} takes no 'resolve' here: {why}", None)

    def _count(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        upward = test.comparison in UPWARD
        if test.span is None and upward:
            self._no_resolve(signal, f"without a span it is over after {duration_text(QUIET_MS)} without another")
            return SpanlessJudge(test.comparison, threshold)
        window = self._window(test, signal)
        if window is None:
            return None
        if not upward:
            self._no_resolve(signal, "it is over when the threshold is reached again")
            return self._held(test, BelowJudge(test.comparison, threshold, window))
        return self._held(
            test, CountJudge(test.comparison, threshold, self._resolve(test, signal, threshold), window)
        )

    def _ratio(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        window = self._window(test, signal)
        if window is None:
            return None
        resolve = self._resolve(test, signal, threshold)
        return self._held(
            test, RatioJudge(test.comparison, threshold, resolve, window, self._options.min_events, self._z)
        )

    def _average(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        window = self._window(test, signal)
        if window is None:
            return None
        assert signal.aggregate in ("sum", "mean", "quantile") and query.measure is not None
        place = query.measure
        total = signal.aggregate == "sum"
        if total and test.comparison not in UPWARD:
            self._no_resolve(signal, "it is over when the threshold is reached again")
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
        if span is not None and signal.aggregate == "last":
            self._refuse("condition", span.column, f"{signal.name} is the latest value: it takes no span", None)
            return None
        if span is not None and (span.consecutive or span.window_ms is not None):
            text = f"{signal.name} is a gauge: it takes 'for', as in 'for 5 minutes'"
            self._refuse("condition", span.column, text, "for")
            return None
        hold = 0 if span is None or span.hold_ms is None else span.hold_ms
        if span is not None and not self._in_memory(hold, span.hold_column, span):
            return None
        assert query.measure is not None
        measures = [measure.name for measure in TABLES[query.table].measures]
        return GaugeJudge(
            test.comparison,
            threshold,
            self._resolve(test, signal, threshold),
            hold,
            query.measure,
            measures.index("interval_s") if "interval_s" in measures else len(measures),
            signal.scale,
        )

    def _streak(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        self._no_resolve(signal, "one success ends the row")
        if test.span is None or not test.span.consecutive:
            column = test.column if test.span is None else test.span.column
            text = f"{signal.name} counts in a row: it takes 'consecutive', as in '> 3 consecutive'"
            self._refuse("condition", column, text, "consecutive")
            return None
        return StreakJudge(test.comparison, threshold, each_of(query, signal.each))

    def _silence(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        self._no_resolve(signal, f"it is over with the next {signal.one or 'event'}")
        if test.comparison != ">":
            text = f"{signal.name} is compared by >: silence that has lasted longer than this"
            self._refuse("condition", test.comparison_column, text, ">")
            return None
        if test.span is not None:
            self._refuse("condition", test.span.column, f"{signal.name} is a time itself: it takes no span", None)
            return None
        limit_ms = int(threshold * 1000)
        if not self._bucket_ms <= limit_ms <= LONGEST_MS:
            longest, least = duration_text(LONGEST_MS), duration_text(self._bucket_ms)
            self._refuse("condition", test.value.column, f"expected {least} to {longest}, not {test.value}", None)
            return None
        return SilenceJudge(limit_ms)

    def _completeness(self, test: Test, signal: Signal, query: Query, threshold: Fraction) -> Judge | None:
        if test.comparison not in ("<", "<="):
            text = f"{signal.name} is compared by <: less has come than this share"
            self._refuse("condition", test.comparison_column, text, "<")
            return None
        window = self._window(test, signal)
        if window is None:
            return None
        assert query.measure is not None
        judge = CompletenessJudge(
            test.comparison,
            threshold,
            self._resolve(test, signal, threshold),
            window,
            self._options.min_events,
            query.measure,
            each_of(query, signal.each),
        )
        return self._held(test, judge)

    def _ordered(self, test: Test, what: str) -> bool:
        if test.comparison in ("==", "!="):
            self._refuse("condition", test.comparison_column, f"{what} by < or >, not by {test.comparison}", "<")
            return False
        return True

    def _daily(self, test: Test, signal: Signal, threshold: Fraction) -> BaselineJudge | None:
        self._no_resolve(signal, "it is over when the threshold is reached again")
        if not self._ordered(test, "a day's volume is compared"):
            return None
        span = test.span
        if span is not None and (span.consecutive or span.lasts or (span.window_ms or span.hold_ms) != DAY_MS):
            self._refuse("condition", span.column, f"{signal.name} is of 24 hours: it takes no other span", "in 24 hours")
            return None
        return BaselineJudge(test.comparison, Fraction(1), DAY_MS, 0, False, threshold)

    def _baseline(self, test: Test, signal: Signal) -> BaselineJudge | None:
        assert isinstance(test.value, OfBaseline)
        self._no_resolve(signal, "it is over when the volume is back")
        if signal.aggregate not in ("count", "sum"):
            text = f"a baseline is learned of counts and totals; {signal.name} is a {signal.aggregate}"
            self._refuse("condition", test.value.column, text, None)
            return None
        if test.value.share <= 0:
            self._refuse("condition", test.value.column, "expected a share above 0%", None)
            return None
        if not self._ordered(test, "a volume is compared with its baseline"):
            return None
        share, upward = test.value.share, test.comparison in UPWARD
        if (share < 1) if upward else (share > 1):
            text = f"{test.comparison} {test.value} is usual: expected a share {'above' if upward else 'below'} 100%"
            self._refuse("condition", test.value.column, text, None)
            return None
        window = self._window(test, signal)
        if window is None:
            return None
        if window % MINUTE_MS:
            text = f"a baseline is judged in whole minutes, not over {duration_text(window)}"
            self._refuse("condition", test.value.column, text, None)
            return None
        return BaselineJudge(test.comparison, share, window, self._options.min_events, signal.aggregate == "sum")


_RANGES = {"ratio": "from 0% to 100%", "percent": "from 0% to 100%"}


def in_unit(value: Quantity, unit: Unit) -> tuple[Fraction | None, str]:
    """A quantity as a number in a signal's unit, None where it is of another kind; and what was to be expected."""
    if unit in ("ratio", "percent"):
        share = value.number / 100 if unit == "ratio" else value.number
        return share if value.unit == "%" else None, "a percentage such as 5%"
    if unit == "s":
        return seconds(value), "a time such as 5 seconds"
    of_minor = " of minor units (cents)" if unit == "minor" else ""
    return value.number if value.unit is None else None, f"a plain number{of_minor}"


def _foregone(comparison: str, limit: Fraction, most: Fraction | None) -> str | None:
    """'never true' or 'always true' where no value from 0 to `most` could change it."""
    if most is not None and limit > most:
        return "always true" if comparison in ("<", "<=", "!=") else "never true"
    if limit < 0:
        return "always true" if comparison in (">", ">=", "!=") else "never true"
    if limit == 0 and comparison in (">=", "<"):
        return "always true" if comparison == ">=" else "never true"
    if limit == most and comparison in (">", "<="):
        return "never true" if comparison == ">" else "always true"
    return None
