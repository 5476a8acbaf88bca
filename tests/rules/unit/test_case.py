"""Tests of rules: those that ship pass, those that should fail do, and both say why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from rules.loader import PACKS, TESTS, load
from rules.unit.case import find, read, report, run
from rules.unit.expect import Told, expectation
from rules.unit.series import NotationError

DOCS = Path(__file__).parents[3] / "docs" / "rules.md"
PACK = """
examples:
  down: {condition: "payment_failure_rate > 50% over 10 seconds", by: [provider], severity: critical}
  breach: {condition: "security_violations > 0", severity: high}
"""
SERIES = "  series:\n    payments: ozow succeeded 2/s from 0s to 30s; ozow failed 5/s from 30s to 60s\n"


def written(folder: Path, expect: str, series: str = SERIES) -> Path:
    (folder / "mine.yaml").write_text(PACK)
    file = folder / "mine.test.yaml"
    file.write_text(f"a test:\n{series}  expect:\n{expect}")
    return file


def outcome(folder: Path, *lines: str) -> list[str]:
    """Why each line that is not met is not."""
    (case,), problems = read(written(folder, "".join(f"    - '{line}'\n" for line in lines)))
    assert problems == []
    return [failure.why for failure in run(case).failures]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", sorted(PACKS.glob(f"*{TESTS}")), ids=lambda file: file.name)
def test_the_tests_that_ship_pass(file: Path) -> None:
    cases, problems = read(file)
    assert problems == [] and cases
    for case in cases:
        found = run(case)
        assert not found.failures, "\n".join(report(found))


def test_every_pack_has_tests_and_each_of_its_rules_is_in_one() -> None:
    """But for what learns, and what no traffic of valid events brings about."""
    for rule in load().rules:
        tests = Path(rule.file).with_name(Path(rule.file).name.removesuffix(".yaml") + TESTS)
        if not rule.baselined and rule.pack != "tillwatch_alerts":
            assert re.search(rf"\b{rule.name}\b", tests.read_text()), rule.name


def test_what_is_so_passes(tmp_path: Path) -> None:
    assert not outcome(
        tmp_path,
        "until 30s: nothing",
        "by 40s: down fires for ozow as critical",
        'by 40s: down fires saying "payments failed in 10 seconds"',
        "from 0s to 60s: no breach",
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("until 60s: nothing", "told at 3"),
        ("until 60s: no down", "told at 3"),
        ("at 20s: down fires", "told at 3"),
        ("by 30s: down fires", "told at 3"),
        ("by 60s: down fires for peach", "of down something else was told"),
        ("by 60s: down fires as high", "of down something else was told"),
        ("by 60s: down is inhibited", "of down something else was told"),
        ("by 60s: breach fires", "breach was never told"),
        ("by 60s: resolved", "down goes on since 3"),
        ("by 20s: resolved", "nothing was told at all"),
    ],
)
def test_what_is_not_so_fails_and_says_why(tmp_path: Path, line: str, why: str) -> None:
    (told,) = outcome(tmp_path, line)
    assert told.startswith(why)


@pytest.mark.parametrize(
    ("expect", "place", "why"),
    [
        ("    - 'at 5s: dwn fires'\n", (5, 7), "no rule 'dwn' in this pack (did you mean down?)"),
        ("    - 'at 5s: down burns'\n", (5, 7), "expected 'RULE fires'"),
        ("    - 'sometime: nothing'\n", (5, 7), "expected 'at T: …'"),
        ("    - 'until 5s: down fires'\n", (5, 7), "until a time there is 'nothing'"),
        ("    - 'at 5s: down fires as bad'\n", (5, 7), "no severity 'bad'"),
        ("    []\n", (1, 1), "a test expects nothing"),
        ("    - 'until 5s: nothing'\n  name: x\n", (6, 3), "a test has no 'name'; it has series, expect"),
    ],
)
def test_a_test_with_errors_says_where(tmp_path: Path, expect: str, place: tuple[int, int], why: str) -> None:
    cases, problems = read(written(tmp_path, expect))
    assert cases == []
    assert [(problem.line, problem.column) for problem in problems] == [place]
    assert problems[0].text.startswith(why)


def test_an_error_in_the_traffic_says_where(tmp_path: Path) -> None:
    series = "  series:\n    payments: succeeded 1/s\n    nowhere: x at 1s\n"
    _, problems = read(written(tmp_path, "    - 'until 5s: nothing'\n", series))
    assert [(problem.line, problem.column) for problem in problems] == [(3, 15), (4, 5)]


def test_an_expectation_needs_a_known_rule() -> None:
    with pytest.raises(NotationError, match="no rule 'x'"):
        expectation("at 5s: x fires", ["y"])


def test_what_pages_nobody_is_nothing() -> None:
    told = Told(5_000, "down", "firing", (), "high", "other", "firing", "x")
    assert expectation("until 9s: nothing", ["down"]).unmet([told]) is None
    assert expectation("by 9s: down is inhibited by other", ["down"]).unmet([told]) is None
    assert expectation("by 9s: down is inhibited by another", ["down"]).unmet([told]) is not None
    assert expectation("by 9s: down fires", ["down"]).unmet([told]) is not None


def test_tests_are_no_packs(tmp_path: Path) -> None:
    written(tmp_path, "    - 'until 5s: nothing'\n")
    assert load([tmp_path]).problems == ()


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_failed_and_exits_with_1(tmp_path: Path) -> None:
    written(tmp_path, "    - 'until 60s: nothing'\n    - 'by 40s: down fires'\n")
    result = CliRunner().invoke(app, ["rules", "test", str(tmp_path)])
    assert result.exit_code == 1
    first, expected, but, *told = result.stdout.splitlines()
    assert first == f"{tmp_path}/mine.test.yaml:1: FAILED: a test"
    assert expected == "  line 5: expected until 60s: nothing" and but.startswith("    but told at 3")
    assert told[0] == "  told:" and "down firing for ozow (critical)" in told[1]
    assert "1 test, 1 failed" in result.stderr


def test_the_command_speaks_json(tmp_path: Path) -> None:
    file = written(tmp_path, "    - 'by 40s: down fires'\n")
    result = CliRunner().invoke(app, ["rules", "test", str(file), "--json"])
    assert result.exit_code == 0
    (test,) = json.loads(result.stdout)["tests"]
    assert test["passed"] and test["told"][0]["rule"] == "down" and 30 < test["told"][0]["at_s"] <= 40


def test_errors_are_told_and_paths_that_are_none(tmp_path: Path) -> None:
    written(tmp_path, "    - 'at 5s: dwn fires'\n")
    result = CliRunner().invoke(app, ["rules", "test", str(tmp_path / "mine.yaml")])
    assert result.exit_code == 1 and "mine.test.yaml:5:7: error: no rule 'dwn'" in result.stdout
    assert CliRunner().invoke(app, ["rules", "test", str(tmp_path / "none")]).exit_code == 2
    (tmp_path / "empty").mkdir()
    assert CliRunner().invoke(app, ["rules", "test", str(tmp_path / "empty")]).exit_code == 2


def test_the_example_of_the_documentation_passes(tmp_path: Path) -> None:
    for name, body in re.findall(r"^```yaml (mine\S*)\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(body)
    (file,) = find([tmp_path])
    (case,), problems = read(file)
    assert problems == []
    assert not run(case).failures
