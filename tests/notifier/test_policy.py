"""The table of docs/notifier.md is the policy that ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notifier.policy import POLICY
from schemas.severity import SEVERITIES, SeverityName

DOC = (Path(__file__).parents[2] / "docs" / "notifier.md").read_text()


def words(seconds: int | None) -> str:
    if seconds is None:
        return "business day"
    return f"{seconds // 60} min" if seconds < 3_600 or seconds % 3_600 else f"{seconds // 3_600} h"


@pytest.mark.parametrize("name", SEVERITIES)
def test_every_row_is_as_documented(name: SeverityName) -> None:
    row = re.search(rf"^\| {SEVERITIES[name].level} {name} \| (.*) \|$", DOC, re.MULTILINE)
    assert row is not None, f"docs/notifier.md has no row for {name}"
    policy = POLICY.severities[name]
    by, total = [], 0
    for step in policy.steps:
        if step.within_s is None:
            by.append("business day")
        else:
            total += step.within_s
            by.append(words(total))
    by += ["—"] * (4 - len(by))
    assert row[1].split(" | ") == [", ".join(policy.channels), *by, words(policy.quiet_s)]


def test_the_primary_has_the_time_that_the_severity_says() -> None:
    for name, severity in SEVERITIES.items():
        assert POLICY.severities[name].steps[0].within_s == severity.answer_within_s
        assert POLICY.severities[name].channels == severity.channels
