"""Durations on the command line, written as in the settings: `250ms`, `30s`, `3m`."""

from __future__ import annotations

import typer


def seconds(text: str) -> float:
    """Seconds of a duration. Raises typer.BadParameter where the unit is missing."""
    from runtime.settings import duration_s

    try:
        found = duration_s(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    assert isinstance(found, float)
    if found <= 0:
        raise typer.BadParameter("a duration must be longer than 0")
    return found
