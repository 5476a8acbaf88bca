"""Incidents, silences and maintenance windows on the command line, against a store that runs; a desk answers in the test."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.store import EmbeddedStore
from tests.cli.conftest import Run
from tests.support.counterpart import Counterpart
from tests.support.night import alert

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    server = EmbeddedStore(None, tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def office(store: EmbeddedStore, request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Counterpart, dict[str, str]]]:
    namespace = f"t{abs(hash(request.node.nodeid)):x}"
    clock = folder / "clock"
    one = Counterpart(store.url, namespace)
    one.night.alert(alert("provider_down", provider="ozow", component="checkout", runbook="provider_down"))
    one.night.alert(alert("disk_filling", severity="low", host="db-1"))
    clock.write_text(str(one.night.now_ms / 1000))
    settings = {
        "TILLWATCH_REDIS": store.url,
        "TILLWATCH_KAFKA": "127.0.0.1:1",
        "TILLWATCH_NAMESPACE": namespace,
        "TILLWATCH_CLOCK": f"file:{clock}",
    }
    with one:
        yield one, settings


Office = tuple[Counterpart, dict[str, str]]


def test_the_list_has_the_open_ones_the_worst_first(run: Run, office: Office) -> None:
    _, settings = office
    done = run("incidents", "list", **settings)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[1].split()[:3] == ["#1", "P0", "triggered"]
    assert lines[2].split()[:3] == ["#2", "P3", "triggered"]
    told = json.loads(run("incidents", "list", "--json", **settings).stdout)
    assert [(one["number"], one["severity"], one["providers"]) for one in told] == [(1, "critical", ["ozow"]), (2, "low", [])]
    assert "timeline" not in told[0]


def test_one_is_shown_with_its_timeline(run: Run, office: Office) -> None:
    _, settings = office
    text = run("incidents", "show", "1", **settings).stdout
    assert "#1 P0 provider_down is bad" in text
    assert "component: checkout" in text
    assert "provider_down firing: provider_down is bad" in text
    told = json.loads(run("incidents", "show", "#1", "--json", **settings).stdout)
    assert told["members"][0]["rule"] == "provider_down"
    assert told["members"][0]["pages"] is True
    assert told["timeline"][0]["kind"] == "opened"
    missing = run("incidents", "show", "77", **settings)
    assert missing.exit_code == 1
    assert "no incident '77': 'tillwatch incidents list' shows them" in missing.stderr


def test_it_is_answered_and_closed(run: Run, office: Office) -> None:
    one, settings = office
    steps = [
        (("ack", "1", "--note", "on it"), "#1 is acknowledged"),
        (("investigate", "1"), "#1 is investigating"),
        (("assign", "1", "sipho"), "#1 is sipho's"),
        (("note", "1", "the gateway times out"), "#1 has your note"),
        (("severity", "1", "P1"), "#1 is P1 (high)"),
        (("escalate", "1"), "#1 is escalated: the secondary is asked"),
        (("mitigate", "1"), "#1 is mitigated"),
        (("resolve", "1"), "#1 is resolved"),
        (("review", "1"), "#1 is reviewed"),
        (("reopen", "1"), "#1 is open again"),
    ]
    for words, wanted in steps:
        done = run("incidents", *words, "--by", "thandi", **settings)
        assert (done.exit_code, done.stdout.strip()) == (0, wanted), done.output
    assert {entry.author for entry in one.night.entries()} == {"tillwatch", "thandi"}
    told = json.loads(run("incidents", "ack", "1", "--json", **settings).stdout)
    assert told == {"done": True, "text": "#1 is acknowledged", "id": one.night.incident().id}


def test_what_cannot_be_done_is_said(run: Run, office: Office) -> None:
    _, settings = office
    done = run("incidents", "review", "2", **settings)
    assert done.exit_code == 1
    assert "#2 is triggered: only what is resolved can be reviewed" in done.stderr
    told = json.loads(run("incidents", "ack", "9", "--json", **settings).stdout)
    assert told["done"] is False


def test_a_silence_is_added_listed_and_ended(run: Run, office: Office) -> None:
    one, settings = office
    words = ("silence", "add", "provider=ozow", "rule!=slow*", "--for", "2h", "--reason", "they know", "--by", "t")
    done = run(*words, **settings)
    assert done.stdout.strip() == "provider=ozow and rule!=slow* will page nobody", done.output
    told = json.loads(run("silence", "list", "--json", **settings).stdout)
    assert [(item["matchers"], item["phase"], item["author"], item["reason"]) for item in told] == [
        (["provider=ozow", "rule!=slow*"], "active", "t", "they know")
    ]
    assert one.night.incident().members[0].silenced_by == told[0]["id"]
    ident = told[0]["id"][:8]
    assert ident in run("silence", "list", **settings).stdout
    assert run("silence", "end", ident, **settings).stdout.strip() == "it is over"
    assert run("silence", "list", **settings).stdout.strip() == "no silences"
    assert json.loads(run("silence", "list", "--all", "--json", **settings).stdout)[0]["phase"] == "over"


def test_a_window_is_planned_in_the_zone_of_the_calendar(run: Run, office: Office) -> None:
    _, settings = office
    words = ("maintenance", "add", "component=db", "--from", "2026-11-25 22:00", "--for", "2h", "--reason", "upgrade")
    assert run(*words, **settings).exit_code == 0
    told = json.loads(run("maintenance", "list", "--json", **settings).stdout)
    assert [(item["phase"], item["start"], item["end"]) for item in told] == [
        ("waiting", "2026-11-25T20:00:00.000Z", "2026-11-25T22:00:00.000Z")
    ]
    assert run("silence", "list", **settings).stdout.strip() == "no silences", "it is a window"
    assert run("maintenance", "end", told[0]["id"][:8], **settings).exit_code == 0
    assert run("maintenance", "list", **settings).stdout.strip() == "no maintenance windows"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("silence", "add", "ozow", "--for", "1h", "--reason", "x"), "'ozow' is no matcher"),
        (("silence", "add", "rule=*", "--for", "1h", "--reason", "x"), "it would silence every alert"),
        (("silence", "add", "rule=a", "--for", "1h", "--reason", " "), "say who silences, and why"),
        (("silence", "add", "rule=a", "--for", "365d", "--reason", "x"), "it would last longer than 90 days"),
        (("maintenance", "add", "rule=a", "--from", "soon", "--for", "1h", "--reason", "x"), "--from 'soon': expected a time"),
        (("maintenance", "add", "rule=a", "--from", "2020-01-01", "--for", "1h", "--reason", "x"), "it would be over already"),
    ],
)
def test_what_cannot_be_silenced_is_exit_code_2(run: Run, office: Office, words: tuple[str, ...], why: str) -> None:
    done = run(*words, **office[1])
    assert done.exit_code == 2
    assert why in done.stderr


def test_without_a_notifier_the_command_waits_for_one(
    run: Run, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.incidents.ANSWER_WITHIN_S", 0.1)
    settings = {"TILLWATCH_REDIS": store.url, "TILLWATCH_KAFKA": "127.0.0.1:1", "TILLWATCH_NAMESPACE": "nobody"}
    done = run("incidents", "ack", "1", **settings)
    assert done.exit_code == 1
    assert "no notifier answered within 0.1 s; it is done once one runs" in done.stderr
    assert run("incidents", "list", **settings).stdout.strip() == "no open incidents"


def test_a_notifier_that_cannot_listen_says_so(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = {
            "TILLWATCH_REDIS": "redis://127.0.0.1:1",
            "TILLWATCH_KAFKA": "127.0.0.1:1",
            "TILLWATCH_CALLBACKS": "https://pages.example.org",
            "TILLWATCH_LINK_KEY": "0123456789abcdef" * 2,
            "TILLWATCH_LISTEN": f"127.0.0.1:{taken.getsockname()[1]}",
        }
        done = run("notifier", **settings)
    assert done.exit_code == 2
    assert f"TILLWATCH_LISTEN: {settings['TILLWATCH_LISTEN']} cannot be listened on" in done.stderr


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"TILLWATCH_CALLBACKS": "https://pages.example.org"}, "callbacks needs link_key"),
        ({"TILLWATCH_CALLBACKS": "pages.example.org"}, "expected an address that begins with https://"),
        ({"TILLWATCH_LINK_KEY": "short"}, "expected keys of at least 32 random characters each"),
        ({"TILLWATCH_LISTEN": "8190"}, "expected host:port, such as 127.0.0.1:8321"),
    ],
)
def test_settings_that_cannot_be_used_are_told(run: Run, setting: dict[str, str], why: str) -> None:
    done = run("incidents", "list", **setting)
    assert done.exit_code == 2
    assert why in done.stderr
    assert "short" not in done.stderr


def test_a_notifier_with_bad_teams_says_so(run: Run, folder: Path) -> None:
    (folder / "teams.toml").write_text("[people.thandi]\n")
    settings = {"TILLWATCH_REDIS": "redis://127.0.0.1:1", "TILLWATCH_KAFKA": "127.0.0.1:1", "TILLWATCH_TEAMS": "teams.toml"}
    done = run("notifier", **settings)
    assert done.exit_code == 2
    assert "contacts" in done.stderr


def test_customers_are_told_and_alerts_are_judged(run: Run, office: Office) -> None:
    one, settings = office
    said = ("Please pay by EFT.", "--felt", "failing", "--title", "Cards fail", "--service", "Card payments")
    assert run("incidents", "publish", "1", *said, **settings).stdout == "#1 is on the status page\n"
    [update] = one.night.incident().updates
    assert (update.text, update.felt, update.title, update.services) == (
        "Please pay by EFT.", "failing", "Cards fail", ("Card payments",)
    )  # fmt: skip
    assert run("incidents", "judge", "1", "wrong", "--rule", "payment_alerts/provider_down", **settings).exit_code == 0
    assert one.night.incident().judgements == {"payment_alerts/provider_down": "wrong"}
    strange = run("incidents", "judge", "1", "right", "--rule", "a/b", **settings)
    assert strange.exit_code == 1 and "no alert of 'a/b'" in strange.stderr
    assert run("incidents", "judge", "1", "maybe", **settings).exit_code == 2
