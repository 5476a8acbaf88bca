"""`tillwatch console users`, `tokens`, `link` and `audit`, against a real store."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from console.tokens import PATTERN
from tests.cli.conftest import Run
from tests.support.store import KillableStore

PASSWORD = "correct horse battery"


@pytest.fixture
def here(run: Run, store: KillableStore, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands of an installation of the test's own."""
    monkeypatch.setenv("TILLWATCH_REDIS", store.url)
    monkeypatch.setenv("TILLWATCH_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("TILLWATCH_NAMESPACE", namespace)
    return run


def test_an_account_is_made_changed_and_taken_away(here: Run, tmp_path: Path, store: KillableStore, namespace: str) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\nnot this line\n")
    made = here("console", "users", "add", "thandi", "--role", "responder", "--password-file", str(file))
    assert (made.exit_code, made.stdout) == (0, "thandi can sign in as responder\n")
    with store.client() as client:
        kept = json.loads(client.hget(f"{namespace}:{{console}}:users", "thandi"))
    assert kept["password"].startswith("$argon2id$v=19$m=65536,t=3,p=4$") and PASSWORD not in str(kept)
    again = here("console", "users", "add", "thandi", "--password-file", "-", stdin=PASSWORD)
    assert again.exit_code == 1 and "already" in again.stderr
    assert here("console", "users", "role", "thandi", "admin").exit_code == 0
    assert here("console", "users", "password", "thandi", "--password-file", "-", stdin=f"{PASSWORD} 2\n").exit_code == 0
    with store.client() as client:
        after = json.loads(client.hget(f"{namespace}:{{console}}:users", "thandi"))
    assert after["role"] == "admin" and after["password"] != kept["password"] and after["version"] != kept["version"]
    listed = here("console", "users", "list", "--json")
    assert [(one["name"], one["role"]) for one in json.loads(listed.stdout)] == [("thandi", "admin")]
    assert "argon2" not in listed.stdout
    assert here("console", "users", "remove", "thandi").exit_code == 0
    assert here("console", "users", "list").stdout == "no accounts\n"
    log = json.loads(here("console", "audit", "--json").stdout)
    assert [(one["action"], one["outcome"], one["how"]) for one in log] == [
        (action, outcome, "command")
        for action, outcome in (
            ("remove_user", "done"),
            ("change_password", "done"),
            ("change_role", "done"),
            ("add_user", "failed"),
            ("add_user", "done"),
        )
    ]
    assert PASSWORD not in str(log)


@pytest.mark.parametrize(
    ("words", "stdin", "code", "says"),
    [
        (("users", "add", "thandi", "--password-file", "-"), "short", 2, "12 to 256 characters"),
        (("users", "add", "thandi", "--password-file", "-"), "x" * 257, 2, "12 to 256 characters"),
        (("users", "add", "thandi", "--password-file", "-"), "", 2, "12 to 256 characters"),
        (("users", "add", "thandi"), "", 2, "--password-file FILE"),
        (("users", "add", "Thandi!", "--password-file", "-"), PASSWORD, 2, "cannot be a name"),
        (("users", "add", "thandi", "--role", "root", "--password-file", "-"), PASSWORD, 2, "viewer, responder, admin"),
        (("users", "add", "thandi", "--password-file", "nothing"), "", 1, "nothing: No such file"),
        (("users", "role", "nobody", "admin"), "", 1, "no account nobody"),
        (("users", "remove", "nobody"), "", 1, "no account nobody"),
        (("users", "password", "nobody", "--password-file", "-"), PASSWORD, 1, "no account nobody"),
        (("tokens", "add", "x", "--expires", "400d"), "", 2, "at most 366d"),
        (("tokens", "add", "x", "--expires", "soon"), "", 2, "duration"),
        (("tokens", "add", "x\n"), "", 2, "can be printed"),
        (("tokens", "add", "x", "--only", "metrics"), "", 2, "expected a path"),
        (("tokens", "revoke", "12345678"), "", 1, "no token 12345678"),
        (("audit", "--count", "0"), "", 2, "--count"),
    ],
)
def test_what_cannot_be_done_is_told(here: Run, words: tuple[str, ...], stdin: str, code: int, says: str) -> None:
    done = here("console", *words, stdin=stdin)
    assert done.exit_code == code and says in done.stderr, done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_token_is_shown_once_and_kept_as_a_hash(here: Run, store: KillableStore, namespace: str) -> None:
    made = here("console", "tokens", "add", "prometheus", "--only", "/metrics", "--expires", "30d")
    text = made.stdout.strip()
    assert PATTERN.fullmatch(text), "what scanners for secrets look for"
    with store.client() as client:
        kept = str(client.hgetall(f"{namespace}:{{console}}:tokens"))
    assert text.rpartition("_")[2] not in kept and "/metrics" in kept
    [listed] = json.loads(here("console", "tokens", "list", "--json").stdout)
    told = (listed["name"], listed["role"], listed["only"], listed["state"])
    assert told == ("prometheus", "viewer", ["/metrics"], "in force")
    assert text not in str(listed)
    assert here("console", "tokens", "revoke", listed["id"]).exit_code == 0
    assert here("console", "tokens", "list").stdout == "no tokens\n"


def test_a_link_leads_to_where_the_console_listens(here: Run) -> None:
    made = here("console", "link")
    assert re.fullmatch(r"http://127\.0\.0\.1:8321/sign-in\?once=[\w-]{43}\n", made.stdout)
    assert "once" in made.stderr
    other = here("console", "link", "--at", "https://tillwatch.example/", "--json")
    assert json.loads(other.stdout)["link"].startswith("https://tillwatch.example/sign-in?once=")
    anywhere = here("console", "link", TILLWATCH_CONSOLE="127.0.0.1:0")
    assert anywhere.exit_code == 2 and "--at" in anywhere.stderr
