"""Test files: `<pack>.test.yaml` beside a pack; each test is traffic, and what must be told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from yaml.nodes import Node

from rules.document import Document, Problem
from rules.loader import BUCKET_MS, TESTS, RuleSet, Unreadable, load
from rules.unit.desk import START_S, Desk, Event
from rules.unit.expect import Expectation, Told, expectation, shown
from rules.unit.series import MOST, NotationError, Stream, streams
from runtime.suggest import nearest, quoted
from schemas.alert import AlertEvent

KEYS = ("series", "expect")
LONGEST_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `names`: the rules of its pack; the others run as well, since they may inhibit these."""

    file: str
    line: int
    name: str
    names: frozenset[str]
    rules: RuleSet
    streams: tuple[Stream, ...]
    expected: tuple[tuple[int, Expectation], ...]
    """(line, what)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What was expected, where that stands, and why it is not so."""

    line: int
    expected: str
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test. `told`: of its pack, in order."""

    case: Case
    told: tuple[Told, ...]
    failures: tuple[Failure, ...]


def find(paths: list[Path]) -> list[Path]:
    """The test files of these paths: of a folder all, of a pack the one beside it. Raises Unreadable."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(path.glob(f"*{TESTS}"))
            if not files:
                raise Unreadable(f"{path}: no tests (*{TESTS}) in this folder")
        else:
            files = [path if path.name.endswith(TESTS) else path.with_name(path.name.removesuffix(".yaml") + TESTS)]
        for file in files:
            found[file] = None
    return list(found)


def read(file: Path) -> tuple[list[Case], list[Problem]]:
    """The tests of a file, against the pack beside it with all packs of its folder; and what is wrong. Raises Unreadable."""
    try:
        document = Document(str(file), file.read_bytes())
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror}") from error
    pack = file.with_name(file.name.removesuffix(TESTS) + ".yaml")
    rules = load([file.parent], BUCKET_MS)
    if rules.problems:
        return [], list(rules.problems)
    own = frozenset(rule.name for rule in rules.rules if Path(rule.file).resolve() == pack.resolve())
    if not own:
        raise Unreadable(f"{file}: no pack {pack.name} beside it")
    cases = []
    if document.root is not None:
        for name, (key, node) in document.items(document.root, "tests by name").items():
            before = len(document.problems)
            case = _case(document, name, key, node, own, rules)
            if case is not None and len(document.problems) == before:
                cases.append(case)
    if not cases and not document.problems:
        document.problems.append(Problem(str(file), 1, 1, "expected tests by name, got nothing"))
    return cases, document.problems


def _case(
    document: Document, name: str, key: Node, node: Node, own: frozenset[str], rules: RuleSet
) -> Case | None:
    items = document.items(node, "a test with series and expect")
    for item, (at, _) in items.items():
        if item not in KEYS:
            document.wrong(at, f"a test has no {quoted(item)}; it has {', '.join(KEYS)}", nearest(item, KEYS))
    before = len(document.problems)
    missing = [item for item in KEYS if item not in items]
    for item in missing:
        document.wrong(key, f"{name} has no {item}")
    if missing:
        return None
    found: list[Stream] = []
    for table, (at, value) in document.items(items["series"][1], "tables with their traffic").items():
        for part in document.each(value):
            text = document.text(part, "traffic such as 'succeeded 10/s from 0s to 60s'")
            try:
                found += [] if text is None else streams(table, text)
            except NotationError as error:
                document.wrong(at if str(error).startswith("no table") else part, str(error))
    if sum(stream.count for stream in found) > MOST:
        document.wrong(key, f"more than {MOST:,} events")
    expected: list[tuple[int, Expectation]] = []
    for part in document.each(items["expect"][1]):
        text = document.text(part, "what is expected, such as 'at 63s: provider_down fires'")
        try:
            if text is not None:
                expected.append((part.start_mark.line + 1, expectation(text, own)))
        except NotationError as error:
            document.wrong(part, str(error))
    case = Case(document.file, key.start_mark.line + 1, name, own, rules, tuple(found), tuple(expected))
    if not expected and len(document.problems) == before:
        document.wrong(key, f"{name} expects nothing: say so, as 'until 60s: nothing'")
    elif _end(case) > LONGEST_MS:
        document.wrong(key, f"a test lasts {LONGEST_MS // 3_600_000} hours at most")
    return case


def _end(case: Case) -> int:
    times = [stream.end_ms for stream in case.streams] + [one.end_ms for _, one in case.expected]
    return max(times, default=0)


def run(case: Case) -> Outcome:
    """Plays a test on a clock of its own."""
    desk = Desk(case.rules, now=START_S)
    origin = int(START_S * 1000)
    end = _end(case)
    step = 250 if end <= 120_000 else 1_000
    events = _sorted(case, origin)
    told: list[Told] = []
    names: dict[str, str] = {}
    coming = next(events, None)
    now = 0
    while now < end:
        now += step
        news = False
        # What happens in a step arrives in it, and is seen at its end, as at a flush.
        while coming is not None and coming[0] < origin + now:
            desk.feed(coming[1], coming[0] / 1000)
            coming, news = next(events, None), True
        desk.now = (origin + now) / 1000
        if now % 5_000 < step:
            desk.beat()
            news = True
        for alert in desk.look() if news else ():  # nothing but events and heartbeats moves a verdict on
            names.setdefault(alert.id, alert.data.rule)
            if alert.data.rule in case.names:
                told.append(_told(alert, now, names))
    failures = [
        Failure(line, one.text, why) for line, one in case.expected if (why := one.unmet(told)) is not None
    ]
    return Outcome(case, tuple(told), tuple(failures))


def _sorted(case: Case, origin: int) -> Iterator[tuple[int, Event]]:
    found = [one for number, stream in enumerate(case.streams) for one in stream.events(number, origin)]
    yield from sorted(found, key=lambda one: one[0])


def _told(alert: AlertEvent, now: int, names: dict[str, str]) -> Told:
    data = alert.data
    inhibitor = None if data.inhibited_by is None else names.get(data.inhibited_by, data.inhibited_by)
    group = tuple(str(value) for value in data.group.values())
    return Told(now, data.rule, alert.transition, group, data.severity, inhibitor, data.status, data.summary)


def report(outcome: Outcome) -> list[str]:
    """The lines that say why a test failed."""
    lines = [f"{outcome.case.file}:{outcome.case.line}: FAILED: {outcome.case.name}"]
    for failure in outcome.failures:
        lines += [f"  line {failure.line}: expected {failure.expected}", f"    but {failure.why}"]
    lines += ["  told:", *(f"  {one}" for one in outcome.told)] if outcome.told else ["  told: nothing"]
    return lines


__all__ = ["Case", "Failure", "Outcome", "find", "read", "report", "run", "shown"]
