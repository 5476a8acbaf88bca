"""What no file of the repository may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_SLEEP = {"wait.py", "waiting.py"}
"""Files of tests whose job is waiting, with a limit."""
LARGEST = 1024 * 1024


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode:
        return []
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


FILES = _tracked()
PYTHON = [path for path in FILES if path.suffix == ".py"]
TESTS = [path for path in PYTHON if path.is_relative_to(ROOT / "tests")]
PRODUCT = [path for path in PYTHON if path not in TESTS]

pytestmark = pytest.mark.skipif(not FILES, reason="needs a git checkout")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def _found(pattern: str, files: list[Path], flags: int = 0) -> list[str]:
    search = re.compile(pattern, flags)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(_text(path).splitlines(), 1)
        if search.search(line)
    ]


def test_no_file_is_large() -> None:
    assert [str(path) for path in FILES if path.stat().st_size > LARGEST] == []


def test_no_conflict_is_left() -> None:
    assert _found(r"^(<{7} |={7}$|>{7} )", FILES) == []


def test_no_path_of_a_machine() -> None:
    assert _found(r"(?<![\w.-])/(home|Users|work|root)/\w", FILES) == []
    assert _found(r"(?<![\w.-])/tm[p]/\w", FILES) == []


def test_no_host_of_a_registry() -> None:
    hosts = (
        "pypi" r"\.org",
        "pythonhosted" r"\.org",
        "repo1?" r"\.maven",
        "maven" r"\.org/maven2",
        "registry" r"\.npmjs",
    )
    assert _found("|".join(hosts), FILES, re.IGNORECASE) == []
    locks = [path for path in FILES if path.match("requirements*.txt")]
    assert _found(r"://|--index-url|--extra-index|--find-links|--trusted-host", locks) == []


def test_no_secret() -> None:
    shapes = (
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"\bAKIA[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{30,}",
        r"\bsk_live_\w{8,}",
        r"\bxox[abpr]-[0-9A-Za-z-]{10,}",
    )
    assert _found("|".join(shapes), FILES) == []


def test_nothing_ends_in_blanks_or_without_a_line_break() -> None:
    ours = [path for path in FILES if path.suffix in (".py", ".md", ".toml", ".yml", ".yaml", ".lark", ".json")]
    assert _found(r"[ \t]+$", ours) == []
    assert [str(path.relative_to(ROOT)) for path in ours if (text := _text(path)) and not text.endswith("\n")] == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in PYTHON if not ast.get_docstring(ast.parse(_text(path))) and _text(path).strip()]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_no_except_catches_everything() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in PYTHON
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def test_tests_do_not_sleep() -> None:
    sleeping = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TESTS
        if path.name not in MAY_SLEEP
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "sleep"
        if ast.unparse(node) != "asyncio.sleep(0)"
    ]
    assert sleeping == [], "wait for what must happen: tests.support.wait"


def test_no_test_is_left_out_without_a_reason() -> None:
    assert _found(r"pytest\.mark\.skip(?!if\b)(?!\(reason=)|pytest\.skip\(\)", TESTS) == []


def test_shell_scripts_stop_at_the_first_error() -> None:
    scripts = [path for path in FILES if _text(path).startswith("#!") and "bash" in _text(path).splitlines()[0]]
    assert [str(path) for path in scripts if "set -euo pipefail" not in _text(path)] == []
