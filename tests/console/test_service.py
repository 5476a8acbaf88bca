"""The process: it says where it is, answers, and ends when it is told to."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.terminal import environment

AWAY = {"TILLWATCH_KAFKA": "127.0.0.1:1", "TILLWATCH_REDIS": "redis://:hunter2@127.0.0.1:1"}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A console whose servers are away."""
    log = (tmp_path / "log").open("w")
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli", "console"],
        cwd=tmp_path,
        env=environment(**AWAY, TILLWATCH_CONSOLE_TOKEN="not-a-real-token-only-for-tests"),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    yield running
    running.kill()
    running.wait(10)
    log.close()


def test_it_answers_until_it_is_told_to_end_and_tells_no_secret(console: subprocess.Popen[str], tmp_path: Path) -> None:
    assert console.stdout is not None
    said = console.stdout.readline().strip()
    assert said.startswith("console at http://127.0.0.1:")
    assert console.stdout.readline() == "ready\n"
    place = said.removeprefix("console at http://").rstrip("/")
    show = {"Authorization": "Bearer not-a-real-token-only-for-tests"}

    def ask(path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(place, timeout=10)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    assert ask("/livez", {}).status == 200
    assert ask("/api/health", {}).status == 401
    health = ask("/api/health", show)
    assert (health.status, b'"unhealthy"' in health.read()) == (503, True)
    stream = ask("/api/v1/events", show)
    assert stream.readline() == b"retry: 2000\n"
    console.send_signal(signal.SIGTERM)
    assert console.wait(10) == 0
    assert b"event: tick" in stream.read(), "the stream was ended in order"
    told = (tmp_path / "log").read_text()
    assert "hunter2" not in told and "not-a-real-token" not in told
    assert "Traceback" not in told
