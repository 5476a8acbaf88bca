"""What the learned baseline is worth: detected, missed, false pages a week and delay, beside rules that anybody would write.

    python -m bench.backtest [--data FOLDER] [--part dev|held-out|all] [--json]

On series that somebody labelled (TimeStamp,Value,Label), and on drops that are put into real traffic: to 0, a quarter and
two fifths of it, at random places and always the same ones. Series of hours are also made into minutes (Poisson around the
real hours), since no labelled volume in minutes is at hand. Pages and scores: `rules.baseline.backtest`. Every detector judges
the closed window of 15 minutes (a step, where that is longer) and pages as soon as one is bad. Of the weeks after the first,
every other is `dev` (what was tuned was tuned there) and the rest `held-out`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from statistics import median

from local.past import poisson
from rules.baseline.backtest import HOUR_MS, WEEK_MS, Interval, Page, Pager, Score, intervals, pages, score
from rules.baseline.guard import WINDOW_MS, Direction, Guard
from rules.baseline.history import History, read, spread
from rules.baseline.week import WeekMean

DAY_MS = 24 * HOUR_MS
FACTORS = (0.0, 0.25, 0.4)
SEEDS = 4
ROOT = Path(__file__).resolve().parents[1]
PLACES = (ROOT / "data/cloud-monitoring", ROOT.parent / "shared/data/cloud-monitoring")
VOLUMES = (
    "ecommerce-api-incoming-rps/api-01",
    "consumer-purchase-rate/purchase-01",
    "consumer-purchase-rate/purchase-03",
    "consumer-purchase-rate/purchase-05",
)
OTHERS = (
    *(f"middle-tier-api-dependency-latency/outbound-{n:02}" for n in range(1, 9)),
    "service-unavailable/unavail-01",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A series and what is to be found in it. counts: as the guard is to see it; labelled: intervals that are odd in another
    way, so that a page about them is neither right nor false."""

    name: str
    history: History
    wanted: list[Interval]
    counts: bool
    labelled: tuple[Interval, ...] = ()


Detector = Callable[[Case], list[Page]]

# --- detectors --------------------------------------------------------------------------------------------------------


def guard(direction: Direction) -> Detector:
    """The seasonal guard as it is used: times of day in UTC, as the series are."""
    from rules.baseline.calendar import Calendar

    def run(case: Case) -> list[Page]:
        watch = Guard(case.history.step_ms, counts=case.counts, direction=direction, calendar=Calendar("UTC"))
        return pages(watch, case.history)

    return run


def week_mean(z: float, direction: Direction) -> Detector:
    """The mean of the last week ± z standard deviations."""

    def run(case: Case) -> list[Page]:
        watch, pager = WeekMean(case.history.step_ms, z), Pager()
        for start, value in case.history.rows:
            off = 0.0 if value is None else watch.step(start, value)
            breach = off < 0 if direction == "drop" else off > 0 if direction == "rise" else off != 0
            pager.step(start, start + case.history.step_ms, breach)
        return pager.pages

    return run


Past = dict[int, float]
Naive = Callable[[Past, int, float], bool]


def naive(rule: Naive) -> Detector:
    """A rule that compares a window with those before it."""

    def run(case: Case) -> list[Page]:
        step = case.history.step_ms
        past: Past = {}
        pager = Pager(open_ms=step)
        for start, value in _windows(case.history):
            past[start] = value
            pager.step(start, start + step, rule(past, start, value))
        return pager.pages

    return run


def _windows(history: History) -> Iterator[tuple[int, float]]:
    """The mean of the last 15 minutes, step by step."""
    n = max(1, WINDOW_MS // history.step_ms)
    values: list[float] = []
    for start, value in history.rows:
        if value is None:
            continue
        values = [*values[-n + 1 :], value] if n > 1 else [value]
        yield start, sum(values) / len(values)


def half_of_yesterday(past: Past, start: int, value: float) -> bool:
    return value < past.get(start - DAY_MS, 0.0) / 2


def half_of_weekdays(past: Past, start: int, value: float) -> bool:
    found = [past[at] for n in range(1, 5) if (at := start - n * WEEK_MS) in past]
    return bool(found) and value < median(found) / 2


def slot_three_sigma(past: Past, start: int, value: float) -> bool:
    found = [past[at] for n in range(1, 15) if (at := start - n * DAY_MS) in past]
    if len(found) < 3:
        return False
    mean = sum(found) / len(found)
    return value < mean - 3 * sqrt(sum((one - mean) ** 2 for one in found) / len(found))


def one_week_z(case: Case) -> list[Page]:
    """Below the mean of the last week by two standard deviations; that week's windows as they are."""
    step = case.history.step_ms
    pager = Pager(open_ms=step)
    many = list(_windows(case.history))
    total = squares = 0.0
    first = 0
    for start, value in many:
        while many[first][0] < start - WEEK_MS:
            gone = many[first][1]
            total, squares, first = total - gone, squares - gone * gone, first + 1
        n = (start - many[first][0]) // step
        mean = total / n if n else 0.0
        spread_ = sqrt(max(0.0, squares / n - mean * mean)) if n else 0.0
        pager.step(start, start + step, n * step >= DAY_MS and value < mean - 2 * spread_)
        total, squares = total + value, squares + value * value
    return pager.pages


DROPS: dict[str, Detector] = {
    "seasonal guard": guard("drop"),
    "half of yesterday": naive(half_of_yesterday),
    "half of the median of weekdays": naive(half_of_weekdays),
    "slot mean - 3 sigma": naive(slot_three_sigma),
    "one-week z = 2": one_week_z,
}
BOTH: dict[str, Detector] = {
    "seasonal guard, both ways": guard("both"),
    "week's mean ± 3.5 sigma": week_mean(3.5, "both"),
}

# --- cases ------------------------------------------------------------------------------------------------------------


def load(data: Path, name: str) -> Case:
    with (data / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        history = read(file)
    return Case(name.rpartition("/")[2], history, intervals(history), history.counts)


def with_drops(case: Case, seed: int, every: tuple[int, int], lasting: tuple[int, int]) -> Case:
    """The same traffic with drops, one `every` so many steps, `lasting` so many, a day away from what is labelled."""
    chance = random.Random(seed)
    rows = list(case.history.rows)
    step = case.history.step_ms
    wanted: list[Interval] = []
    at = chance.randint(*every)
    while at < len(rows):
        length, factor = chance.randint(*lasting), FACTORS[len(wanted) % len(FACTORS)]
        start, end = rows[at][0], rows[min(at + length, len(rows)) - 1][0] + step
        if not any(start - DAY_MS < one.end and one.start < end + DAY_MS for one in case.wanted):
            wanted.append(Interval(start, end))
            for place in range(at, min(at + length, len(rows))):
                time_, value = rows[place]
                rows[place] = (time_, None if value is None else _thinned(value, factor, case.counts))
        at += chance.randint(*every)
    return Case(case.name, History(step, rows), wanted, case.counts, tuple(case.wanted))


def _thinned(value: float, factor: float, counts: bool) -> float:
    return float(round(value * factor)) if counts else value * factor


def as_minutes(case: Case, divided: float, seed: int) -> Case:
    """An hourly count as minutes, so many times fewer: Poisson around a line through the hours."""
    chance = random.Random(seed)
    hours = [value or 0.0 for _, value in case.history.rows]
    rows: list[tuple[int, float | None]] = []
    for at, (start, _) in enumerate(case.history.rows):
        before = hours[at - 1] if at else None
        after = hours[at + 1] if at + 1 < len(hours) else None
        for minute, rate in enumerate(spread(before, hours[at], after, 60)):
            rows.append((start + minute * 60_000, float(poisson(chance, rate / 60 / divided, 30))))
    mean = sum(hours) / len(hours) / 60 / divided
    return Case(f"{case.name} as minutes, {mean:.1f} each", History(60_000, rows), case.wanted, True)


def drop_cases(data: Path) -> Iterator[Case]:
    """Real traffic with drops in it."""
    for name in VOLUMES:
        case = load(data, name)
        if name.endswith("purchase-01"):
            yield case  # almost always nothing: there is nothing to take away, only false pages to be had
            continue
        for seed in range(SEEDS):
            yield with_drops(case, seed, (120, 220), (2, 6))
    hours = load(data, "consumer-purchase-rate/purchase-03")
    for divided in (1.0, 50.0):
        for seed in range(SEEDS // 2):
            minutes = as_minutes(hours, divided, seed)
            yield with_drops(minutes, seed, (3000, 6500), (20, 90))


# --- scoring ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    method: str
    series: str
    score: Score


def judged(cases: Sequence[Case], detectors: dict[str, Detector], part: str) -> list[Line]:
    lines = []
    for case in cases:
        first, last = case.history.rows[0][0], case.history.rows[-1][0]
        weeks = [(start, min(start + WEEK_MS, last)) for start in range(first + WEEK_MS, last, WEEK_MS)]
        weeks = weeks[{"dev": 0, "held-out": 1, "all": 0}[part] :: 1 if part == "all" else 2]
        for method, detector in detectors.items():
            found = detector(case)
            scores = [score(found, case.wanted, start, end, case.labelled) for start, end in weeks]
            lines.append(Line(method, case.name, sum(scores, Score(0, (), 0, 0.0))))
    return lines


def summed(lines: Sequence[Line]) -> dict[tuple[str, str], Score]:
    found: dict[tuple[str, str], Score] = {}
    for line in lines:
        key = (line.series, line.method)
        found[key] = found[key] + line.score if key in found else line.score
    return found


def table(title: str, lines: Sequence[Line]) -> str:
    rows = [
        f"{title}\n",
        "| series | method | detected | missed | false pages a week | median delay |",
        "|---" * 6 + "|",
    ]
    totals: dict[str, Score] = {}
    for (series, method), one in summed(lines).items():
        rows.append(_row(series, method, one))
        totals[method] = totals[method] + one if method in totals else one
    rows += [_row("**all**", method, one) for method, one in totals.items()]
    return "\n".join(rows) + "\n"


def _row(series: str, method: str, one: Score) -> str:
    delay = "" if one.delay_ms is None else f"{one.delay_ms / 60_000:.0f} min"
    share = f"{one.detected} of {one.intervals}" if one.intervals else "none labelled"
    return f"| {series} | {method} | {share} | {one.missed} | {one.false_a_week:.2f} | {delay} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    found = next((place for place in PLACES if place.is_dir()), PLACES[0])
    parser.add_argument("--data", type=Path, default=found, help="the folder with the labelled series")
    parser.add_argument("--part", choices=("dev", "held-out", "all"), default="all")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"no folder {arguments.data}; say where the labelled series are: --data FOLDER", file=sys.stderr)
        return 2
    data: Path = arguments.data
    began = time.process_time()
    drops = judged(list(drop_cases(data)), DROPS, arguments.part)
    labelled = judged([load(data, name) for name in VOLUMES], DROPS | BOTH, arguments.part)
    others = judged([load(data, name) for name in OTHERS], BOTH, arguments.part)
    if arguments.json:
        print(json.dumps([asdict(line) for line in (*drops, *labelled, *others)], indent=1))
        return 0
    print(table("Drops put into real traffic", drops))
    print(table("Volumes as they were labelled (also rises)", labelled))
    print(table("Latencies and error counts as they were labelled", others))
    print(f"{time.process_time() - began:.0f} s of CPU time, part: {arguments.part}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
