"""Rule packs: from YAML files to rules, and to what is wrong with them. One bad rule never keeps the others from running."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.baseline.calendar import Calendar, read_calendar, usual
from rules.compile import Compiler, Options
from rules.condition import (
    Condition,
    ConditionError,
    Match,
    OfBaseline,
    Quantity,
    Test,
    parse,
    parse_duration,
    parse_threshold,
)
from rules.document import LARGEST, Document, Problem, plain, shown
from rules.judges.base import UPWARD
from rules.rule import CONFIDENCE, MIN_EVENTS, NO_DATA, Level, Name, NoData, Rule
from rules.signals import FILE, Signal, shipped
from rules.signals import read as read_signals
from runtime.schedule import Schedule, ScheduleError, schedule
from runtime.suggest import nearest, quoted
from schemas.severity import CHANNELS, SEVERITIES, SeverityName
from schemas.tables import TABLES

PACKS = Path(__file__).with_name("packs")
"""The packs that ship."""
KEYS = (
    "condition", "severity", "notification", "by", "where", "min_events", "confidence", "resolve", "resolve_after",
    "levels", "no_data", "during", "inhibited_by", "labels", "owner", "summary", "runbook", "enabled",
)  # fmt: skip
BUCKET_MS = 5_000
RUNBOOKS = Path("docs") / "runbooks"
"""Where the runbooks lie that ship, from the root of the repository: a page has the name of its rule."""
PACKED = Path(__file__).with_name("runbooks")
"""The same folder, as it is packed."""


COUNTED = frozenset({"count", "sum", "silence", "daily"})
"""Aggregates that go on by themselves where nothing comes any more."""
GUESSES = 50
"""Rules that are not found, up to which the nearest is looked for among all: it takes a while where there are thousands."""
TESTS = ".test.yaml"
"""How the names of the tests beside packs end."""
SIGNALS = "signals.yaml"
"""The file of a folder of packs that holds signals of one's own."""
CALENDAR = "calendar.txt"
"""The file beside them that says which days are special, and where."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of some packs, and what is wrong with those that are not among them."""

    rules: tuple[Rule, ...] = ()
    problems: tuple[Problem, ...] = ()
    calendar: Calendar = field(default_factory=usual)
    """Of the baselines."""


class Unreadable(OSError):
    """A path that cannot be read, or a folder without packs; the text says which and why."""


def load(paths: Iterable[Path] | None = None, bucket_ms: int = BUCKET_MS) -> RuleSet:
    """The rules of these files, and of the `*.yaml` of these folders; of the packs that ship where None are given.

    A `signals.yaml` is no pack: its signals are known beside those that ship, in its own folder's packs and in all others. A
    `calendar.txt` beside them is that of the baselines.
    Raises Unreadable.
    """
    packs: dict[Path, Path] = {}
    signals: dict[Path, Path] = {}
    calendars: dict[Path, Path] = {}
    for path in [PACKS] if paths is None else paths:
        found = _files(path)
        for file in [*found, found[0].parent / SIGNALS]:
            if file.name != SIGNALS:
                packs.setdefault(file.resolve(), file)
            elif file.is_file() and file.resolve() != FILE:
                signals.setdefault(file.resolve(), file)
        calendar = found[0].parent / CALENDAR
        if calendar.is_file():
            calendars.setdefault(calendar.resolve(), calendar)
    rules = read(map(_text, packs.values()), bucket_ms, map(_text, signals.values()))
    return _dated(rules, map(_text, calendars.values()))


def signals(paths: Iterable[Path] | None = None) -> dict[str, Signal]:
    """The signals that rules of these paths know, as `load` takes them: those that ship, and one's own. Raises Unreadable."""
    found = dict(shipped())
    for path in [] if paths is None else paths:
        file = _files(path)[0].parent / SIGNALS
        if file.is_file() and file.resolve() != FILE:
            own = read_signals(Document(*_text(file)), shipped())
            found |= {name: signal for name, signal in own.items() if signal is not None}
    return found


def _dated(rules: RuleSet, texts: Iterable[tuple[str, bytes | OSError]]) -> RuleSet:
    """The rules with the calendar of the first of these texts."""
    for file, text in texts:
        try:
            if isinstance(text, OSError):
                raise ValueError(text.strerror)
            return replace(rules, calendar=read_calendar(text.decode("utf-8-sig")))
        except ValueError as error:  # of which bytes that are no UTF-8 are one
            line, _, why = str(error).removeprefix("line ").partition(": ")
            problem = Problem(file, int(line), 1, why) if line.isdigit() else Problem(file, 1, 1, str(error))
            return replace(rules, problems=(*rules.problems, problem))
    return rules


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        try:
            path.open("rb").close()
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from error
        return [path]
    found = sorted(
        file
        for file in path.glob("*.yaml")
        if not file.name.startswith(".") and not file.name.endswith(TESTS) and not file.is_dir()
    )
    if not any(file.name != SIGNALS for file in found):
        raise Unreadable(f"{path}: no rule packs (*.yaml) in this folder")
    return found


def _text(file: Path) -> tuple[str, bytes | OSError]:
    try:
        with file.open("rb") as opened:
            return str(file), opened.read(4 * LARGEST + 4)  # of a larger file, enough to see that it is too large
    except OSError as error:
        return str(file), error


def read(
    packs: Iterable[tuple[str, str | bytes | OSError]],
    bucket_ms: int = BUCKET_MS,
    signals: Iterable[tuple[str, str | bytes | OSError]] = (),
) -> RuleSet:
    """The rules of texts of packs, with signals beside those that ship; each text with the name of its file."""
    reader = _Reader(shipped(), bucket_ms)
    for file, text in signals:
        reader.read_signals(Document(file, text))
    for file, text in packs:
        reader.read(Document(file, text))
    return reader.finish()


@dataclass(slots=True)
class _Draft:
    """A rule as it stands, before its names of other rules are looked up. `rule`: None where it is wrong."""

    pack: str
    name: str
    rule: Rule | None
    document: Document
    key: Node
    inhibitors: list[tuple[Node, str]]

    @property
    def place(self) -> str:
        return f"{self.document.file}:{self.key.start_mark.line + 1}"


class _Reader:
    def __init__(self, signals: Mapping[str, Signal], bucket_ms: int) -> None:
        self._shipped, self._bucket_ms = signals, bucket_ms
        self._signals: dict[str, Signal | None] = dict(signals)
        self._places: dict[str, str] = {}
        self._drafts: dict[Name, _Draft] = {}
        self._packs_of: dict[str, list[str]] = defaultdict(list)
        self._guesses = GUESSES
        self._documents: list[Document] = []

    def read_signals(self, document: Document) -> None:
        self._documents.append(document)
        for name, signal in read_signals(document, self._shipped).items():
            if name in self._places:
                key = document.items(document.root, "")[name][0] if document.root is not None else None
                if key is not None:
                    document.wrong(key, f"{name} is in {self._places[name]} already")
            else:
                self._signals[name] = signal
                self._places[name] = document.file

    def read(self, document: Document) -> None:
        self._documents.append(document)
        if document.root is None:
            if not document.problems:
                document.problems.append(Problem(document.file, 1, 1, "expected packs of rules, got nothing"))
            return
        for pack_key, rules, _ in document.pairs(document.root, "packs of rules by name"):
            pack = pack_key.value
            self._check_name(document, pack_key)
            # A pack that stands twice has been told; its rules are fine all the same.
            for key, node, twice in document.pairs(rules, f"the rules of {pack} by name"):
                before = len(document.problems)
                self._check_name(document, key)
                draft = _Builder(document, self._signals, self._bucket_ms, pack, key, node).build()
                if twice or len(document.problems) > before:
                    draft.rule = None
                held = self._drafts.get((pack, key.value))
                if held is None:
                    self._drafts[pack, key.value] = draft
                    self._packs_of[key.value].append(pack)
                elif not twice:
                    document.wrong(key, f"{pack}/{key.value} is in {held.place} already")

    @staticmethod
    def _check_name(document: Document, key: ScalarNode) -> None:
        if "/" in key.value:
            document.wrong_in(key, key.value.index("/") + 1, "a name has no '/': it stands between pack and rule")

    def finish(self) -> RuleSet:
        """Looks up the inhibitors and leaves out what refers to nothing, or to itself in the end."""
        edges: dict[Name, list[Name]] = {full: [] for full in self._drafts}
        bad = {full for full, draft in self._drafts.items() if draft.rule is None}
        inhibitors: set[Name] = set()
        for full, draft in self._drafts.items():
            for node, text in draft.inhibitors:
                before = len(draft.document.problems)
                target = self._inhibitor(draft, node, text)
                closes = target == full or (full in inhibitors and target is not None and _reaches(edges, target, full))
                if closes:
                    way = " of itself" if target == full else f": {text} is itself inhibited by {'/'.join(full)}"
                    draft.document.wrong(node, f"cyclic inhibition{way}")
                elif target is not None:
                    edges[full].append(target)
                    inhibitors.add(target)
                if len(draft.document.problems) > before:
                    bad.add(full)
        rules = [
            _with_inhibitors(draft.rule, tuple(name for name in edges[full] if name not in bad))
            for full, draft in self._drafts.items()
            if draft.rule is not None and full not in bad
        ]
        problems = sorted({problem for document in self._documents for problem in document.problems}, key=_in_order)
        return RuleSet(tuple(_inhibitors_first(rules)), tuple(problems))

    def _inhibitor(self, draft: _Draft, node: Node, text: str) -> Name | None:
        pack, _, name = text.rpartition("/")
        packs = self._packs_of.get(name, [])
        if pack or draft.pack in packs:
            packs = [one for one in packs if one == (pack or draft.pack)]
        found = [(one, name) for one in packs]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(sorted("/".join(full) for full in found))
            draft.document.wrong(node, f"{name} is a rule of {' and '.join(sorted(packs))}: write {choices}")
        elif all(document.readable for document in self._documents):  # else it may stand in what could not be read
            self._guesses -= 1
            names = {*self._packs_of, *map("/".join, self._drafts)} if self._guesses >= 0 else ()
            draft.document.wrong(node, f"no rule {quoted(text)}", nearest(text, sorted(names)))
        return None


def _in_order(problem: Problem) -> tuple[str, int, int, str]:
    return (problem.file, problem.line, problem.column, problem.text)


def _reaches(edges: Mapping[Name, list[Name]], start: Name, goal: Name) -> bool:
    seen, left = set(), [start]
    while left:
        name = left.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            left += edges.get(name, ())
    return False


def _inhibitors_first(rules: list[Rule]) -> list[Rule]:
    """In an order in which each rule comes after those that inhibit it."""
    known = {rule.full_name: rule for rule in rules}
    return [known[name] for name in TopologicalSorter({name: rule.inhibited_by for name, rule in known.items()}).static_order()]


def _with_inhibitors(rule: Rule, names: tuple[Name, ...]) -> Rule:
    return replace(rule, inhibited_by=names) if names else rule


def _order(severities: Sequence[str], name: str) -> int:
    return severities.index(name) if name in severities else len(severities)


class _Builder:
    """Reads one rule."""

    def __init__(
        self,
        document: Document,
        signals: Mapping[str, Signal | None],
        bucket_ms: int,
        pack: str,
        key: ScalarNode,
        node: Node,
    ) -> None:
        self._document, self._signals, self._bucket_ms = document, signals, bucket_ms
        self._pack, self._name, self._key, self._node = pack, str(key.value), key, node
        self._items: dict[str, tuple[Node, Node]] = {}

    def build(self) -> _Draft:
        """The rule, None in its place where nothing can be made of it; the document knows all errors, also those of a
        rule that could be made."""
        before = len(self._document.problems)
        self._items = self._document.items(self._node, "a mapping with condition and severity")
        if not self._items and len(self._document.problems) > before:
            return _Draft(self._pack, self._name, None, self._document, self._key, [])
        return _Draft(self._pack, self._name, self._rule(), self._document, self._key, self._inhibitors())

    def _rule(self) -> Rule | None:
        document = self._document
        for item, (key, _) in self._items.items():
            if item not in KEYS:
                document.wrong(key, f"a rule has no {quoted(item)}; it has {', '.join(KEYS)}", nearest(item, KEYS))
        for item in ("condition", "severity"):
            if item not in self._items:
                document.wrong(self._key, f"{self._name} has no {item}")
        severity = self._severity()
        condition = self._condition()
        options = Options(
            by=self._names("by", "a dimension", self._dimensions()),
            where=self._where(),
            min_events=int(self._number("min_events", 1, 1_000_000, MIN_EVENTS, whole=True)),
            confidence=self._number("confidence", 0.0, 0.999999, CONFIDENCE),
            resolve=None if condition is None else self._resolve(condition),
        )
        channels = self._channels()
        resolve_after = self._duration("resolve_after")
        labels, enabled = self._labels(), self._flag("enabled", True)
        no_data, during = self._no_data(), self._during()
        owner, summary = self._text("owner"), self._text("summary")
        runbook = self._text("runbook") or _shipped_runbook(self._name)
        if condition is None:
            return None
        compiler = Compiler(self._signals, self._bucket_ms, options, self._refuse)
        verdict = compiler.compile(condition)
        if verdict is None or severity is None:
            return None
        levels = self._levels(condition, severity, compiler, options)
        return Rule(
            pack=self._pack,
            name=self._name,
            condition=condition,
            severity=severity,
            channels=SEVERITIES[severity].channels if channels is None else channels,
            by=compiler.by,
            parts=tuple(compiler.parts),
            verdict=verdict,
            version=self._version(),
            min_events=options.min_events,
            confidence=options.confidence,
            resolve=None if options.resolve is None else f"{options.resolve.comparison} {options.resolve.value}",
            resolve_after_ms=resolve_after,
            levels=levels,
            no_data=no_data or ("hold" if compiler.parts[0].signal.aggregate in COUNTED else "alert"),
            during=during,
            labels=labels,
            owner=owner,
            summary=summary,
            runbook=runbook,
            enabled=enabled,
            file=document.file,
            line=self._key.start_mark.line + 1,
        )

    # --- condition ----------------------------------------------------------------------------------------------------

    def _refuse(self, item: str, place: int | str, text: str, near: str | None) -> None:
        node = self._items[item][1]
        if isinstance(place, int):
            self._document.wrong_in(node, place, text, near)
        elif isinstance(node, MappingNode):
            self._document.wrong(self._document.items(node, "")[place][0], text, near)
        else:
            named = (one for one in self._document.each(node) if isinstance(one, ScalarNode) and one.value == place)
            self._document.wrong(next(named, node), text, near)

    def _condition(self) -> Condition | None:
        text = self._text("condition")
        if text is None:
            return None
        try:
            return parse(text)
        except ConditionError as error:
            self._refuse("condition", error.column, error.text, error.near)
            return None

    def _resolve(self, condition: Condition) -> Test | None:
        if "resolve" not in self._items:
            return None
        node = self._items["resolve"][1]
        if not isinstance(condition, Test):
            self._document.wrong(node, "'resolve' is a threshold of a single comparison; this condition has several")
            return None
        if not isinstance(node, ScalarNode):
            self._document.wrong(node, f"expected a threshold such as 3%, got {shown(node)}")
            return None
        try:
            return parse_threshold(str(node.value), condition)
        except ConditionError as error:
            self._document.wrong_in(node, error.column, error.text, error.near)
            return None

    def _levels(self, condition: Condition, severity: SeverityName, whole: Compiler, options: Options) -> tuple[Level, ...]:
        """The further thresholds, each with its severity; each worse one is further out."""
        node = self._at("levels")
        if node is None:
            return ()
        items = self._document.items(node, "severities with their thresholds")
        signal = self._signals.get(condition.signal) if isinstance(condition, Test) else None
        learned = signal is not None and signal.aggregate == "daily"
        if not isinstance(condition, Test) or isinstance(condition.value, OfBaseline) or learned:
            self._document.wrong(node, "'levels' are thresholds of a single comparison; this condition is another")
            return ()
        found: list[Level] = []
        order = list(SEVERITIES)
        for name, (key, value) in sorted(items.items(), key=lambda item: _order(order, item[0])):
            if name not in order or order.index(name) >= order.index(severity):
                worse = order[: order.index(severity)]
                text = f"expected a severity above {severity} ({', '.join(worse) or 'there is none'}), got {quoted(name)}"
                self._document.wrong(key, text, nearest(name, worse))
                continue
            level = self._level(order[order.index(name)], value, condition, options)
            if level is not None:
                found.append(level)
        thresholds = [level.test.value.number for level in found if isinstance(level.test.value, Quantity)]
        assert isinstance(condition.value, Quantity)
        ladder = [*thresholds, condition.value.number]
        upward = condition.comparison in UPWARD
        if any((worse <= milder) if upward else (worse >= milder) for worse, milder in pairwise(ladder)):
            self._document.wrong(node, "each worse severity needs a threshold that is further out")
            return ()
        return tuple(found)

    def _level(self, severity: SeverityName, node: Node, condition: Test, options: Options) -> Level | None:
        if not isinstance(node, ScalarNode):
            self._document.wrong(node, f"expected a threshold such as 10%, got {shown(node)}")
            return None
        lead = f"{condition.comparison} "  # a level is crossed in the same direction
        try:
            test = parse_threshold(lead + str(node.value), condition)
        except ConditionError as error:
            self._document.wrong_in(node, max(error.column - len(lead), 1), error.text, error.near)
            return None

        def refuse(key: str, place: int | str, text: str, near: str | None) -> None:
            self._document.wrong_in(node, max(place - len(lead), 1) if isinstance(place, int) else 1, text, near)

        verdict = Compiler(self._signals, self._bucket_ms, replace(options, resolve=None), refuse).compile(test)
        return None if verdict is None else Level(severity, test, verdict)

    def _no_data(self) -> NoData | None:
        node = self._at("no_data")
        text = None if node is None else self._document.text(node, "ok, zero, alert or hold")
        for choice in NO_DATA:
            if text == choice:
                return choice
        if node is not None and text is not None:
            self._document.wrong(node, f"expected ok, zero, alert or hold, got {quoted(text)}", nearest(text, NO_DATA))
        return None

    def _during(self) -> Schedule | None:
        node = self._at("during")
        text = None if node is None else self._document.text(node, "a schedule such as business hours")
        if node is None or text is None:
            return None
        try:
            return schedule(text)
        except ScheduleError as error:
            self._document.wrong(node, str(error))
            return None

    # --- the other keys -----------------------------------------------------------------------------------------------

    def _at(self, item: str) -> Node | None:
        return self._items[item][1] if item in self._items else None

    def _text(self, item: str) -> str | None:
        node = self._at(item)
        return None if node is None else self._document.text(node, f"a text for {item}")

    def _flag(self, item: str, default: bool) -> bool:
        node = self._at(item)
        found = default if node is None else self._document.flag(node)
        return default if found is None else found

    def _number(self, item: str, low: float, high: float, default: float, *, whole: bool = False) -> float:
        node = self._at(item)
        if node is None:
            return default
        what = f"a {'whole ' if whole else ''}number for {item}"
        found = self._document.number(node, what, low, high, whole=whole)
        return default if found is None else found

    def _duration(self, item: str) -> int:
        node = self._at(item)
        text = None if node is None else self._document.text(node, f"a time such as 5 minutes for {item}")
        if node is None or text is None:
            return 0
        try:
            return parse_duration(text)
        except ConditionError as error:
            self._document.wrong_in(node, error.column, error.text, error.near)
            return 0

    def _severity(self) -> SeverityName | None:
        node = self._at("severity")
        text = None if node is None else self._document.text(node, "a severity")
        for name, severity in SEVERITIES.items():
            if text == name:
                return name
            if node is not None and text is not None and text.upper() == severity.level:
                self._document.wrong(node, f"no severity {quoted(text)}; there are {', '.join(SEVERITIES)}", name)
                return None
        if node is not None and text is not None:
            near = nearest(text, SEVERITIES)
            self._document.wrong(node, f"no severity {quoted(text)}; there are {', '.join(SEVERITIES)}", near)
        return None

    def _channels(self) -> tuple[str, ...] | None:
        node = self._at("notification")
        if isinstance(node, SequenceNode) and not node.value:
            self._document.wrong(node, "name a channel, or leave it out to have those of the severity")
        return self._names("notification", "a channel", CHANNELS)

    def _names(self, item: str, what: str, known: Iterable[str]) -> tuple[str, ...] | None:
        node = self._at(item)
        return None if node is None else self._document.names(node, what, known)

    def _dimensions(self) -> list[str]:
        return list(dict.fromkeys(name for table in TABLES.values() for name in table.dimensions))

    def _where(self) -> tuple[Match, ...]:
        node = self._at("where")
        if node is None:
            return ()
        matches = []
        known = self._dimensions()
        for dimension, (key, value) in self._document.items(node, "dimensions with their values").items():
            one = plain(value)
            if dimension not in known:
                self._document.wrong(key, f"no dimension {quoted(dimension)}", nearest(dimension, known))
            elif not isinstance(one, str | bool | int):
                self._document.wrong(value, f"expected a value of {dimension}, got {shown(value)}")
            elif not isinstance(one, str) or self._document.text(value, f"a value of {dimension}") is not None:
                matches.append(Match(dimension, one))
        return tuple(matches)

    def _labels(self) -> dict[str, str]:
        node = self._at("labels")
        if node is None:
            return {}
        items = self._document.items(node, "labels with their texts").items()
        return {name: self._document.text(value, "a text") or "" for name, (_, value) in items}

    def _inhibitors(self) -> list[tuple[Node, str]]:
        node = self._at("inhibited_by")
        found = []
        for item in () if node is None else self._document.each(node):
            text = self._document.text(item, "the name of a rule")
            if text is not None:
                found.append((item, text))
        return found

    def _version(self) -> str:
        text = repr(sorted((item, _canonical(value)) for item, (_, value) in self._items.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _shipped_runbook(name: str) -> str | None:
    page = f"{name}.md"
    return (RUNBOOKS / page).as_posix() if name.isidentifier() and (PACKED / page).is_file() else None


def _canonical(node: Node) -> object:
    """What a node says, however it is laid out."""
    if isinstance(node, MappingNode):
        return sorted(repr((_canonical(key), _canonical(value))) for key, value in node.value)
    if isinstance(node, SequenceNode):
        return [_canonical(item) for item in node.value]
    return (node.tag, node.value)
