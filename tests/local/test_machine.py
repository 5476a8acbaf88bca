"""`tillwatch up` in one terminal, the other commands in another: the same system, found without a setting."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from local.machine import environment, worker
from runtime.settings import Settings
from tests.local.terminal import Left, Terminal, run
from tests.local.waiting import eventually
from tests.support.events import encoded, failed, succeeded

READY = "ready: Kafka at 127.0.0.1"
COUNTED = "select outcome, sum(count)::int as payments from payments_1h group by all order by all"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A system that several tests use; each puts in events of its own."""
    with Terminal(tmp_path_factory.mktemp("up"), "up") as terminal:
        terminal.shows(READY)
        yield terminal
        left = Left(terminal)
        terminal.press_ctrl_c()
        assert terminal.ends(10) == 0
        left.nothing()


def answer(folder: Path, *words: str) -> Any:
    done = run(folder, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def send(folder: Path, *events: dict[str, Any]) -> None:
    done = run(folder, "produce", "-", stdin="".join(encoded(event).decode() + "\n" for event in events))
    assert done.returncode == 0, done.stderr


def counted(folder: Path) -> dict[str, int]:
    return {row["outcome"]: row["payments"] for row in answer(folder, "query", COUNTED)}


# --- in a second terminal ---------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.fault
@pytest.mark.timeout(240)
def test_what_is_put_in_comes_out_and_a_broker_that_dies_takes_no_count_along(up: Terminal) -> None:
    folder = up.folder
    now = time.time()
    bad = [failed(now - number / 10) for number in range(30)]
    good = [succeeded(now - number / 10) for number in range(10)]
    send(folder, *bad, *good)
    eventually(lambda: counted(folder) == {"failed": 30, "succeeded": 10}, "all are counted", 30)
    alerts = run(folder, "tail", "alerts", "--from-start", "--count", "1", "--for", "30s", "--json")
    assert json.loads(alerts.stdout)["data"]["rule"] == "payment_processing_failure"

    broker = up.pids["broker"]
    os.kill(broker, signal.SIGKILL)
    up.shows("broker was ended by SIGKILL")
    up.shows("worker-1 is ready")
    assert up.pids["broker"] != broker
    assert counted(folder) == {"failed": 30, "succeeded": 10}, "what was counted is kept"
    send(folder, *(succeeded(time.time()) for _ in range(5)))
    eventually(lambda: counted(folder) == {"failed": 30, "succeeded": 15}, "what is new is added once", 30)
    again = answer(folder, "query", COUNTED.replace("1h", "10s"))
    assert {row["outcome"]: row["payments"] for row in again} == {"failed": 30, "succeeded": 15}


@pytest.mark.integration
def test_status_says_that_all_is_well(up: Terminal) -> None:
    eventually(lambda: run(up.folder, "status").stdout.startswith("OK"), "the first word is the verdict", 30)
    report = answer(up.folder, "status")
    assert report["verdict"] == "OK"
    names = [part["name"] for part in report["parts"]]
    assert {"payments", "evaluate", "alerts"} <= set(names)


@pytest.mark.integration
def test_what_is_no_event_is_found_among_the_dead_letters(up: Terminal) -> None:
    done = run(up.folder, "produce", "-", "--topic", "payments", "--raw", stdin="no event\n")
    assert done.returncode == 0, done.stderr

    def letters() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = answer(up.folder, "deadletters")
        return found

    eventually(lambda: bool(letters()), "it is there", 30)
    [letter] = letters()
    assert (letter["reason"], letter["topic"], letter["value"]) == ("not_json", "tillwatch.payments.v1", "no event")
    assert "not_json" in run(up.folder, "deadletters").stdout


@pytest.mark.integration
def test_whoever_runs_it_signs_in_by_a_link_once_and_makes_another(up: Terminal) -> None:
    printed = re.search(r"http://\S+/sign-in\?once=\S+", up.text)
    assert printed is not None
    another = run(up.folder, "console", "link").stdout.strip()
    for link in (printed[0], another):
        with httpx.Client(timeout=30) as browser:
            assert browser.get(link).status_code == 200
            me = browser.get(link.partition("/sign-in")[0] + "/api/v1/me").json()
            assert (me["role"], me["how"], me["signed_in"]) == ("admin", "link", True)
        assert httpx.get(link, timeout=30).status_code == 401
    assert [one["action"] for one in answer(up.folder, "console", "audit")] == ["sign_in", "sign_in", "offer_link"]


@pytest.mark.integration
def test_configure_finds_nothing_wrong(up: Terminal) -> None:
    findings = {one["what"]: one["state"] for one in answer(up.folder, "configure", "--check")}
    assert findings["TILLWATCH_KAFKA"] == findings["TILLWATCH_REDIS"] == findings["topics"] == "ok"
    assert "wrong" not in findings.values()


@pytest.mark.integration
def test_topics_that_are_there_are_kept(up: Terminal) -> None:
    done = run(up.folder, "setup", "topics", "--partitions", "4")
    assert done.returncode == 0
    assert "created" not in done.stdout


@pytest.mark.integration
def test_two_in_one_folder_are_refused_with_the_culprit_named(up: Terminal) -> None:
    for words in (["up"], ["demo"]):
        done = run(up.folder, *words)
        assert done.returncode == 1
        assert f"tillwatch-data is in use by process {up.pid}" in done.stderr
    assert run(up.folder, "status").returncode in (0, 1), "the first goes on"


# --- its end, and its next beginning ----------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.fault
def test_rollups_outlive_it_and_the_next_adds_to_them(tmp_path: Path) -> None:
    for total in (3, 6):
        with Terminal(tmp_path, "up") as terminal:
            terminal.shows(READY)
            send(tmp_path, *(succeeded(time.time()) for _ in range(3)))
            eventually(lambda total=total: counted(tmp_path) == {"succeeded": total}, "counted once each", 30)  # type: ignore[misc]
            left = Left(terminal)
            if total == 3:
                terminal.send(signal.SIGTERM)
                assert terminal.ends(10) == 0
            else:
                terminal.send(signal.SIGKILL)
                terminal.ends()
            left.nothing()
    done = run(tmp_path, "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "DOWN"


# --- what cannot work -------------------------------------------------------------------------------------------------


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tillwatch-data").write_text("mine")
    done = run(tmp_path, "up")
    assert done.returncode == 1
    assert done.stderr == "error: tillwatch-data: File exists\n"


def test_a_broker_that_is_set_and_does_not_answer_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "up", TILLWATCH_KAFKA="127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_running_is_said_with_what_to_do(tmp_path: Path) -> None:
    for words in (["tail", "alerts"], ["deadletters"], ["setup", "topics"], ["produce", "-"]):
        done = run(tmp_path, *words)
        assert done.returncode == 1
        assert done.stderr.startswith("error: no Kafka: set TILLWATCH_KAFKA")
        assert "'tillwatch up'" in done.stderr


# --- a worker's environment -------------------------------------------------------------------------------------------


def test_a_worker_has_exactly_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_BUCKET", "10s")
    monkeypatch.setenv("TILLWATCH_RULES", "elsewhere")
    settings = Settings(kafka="k:1", redis=SecretStr("redis://:pw@r"), bucket=5.0, lateness=0.25, rules=None)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TILLWATCH_RULES")
    assert "TILLWATCH_RULES" not in environment(settings)
    again = Settings()
    assert again.model_dump(exclude={"data"}) == settings.model_dump(exclude={"data"})
    assert again.data == settings.data.resolve()


def test_a_secret_is_in_a_workers_environment_and_not_on_its_command_line(tmp_path: Path) -> None:
    process = worker(Settings(redis=SecretStr("redis://:hunter2@r")), 1, tmp_path)
    assert process.env is not None
    assert "hunter2" in process.env["TILLWATCH_REDIS"]
    assert "hunter2" not in " ".join(process.argv)
