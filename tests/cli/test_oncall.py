"""tillwatch oncall: who, until when, gaps, errors, and an override that leaves the rest of the file alone."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from cli import checks
from notifier.people.directory import load
from runtime.settings import load_settings
from tests.cli.conftest import Run

TEAMS = """\
# ours
[people.thandi]
name = "Thandi Mokoena"
contacts = {email = "thandi@example.com"}
[people.johan]
contacts = {email = "johan@example.com"}
[teams.payments]
name = "Payments"
default = true
primary = {rotate = ["thandi", "johan"], start = 2026-01-05, handover = "mon 09:00"}
lead = {people = "johan", hours = "mon-fri 08:00-17:00"}
[teams.platform]
primary = "johan"
"""
NOW = 1_768_212_000  # 2026-01-12T10:00:00Z, a Monday


@pytest.fixture(autouse=True)
def teams(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """teams.toml, in force, on a clock that stands."""
    path = folder / "teams.toml"
    path.write_text(TEAMS)
    (folder / "clock").write_text(str(NOW))
    monkeypatch.setenv("TILLWATCH_TEAMS", "teams.toml")
    monkeypatch.setenv("TILLWATCH_CLOCK", "file:clock")
    return path


# --- who --------------------------------------------------------------------------------------------------------------


def test_who_is_on_call_now_until_when_and_who_then(run: Run) -> None:
    done = run("oncall")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        "Mon 12 Jan 2026 12:00 (Africa/Johannesburg)",
        "team level on call until then",
        "Payments primary johan Mon 19 Jan 2026 09:00 Thandi Mokoena",
        "Payments lead johan Mon 12 Jan 2026 17:00 nobody",
        "platform primary johan",
    ]


def test_who_is_on_call_at_another_time_for_programs(run: Run) -> None:
    done = run("oncall", "--at", "2026-01-19 09:00", "--team", "payments", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0] == {
        "team": "payments",
        "level": "primary",
        "people": [{"key": "thandi", "name": "Thandi Mokoena"}],
        "until": "2026-01-26T07:00:00.000Z",
        "next": ["johan"],
    }
    earlier = run("oncall", "--at", "2026-01-19T06:59:59Z", "--json")
    assert json.loads(earlier.stdout)[0]["people"][0]["key"] == "johan"


def test_without_a_file_it_is_you(run: Run) -> None:
    done = run("oncall", "--json", TILLWATCH_TEAMS=None)  # type: ignore[arg-type]
    assert [row["people"][0]["key"] for row in json.loads(done.stdout)] == ["you"]
    assert "TILLWATCH_TEAMS is not set" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--team", "paymnts"], "no team 'paymnts'; there are payments, platform (did you mean payments?)"),
        (["--at", "noon"], "expected a time such as"),
        (["--team", "payments", "gaps"], "before a command"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(run: Run, arguments: list[str], said: str) -> None:
    done = run("oncall", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", [[], ["gaps"], ["override", "johan", "--for", "1h"]])
def test_a_file_that_cannot_be_used_is_told_with_every_fault(run: Run, teams: Path, command: list[str]) -> None:
    teams.write_text(TEAMS.replace('"johan"', '"jhoan"'))
    done = run("oncall", *command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 3
    assert done.stderr.startswith("teams.toml:10: error: teams.payments.primary.rotate: no person 'jhoan'; there are")


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_a_gap_of_a_lead_is_told_and_is_no_failure(run: Run) -> None:
    done = run("oncall", "gaps", "--days", "1")
    assert done.exit_code == 0
    assert done.stdout == (
        "Payments lead: nobody from Mon 12 Jan 2026 17:00 to Tue 13 Jan 2026 08:00 (Africa/Johannesburg)\n"
    )


def test_a_gap_of_primary_is_a_failure(run: Run, teams: Path) -> None:
    teams.write_text(TEAMS.replace('primary = "johan"', 'primary = {people = "johan", hours = "daily 00:00-23:00"}'))
    done = run("oncall", "gaps", "--days", "1", "--json")
    assert done.exit_code == 1
    gap = {"team": "platform", "level": "primary", "from": "2026-01-12T21:00:00.000Z", "to": "2026-01-12T22:00:00.000Z"}
    assert gap in json.loads(done.stdout)


def test_no_gap_is_told_too(run: Run, teams: Path) -> None:
    teams.write_text("\n".join(line for line in TEAMS.splitlines() if not line.startswith("lead")))
    done = run("oncall", "gaps")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "somebody is on call at every time of the next 28 days" in done.stderr


# --- check ------------------------------------------------------------------------------------------------------------


def test_a_clean_file_is_clean_and_what_may_not_be_meant_is_told(run: Run, teams: Path, folder: Path) -> None:
    (folder / "rules").mkdir()
    (folder / "rules" / "a.yaml").write_text(
        "p:\n  slow: {condition: payment_failure_rate > 5% for 5 minutes, severity: high, owner: Payment}\n"
    )
    teams.write_text(TEAMS + 'rules = ["slow", "fast_*"]\n[channels.slack]\ntoken_env = "NOT_SET_HERE"\n')
    done = run("oncall", "check", TILLWATCH_RULES="rules")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "teams.platform.rules: no rule in force is called fast_*",
        "the rule slow has the owner Payment, which is no team: others answer for it",
        "here, channels.slack.token_env: the environment's 'NOT_SET_HERE' is not set",
        "gaps in the next 28 days: 20 ('tillwatch oncall gaps' lists them)",
        "2 teams, 2 people, no errors",
    ]


def test_errors_are_on_stdout_and_counted(run: Run, folder: Path) -> None:
    (folder / "other.toml").write_text(TEAMS + "[oncall]\n")
    done = run("oncall", "check", "other.toml")
    assert done.exit_code == 1
    assert done.stdout == (
        "other.toml:14: error: oncall: there is no such key; there are calendar, channels, people, teams, overrides, reports\n"
    )
    assert done.stderr == "1 error\n"


def test_a_calendar_that_cannot_be_had_is_an_error_that_hides_its_url(run: Run, teams: Path) -> None:
    teams.write_text(TEAMS.replace('primary = "johan"', 'primary = {calendar = "http://127.0.0.1:1/hunter2.ics"}'))
    done = run("oncall", "check")
    assert done.exit_code == 1
    assert done.stdout.startswith("the calendar at 127.0.0.1: cannot be reached")
    shown = run("oncall")
    assert "the calendar at 127.0.0.1" in shown.stderr and "nobody" in shown.stdout
    assert "hunter2" not in done.output + shown.output


def test_an_event_that_names_nobody_is_told(run: Run, teams: Path, folder: Path) -> None:
    event = "BEGIN:VEVENT\nUID:1\nSUMMARY:Jhoan\nDTSTART:20260113T080000Z\nDURATION:PT1H\nEND:VEVENT"
    (folder / "a.ics").write_text(f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{event}\nEND:VCALENDAR\n")
    teams.write_text(TEAMS.replace('primary = "johan"', 'primary = {calendar = "a.ics"}'))
    assert (
        "teams.platform.primary: the event 'Jhoan' of Tue 13 Jan 2026 10:00 names nobody"
        in run("oncall", "check").stderr
    )


def test_there_must_be_something_to_check(run: Run) -> None:
    done = run("oncall", "check", TILLWATCH_TEAMS=None)  # type: ignore[arg-type]
    assert done.exit_code == 2 and "TILLWATCH_TEAMS" in done.stderr


def test_configure_check_looks_at_the_teams(teams: Path) -> None:
    settings = load_settings()
    assert [(one.what, one.state, one.text) for one in checks.of_teams(settings)] == [
        ("TILLWATCH_TEAMS", checks.OK, "teams.toml: 2 teams, 2 people")
    ]
    teams.write_text(TEAMS.replace('"johan"', '"jhoan"'))
    [finding] = checks.of_teams(settings)
    assert finding.state == checks.WRONG and "and 2 more: 'tillwatch oncall check'" in finding.text


# --- override ---------------------------------------------------------------------------------------------------------


def test_an_override_is_added_at_the_end_and_the_rest_stays(run: Run, teams: Path) -> None:
    done = run("oncall", "override", "thandi", "--team", "payments", "--for", "90m")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "Thandi Mokoena is on call for Payments (primary) "
        "from Mon 12 Jan 2026 12:00 to Mon 12 Jan 2026 13:30 (Africa/Johannesburg)\n"
    )
    assert teams.read_text() == TEAMS + (
        '\n[[overrides]]\nwho = ["thandi"]\nteam = "payments"\nlevel = "primary"\n'
        "from = 2026-01-12T12:00:00+02:00\nto = 2026-01-12T13:30:00+02:00\n"
    )
    args = ("--from", "2026-02-01 09:00", "--to", "2026-02-02T09:00Z", "--level", "lead", "--team", "payments")
    assert run("oncall", "override", "johan", *args).exit_code == 0
    rota = load(teams).teams["payments"].levels
    assert (len(rota["primary"].overrides), len(rota["lead"].overrides)) == (1, 1)


def test_an_override_after_a_last_line_without_a_line_break_is_on_a_line_of_its_own(run: Run, teams: Path) -> None:
    teams.write_text(TEAMS.rstrip())
    assert run("oncall", "override", "thandi", "--team", "platform", "--for", "1h").exit_code == 0
    assert load(teams).teams["platform"].levels["primary"].overrides


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["jhoan", "--team", "payments", "--for", "1h"],
            "overrides[1].who: no person 'jhoan'; there are thandi, johan",
        ),
        (["johan", "--team", "paymnts", "--for", "1h"], "overrides[1].team: no team 'paymnts'"),
        (
            ["johan", "--team", "payments", "--level", "secondary", "--for", "1h"],
            "overrides[1].level: no level 'secondary'",
        ),
        (["johan", "--team", "payments", "--to", "2026-01-01 00:00"], "overrides[1].to: expected a time after from"),
        (["johan", "--team", "payments"], "until when? Either --to or --for"),
        (["johan", "--team", "payments", "--for", "1h", "--to", "2027-01-01"], "until when? Either --to or --for"),
        (["johan", "--for", "1h"], "of which team? --team takes one of payments, platform"),
    ],
)
def test_an_override_that_would_not_be_valid_leaves_the_file_alone(
    run: Run, teams: Path, arguments: list[str], said: str
) -> None:
    done = run("oncall", "override", *arguments)
    assert done.exit_code == 2 and said in done.stderr
    assert teams.read_text() == TEAMS


def test_overrides_that_are_written_as_one_list_cannot_be_added_to(run: Run, teams: Path) -> None:
    teams.write_text(f'overrides = [{{who = "johan", team = "platform", from = 2026-01-01, to = 2026-01-02}}]\n{TEAMS}')
    done = run("oncall", "override", "thandi", "--team", "platform", "--for", "1h")
    assert done.exit_code == 2 and "write each as a table [[overrides]]" in done.stderr


def test_two_commands_do_not_write_at_once(run: Run, teams: Path) -> None:
    with teams.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run("oncall", "override", "thandi", "--team", "platform", "--for", "1h")
    assert done.exit_code == 2 and "another command is writing" in done.stderr
    assert teams.read_text() == TEAMS


def test_a_disk_that_is_full_leaves_the_file_as_it_was(run: Run, teams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device", "teams.toml")

    monkeypatch.setattr(os, "fsync", full)
    done = run("oncall", "override", "thandi", "--team", "platform", "--for", "1h")
    assert done.exit_code == 1 and "No space left" in done.stderr
    assert teams.read_text() == TEAMS


def test_there_must_be_a_file_to_write_to(run: Run) -> None:
    done = run("oncall", "override", "you", "--for", "1h", TILLWATCH_TEAMS=None)  # type: ignore[arg-type]
    assert done.exit_code == 2 and "TILLWATCH_TEAMS is not set" in done.stderr
