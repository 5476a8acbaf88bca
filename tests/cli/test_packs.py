"""Rule packs on the command line: lint, explain, setup alerts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import checks
from rules.loader import PACKS, load
from runtime.settings import load_settings
from tests.cli.conftest import Run
from tests.support.packs import GOOD

SHIPPED = sorted(pack.name for pack in PACKS.glob("*.yaml"))
BAD = "p:\n  bad: {condition: 'payment_failur_rate > 5% for 5 minutes', severity: high}\n"


# --- lint -------------------------------------------------------------------------------------------------------------


def test_what_is_clean_ends_with_zero(run: Run, folder: Path) -> None:
    (folder / "good.yaml").write_text(f"p:\n  good: {GOOD}\n")
    result = run("rules", "lint", "good.yaml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 rule, no errors\n"


def test_all_errors_of_all_files_are_printed(run: Run, folder: Path) -> None:
    (folder / "a.yaml").write_text(BAD + f"  good: {GOOD}\n")
    (folder / "b.yaml").write_text("q:\n  none: {severity: hihg}\n")
    result = run("rules", "lint", "b.yaml", "a.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "a.yaml:2:21: error: no signal 'payment_failur_rate' (did you mean payment_failure_rate?)",
        "b.yaml:2:3: error: none has no condition",
        "b.yaml:2:20: error: no severity 'hihg'; there are critical, high, medium, low (did you mean high?)",
    ]
    assert result.stderr == "3 errors; 1 rule is fine\n"


def test_a_folder_is_all_packs_in_it(run: Run, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "a.yaml").write_text(BAD)
    result = run("rules", "lint", "mine")
    assert result.exit_code == 1
    assert result.stdout.startswith("mine/a.yaml:2:21: error: ")


@pytest.mark.parametrize("number", [100, 1234])
def test_a_line_number_stays_a_number(run: Run, folder: Path, number: int) -> None:
    (folder / "[a].yaml").write_text("\n" * (number - 1) + "p: {':100:': {severity: high}}\n")
    result = run("rules", "lint", "[a].yaml")
    assert result.stdout == f"[a].yaml:{number}:5: error: :100: has no condition\n"


@pytest.mark.parametrize("path", ["no.yaml", "empty"])
def test_a_path_that_cannot_be_read_is_a_usage_error(run: Run, folder: Path, path: str) -> None:
    (folder / "empty").mkdir()
    (folder / "good.yaml").write_text(f"p:\n  good: {GOOD}\n")
    result = run("rules", "lint", "good.yaml", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {path}: ")


def test_no_path_is_a_usage_error(run: Run) -> None:
    assert run("rules", "lint").exit_code == 2


def test_signals_of_ones_own_are_known_and_checked(run: Run, folder: Path) -> None:
    (folder / "signals.yaml").write_text("mine: {title: x, table: payments, aggregate: count, unit: count}\n")
    (folder / "a.yaml").write_text("p:\n  r: {condition: mine > 1 in 5 minutes, severity: high}\n")
    assert run("rules", "lint", "a.yaml").exit_code == 0
    (folder / "signals.yaml").write_text("mine: {title: x, table: payments, aggregate: count, unit: s}\n")
    result = run("rules", "lint", ".")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "a.yaml:2:18: error: the signal mine is itself wrong",
        "signals.yaml:1:59: error: the unit of a count is count, not s (did you mean count?)",
    ]


# --- explain ----------------------------------------------------------------------------------------------------------


def test_a_rule_is_explained_in_a_sentence(run: Run) -> None:
    result = run("rules", "explain", "security_breach")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "security_alerts/security_breach",
        "  Fires (critical) as soon as there is one security violation.",
        "  Resolves when 5 minutes have passed without another.",
        "  security_violations: number of events in security with kind security.violated.",
        "  Tells: phone, email, slack, webhook.",
    ]


def test_all_rules_are_explained_or_those_of_a_pack(run: Run) -> None:
    assert run("rules", "explain").stdout.count("Fires (") == len(load().rules)
    assert run("rules", "explain", "security_alerts").stdout.count("Fires (") == 3
    assert run("rules", "explain", "security_alerts/security_breach").stdout.count("Fires (") == 1


def test_programs_get_json(run: Run) -> None:
    (found,) = json.loads(run("rules", "explain", "provider_down", "--json").stdout)
    assert found["pack"] == "payment_outage_alerts" and found["by"] == ["provider"] and found["severity"] == "critical"
    assert found["explanation"].startswith("Fires (critical) when more than 50 %")
    assert found["resolves"].startswith("Resolves when")


def test_an_unknown_rule_is_a_usage_error_that_names_the_nearest(run: Run) -> None:
    result = run("rules", "explain", "securty_breach")
    assert result.exit_code == 2
    assert "no rule or pack 'securty_breach' (did you mean security_breach?)" in result.stderr


def test_with_a_folder_of_rules_the_good_ones_are_in_force_and_errors_are_told(run: Run, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "a.yaml").write_text(BAD + f"  good: {GOOD}\n")
    (folder / "mine" / "notes.yml").write_text("not a pack")
    result = run("rules", "explain", TILLWATCH_RULES="mine")
    assert result.exit_code == 0
    assert result.stdout.startswith("p/good\n") and result.stdout.count("Fires (") == 1
    assert result.stderr.startswith("mine/a.yaml:2:21: error: no signal")


def test_the_check_of_the_settings_tells_the_first_error(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "a.yaml").write_text(BAD)
    (finding,) = checks.of_rules(load_settings(rules=folder / "mine"))
    assert finding.state == checks.WRONG and "did you mean payment_failure_rate?" in finding.text


# --- setup alerts -----------------------------------------------------------------------------------------------------


def test_the_shipped_packs_are_copied_and_checked(run: Run, folder: Path) -> None:
    result = run("setup", "alerts", "new/rules")
    assert result.exit_code == 0
    assert sorted(path.name for path in (folder / "new/rules").iterdir()) == SHIPPED
    assert result.stdout.splitlines() == [f"written  new/rules/{name}" for name in SHIPPED]
    assert f"{len(load().rules)} rules, no errors" in result.stderr
    assert "TILLWATCH_RULES=new/rules" in result.stderr


def test_a_changed_pack_is_kept_unless_forced(run: Run, folder: Path) -> None:
    run("setup", "alerts", "rules")
    mine = folder / "rules" / "tillwatch_alerts.yaml"
    mine.write_text(f"p:\n  good: {GOOD}\n")
    kept = run("setup", "alerts", "rules")
    assert kept.exit_code == 0
    assert kept.stdout.splitlines() == [
        f"kept     rules/{name} (not what ships; --force replaces it)" if name == mine.name else f"same     rules/{name}"
        for name in SHIPPED
    ]
    assert "good" in mine.read_text()
    forced = run("setup", "alerts", "rules", "--force")
    assert f"replaced rules/{mine.name}" in forced.stdout.splitlines()
    assert mine.read_bytes() == (PACKS / mine.name).read_bytes()


def test_packs_of_ones_own_are_checked_too(run: Run, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "a.yaml").write_text(BAD)
    result = run("setup", "alerts", "mine")
    assert result.exit_code == 1
    assert "mine/a.yaml:2:21: error: no signal" in result.stdout
    assert f"1 error; {len(load().rules)} rules are fine" in result.stderr
    assert (folder / "mine" / "a.yaml").read_text() == BAD


def test_the_folder_is_that_of_the_settings_unless_said(run: Run, folder: Path) -> None:
    result = run("setup", "alerts", TILLWATCH_RULES="mine")
    assert result.exit_code == 0
    assert sorted(path.name for path in (folder / "mine").iterdir()) == SHIPPED
    assert "workers use this folder" not in result.stderr


def test_without_a_folder_it_asks_for_one(run: Run) -> None:
    result = run("setup", "alerts")
    assert result.exit_code == 2
    assert "into which folder?" in result.stderr


def test_a_file_is_no_folder(run: Run, folder: Path) -> None:
    (folder / "mine").write_text("x")
    result = run("setup", "alerts", "mine")
    assert result.exit_code == 2
    assert "mine is not a folder" in result.stderr
