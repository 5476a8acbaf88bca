"""Rule packs: from YAML files to rules, and to what is wrong with them. One bad rule never keeps the others from running."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from yaml.nodes import Node, ScalarNode

from rules.compile import Compiler, Options
from rules.condition import Condition, ConditionError, Match, Test, nearest, parse, parse_duration, parse_threshold
from rules.document import Document, Problem, plain
from rules.rule import CONFIDENCE, MIN_EVENTS, Name, Rule
from rules.signals import Signal, shipped
from schemas.severity import CHANNELS, SEVERITIES, SeverityName
from schemas.tables import TABLES

PACKS = Path(__file__).with_name("packs")
"""The packs that ship."""
KEYS = (
    "condition", "severity", "notification", "by", "where", "min_events", "confidence", "resolve", "resolve_after",
    "inhibited_by", "labels", "owner", "summary", "runbook", "enabled",
)  # fmt: skip
BUCKET_MS = 5_000


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of some packs, and what is wrong with those that are not among them."""

    rules: tuple[Rule, ...] = ()
    problems: tuple[Problem, ...] = ()


class Unreadable(OSError):
    """A file or folder of packs that cannot be read; the text says which and why."""


def load(paths: Iterable[Path] | None = None, bucket_ms: int = BUCKET_MS) -> RuleSet:
    """The rules of these files, and of the `*.yaml` of these folders; of the packs that ship where None are given.

    Raises Unreadable.
    """
    texts: list[tuple[str, str]] = []
    for path in [PACKS] if paths is None else paths:
        for file in _files(path):
            try:
                texts.append((str(file), file.read_text(encoding="utf-8")))
            except (OSError, UnicodeDecodeError) as error:
                raise Unreadable(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    return read(texts, bucket_ms)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.glob("*.yaml") if not file.name.startswith("."))
        if not found:
            raise Unreadable(f"{path}: no *.yaml in this folder")
        return found
    return [path]


def read(texts: Iterable[tuple[str, str]], bucket_ms: int = BUCKET_MS) -> RuleSet:
    """The rules of texts of packs, each with the name of its file."""
    reader = _Reader(shipped(), bucket_ms)
    for file, text in texts:
        reader.read(Document(file, text))
    return reader.finish()


@dataclass(slots=True)
class _Draft:
    """A rule as it stands, before its names of other rules are looked up."""

    rule: Rule
    document: Document
    inhibitors: list[tuple[Node, str]]


class _Reader:
    def __init__(self, signals: Mapping[str, Signal], bucket_ms: int) -> None:
        self._signals, self._bucket_ms = signals, bucket_ms
        self._drafts: dict[Name, _Draft] = {}
        self._names: dict[Name, str] = {}
        self._documents: list[Document] = []

    def read(self, document: Document) -> None:
        self._documents.append(document)
        if document.root is None:
            if not document.problems:
                document.problems.append(Problem(document.file, 1, 1, "expected packs of rules, got nothing"))
            return
        for pack, (_, value) in document.items(document.root, "packs of rules by name").items():
            for name, (key, node) in document.items(value, f"the rules of {pack} by name").items():
                if (pack, name) in self._names:
                    document.wrong(key, f"{pack}/{name} is in {self._names[pack, name]} already")
                    continue
                self._names[pack, name] = document.file
                before = len(document.problems)
                draft = _Builder(document, self._signals, self._bucket_ms, pack, name, key, node).build()
                if draft is not None and len(document.problems) == before:
                    self._drafts[pack, name] = draft

    def finish(self) -> RuleSet:
        """Looks up the inhibitors and leaves out what refers to nothing, or to itself in the end."""
        edges: dict[Name, list[Name]] = {}
        for full, draft in list(self._drafts.items()):
            found = [self._inhibitor(draft, node, text) for node, text in draft.inhibitors]
            if None in found:
                del self._drafts[full]
            else:
                edges[full] = [name for name in found if name is not None]
        for full, draft in list(self._drafts.items()):
            for (node, text), target in zip(draft.inhibitors, edges[full], strict=True):
                if _reaches(edges, target, full) and self._closes(edges, full, target):
                    draft.document.wrong(node, f"cyclic inhibition: {text} is itself inhibited by {'/'.join(full)}")
                    self._drafts.pop(full, None)
        rules = [
            _with_inhibitors(draft.rule, tuple(name for name in edges[full] if name in self._drafts))
            for full, draft in self._drafts.items()
        ]
        problems = sorted(problem for document in self._documents for problem in document.problems)
        return RuleSet(tuple(_inhibitors_first(rules)), tuple(problems))

    def _closes(self, edges: Mapping[Name, list[Name]], full: Name, target: Name) -> bool:
        """Whether this edge, of those that make a cycle, is the last one in the order of the files."""
        order = list(self._names)
        cycle = [name for name in edges if _reaches(edges, full, name) and _reaches(edges, name, full)]
        return full == max(cycle, key=order.index)

    def _inhibitor(self, draft: _Draft, node: Node, text: str) -> Name | None:
        pack, _, name = text.rpartition("/")
        if pack:
            found = [full for full in self._names if full == (pack, name)]
        else:
            found = [full for full in self._names if full[1] == name]
            own = (draft.rule.pack, name)
            found = [own] if own in found else found
        if len(found) == 1:
            return found[0]
        names = {full[1] for full in self._names} | {"/".join(full) for full in self._names}
        if found:
            packs = " and ".join(sorted(full[0] for full in found))
            draft.document.wrong(node, f"{name} is a rule of {packs}: write PACK/{name}")
        else:
            draft.document.wrong(node, f"no rule {text!r}", nearest(text, names))
        return None


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
    left, done, ordered = list(rules), set(), []
    while left:
        ready = [rule for rule in left if all(name in done for name in rule.inhibited_by)]
        ordered += ready
        done |= {rule.full_name for rule in ready}
        left = [rule for rule in left if rule.full_name not in done]
        if not ready:
            return ordered + left
    return ordered


def _with_inhibitors(rule: Rule, names: tuple[Name, ...]) -> Rule:
    from dataclasses import replace

    return replace(rule, inhibited_by=names) if names else rule


class _Builder:
    """Reads one rule."""

    def __init__(
        self, document: Document, signals: Mapping[str, Signal], bucket_ms: int, pack: str, name: str, key: Node, node: Node
    ) -> None:
        self._document, self._signals, self._bucket_ms = document, signals, bucket_ms
        self._pack, self._name, self._key, self._node = pack, name, key, node
        self._items: dict[str, tuple[Node, Node]] = {}

    def build(self) -> _Draft | None:
        document = self._document
        before = len(document.problems)
        self._items = document.items(self._node, f"what {self._name} is")
        if not self._items and len(document.problems) > before:
            return None
        for item, (key, _) in self._items.items():
            if item not in KEYS:
                document.wrong(key, f"a rule has no {item!r}; it has {', '.join(KEYS)}", nearest(item, KEYS))
        for item in ("condition", "severity"):
            if item not in self._items:
                document.wrong(self._key, f"{self._name} has no {item}")
        severity = self._choice("severity", tuple(SEVERITIES))
        condition = self._condition()
        inhibitors = self._inhibitors()
        options = Options(
            by=self._names("by", "dimension", self._dimensions()),
            where=self._where(),
            min_events=int(self._number("min_events", 1, 1_000_000, MIN_EVENTS, whole=True)),
            confidence=self._number("confidence", 0.0, 0.999999, CONFIDENCE),
            resolve=None,
        )
        if condition is None or severity is None:
            return None
        resolve = self._resolve(condition)
        compiler = Compiler(
            self._signals,
            self._bucket_ms,
            Options(options.by, options.where, options.min_events, options.confidence, resolve),
            self._refuse,
        )
        verdict = compiler.compile(condition)
        if verdict is None:
            return None
        channels = self._names("notification", "channel", CHANNELS)
        rule = Rule(
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
            resolve=None if resolve is None else str(resolve.value),
            resolve_after_ms=self._duration("resolve_after"),
            labels=self._labels(),
            owner=self._text("owner"),
            summary=self._text("summary"),
            runbook=self._text("runbook"),
            enabled=self._flag("enabled", True),
            file=document.file,
            line=self._key.start_mark.line + 1,
        )
        return _Draft(rule, document, inhibitors)

    # --- condition ----------------------------------------------------------------------------------------------------

    def _refuse(self, column: int, text: str, near: str | None) -> None:
        self._document.wrong_in(self._items["condition"][1], column, text, near)

    def _condition(self) -> Condition | None:
        text = self._text("condition")
        if text is None:
            return None
        try:
            return parse(text)
        except ConditionError as error:
            self._refuse(error.column, error.text, error.near)
            return None

    def _resolve(self, condition: Condition) -> Test | None:
        if "resolve" not in self._items:
            return None
        node = self._items["resolve"][1]
        if not isinstance(condition, Test):
            self._document.wrong(node, "'resolve' is a threshold of a single comparison; this condition has several")
            return None
        if not isinstance(node, ScalarNode):
            self._document.wrong(node, "expected a threshold such as 3%")
            return None
        try:
            return parse_threshold(str(node.value), condition)
        except ConditionError as error:
            self._document.wrong_in(node, error.column, error.text, error.near)
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
        if whole and isinstance(plain(node), float):
            self._document.wrong(node, f"expected a whole number for {item}")
            return default
        found = self._document.number(node, f"a number for {item}", low, high)
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

    def _choice(self, item: str, choices: tuple[SeverityName, ...]) -> SeverityName | None:
        node = self._at(item)
        if node is None:
            return None
        text = self._document.text(node, f"a {item}")
        for choice in choices:
            if text == choice:
                return choice
        if text is not None:
            text_of = f"no {item} {text!r}; there are {', '.join(choices)}"
            self._document.wrong(node, text_of, nearest(text, choices))
        return None

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
            if dimension not in known:
                self._document.wrong(key, f"no dimension {dimension!r}", nearest(dimension, known))
            elif not isinstance(value, ScalarNode) or not isinstance(plain(value), str | bool | int):
                self._document.wrong(value, f"expected a value of {dimension}")
            else:
                matches.append(Match(dimension, plain(value), 1))
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
        return hashlib.sha256(_canonical(self._node).encode()).hexdigest()[:12]


def _canonical(node: Node) -> str:
    """What a node says, however it is laid out."""
    if isinstance(node, ScalarNode):
        return f"{node.tag}:{node.value!r}"
    parts: Callable[[object], str] = lambda item: (  # noqa: E731
        f"{_canonical(item[0])}={_canonical(item[1])}" if isinstance(item, tuple) else _canonical(item)  # type: ignore[arg-type]
    )
    return f"[{','.join(parts(item) for item in node.value)}]"
