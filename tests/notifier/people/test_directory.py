"""teams.toml: what is written is what is meant, all that is wrong is told at once, and a secret is told to nobody."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from notifier.people.directory import LARGEST, LEVELS, Directory, DirectoryError, builtin, load, read
from notifier.people.ical import read as read_calendar
from notifier.people.reading import lines_of

DOCS = (Path(__file__).parents[3] / "docs/people.md").read_text()
SMALLEST, WHOLE = re.findall(r"^```toml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
[ICS] = re.findall(r"^```ics\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
PAIR = 'rotate = ["thandi", "johan"], start = 2026-01-07'
TURNS = 'rotate = ["thandi"], start = 2026-01-05'
PEOPLE = "".join(
    f'[people.{key}]\ncontacts = {{email = "{key}@example.com"}}\n' for key in ("thandi", "johan", "lerato")
)


def directory(text: str) -> Directory:
    return read("teams.toml", text.encode())


def faults(text: str) -> list[str]:
    with pytest.raises(DirectoryError) as told:
        directory(text)
    return [str(fault).removeprefix("teams.toml:") for fault in told.value.faults]


def team(lines: str) -> str:
    return f"{PEOPLE}[teams.payments]\n{lines}\n"


def keys(found: Directory, level: str, at: str, team: str = "payments") -> list[str]:
    return [person.key for person in found.on_call(team, level, datetime.fromisoformat(at))]


@pytest.fixture
def whole(tmp_path: Path) -> Directory:
    """The directory of the page about it."""
    (tmp_path / "platform.ics").write_text(ICS)
    (tmp_path / "teams.toml").write_text(WHOLE)
    return load(tmp_path / "teams.toml")


# --- what is meant ----------------------------------------------------------------------------------------------------


def test_the_page_about_it_is_a_file_that_works(whole: Directory) -> None:
    assert list(whole.teams) == ["payments", "platform"]
    assert whole.people["amy"].zone.key == "Europe/London" and whole.people["johan"].zone.key == "Africa/Johannesburg"
    assert whole.people["thandi"].contacts["slack"] == "U0000001"
    assert keys(whole, "primary", "2026-01-05T09:00+02:00") == ["thandi"]
    assert keys(whole, "primary", "2026-01-12T09:00+02:00") == ["johan"]
    assert keys(whole, "primary", "2026-12-24T16:59+02:00") == ["lerato"]
    assert keys(whole, "primary", "2026-12-24T17:00+02:00") == ["johan"]
    assert keys(whole, "secondary", "2026-01-06T10:00+02:00") == ["thandi"]
    assert keys(whole, "secondary", "2026-01-06T18:00+02:00") == ["lerato"]
    assert keys(whole, "lead", "2026-01-06T18:00+02:00") == ["lerato"]
    assert keys(whole, "primary", "2026-07-01T12:00+00:00", "platform") == ["amy"]
    assert keys(whole, "secondary", "2026-07-01T12:00+00:00", "platform") == []
    assert whole.calendar.country == "ZA"


def test_the_smallest_file_works() -> None:
    found = directory(SMALLEST)
    assert found.teams["payments"].default
    assert keys(found, "primary", "2026-01-05T09:00+02:00") == ["thandi"]
    assert found.team_for("any", "pack", None, []).key == "payments"


def test_without_a_file_everything_goes_to_the_outbox() -> None:
    found = builtin()
    [person] = found.on_call("everyone", "primary", datetime(2026, 1, 5, tzinfo=UTC))
    assert (person.key, dict(person.contacts)) == ("you", {"outbox": "you"})
    assert found.team_for("any", "pack", "nobody", ["x"]).key == "everyone"


@pytest.mark.parametrize(
    ("rule", "pack", "owner", "components", "key"),
    [
        ("other", "p", None, [], "payments"),
        ("payment_failing", "p", None, [], "payments"),
        ("slow_queries", "p", "Platform", [], "platform"),
        ("slow_queries", "p", "PLATFORM", ["checkout"], "platform"),
        ("slow_queries", "p", "nobody", ["database"], "platform"),
        ("slow_queries", "p", None, ["unknown", "gateway", "checkout"], "platform"),
        ("payment_failing", "p", None, ["database"], "payments"),
        ("breach", "security_alerts", None, ["database"], "payments"),
    ],
)
def test_who_answers(
    whole: Directory, rule: str, pack: str, owner: str | None, components: list[str], key: str
) -> None:
    assert whole.team_for(rule, pack, owner, components).key == key


def test_the_pattern_that_says_most_goes_first() -> None:
    teams = {
        "a": '["payment_*"]',
        "b": '["payment_fail*"]',
        "c": '["payment_failing"]',
        "d": '["payment_f[aeiou]iling_fast"]',
    }
    text = "".join(f'[teams.{key}]\nprimary = "thandi"\nrules = {rules}\n' for key, rules in teams.items())
    text += '[teams.e]\ndefault = true\nprimary = "johan"\nrules = ["payment_[abcdefghijklmn]*"]\n'
    found = directory(PEOPLE + text)
    rules = ("payment_slow", "payment_failed", "payment_failing", "payment_failing_fast", "x_payment_slow")
    assert [found.team_for(rule, "p", None, ()).key for rule in rules] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("written", "at", "who"),
    [
        ('primary = ["thandi", "johan"]', "2026-01-05T09:00+02:00", ["thandi", "johan"]),
        (f"primary = {{{PAIR}}}", "2026-01-14T09:00+02:00", ["johan"]),
        (f'primary = {{{PAIR}, every = "2 weeks"}}', "2026-01-20T09:00+02:00", ["thandi"]),
        ('primary = {rotate = ["thandi"], start = "2026-01-07"}', "2026-01-20T09:00+02:00", ["thandi"]),
        (f'primary = {{{PAIR}, every = "3d"}}', "2026-01-10T09:00+02:00", ["johan"]),
        (f'primary = {{{PAIR}, every = "day"}}', "2026-01-08T09:00+02:00", ["johan"]),
        ('primary = {rotate = ["thandi"], start = 2026-01-07, handover = "WED 10:00"}', "2026-01-07T09:59+02:00", []),
        (
            'zone = "Europe/London"\nprimary = {people = "johan", hours = "mon 08:00-09:00"}',
            "2026-01-05T08:30Z",
            ["johan"],
        ),
        ('primary = {people = "johan", hours = "mon 08:00-09:00 Europe/London"}', "2026-01-05T08:30+02:00", []),
        (
            'primary = {people = "johan", zone = "Europe/London", hours = "mon 08:00-09:00"}',
            "2026-01-05T08:30Z",
            ["johan"],
        ),
    ],
)
def test_a_level_can_be_written_in_many_ways(written: str, at: str, who: list[str]) -> None:
    assert keys(directory(team(written)), "primary", at) == who


@pytest.mark.parametrize(
    "begin", ["2026-01-05T10:00:00", '"2026-01-05 10:00"', "2026-01-05T08:00:00Z", '"2026-01-05T09:00+01:00"']
)
def test_an_override_begins_when_it_says(begin: str) -> None:
    override = f'[[overrides]]\nwho = "johan"\nteam = "payments"\nfrom = {begin}\nto = 2026-01-06\n'
    found = directory(team('primary = "thandi"') + override)
    times = ("2026-01-05T09:59+02:00", "2026-01-05T10:00+02:00", "2026-01-05T23:59+02:00", "2026-01-06T00:00+02:00")
    assert [keys(found, "primary", at) for at in times] == [["thandi"], ["johan"], ["johan"], ["thandi"]]


def test_every_level_is_known() -> None:
    assert LEVELS == ("primary", "secondary", "lead", "executive")
    found = directory(team("\n".join(f'{level} = "thandi"' for level in LEVELS)))
    assert tuple(found.teams["payments"].levels) == LEVELS


def test_a_file_may_begin_with_the_mark_that_some_editors_write() -> None:
    assert directory("\ufeff" + SMALLEST).teams


# --- calendars by URL -------------------------------------------------------------------------------------------------

URL = "https://calendar.example.com/private-token-000/basic.ics"


@pytest.mark.parametrize("written", [f'calendar = "{URL}"', 'calendar_env = "ONCALL"'])
def test_a_calendar_by_url_names_nobody_until_it_was_fetched(written: str) -> None:
    text = team(f"primary = {{{written}}}").encode()
    before = read("teams.toml", text, environment={"ONCALL": URL})
    assert before.urls == (URL,)
    assert keys(before, "primary", "2026-01-05T09:30+00:00") == []
    fetched = read_calendar(ICS.replace("Amy Clark", "Johan").encode())
    after = read("teams.toml", text, {URL: fetched}, {"ONCALL": URL})
    assert keys(after, "primary", "2026-01-05T09:30+00:00") == ["johan"]
    assert "private-token" not in repr(before) + repr(after)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_secrets_are_read_when_they_are_used(tmp_path: Path) -> None:
    channel = '[channels.x]\nhost = "h"\ntoken_env = "TOKEN"\nkey_file = "key"\n'
    (tmp_path / "teams.toml").write_text(f'{SMALLEST}{channel}[channels.x.more]\npassword_env = "TOKEN"\nn = [1]\n')
    found = load(tmp_path / "teams.toml")
    assert found.channels["x"]["token_env"] == "TOKEN"
    (tmp_path / "key").write_text("not so secret\n")
    resolved = found.channel("x", {"TOKEN": "hunter2"})
    assert resolved == {
        "host": "h",
        "token": SecretStr("hunter2"),
        "key": SecretStr("not so secret"),
        "more": {"password": SecretStr("hunter2"), "n": [1]},
    }
    assert "hunter2" not in repr(resolved)


def test_secrets_that_cannot_be_had_are_told_and_none_of_them_shown(tmp_path: Path) -> None:
    channels = '[channels.x]\na_env = "A"\nb_file = "b"\nc_file = "c"\nd_file = "d"\ne_file = "e"\n'
    (tmp_path / "teams.toml").write_text(SMALLEST + channels)
    (tmp_path / "c").write_bytes(b"hunter2\xff")
    (tmp_path / "d").write_text("\n")
    (tmp_path / "e").write_text("hunter2" * 20_000)
    with pytest.raises(DirectoryError) as told:
        load(tmp_path / "teams.toml").channel("x", {})
    assert [f"{fault.where}: {fault.text}" for fault in told.value.faults] == [
        "channels.x.a_env: the environment's 'A' is not set",
        "channels.x.b_file: the file 'b' cannot be read: No such file or directory",
        "channels.x.c_file: the file 'c' is not UTF-8",
        "channels.x.d_file: the file 'd' is empty",
        "channels.x.e_file: the file 'e' is longer than 65,536 bytes",
    ]
    assert "hunter2" not in str(told.value)


# --- what is wrong ----------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_told_in_the_order_of_the_file_with_line_table_and_key() -> None:
    text = """[calendar]
country = "ZZ"
opens = "17:00"
closes = "08:00"

[people.thandi]
name = "Thandi"
contacts = {emial = "thandi@example.com", phone = 27}

[people.johan]
name = "thandi"
zone = "Europe/Londn"

[people."a b"]
contacts = {}

[teams.payments]
members = ["thandi",
    "jhoan"]
primary = {rotate = ["thandi"], every = "1 wek", start = 2026-01-06, handover = "mon 09:00"}
lead = []
memebrs = 3
rules = ["x"]

[[teams.payments.secondary]]
people = ["johan"]
hours = "mon-fry 08:00-17:00"

[[teams.payments.secondary]]
calendar = "none.ics"
every = "1 week"

[teams.platform]
rules = ["x"]

[[overrides]]
who = "thandi"
team = "paymnts"
from = "2026-12-24 17:00"
to = 2026-12-24T16:00:00

[[overrides]]
team = "payments"
level = "executive"
to = "noon"

[channels.slack]
token_file = 3
key = "x"
key_env = "KEY"

[ovrrides]
"""
    assert faults(text) == [
        "2: error: calendar.country: no country 'ZZ'; expected ISO 3166 such as ZA, or DE-BY",
        "4: error: calendar.closes: business opens at 17:00: expected a later time, got 08:00",
        "8: error: people.thandi.contacts.emial: no channel 'emial'; there are phone, sms, email, slack, webhook, outbox "
        "(did you mean email?)",
        "8: error: people.thandi.contacts.phone: expected an address, got 27",
        '10: error: people.johan.contacts: is missing; expected addresses by channel, such as {email = "thandi@example.com"}',
        "11: error: people.johan.name: people.thandi has this name too: nobody could tell them apart",
        "12: error: people.johan.zone: no time zone 'Europe/Londn'; expected a name such as Africa/Johannesburg "
        "(did you mean Europe/London?)",
        "14: error: people.a b: expected a key of at most 64 letters, digits, '_', '-' and '.'; people are shown its name",
        '15: error: people.a b.contacts: nobody can reach a b; expected addresses by channel, such as '
        '{email = "thandi@example.com"}',
        "17: error: teams: one of them needs default = true: somebody must answer for what no team is named for",
        "18: error: teams.payments.members: no person 'jhoan'; there are thandi, johan, a b (did you mean johan?)",
        "20: error: teams.payments.primary.every: "
        "expected a time such as \"1 week\" or \"3 days\", at most a year, got '1 wek'",
        "20: error: teams.payments.primary.start: 2026-01-06 is a Tuesday, and handover says mon",
        '21: error: teams.payments.lead: expected names such as ["thandi"], got an empty list',
        "22: error: teams.payments.memebrs: there is no such key; "
        "there are primary, secondary, lead, executive, zone, name, members, components, rules, default "
        "(did you mean members?)",
        "27: error: teams.payments.secondary[1].hours: expected days such as mon-fri or sat,sun or daily, got 'mon-fry'",
        "30: error: teams.payments.secondary[2].calendar: 'none.ics': cannot be read: No such file or directory",
        "31: error: teams.payments.secondary[2].every: is for a rotation: it stands beside rotate",
        '33: error: teams.platform.primary: is missing; '
        'expected people such as ["thandi"], or a table with people, rotate or calendar',
        "34: error: teams.platform.rules: 'x' is teams.payments's already: one team answers",
        "38: error: overrides[1].team: no team 'paymnts'; there are payments, platform (did you mean payments?)",
        "40: error: overrides[1].to: expected a time after from",
        '42: error: overrides[2].who: is missing; expected names such as ["thandi"]',
        '42: error: overrides[2].from: is missing; expected a time such as 2026-12-24T17:00:00 or "2026-12-24 17:00"',
        "44: error: overrides[2].level: no level 'executive'; there are primary, secondary, lead",
        "45: error: overrides[2].to: expected a time such as 2026-12-24T17:00:00 or \"2026-12-24 17:00\", got 'noon'",
        "48: error: channels.slack.token_file: expected the path of a file that holds the secret",
        "50: error: channels.slack.key_env: key is said twice: keep one of key, key_file and key_env",
        "52: error: ovrrides: there is no such key; "
        "there are calendar, channels, people, teams, overrides, reports (did you mean overrides?)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "people: nothing is there; expected a table such as [people.thandi]"),
        ("people = 3", "people: expected a table such as [people.thandi], got 3"),
        ("[people]\nthandi = 3", "people.thandi: expected a table such as [people.thandi], got 3"),
        ("[people.x]\ncontacts = 3", "people.x.contacts: expected addresses by channel"),
        ("[people.x]\nname = ''", "people.x.name: expected a name such as Thandi Mokoena, got an empty text"),
        ("[calendar]\nzone = 3", "calendar.zone: expected a time zone such as Africa/Johannesburg, got 3"),
        ("[calendar]\nzone = ''", "calendar.zone: expected a time zone such as Africa/Johannesburg, got an empty text"),
        ("[calendar]\nopens = 08:00:00", "calendar.opens: expected a time of day"),
        (team("primary = 3"), "teams.payments.primary: expected people such as"),
        (team("primary = [3]"), "teams.payments.primary[1]: expected a text, got 3"),
        (team('primary = [{people = "thandi"}, 3]'), "teams.payments.primary[2]: expected people such as"),
        (team("primary = {}"), "teams.payments.primary: who? Expected people, rotate, calendar or calendar_env"),
        (team('primary = {people = "thandi", calendar = "x"}'), "teams.payments.primary: keep one of people and calendar"),
        (team('primary = {rotate = ["thandi"]}'), "primary.start: is missing; expected the day"),
        (team('primary = {rotate = ["thandi"], start = 2026-01-05T09:00:00}'), "primary.start: expected a day such as"),
        (team('primary = {' + TURNS + ', every = "0 days"}'), "primary.every: expected a time such as"),
        (team('primary = {' + TURNS + ', every = "100 weeks"}'), "at most a year"),
        (team('primary = {' + TURNS + ', handover = "noon"}'), "expected a time of day"),
        (team('primary = {' + TURNS + ', handover = "monday 09:00"}'), 'a time such as "mon 09:00"'),
        (team('primary = {' + TURNS + ', every = "3 days", handover = "mon 09:00"}'), 'write "09:00"'),
        (team('primary = {rotate = ["thandi"], start = 9999-12-31}'), "primary.start: expected a day such as"),
        ('[[overrides]]\nfrom = 0001-01-01T00:00:00', "overrides[1].from: expected a time such as"),
        (team('primary = {people = "thandi", hours = 3}'), "primary.hours: expected hours such as"),
        (team('primary = {calendar = 3}'), "primary.calendar: expected the path of an iCalendar file, or its URL, got 3"),
        (team('primary = {calendar_env = "NOT_SET"}'), "in the environment's 'NOT_SET', which is not set"),
        (team('primary = "thandi"\ndefault = 1'), "teams.payments.default: expected true or false, got 1"),
        (team('primary = "thandi"\nrules = 3'), "teams.payments.rules: expected rules or patterns such as"),
        (team('primary = "thandi"\ndefault = true\n[teams.b]\ndefault = true'), "teams.payments is the default already"),
        ("overrides = []\n" + team('primary = "thandi"'), "overrides: expected a table [[overrides]], got a list of 0"),
        ("x = [[[", "error: not TOML: "),
        ("x = " + "[" * 5_000, "error: not usable: nested too deep"),
        ("#" * (LARGEST + 1), "error: longer than 262,144 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    assert said in "\n".join(faults(text))


def test_what_is_no_text_is_told_with_its_line() -> None:
    with pytest.raises(DirectoryError, match=r"^teams.toml:2: error: not UTF-8: byte 0xff$"):
        read("teams.toml", b"# fine\n# \xff\n")


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(DirectoryError, match=r"^none\.toml: error: cannot be read: No such file or directory$"):
        load("none.toml")


def test_the_url_of_a_calendar_is_never_told() -> None:
    text = team(f'primary = {{calendar = "{URL} x", every = "1 week"}}\nlead = {{calendar = ["{URL}"]}}')
    assert "private" not in "\n".join(faults(text))


# --- lines and damage -------------------------------------------------------------------------------------------------


def _line(begin: str) -> int:
    return next(number for number, line in enumerate(WHOLE.splitlines(), 1) if line.startswith(begin))


def test_every_key_of_the_page_is_found_at_its_line() -> None:
    lines = WHOLE.splitlines()
    found = lines_of(WHOLE)
    assert found["teams", "payments", "secondary", 1, "hours"] == _line("hours")
    assert found["overrides", 0] == _line("[[overrides]]")
    for way, line in found.items():
        name = next(part for part in reversed(way) if isinstance(part, str))
        assert name in lines[line - 1]


def test_a_value_over_several_lines_is_at_its_first_and_hides_nothing() -> None:
    text = 'a = [\n  "x",\n]\n\n# note\nb = """\n[c]\nd = 1\n"""\n[c.d]\ne.f = {g = 1}\n'
    text += "[[c.l]]\n[c.l.m]\nn = 1\n[[c.l]]\nn = 2\n"
    assert lines_of(text) == {
        ("a",): 1, ("b",): 6, ("c",): 10, ("c", "d"): 10,
        ("c", "d", "e"): 11, ("c", "d", "e", "f"): 11, ("c", "d", "e", "f", "g"): 11,
        ("c", "l"): 12, ("c", "l", 0): 12, ("c", "l", 0, "m"): 13, ("c", "l", 0, "m", "n"): 14,
        ("c", "l", 1): 15, ("c", "l", 1, "n"): 16,
    }  # fmt: skip


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_read_or_every_fault_of_it_told(data: st.DataObject) -> None:
    lines = WHOLE.replace("platform.ics", "https://calendar.example.com/x.ics").splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key, _, _ = lines[at].partition(" =")
        other = data.draw(st.sampled_from(lines))
        values = [
            "3",
            "[]",
            "{}",
            '""',
            "true",
            "[3]",
            "[{}]",
            '{a = "b"}',
            "2026-01-01",
            '"2026-01-01"',
            "nan",
            '["johan"]',
        ]
        changes = [
            "",
            other,
            f"{key} = {data.draw(st.sampled_from(values))}",
            f"{key}x = 1",
            lines[at][: len(lines[at]) // 2],
        ]
        lines[at] = data.draw(st.sampled_from(changes))
    text = "\n".join(lines)
    try:
        found = directory(text)
    except DirectoryError as error:
        assert all(0 <= fault.line <= len(lines) + 1 and fault.text for fault in error.faults)
        return
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for key in found.teams:
        for level in LEVELS:
            found.on_call(key, level, at + timedelta(days=data.draw(st.integers(0, 366))))
    assert found.team_for("x", "y", None, ["z"]).default
