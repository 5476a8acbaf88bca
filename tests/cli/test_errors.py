"""A user's error is one line that says what to do; a bug keeps its traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import explained
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
