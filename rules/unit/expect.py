"""What must be told, and when: `at 63s: provider_down fires for ikhokha`, `until 60s: nothing`, `by 120s: resolved`.

Times are those at which somebody is told, counted from the begin of the test. `at T`: a second sooner or later; `by T`: at T
or sooner; `until T`: before T; `from A to B`: in that time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rules.unit.series import NotationError, moment
from runtime.suggest import nearest, quoted
from schemas.severity import SEVERITIES

GIVE_MS = 1_000
"""How far from T `at T` may be."""
_WHEN = re.compile(r"(?:(at|by|until)\s+(\S+?)|from\s+(\S+)\s+to\s+(\S+?))\s*:\s*(.+)", re.DOTALL)
_WHAT = re.compile(
    r"(?P<rule>\w+)\s+(?P<verb>fires|resolves|rises|falls|is\s+silent|is\s+inhibited|is\s+retracted)"
    r"(?:\s+by\s+(?P<inhibitor>\w+))?(?:\s+to\s+(?P<to>\w+))?(?:\s+for\s+(?P<group>[^\"]+?))?"
    r"(?:\s+as\s+(?P<severity>\w+))?(?:\s+saying\s+\"(?P<words>[^\"]+)\")?"
)
_KINDS = {
    "fires": "firing", "resolves": "resolved", "rises": "updated", "falls": "updated", "is silent": "no_data",
    "is inhibited": "firing", "is retracted": "retracted",
}  # fmt: skip
FORMS = "'RULE fires', 'RULE resolves', 'RULE rises to SEVERITY', 'RULE is inhibited', 'nothing', 'no RULE' or 'resolved'"


@dataclass(frozen=True, slots=True)
class Told:
    """One alert as it was told, `ms` after the begin of the test. inhibitor: name of the rule that says it already."""

    ms: int
    rule: str
    transition: str
    group: tuple[str, ...]
    severity: str
    inhibitor: str | None
    status: str
    summary: str

    def __str__(self) -> str:
        about = f" for {', '.join(self.group)}" if self.group else ""
        silenced = f", inhibited by {self.inhibitor}" if self.inhibitor else ""
        return f"{shown(self.ms):>8}  {self.rule} {self.transition}{about} ({self.severity}{silenced}): {self.summary}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of `expect`, for the time from `start_ms` up to `end_ms`."""

    text: str
    start_ms: int
    end_ms: int
    kind: str
    """`told`, `nothing` or `resolved`."""
    rule: str | None = None
    transition: str | None = None
    inhibited: bool = False
    inhibitor: str | None = None
    severity: str | None = None
    group: tuple[str, ...] = ()
    words: str | None = None

    def unmet(self, told: Sequence[Told]) -> str | None:
        """Why it is not so, None where it is. `told`: of the rules under test."""
        if self.kind == "nothing":
            wrong = [
                one
                for one in told
                if self.start_ms <= one.ms < self.end_ms and self.rule in (None, one.rule) and _pages(one)
            ]
            return f"told at {shown(wrong[0].ms)}: {wrong[0].rule} {wrong[0].transition}" if wrong else None
        if self.kind == "resolved":
            last = {(one.rule, one.group): one for one in told if one.ms <= self.end_ms}
            wrong = [one for one in last.values() if one.status in ("firing", "no_data")]
            if not last:
                return "nothing was told at all"
            return f"{wrong[0].rule} goes on since {shown(wrong[0].ms)}" if wrong else None
        if any(self.start_ms <= one.ms <= self.end_ms and self._is(one) for one in told):
            return None
        near = [one for one in told if self._is(one)]
        alike = [one for one in told if one.rule == self.rule]
        if near:
            return f"told at {', '.join(shown(one.ms) for one in near)}"
        return f"of {self.rule} something else was told" if alike else f"{self.rule} was never told"

    def _is(self, one: Told) -> bool:
        return (
            one.rule == self.rule
            and one.transition == self.transition
            and (self.transition not in ("firing", "no_data") or (one.inhibitor is not None) == self.inhibited)
            and self.inhibitor in (None, one.inhibitor)
            and self.severity in (None, one.severity)
            and (not self.group or self.group == one.group)
            and (self.words is None or self.words in one.summary)
        )


def _pages(one: Told) -> bool:
    return one.inhibitor is None and one.transition in ("firing", "no_data", "updated")


def shown(ms: int) -> str:
    """`63.25s`."""
    return f"{ms / 1000:g}s"


def expectation(text: str, known: Iterable[str]) -> Expectation:
    """Reads one line. `known`: names of the rules under test. Raises NotationError."""
    when = _WHEN.fullmatch(text.strip())
    if when is None:
        raise NotationError(f"expected 'at T: …', 'by T: …', 'until T: …' or 'from A to B: …', got {quoted(text)}")
    word, what = when[1], " ".join(when[5].split())
    if word is None:
        start, end = moment(when[3]), moment(when[4])
    else:
        at = moment(when[2])
        start, end = (max(at - GIVE_MS, 0), at + GIVE_MS) if word == "at" else (0, at)
    if what == "resolved":
        return Expectation(text, start, end, "resolved")
    if what == "nothing":
        return Expectation(text, start, end, "nothing")
    if what.startswith("no "):
        return Expectation(text, start, end, "nothing", rule=_rule(what[3:], known))
    if word == "until":
        raise NotationError(f"until a time there is 'nothing', or 'no RULE': {quoted(text)}")
    found = _WHAT.fullmatch(what)
    if found is None:
        raise NotationError(f"expected {FORMS}, got {quoted(what)}")
    severity = found["severity"] or found["to"]
    if severity is not None and severity not in SEVERITIES:
        raise NotationError(f"no severity {quoted(severity)}; there are {', '.join(SEVERITIES)}")
    return Expectation(
        text,
        start,
        end,
        "told",
        rule=_rule(found["rule"], known),
        transition=_KINDS[found["verb"]],
        inhibited=found["verb"] == "is inhibited",
        inhibitor=found["inhibitor"],
        severity=severity,
        group=tuple(part.strip() for part in found["group"].split(",")) if found["group"] else (),
        words=found["words"],
    )


def _rule(name: str, known: Iterable[str]) -> str:
    names = list(known)
    if name in names:
        return name
    near = nearest(name, names)
    raise NotationError(f"no rule {quoted(name)} in this pack" + (f" (did you mean {near}?)" if near else ""))
