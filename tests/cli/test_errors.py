"""A user's error is one line that says what to do; a bug keeps its traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import explained
from runtime.settings import load_settings
from tests.cli.conftest import Run


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections: bound and not listening, so that nobody else can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def away(nobody: str) -> dict[str, str]:
    """Settings that name servers which do not answer."""
    return {"TILLWATCH_KAFKA": nobody, "TILLWATCH_REDIS": f"redis://till:hunter2@{nobody}"}


def test_a_setting_that_cannot_be_used_names_the_setting(run: Run) -> None:
    done = run("status", TILLWATCH_BUCKET="3s")
    assert done.exit_code == 2
    assert "TILLWATCH_BUCKET" in done.stderr
    assert "configure --check" in done.stderr


@pytest.mark.parametrize("wrong", ["not a host", "::::", "kafka-1:9092,", "kafka-1:http", "kafka://k:9092"])
def test_what_is_no_address_of_a_broker_is_told_as_a_setting(run: Run, wrong: str) -> None:
    done = run("status", TILLWATCH_KAFKA=wrong)
    assert done.exit_code == 2
    assert "TILLWATCH_KAFKA: expected bootstrap servers as host:port" in done.stderr


@pytest.mark.parametrize("right", ["kafka-1", "kafka-1:9092, kafka-2:9092", "[::1]:9092", "10.0.0.1:9092"])
def test_what_is_one_is_taken(right: str) -> None:
    assert load_settings(kafka=right).kafka == right


@pytest.mark.parametrize("command", [["status"], ["worker"], ["query", "select 1"]])
def test_what_is_no_url_of_a_store_is_told_as_a_setting_and_not_repeated(run: Run, command: list[str]) -> None:
    done = run(*command, TILLWATCH_REDIS="http://till:hunter2@r", TILLWATCH_KAFKA="127.0.0.1:1")
    assert done.exit_code == 2
    assert "TILLWATCH_REDIS: expected a URL that begins with redis://" in done.stderr
    assert "hunter2" not in done.output


def test_a_broken_settings_file_is_named(run: Run, folder: Path) -> None:
    (folder / "tillwatch.toml").write_text("kafka = \n")
    done = run("status")
    assert done.exit_code == 2
    assert "tillwatch.toml" in done.stderr


def test_a_file_that_is_not_there_is_named(run: Run, away: dict[str, str]) -> None:
    done = run("produce", "nothing.jsonl", **away)
    assert done.exit_code == 1
    assert done.stderr == "error: nothing.jsonl: No such file or directory\n"


@pytest.mark.parametrize("command", [["setup", "topics"], ["tail", "alerts", "--for", "1s"], ["deadletters"]])
def test_kafka_away_is_one_line(run: Run, away: dict[str, str], command: list[str]) -> None:
    done = run(*command, **away)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert away["TILLWATCH_KAFKA"] in done.stderr
    assert "Traceback" not in done.stderr


def test_status_is_down_where_no_server_answers_and_keeps_the_password(run: Run, away: dict[str, str]) -> None:
    done = run("status", "--json", **away)
    assert done.exit_code == 1
    assert '"verdict": "DOWN"' in done.stdout
    assert "hunter2" not in done.output


def test_a_clock_that_cannot_be_read_is_a_setting_that_cannot_be_used(run: Run, away: dict[str, str]) -> None:
    done = run("status", **away, TILLWATCH_CLOCK="file:/nowhere/clock")
    assert done.exit_code == 2
    assert "TILLWATCH_CLOCK" in done.stderr


def test_raw_needs_a_topic(run: Run, away: dict[str, str]) -> None:
    done = run("produce", "-", "--raw", stdin="{}", **away)
    assert done.exit_code == 2
    assert "--topic" in done.stderr


def test_a_topic_is_suggested(run: Run, away: dict[str, str]) -> None:
    done = run("produce", "-", "--topic", "paymets", stdin="{}", **away)
    assert done.exit_code == 2
    assert "did you mean payments?" in done.stderr


def test_a_bug_is_not_explained_away() -> None:
    assert explained(KeyError("oops")) is None
    assert explained(OSError("no file in it")) is None
