"""What the commands print: words for people, JSON for programs, and an error as one line that says what to do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

FAILED, USAGE = 1, 2
PIPED_WIDTH = 160


def out() -> Console:
    """Stdout. Colours only on a terminal, and never with NO_COLOR; a pipe is wide enough for a table."""
    return _console(stderr=False)


def err() -> Console:
    """Stderr, for whatever is not the answer itself."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=False, width=None if stream.isatty() else PIPED_WIDTH)


def say(text: str, style: str | None = None) -> None:
    """A line on stdout, as it is: brackets in it are no markup, and it is not wrapped."""
    out().print(text, style=style, markup=False, soft_wrap=True)


def note(text: str, style: str | None = None) -> None:
    """A line on stderr."""
    err().print(text, style=style, markup=False, soft_wrap=True)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """JSON on stdout, UTF-8 as it is."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
    sys.stdout.flush()


def counted(n: int, what: str, many: str | None = None) -> str:
    """`1 rule`, `2 rules`; `many` where that is no s more."""
    return f"{n} {what if n == 1 else many or what + 's'}"


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Ends the command with `error: text` on stderr."""
    from runtime.log import masked

    err().print(f"error: {masked(text)}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)
