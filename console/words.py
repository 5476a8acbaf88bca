"""Words and numbers as pages write them. A sentence is a list of texts and times: each reader sees those of their own zone."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.time import rfc3339

NB = "\u00a0"
SYMBOLS = {"ZAR": "R", "USD": "$", "EUR": "€", "GBP": "£", "NAD": "N$", "BWP": "P"}


def figure(value: float | None, factor: float, places: int) -> str:
    """A number as it is written, or a dash where nothing is known."""
    return "–" if value is None else f"{value * factor:.{places}f}"


def percent(value: float | None, places: int = 1) -> str:
    return f"{figure(value, 100, places)}{NB}%"


def grouped(number: int) -> str:
    return f"{number:,}".replace(",", NB)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`63 s`, `7 min 35 s`, `2 h 14 min`, `3 days`: two units at most."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole}{NB}s"
    if whole < 7_200:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}{NB}min" + (f" {rest}{NB}s" if rest and minutes < 10 else "")
    if whole < 2 * 86_400:
        hours, rest = divmod(whole // 60, 60)
        return f"{hours}{NB}h" + (f" {rest}{NB}min" if rest else "")
    return f"{whole // 86_400} days"


def plain(words: Iterable[str | int]) -> str:
    """A sentence where no zone is known: times in UTC."""
    return "".join(one if isinstance(one, str) else f"{rfc3339(one)[11:16]} UTC" for one in words)
