"""`tillwatch test-alerts`, without Kafka and Redis."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run

TEAMS = """
[people.thandi]
name = "Thandi"
contacts = {{email = "thandi@shop.example", slack = "U0000001", outbox = "thandi"}}
[people.sipho]
name = "Sipho"
contacts = {{outbox = "sipho"}}
[people.amy]
contacts = {{webhook = "https://hooks.shop.example/amy"}}
[teams.payments]
default = true
primary = "thandi"
members = ["amy"]
[teams.platform]
primary = "sipho"
[channels.email]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "tillwatch@shop.example"
attempts = 1
[channels.webhook]
secret_env = "HOOK_SECRET"
"""
SECRET = {"HOOK_SECRET": "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0"}


@pytest.fixture
def teams(folder: Path) -> Iterator[dict[str, str]]:
    """A teams.toml with a mail server that does not listen, and settings with it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (folder / "teams.toml").write_text(TEAMS.format(port=unused.getsockname()[1]))
        yield {"TILLWATCH_TEAMS": "teams.toml", "TILLWATCH_KAFKA": "127.0.0.1:1", "TILLWATCH_REDIS": "redis://127.0.0.1:1"}


def test_without_a_file_every_channel_is_in_the_outbox(run: Run, folder: Path) -> None:
    done = run("test-alerts")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
        "phone", "sms", "email", "slack", "webhook", "outbox", "outbox",
    ]  # fmt: skip
    assert "7 of 7 messages were taken" in done.stderr
    shown = [json.loads(path.read_text()) for path in (folder / "tillwatch-data" / "outbox").glob("[0-9]*.json")]
    assert {one["kind"] for one in shown} == {"test"}
    assert len(shown) == 7


def test_each_is_tried_on_its_own_and_what_fails_is_seen(run: Run, folder: Path, teams: dict[str, str]) -> None:
    done = run("test-alerts", "--json", **teams, **SECRET)
    assert done.exit_code == 1
    told = {(one["channel"], one["recipient"]): one for one in json.loads(done.stdout)}
    assert {key: one["result"] for key, one in told.items()} == {
        ("email", "Thandi"): "unreachable",
        ("webhook", None): "no_address",
        ("slack", "Thandi"): "no_channel",
        ("outbox", "outbox"): "confirmed",
        ("outbox", "Thandi"): "confirmed",
        ("outbox", "Sipho"): "confirmed",
    }
    assert len(list((folder / "tillwatch-data" / "outbox").glob("[0-9]*.json"))) == 3, "nothing stepped in for another"
    mail = told["email", "Thandi"]
    assert (mail["address"], mail["delivered"], mail["receipt"]) == ("t***@shop.example", False, None)
    assert "no connection to the mail server" in mail["detail"]
    assert told["outbox", "Sipho"]["receipt"].endswith(".json")
    text = run("test-alerts", **teams, **SECRET)
    assert text.exit_code == 1
    assert "3 of 6 messages were taken" in text.stderr
    assert "thandi@shop.example" not in text.output and "nobody on call has an address for it" in text.stdout


def test_one_team_and_one_channel(run: Run, teams: dict[str, str]) -> None:
    done = run("test-alerts", "--team", "platform", "--channel", "outbox", "--json", **teams, **SECRET)
    assert done.exit_code == 0, done.output
    assert [one["recipient"] for one in json.loads(done.stdout)] == ["outbox", "Sipho"]


@pytest.mark.parametrize(
    ("args", "env", "says"),
    [
        (("--team", "payment"), SECRET, "no team 'payment'; there are payments, platform (did you mean payments?)"),
        (("--channel", "pigeon"), SECRET, "no channel 'pigeon'"),
        ((), {}, "the environment's 'HOOK_SECRET' is not set"),
        ((), {"HOOK_SECRET": "hunter2"}, "[channels.webhook] secret: expected whsec_"),
    ],
)
def test_what_cannot_be_tried(run: Run, teams: dict[str, str], args: tuple[str, ...], env: dict[str, str], says: str) -> None:
    done = run("test-alerts", *args, **teams, **env)
    assert done.exit_code == 2
    assert says in done.stderr and "hunter2" not in done.output
