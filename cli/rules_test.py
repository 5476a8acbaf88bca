"""`tillwatch rules test`: the unit tests beside rule packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.terminal import FAILED, USAGE, fail, note, print_json, say

if TYPE_CHECKING:
    from rules.document import Problem
    from rules.unit.case import Outcome


def test(paths: list[Path], as_json: bool) -> int:
    """Runs the tests of these paths; of the rules in force where none are given."""
    from rules.loader import PACKS, Unreadable
    from rules.unit.case import find, read, report, run

    outcomes: list[Outcome] = []
    problems: list[Problem] = []
    try:
        for file in find(paths or [installation.settings().rules or PACKS]):
            cases, wrong = read(file)
            problems += wrong
            for case in cases:
                outcome = run(case)
                outcomes.append(outcome)
                if outcome.failures and not as_json:
                    for line in report(outcome):
                        say(line)
    except Unreadable as error:
        fail(str(error), USAGE)
    failed = sum(1 for outcome in outcomes if outcome.failures)
    if as_json:
        print_json({"tests": [_as_json(one) for one in outcomes], "errors": [str(problem) for problem in problems]})
    else:
        for problem in problems:
            say(str(problem))
    words = f"{len(outcomes)} {'test' if len(outcomes) == 1 else 'tests'}, {failed} failed"
    if problems:
        words += f", {len(problems)} {'error' if len(problems) == 1 else 'errors'}"
    note(words, style="red" if failed or problems else "green")
    return FAILED if failed or problems else 0


def _as_json(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    return {
        "file": case.file,
        "line": case.line,
        "test": case.name,
        "passed": not outcome.failures,
        "failures": [{"line": one.line, "expected": one.expected, "why": one.why} for one in outcome.failures],
        "told": [
            {
                "at_s": one.ms / 1000,
                "rule": one.rule,
                "transition": one.transition,
                "group": list(one.group),
                "severity": one.severity,
                "inhibited_by": one.inhibitor,
                "summary": one.summary,
            }
            for one in outcome.told
        ],
    }
