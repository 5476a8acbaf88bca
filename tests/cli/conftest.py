"""A folder of its own for each test, and no settings from outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.app import app

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with no TILLWATCH_* in the environment."""
    for name in list(os.environ):
        if name.startswith("TILLWATCH_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Runs `tillwatch` with these arguments, in this process."""
    runner = CliRunner()

    def _run(*args: str, stdin: str | bytes | None = None, **env: str) -> Result:
        return runner.invoke(app, args, input=stdin, env=env)

    return _run
