"""Automated actions on the command line: the file is checked, calls are shown, approved, refused and asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.store import EmbeddedStore
from notifier.actions.book import load
from tests.cli.conftest import Run
from tests.support.acts import Acting
from tests.support.counterpart import Counterpart
from tests.support.night import alert

FILE = """
[actions.drain]
on = {rules = ["provider_down"]}
command = ["/bin/echo", "{provider}"]
approval = "responder"

[actions.tell]
on = {incident = ["resolved"], severity = ["critical"]}
webhook = "https://hooks.example/secret-path"
secret_env = "HOOK_SECRET"
"""
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class TestCheck:
    def test_every_error_with_its_line(self, run: Run, folder: Path) -> None:
        (folder / "actions.toml").write_text(FILE.replace('"responder"', '"respnder"').replace("rules", "ruls"))
        done = run("actions", "check", "actions.toml", HOOK_SECRET=SECRET)
        assert done.exit_code == 1
        lines = done.stdout.splitlines()
        assert lines[0].startswith("actions.toml:3: error: actions.drain.on") and "(did you mean rules?)" in done.stdout
        assert lines[-1].startswith("actions.toml:5: error: actions.drain.approval")
        assert "3 errors" in done.stderr

    def test_what_may_not_be_meant_is_told_and_is_no_error(self, run: Run, folder: Path) -> None:
        text = FILE.replace('"provider_down"', '"provider_dwn"').replace("/bin/echo", "/nowhere/drain")
        (folder / "actions.toml").write_text(text)
        done = run("actions", "check", HOOK_SECRET=SECRET, TILLWATCH_ACTIONS="actions.toml")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "no rule in force is called provider_dwn (did you mean provider_down?)" in done.stderr
        assert "here, /nowhere/drain is no program that can be run" in done.stderr
        assert "2 actions, no errors" in done.stderr

    def test_whoever_looks_need_not_have_the_secrets(self, run: Run, folder: Path) -> None:
        (folder / "actions.toml").write_text(FILE.replace("webhook =", "webhook_env ="))
        done = run("actions", "check", TILLWATCH_ACTIONS="actions.toml")
        assert done.exit_code == 0
        assert "here, actions.tell.secret_env: the environment's 'HOOK_SECRET' is not set" in done.stderr
        assert {one.webhook for one in load(folder / "actions.toml", None).values()} == {None, ""}

    def test_without_a_file(self, run: Run) -> None:
        assert run("actions", "check").exit_code == 2
        assert run("actions", "list").exit_code == 2

    def test_configure_looks_at_it_too(self, run: Run, folder: Path) -> None:
        (folder / "actions.toml").write_text(FILE)
        told = json.loads(run("configure", "--check", "--json", TILLWATCH_ACTIONS="actions.toml").stdout)
        (wrong,) = (one for one in told if one["what"] == "TILLWATCH_ACTIONS")
        assert wrong["state"] == "wrong" and "actions.toml:10: error: actions.tell.secret_env" in wrong["text"]
        told = json.loads(run("configure", "--check", "--json", TILLWATCH_ACTIONS="actions.toml", HOOK_SECRET=SECRET).stdout)
        (well,) = (one for one in told if one["what"] == "TILLWATCH_ACTIONS")
        assert (well["state"], well["text"]) == ("ok", "actions.toml: 2 actions")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    server = EmbeddedStore(None, tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()


Office = tuple[Acting, dict[str, str]]


@pytest.fixture
def office(store: EmbeddedStore, request: pytest.FixtureRequest, folder: Path) -> Iterator[Office]:
    (folder / "actions.toml").write_text(FILE)
    night = Acting(*load(folder / "actions.toml", {"HOOK_SECRET": SECRET}).values())
    night.alert(alert("provider_down", provider="ozow", component="checkout"))
    namespace = f"t{abs(hash(request.node.nodeid)):x}"
    settings = {
        "TILLWATCH_REDIS": store.url,
        "TILLWATCH_KAFKA": "127.0.0.1:1",
        "TILLWATCH_NAMESPACE": namespace,
        "TILLWATCH_ACTIONS": "actions.toml",
    }
    with Counterpart(store.url, namespace, night):
        yield night, settings


@pytest.mark.integration
class TestCalls:
    def test_they_are_listed_and_shown(self, run: Run, office: Office) -> None:
        _, settings = office
        listed = run("actions", "list", **settings)
        assert listed.exit_code == 0, listed.output
        assert "provider_down fires" in listed.stdout and "#1 waiting" in listed.stdout and "never" in listed.stdout
        assert "secret-path" not in listed.stdout and "https://hooks.example/***" in listed.stdout
        told = json.loads(run("actions", "list", "--json", **settings).stdout)
        assert [(one["name"], one["means"], one["approval"], len(one["calls"])) for one in told] == [
            ("drain", "command", "responder", 1), ("tell", "webhook", "none", 0)
        ]  # fmt: skip
        shown = run("actions", "show", "drain", **settings).stdout
        assert "calls /bin/echo {provider}" in shown and "approval by a responder within 900 s" in shown
        assert "did you mean drain?" in run("actions", "show", "drian", **settings).stderr

    def test_one_is_approved(self, run: Run, office: Office) -> None:
        night, settings = office
        done = run("actions", "approve", "drain", "1", "--by", "thandi", **settings)
        assert (done.exit_code, done.stdout.strip()) == (0, "#1 has your approval of drain"), done.output
        assert night.states() == ["approved"] and night.call().by == "thandi"
        again = run("actions", "approve", "drain", "1", **settings)
        assert again.exit_code == 1 and "has no action 'drain' that waits" in again.stderr

    def test_one_is_refused(self, run: Run, office: Office) -> None:
        night, settings = office
        done = run("actions", "refuse", "drain", "1", "--note", "it is back", "--by", "thandi", **settings)
        assert done.exit_code == 0 and night.story(1, "action")[-1] == "thandi refuses drain: it is back"

    def test_one_is_asked_for_and_tried(self, run: Run, office: Office) -> None:
        night, settings = office
        told = json.loads(run("actions", "run", "tell", "1", "--dry-run", "--json", **settings).stdout)
        assert told["done"] and told["text"] == "#1 gets a dry run of tell" and night.call(name="tell").trial
        done = run("actions", "run", "tell", "1", **settings)
        assert done.exit_code == 1 and "tell cannot be called now: it is under way already (#1)" in done.stderr
        none = run("actions", "run", "rm", "1", **settings)
        assert none.exit_code == 1 and "no action 'rm' is registered" in none.stderr
