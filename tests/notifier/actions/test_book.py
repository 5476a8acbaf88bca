"""`actions.toml`: what it says, and what is wrong with it, told with the line, what was expected and the nearest known name."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.actions.book import load, read
from notifier.actions.registered import PLACEHOLDERS, On, Registered
from notifier.people.reading import DirectoryError
from schemas.incident import ActionState

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLAIN = """
[actions.drain]
on = {rules = ["provider_down"]}
command = ["/usr/local/bin/drain", "{provider}", "--now"]
"""
WHOLE = """
[actions.drain]
on = [
  {rules = ["provider_down", "webhook_alerts/*"], when = "resolved", severity = ["critical", "high"], components = ["check*"]},
  {incident = ["triggered"]},
]
command = ["/usr/local/bin/drain", "{provider}"]
environment = ["KUBECONFIG"]
approval = "responder"
approval_within = "5m"
dry_run = true
time_limit = "90s"
cool_down = "1h"
output = 100

[actions.tell]
on = {health = ["unhealthy", "healthy"]}
webhook = "https://hooks.example/tillwatch"
secret_env = "HOOK_SECRET"
allow = ["10.1.0.0/16"]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(DirectoryError) as told:
        read("actions.toml", text.encode(), {"HOOK_SECRET": SECRET})
    return [str(one) for one in told.value.faults]


def test_what_is_said_is_what_is_registered() -> None:
    found = read("etc/actions.toml", WHOLE.encode(), {"HOOK_SECRET": SECRET})
    drain, tell = found["drain"], found["tell"]
    assert drain.on == (
        On(
            ("provider_down", "webhook_alerts/*"),
            "resolved",
            severities=frozenset({"critical", "high"}),
            components=("check*",),
        ),
        On(incident=frozenset({"triggered"})),
    )
    assert drain.command == ("/usr/local/bin/drain", "{provider}") and drain.environment == ("KUBECONFIG",)
    assert drain.folder == Path("etc").absolute()
    assert (drain.approval, drain.approval_within_s, drain.dry_run) == (True, 300.0, True)
    assert (drain.time_limit_s, drain.cool_down_s, drain.output) == (90.0, 3600.0, 100)
    assert tell.on == (On(health=frozenset({"unhealthy", "healthy"})),)
    assert tell.means == "webhook" and tell.secrets[0].get_secret_value() == SECRET and str(tell.allow[0]) == "10.1.0.0/16"


def test_little_need_be_said() -> None:
    one = read("actions.toml", PLAIN.encode())["drain"]
    usual = Registered("drain", one.on, one.command)
    assert (one.approval, one.dry_run) == (False, False)
    assert (one.time_limit_s, one.cool_down_s, one.output) == (usual.time_limit_s, usual.cool_down_s, usual.output)


def test_no_secret_is_shown() -> None:
    found = read("actions.toml", WHOLE.encode(), {"HOOK_SECRET": SECRET})
    assert SECRET.removeprefix("whsec_") not in repr(found) and "hooks.example/tillwatch" not in repr(found)


@pytest.mark.parametrize(
    ("written", "instead", "line", "says"),
    [
        ('rules = ["provider_down"]', 'rule = ["provider_down"]', 3, "there is no such key"),
        ('rules = ["provider_down"]', 'rule = ["provider_down"]', 3, "(did you mean rules?)"),
        ('rules = ["provider_down"]', 'incident = ["triggerd"]', 3, "(did you mean triggered?)"),
        ('rules = ["provider_down"]', 'health = ["sick"]', 3, "there are healthy, degraded, unhealthy"),
        ('rules = ["provider_down"]', 'rules = ["a"], severity = ["critcal"]', 3, "(did you mean critical?)"),
        ('rules = ["provider_down"]', 'rules = ["a"], incident = ["resolved"]', 3, "write several tables"),
        ('rules = ["provider_down"]', 'health = ["healthy"], when = "firing"', 3, "is about rules, and none are named"),
        ('rules = ["provider_down"]', "rules = []", 3, "got an empty list"),
        ('rules = ["provider_down"]', "", 3, "expected one of rules, incident and health"),
        ('on = {rules = ["provider_down"]}', "", 2, "actions.drain.on: is missing"),
        ('"{provider}"', '"{provder}"', 4, "(did you mean {provider}?)"),
        ('"--now"', '"--provider={provider}"', 4, "stands for a whole argument and cannot be part of one"),
        ('"/usr/local/bin/drain"', '"{provider}"', 4, "the program cannot be a placeholder"),
        ('"/usr/local/bin/drain"', '"drain"', 4, "expected the absolute path of a program"),
        ('"/usr/local/bin/drain", "{provider}", "--now"', '"/bin/sh", "-c", "drain"', 4, "write a program, and name it here"),
        ('"/usr/local/bin/drain", "{provider}", "--now"', '"/bin/bash", "-euc", "drain"', 4, "write a program"),
        ('["/usr/local/bin/drain", "{provider}", "--now"]', '"/usr/local/bin/drain"', 4, "expected program and arguments"),
        ('"--now"', "1", 4, "argument 3: expected a text"),
        ('"--now"', '"a\\u0000b"', 4, "argument 3: expected a text"),
        ("[actions.drain]", '[actions."drain it"]', 2, "expected a name of at most 40 letters"),
        ("[actions.drain]", "[action.drain]", 2, "there is no such key; there are actions (did you mean actions?)"),
    ],
)
def test_what_is_wrong_is_told(written: str, instead: str, line: int, says: str) -> None:
    assert written in PLAIN
    told = faults(PLAIN.replace(written, instead))
    assert any(one.startswith(f"actions.toml:{line}: error: ") and says in one for one in told), told


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('approval = "lead"', "no value 'lead'; there are none, responder"),
        ('approval_within = "5m"', 'says nothing without approval = "responder"'),
        ('time_limit = "2h"', "expected a duration of more than 0 and at most 15 minutes, got '2h'"),
        ('cool_down = "0s"', "expected a duration of more than 0"),
        ('cool_down = "15"', "expected a duration with a unit"),
        ("output = 100000", "expected 0 to 2,000 characters, got 100000"),
        ("output = true", "expected a number of characters"),
        ("dry_run = 1", "expected true or false"),
        ('environment = ["TILLWATCH_REDIS"]', "is a setting of Tillwatch's own, and not passed on"),
        ('environment = ["A=B"]', "expected names of variables"),
        ('webhook = "https://hooks.example/"', "expected either command or webhook, got command and webhook"),
        ('secret_env = "HOOK_SECRET"', "is for a webhook: a command has none"),
        ('allow = ["10.1.0.0/16"]', "is for a webhook: a command has none"),
        ('colour = "red"', "there is no such key"),
    ],
)
def test_keys_that_cannot_be_used(more: str, says: str) -> None:
    told = faults(PLAIN + more)
    assert any(one.startswith("actions.toml:5: error: actions.drain") or says in one for one in told), told
    assert any(says in one for one in told), told


@pytest.mark.parametrize(
    ("webhook", "says"),
    [
        ('webhook = "ftp://hooks.example/"\nsecret_env = "HOOK_SECRET"', "expected an address that begins with https://"),
        ('webhook = "https://hooks.example/"', "is missing; expected a file (or secret_env, a variable)"),
        (f'webhook = "https://hooks.example/"\nsecret = "{SECRET}"', "does not belong into this file"),
        ('webhook = "https://hooks.example/"\nsecret_env = "NOWHERE"', "the environment's 'NOWHERE' is not set"),
        ('webhook = "https://hooks.example/"\nsecret_file = "nowhere"', "cannot be read: No such file"),
        ('webhook_env = "HOOK_SECRET"\nwebhook = "https://a.example"\nsecret_env = "HOOK_SECRET"', "webhook is said twice"),
        ('webhook = "https://a.example"\nsecret_env = "HOOK_SECRET"\nallow = ["10.1.0.1/16"]', "expected private networks"),
    ],
)
def test_webhooks_that_cannot_be_used(webhook: str, says: str) -> None:
    told = faults(f'[actions.tell]\non = {{incident = ["resolved"]}}\n{webhook}\n')
    assert any(says in one for one in told), told
    assert not any(SECRET in one for one in told)


def test_a_secret_that_is_none_is_not_shown() -> None:
    text = '[actions.tell]\non = {incident = ["resolved"]}\nwebhook = "https://a.example"\nsecret_env = "SHORT"\n'
    with pytest.raises(DirectoryError, match="expected whsec_ and the base64") as told:
        read("actions.toml", text.encode(), {"SHORT": "whsec_c2hvcnQ="})
    assert "c2hvcnQ" not in str(told.value)


def test_what_anybody_may_change_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "actions.toml"
    path.write_text(PLAIN)
    assert set(load(path)) == {"drain"}
    path.chmod(0o666)
    with pytest.raises(DirectoryError, match="anybody here may change it"):
        load(path)
    with pytest.raises(DirectoryError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere")


def test_nothing_registered_is_no_error() -> None:
    assert read("actions.toml", b"") == {}


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: (PLAIN + text).encode())))
def test_garbage_is_a_fault_and_nothing_else(content: bytes) -> None:
    try:
        found = read("actions.toml", content)
    except DirectoryError as error:
        assert error.faults
    else:
        assert set(found) <= {"drain"}


class TestDocumentation:
    """docs/actions.md is what an operator has."""

    PAGE = (Path(__file__).parents[3] / "docs/actions.md").read_text()

    def test_its_example_loads(self) -> None:
        text = self.PAGE.partition("```toml\n")[2].partition("```")[0]
        assert set(read("actions.toml", text.encode(), {"DEPLOYS_SECRET": SECRET})) == {
            "drain", "restart-consumer", "freeze-deploys"
        }  # fmt: skip

    def test_every_key_placeholder_and_state_is_on_it(self) -> None:
        keys = faults(PLAIN + 'colour = "red"')[0].partition("there are ")[2].partition(" and ")[0].split(", ")
        assert len(keys) == 12 and all(f"`{key}`" in self.PAGE for key in keys if key != "secret")
        more = ("time_limit", "cool_down", "output", "dry_run", "severity", "components")
        assert all(f"`{key}`" in self.PAGE for key in more)
        assert all(f"`{name.upper()}`" in self.PAGE or f"{{{name}}}" in self.PAGE for name in PLACEHOLDERS)
        assert all(state in self.PAGE for state in get_args(ActionState))
