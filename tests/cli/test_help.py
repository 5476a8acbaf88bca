"""Help is quick, plain where it must be, and a wrong command says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
HEAVY = ("aiokafka", "faust", "redis", "duckdb", "pydantic", "msgspec", "yaml", "lark")


def test_help_imports_nothing_heavy() -> None:
    code = f"import cli.app, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_python_m_cli_is_tillwatch() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "Usage: tillwatch" in done.stdout
    assert "\x1b[" not in done.stdout


def test_the_help_tells_the_exit_codes(run: Run) -> None:
    assert "Exit codes:" in run("--help").stdout


@pytest.mark.parametrize(
    "arguments", [["worke"], ["produce"], ["demo", "--for", "3"], ["setup", "topics", "--partitions", "0"], ["tail"]]
)
def test_what_cannot_be_used_is_exit_code_2_on_stderr(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    if arguments != ["tail"]:  # a group without a command shows its help
        assert done.stdout == ""
        assert done.stderr
